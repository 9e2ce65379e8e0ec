{{/* What several templates need: names, labels, settings, and the parts of a pod. */}}

{{- define "backup-ns.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Names of CronJobs have 52 characters at most; some get a word behind this. */}}
{{- define "backup-ns.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $name = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $name .Values.fullnameOverride | trunc 44 | trimSuffix "-" }}
{{- end }}

{{/* Lays a map over another, as Helm lays one values file over another: (list $under $over). Changes $under. */}}
{{- define "backup-ns.overlay" -}}
{{- $under := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $under $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $under $key)) -}}
{{- include "backup-ns.overlay" (list (get $under $key) $value) -}}
{{- else -}}
{{- $_ := set $under $key $value -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What this release backs up: (list $ $out). Sets $out.namespaces, and $out.all: for each entry of `backups`, or for the one
backup of a release without that list, what $ has, with Values (the entry's over the release's), Namespace, Entry (the entry's
name) and Name (that of the CronJob, and how the names of its other objects begin). */}}
{{- define "backup-ns.backups" -}}
{{- $root := index . 0 -}}
{{- $out := index . 1 -}}
{{- $fullname := include "backup-ns.fullname" $root -}}
{{- $namespace := $root.Release.Namespace -}}
{{- $all := list -}}
{{- $namespaces := list -}}
{{- if and $root.Values.backups (not $root.Values.backup.enabled) -}}
{{- fail "backup.enabled is false, so that nothing in `backups` would be backed up: set it to true, or leave the list empty" -}}
{{- end -}}
{{- range $entry := $root.Values.backups -}}
{{- $values := deepCopy (omit $root.Values "backups") -}}
{{- include "backup-ns.overlay" (list $values (omit $entry "name" "namespace")) -}}
{{- $in := $entry.namespace | default $namespace -}}
{{- $all = append $all (dict "Values" $values "Namespace" $in "Entry" $entry.name "Name" (printf "%s-%s" $fullname $entry.name)) -}}
{{- $namespaces = append $namespaces $in -}}
{{- else -}}
{{- if $root.Values.backup.enabled -}}
{{- $all = list (dict "Values" $root.Values "Namespace" $namespace "Entry" "" "Name" $fullname) -}}
{{- $namespaces = list $namespace -}}
{{- end -}}
{{- end -}}
{{- range $all -}}
{{- $_ := set . "Release" $root.Release -}}
{{- $_ := set . "Chart" $root.Chart -}}
{{- end -}}
{{- include "backup-ns.checkNames" (list $root $all) -}}
{{- $_ := set $out "all" $all -}}
{{- $_ := set $out "namespaces" (uniq $namespaces) -}}
{{- end }}

{{/* Refuses names of CronJobs that are too long, or that two would have: (list $ $all). */}}
{{- define "backup-ns.checkNames" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- range index . 1 -}}
{{- $names = append $names (list .Namespace .Name) -}}
{{- if .Values.verify.enabled }}{{ $names = append $names (list .Namespace (printf "%s-verify" .Name)) }}{{ end -}}
{{- if .Values.export.enabled }}{{ $names = append $names (list .Namespace (printf "%s-export" .Name)) }}{{ end -}}
{{- end -}}
{{- range list "prune" "sync" -}}
{{- if and $root.Values.cluster.enabled (get $root.Values.cluster .).enabled -}}
{{- $names = append $names (list $root.Release.Namespace (printf "%s-%s" (include "backup-ns.fullname" $root) .)) -}}
{{- end -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $names -}}
{{- $name := index . 1 -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "the CronJob %s would have a name of %d characters, and Kubernetes takes 52 at most: shorten the name in `backups`, or set fullnameOverride to something shorter" $name (len $name)) -}}
{{- end -}}
{{- if hasKey $seen (join "/" .) -}}
{{- fail (printf "two CronJobs of the namespace %s would have the name %s: give each entry of `backups` a name of its own, and none the name of another part (NAME-verify, NAME-export, prune, sync)" (index . 0) $name) -}}
{{- end -}}
{{- $_ := set $seen (join "/" .) true -}}
{{- end -}}
{{- end }}

{{/* A map as YAML, without what is empty in it. */}}
{{- define "backup-ns.filled" -}}
{{- $filled := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $filled $key $value }}{{ end -}}
{{- end -}}
{{- toYaml $filled }}
{{- end }}

{{- define "backup-ns.serviceAccountName" -}}
{{- $otherwise := ternary (include "backup-ns.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $otherwise .Values.serviceAccount.name }}
{{- end }}

{{- define "backup-ns.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- with .Values.image.digest }}{{ $.Values.image.repository }}@{{ . }}{{ else }}{{ .Values.image.repository }}:{{ $tag }}{{ end }}
{{- end }}

{{/* Labels of an object: (list $ "component"). */}}
{{- define "backup-ns.labels" -}}
{{- $root := index . 0 -}}
{{ include "backup-ns.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: backup-ns
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Entry }}
backup-ns.sh/backup: {{ . | quote }}
{{- end }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "backup-ns.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "backup-ns.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* A value as the text of a variable; whole numbers never as 1e+06. */}}
{{- define "backup-ns.text" -}}
{{- if kindIs "float64" . }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{/* All variables of the ConfigMap. `config` key by key: vsClassName is BAK_VS_CLASS_NAME. */}}
{{- define "backup-ns.variables" -}}
{{- $all := dict -}}
{{- range $key, $value := .Values.config -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $all (printf "BAK_%s" (snakecase $key | upper)) (include "backup-ns.text" $value) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := .Values.envData -}}
{{- $_ := set $all $key (include "backup-ns.text" $value) -}}
{{- end -}}
{{- /* Who speaks of locks by the older variable means that. */}}
{{- if and (hasKey .Values.envData "BAK_FLOCK") (not (hasKey .Values.envData "BAK_LOCK")) -}}
{{- $_ := unset $all "BAK_LOCK" -}}
{{- end -}}
{{- include "backup-ns.noPassword" $all -}}
{{- toYaml $all }}
{{- end }}

{{/* Refuses passwords among these variables, without showing one as the schema would. */}}
{{- define "backup-ns.noPassword" -}}
{{- range $key, $value := . -}}
{{- if has $key (list "BAK_NOTIFY_URL" "BAK_NOTIFY_HEADERS" "BAK_PING_URL") -}}
{{- fail (printf "%s is a secret, and many may read a ConfigMap: put it into a Secret of the namespace, under the key %s, and name the Secret in notifications.existingSecret" $key $key) -}}
{{- end -}}
{{- if and (hasSuffix "_PASSWORD" $key) (not (regexMatch "^(\\$\\{[A-Za-z_][A-Za-z0-9_]*\\})?$" (toString $value))) -}}
{{- fail (printf "%s is a password, and many may read a ConfigMap: put it into a Secret of the namespace, under the key %s, and name the Secret in existingSecret; or name a variable of the database's container, as ${NAME}" $key $key) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The text of one variable, or what it is otherwise: (list $ "BAK_…" "otherwise"). */}}
{{- define "backup-ns.variable" -}}
{{- $text := get (include "backup-ns.variables" (index . 0) | fromYaml) (index . 1) -}}
{{- default (index . 2) $text }}
{{- end }}

{{/* Whether a variable says yes: "true" or nothing. */}}
{{- define "backup-ns.is" -}}
{{- $text := include "backup-ns.variable" (list (index . 0) (index . 1) "false") | lower -}}
{{- if has $text (list "true" "yes" "on" "1" "t" "y") }}true{{ end }}
{{- end }}

{{/* flock, lease or none, as the program decides it. */}}
{{- define "backup-ns.lock" -}}
{{- $otherwise := ternary "flock" "none" (eq (include "backup-ns.is" (list . "BAK_FLOCK")) "true") -}}
{{- include "backup-ns.variable" (list . "BAK_LOCK" $otherwise) }}
{{- end }}

{{/* The seconds of a time such as 1h30m. */}}
{{- define "backup-ns.seconds" -}}
{{- $units := dict "s" 1 "sec" 1 "secs" 1 "second" 1 "seconds" 1 "m" 60 "min" 60 "mins" 60 "minute" 60 "minutes" 60 "h" 3600 "hr" 3600 "hrs" 3600 "hour" 3600 "hours" 3600 "d" 86400 "day" 86400 "days" 86400 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+ *[a-z]+" . -1 -}}
{{- $number := regexFind "[0-9]+" . | int -}}
{{- $sum = add $sum (mul $number (get $units (regexFind "[a-z]+" .) | default 0)) -}}
{{- end -}}
{{- $sum }}
{{- end }}

{{/* How long a backup may take to the end of its last wait, in seconds. */}}
{{- define "backup-ns.deadline" -}}
{{- $wait := 0 -}}
{{- if ne (include "backup-ns.lock" .) "none" -}}
{{- $wait = include "backup-ns.variable" (list . "BAK_FLOCK_TIMEOUT_SEC" "3600") | int -}}
{{- end -}}
{{- $dump := include "backup-ns.seconds" (include "backup-ns.variable" (list . "BAK_DUMP_TIMEOUT" "0s")) | int -}}
{{- $ready := include "backup-ns.seconds" (include "backup-ns.variable" (list . "BAK_VS_WAIT_UNTIL_READY_TIMEOUT" "15m")) | int -}}
{{- $busy := include "backup-ns.seconds" (include "backup-ns.variable" (list . "BAK_BUSY_TIMEOUT" "0s")) | int -}}
{{- $hook := include "backup-ns.seconds" (include "backup-ns.variable" (list . "BAK_HOOK_TIMEOUT" "1m")) | int -}}
{{- $hooks := 0 -}}
{{- range list "BAK_HOOK_PRE" "BAK_HOOK_POST" -}}
{{- if include "backup-ns.variable" (list $ . "") }}{{ $hooks = add $hooks $hook }}{{ end -}}
{{- end -}}
{{- $least := add $wait $dump $ready $busy $hooks -}}
{{- $given := .Values.activeDeadlineSeconds | default 0 | int -}}
{{- if and $given (le $given (int $least)) -}}
{{- fail (printf "activeDeadlineSeconds is %d, but the wait for a lock, the dump, the hooks and the wait for the snapshot may take %d seconds: raise it, leave it empty, or lower their timeouts" $given (int $least)) -}}
{{- end -}}
{{- $given | default (add $least (ternary 0 7200 (gt $dump 0)) 600) }}
{{- end }}

{{/* Variables of an export. */}}
{{- define "backup-ns.exportEnv" -}}
{{- $export := .Values.export -}}
{{- $env := dict "BAK_EXPORT_TOOL" $export.tool "BAK_EXPORT_IMAGE" $export.image "BAK_EXPORT_SECRET" $export.existingSecret "BAK_EXPORT_WHAT" $export.what "BAK_EXPORT_REMOTE" $export.remote "BAK_EXPORT_COMMAND" $export.command "BAK_EXPORT_CHECK" $export.check "BAK_EXPORT_TIMEOUT" $export.timeout "BAK_EXPORT_SERVICE_ACCOUNT" $export.serviceAccountName -}}
{{- range $kind, $amounts := $export.resources -}}
{{- range $name, $amount := $amounts -}}
{{- $_ := set $env (printf "BAK_EXPORT_%s_%s" (upper $name) (trimSuffix "S" (upper $kind))) (include "backup-ns.text" $amount) -}}
{{- end -}}
{{- end -}}
{{- $needed := dict "restic" (list "IMAGE") "rclone" (list "IMAGE" "REMOTE") "command" (list "IMAGE" "COMMAND" "CHECK") -}}
{{- range get $needed $export.tool -}}
{{- if not (get $env (printf "BAK_EXPORT_%s" .)) -}}
{{- fail (printf "export.enabled or verify.fromExport is true, and export.%s is not set, without which %s cannot export (docs/export.md)" (lower .) $export.tool) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $export.tool "command") (eq $export.what "volume") -}}
{{- fail "export.what is volume, and export.tool is command: all files are sent only by restic or rclone" -}}
{{- end -}}
{{- range $key, $value := $env -}}
{{- if $value }}
- {name: {{ $key }}, value: {{ $value | quote }}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Of a pod whose containers write nothing but to /tmp. */}}
{{- define "backup-ns.podSecurity" -}}
{{- /* The variables of a Service named bak-… would be taken for settings. */ -}}
enableServiceLinks: false
{{- if not (kindIs "invalid" .Values.hostUsers) }}
hostUsers: {{ .Values.hostUsers }}
{{- end }}
{{- if and .Values.podSecurityContext.runAsNonRoot (eq (toString .Values.podSecurityContext.runAsUser) "0") }}
{{- fail "podSecurityContext.runAsUser is 0, which is root, and runAsNonRoot is true, so that no container would start: set another user, or none" }}
{{- end }}
securityContext:
  {{- include "backup-ns.filled" .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where a pod may run. */}}
{{- define "backup-ns.scheduling" -}}
{{- $where := dict -}}
{{- range $key := list "priorityClassName" "schedulerName" "nodeSelector" "tolerations" "topologySpreadConstraints" -}}
{{- with get $.Values $key }}{{ $_ := set $where $key . }}{{ end -}}
{{- end -}}
{{- with $where }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* What every container of the program has: image, rights, and a /tmp for kubectl's cache. */}}
{{- define "backup-ns.container" -}}
image: {{ include "backup-ns.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "backup-ns.filled" .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{/* Variables of every container. */}}
{{- define "backup-ns.env" -}}
- {name: TZ, value: {{ .Values.timeZone | quote }}}
- {name: HOME, value: /tmp}
{{- range .Values.extraEnv }}
{{- include "backup-ns.noPassword" (dict .name (.value | default "")) }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Variables of what works on this namespace, behind those. */}}
{{- define "backup-ns.namespaceEnv" -}}
{{ include "backup-ns.env" . }}
- name: BAK_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end }}

{{/* Variables of a backup, behind those. */}}
{{- define "backup-ns.backupEnv" -}}
{{ include "backup-ns.namespaceEnv" . }}
- name: BAK_LABEL_VS_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- if eq (include "backup-ns.lock" .) "lease" }}
- name: BAK_LOCK_NODE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- end }}
{{- end }}

{{/* Where variables of a backup come from: (list $backup notifications). */}}
{{- define "backup-ns.envFrom" -}}
{{- $root := index . 0 -}}
- configMapRef: {name: {{ $root.Name }}-env}
{{- with $root.Values.existingSecret }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- with (index . 1).existingSecret }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{/* Variables of notifications, if there are any. */}}
{{- define "backup-ns.notificationEnv" -}}
{{- if .existingSecret }}
- {name: BAK_NOTIFY_ON, value: {{ .when }}}
- {name: BAK_NOTIFY_FORMAT, value: {{ .format }}}
{{- end }}
{{- end }}

{{/* The pod in which a command of a backup runs, without what says when: (list $backup "create"). */}}
{{- define "backup-ns.backupPod" -}}
{{- $root := index . 0 -}}
{{- $command := index . 1 -}}
{{- $flock := eq (include "backup-ns.lock" $root) "flock" -}}
{{- $locks := include "backup-ns.variable" (list $root "BAK_FLOCK_DIR" "/mnt/host-backup-locks") -}}
serviceAccountName: {{ include "backup-ns.serviceAccountName" $root }}
{{- include "backup-ns.podSecurity" $root | nindent 0 }}
{{- with include "backup-ns.scheduling" $root }}{{ . | nindent 0 }}{{ end }}
{{- with $root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or (and $flock $root.Values.lockPermissionFixer.enabled) $root.Values.additionalInitContainers }}
initContainers:
  {{- if and $flock $root.Values.lockPermissionFixer.enabled }}
  # Root, because the directory on the node is root's, or a stranger's; with no other right.
  - name: locks
    image: {{ include "backup-ns.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    securityContext:
      runAsUser: 0
      runAsNonRoot: false
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL], add: [DAC_OVERRIDE, FOWNER]}
    resources:
      {{- toYaml $root.Values.resources | nindent 6 }}
    args: [locks, --prepare]
    envFrom:
      - configMapRef: {name: {{ $root.Name }}-env}
    env:
      {{- include "backup-ns.env" $root | nindent 6 }}
    volumeMounts: [{name: host-backup-locks, mountPath: {{ $locks }}}]
  {{- end }}
  {{- with $root.Values.additionalInitContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
containers:
  - name: backup-ns
    {{- include "backup-ns.container" $root | nindent 4 }}
    args: [{{ $command }}]
    envFrom:
      {{- include "backup-ns.envFrom" (list $root $root.Values.notifications) | nindent 6 }}
    env:
      {{- include "backup-ns.backupEnv" $root | nindent 6 }}
      {{- with include "backup-ns.notificationEnv" $root.Values.notifications }}{{ . | trim | nindent 6 }}{{ end }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- if $flock }}
      - {name: host-backup-locks, mountPath: {{ $locks }}}
      {{- end }}
      {{- with $root.Values.volumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- with $root.Values.additionalContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  {{- if $flock }}
  - name: host-backup-locks
    hostPath: {path: {{ $root.Values.lockHostPath }}, type: DirectoryOrCreate}
  {{- end }}
  {{- with $root.Values.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* A CronJob of the cluster part: (dict "root" $ "component" "prune" "schedule" "…" "args" (list …) "env" (dict …)
"notifications" (dict …)). */}}
{{- define "backup-ns.clusterCronJob" -}}
{{- include "backup-ns.noPassword" .env -}}
{{- $name := printf "%s-%s" (include "backup-ns.fullname" .root) .component -}}
{{- $cluster := .root.Values.cluster -}}
{{- $notifications := .notifications | default dict -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "backup-ns.labels" (list .root .component) | nindent 4 }}
spec:
  schedule: {{ .schedule | quote }}
  timeZone: {{ .root.Values.timeZone | quote }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ .root.Values.startingDeadlineSeconds }}
  successfulJobsHistoryLimit: {{ $cluster.successfulJobsHistoryLimit }}
  failedJobsHistoryLimit: {{ $cluster.failedJobsHistoryLimit }}
  jobTemplate:
    spec:
      backoffLimit: {{ $cluster.backoffLimit }}
      activeDeadlineSeconds: {{ $cluster.activeDeadlineSeconds }}
      template:
        metadata:
          labels:
            {{- include "backup-ns.labels" (list .root .component) | nindent 12 }}
        spec:
          serviceAccountName: {{ $name }}
          restartPolicy: Never
          {{- include "backup-ns.podSecurity" .root | nindent 10 }}
          {{- with include "backup-ns.scheduling" .root }}{{ . | nindent 10 }}{{ end }}
          containers:
            - name: backup-ns
              {{- include "backup-ns.container" .root | nindent 14 }}
              args: {{ toJson .args }}
              env:
                {{- include "backup-ns.env" .root | nindent 16 }}
                {{- range $key, $value := .env }}
                - {name: {{ $key }}, value: {{ include "backup-ns.text" $value | quote }}}
                {{- end }}
                {{- with include "backup-ns.notificationEnv" $notifications }}{{ . | trim | nindent 16 }}{{ end }}
              {{- with $notifications.existingSecret }}
              envFrom: [{secretRef: {name: {{ . }}}}]
              {{- end }}
              volumeMounts: [{name: tmp, mountPath: /tmp}]
          volumes: [{name: tmp, emptyDir: {}}]
{{- end }}

{{/* A ServiceAccount of the cluster part with its ClusterRoles: (list $ "component" (list "suffix of a ClusterRole" …)). */}}
{{- define "backup-ns.clusterAccount" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $name := include "backup-ns.fullname" $root -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}-{{ $component }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "backup-ns.labels" (list $root $component) | nindent 4 }}
{{- range index . 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}-{{ . }}
  labels:
    {{- include "backup-ns.labels" (list $root $component) | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}-{{ . }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}-{{ $component }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- end }}
