//! The claims that a CronJob makes backups of, its settings, and how its runs ended. Objects are JSON here, because a container's
//! settings are in many fields. Must not know how objects are read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::core::backup::job;
use crate::core::backup::name;
use crate::core::kube::json::{self, list, text};

/// A setting, by its variable and its flags.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub variable: &'a str,
    /// The flags, with their dashes.
    pub flags: &'a [&'a str],
    /// Whether the flags take no value.
    pub switch: bool,
}

const PVC: Wanted<'_> = Wanted { variable: "BAK_PVC_NAME", flags: &["--pvc-name"], switch: false };
pub const NAMESPACE: Wanted<'_> = Wanted { variable: "BAK_NAMESPACE", flags: &["--namespace", "-n"], switch: false };
const DRY_RUN: Wanted<'_> = Wanted { variable: "BAK_DRY_RUN", flags: &["--dry-run"], switch: true };

/// The value of a switch, if it is valid.
pub fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Some(true),
        "false" | "no" | "off" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// The value of `--dry-run`: a switch, or one of kubectl's words.
pub fn dry_run(text: &str) -> Option<bool> {
    match text {
        "client" | "server" => Some(true),
        "none" => Some(false),
        _ => yes_or_no(text),
    }
}

/// How old the newest good backup of a daily CronJob may be: a day, and two hours for the run. The alert
/// `BackupNsSnapshotTooOld` of `charts/backup-ns/files/rules.yaml` has the same value.
pub const LATE: TimeDelta = TimeDelta::hours(26);

/// How old the data of the newest copy outside the cluster may be where a CronJob exports every day: two days, and two hours for
/// the run, because an export follows a backup and may take hours. The alert `BackupNsExportTooOld` has the same value.
pub const EXPORT_LATE: TimeDelta = TimeDelta::hours(50);

/// A CronJob that makes backups, or exports them.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub namespace: String,
    pub name: String,
    /// Its schedule, such as `0 3 * * *`.
    pub cron: String,
    pub suspended: bool,
    pub created: Option<DateTime<Utc>>,
    pub active: bool,
    pub last: Option<DateTime<Utc>>,
    pub succeeded: Option<DateTime<Utc>>,
    container: Value,
}

impl Schedule {
    /// Reads a CronJob; None if it makes no backups.
    pub fn of(cronjob: &Value) -> Option<Schedule> {
        Some(Schedule::with(cronjob, job::maker(cronjob)?))
    }

    /// Reads a CronJob; None if it exports no backups.
    pub fn of_exports(cronjob: &Value) -> Option<Schedule> {
        Some(Schedule::with(cronjob, job::exporter(cronjob)?))
    }

    fn with(cronjob: &Value, container: &Value) -> Schedule {
        Schedule {
            namespace: text(cronjob, "/metadata/namespace").into(),
            name: json::name(cronjob).into(),
            cron: text(cronjob, "/spec/schedule").into(),
            suspended: cronjob["spec"]["suspend"] == true,
            created: job::made(cronjob),
            active: !list(cronjob, "/status/active").is_empty(),
            last: job::time(cronjob, "/status/lastScheduleTime"),
            succeeded: job::time(cronjob, "/status/lastSuccessfulTime"),
            container: json!({
                "name": container["name"], "command": container["command"], "args": container["args"],
                "env": container["env"], "envFrom": container["envFrom"],
            }),
        }
    }
}

/// The data of ConfigMaps, by namespace and name.
pub type ConfigMaps = BTreeMap<(String, String), BTreeMap<String, String>>;

impl Schedule {
    /// The ConfigMaps that it refers to, by namespace and name.
    pub fn config_maps(&self) -> BTreeSet<(String, String)> {
        let all = list(&self.container, "/envFrom").iter().map(|from| text(from, "/configMapRef/name"));
        let one = list(&self.container, "/env").iter().map(|entry| text(entry, "/valueFrom/configMapKeyRef/name"));
        let names = all.chain(one).filter(|name| !name.is_empty());
        names.map(|name| (self.namespace.clone(), name.to_string())).collect()
    }

    /// The namespace that it makes backups of.
    ///
    /// # Errors
    /// See [`Schedule::value_of`].
    pub fn place(&self, maps: Option<&ConfigMaps>) -> Result<String, String> {
        Ok(self.value_of(NAMESPACE, maps)?.unwrap_or_else(|| self.namespace.clone()))
    }

    /// The claims that it makes backups of, by namespace and name; `maps` is `None` if ConfigMaps may not be read. A Secret in
    /// `envFrom` is not read: it holds passwords and hardly ever the name of a claim.
    ///
    /// # Errors
    /// See [`Schedule::value_of`].
    pub fn claims(&self, maps: Option<&ConfigMaps>) -> Result<Vec<(String, String)>, String> {
        let namespace = self.place(maps)?;
        let claims = name::claims(self.value_of(PVC, maps)?.as_deref().unwrap_or("data"));
        let claims = claims.map_err(|accepted| format!("{} is wrong; accepted: {accepted}", PVC.variable))?;
        Ok(claims.into_iter().map(|claim| (namespace.clone(), claim)).collect())
    }

    /// Whether it is known to only print its plan.
    pub fn is_dry_run(&self, maps: Option<&ConfigMaps>) -> bool {
        self.value_of(DRY_RUN, maps).ok().flatten().is_some_and(|text| dry_run(&text) == Some(true))
    }

    /// The Secrets in `envFrom`, which are not read here.
    pub fn secrets(&self) -> Vec<&str> {
        let names = list(&self.container, "/envFrom").iter().map(|from| text(from, "/secretRef/name"));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// The pod of one of its Jobs that cannot start, and why, such as a missing Secret or image.
    pub fn stuck(&self, pods: &[Value], jobs: &[Value]) -> Option<(String, String)> {
        job::stuck(pods, jobs, &self.name, text(&self.container, "/name"))
    }

    /// Whether its last run ended without success.
    pub fn failed(&self) -> bool {
        self.last.is_some_and(|last| !self.active && self.succeeded.is_none_or(|succeeded| succeeded < last))
    }

    /// Whether it runs every day: its schedule names no day of a month or a week, and no month. If in doubt, no: that costs a
    /// warning, while a wrong yes causes a false one.
    fn daily(&self) -> bool {
        match self.cron.split_whitespace().collect::<Vec<&str>>()[..] {
            [_, _, ref days @ ..] if days.len() == 3 => days.iter().all(|field| ["*", "?"].contains(field)),
            [word] => ["@hourly", "@daily", "@midnight"].contains(&word),
            _ => false,
        }
    }

    /// A good backup must be newer than this: younger than `late`, such as [`LATE`], if it runs every day, else as new as its last
    /// run that is longer ago than that. None if it is suspended, or too young to have made one.
    pub fn due(&self, now: DateTime<Utc>, late: TimeDelta) -> Option<DateTime<Utc>> {
        let due = now - late;
        let since = |then: Option<DateTime<Utc>>| then.filter(|then| *then < due && !self.suspended);
        if self.daily() { since(self.created).map(|_| due) } else { since(self.last) }
    }

    /// The value of a setting in the container: of a flag, else of a variable in `env`, else of one in a ConfigMap, of which
    /// the last counts
    /// (<https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables>).
    ///
    /// # Errors
    /// Why it cannot be read, without any value, which may be a secret.
    pub fn value_of(&self, wanted: Wanted<'_>, maps: Option<&ConfigMaps>) -> Result<Option<String>, String> {
        let variable = wanted.variable;
        let set = |value: &str| Some(value.to_string()).filter(|value| !value.is_empty());
        if let Some(value) = self.flag(wanted)? {
            return Ok(set(&value));
        }
        let map = |name: &str| match maps {
            Some(maps) => Ok(maps.get(&(self.namespace.clone(), name.to_string()))),
            None => Err(format!("the ConfigMap {name} may not be read")),
        };
        let env = list(&self.container, "/env");
        if let Some(entry) = env.iter().rev().find(|entry| text(entry, "/name") == variable) {
            return match text(entry, "/valueFrom/configMapKeyRef/name") {
                // The downward API.
                "" if text(entry, "/valueFrom/fieldRef/fieldPath") == "metadata.namespace" => {
                    Ok(Some(self.namespace.clone()))
                }
                "" if entry["valueFrom"].is_object() => Err(format!("{variable} comes from a place that is not read")),
                "" if text(entry, "/value").contains(EXPANDED) => Err(format!("{variable} is made of other variables")),
                "" => Ok(set(text(entry, "/value"))),
                name => {
                    let value = map(name)?.and_then(|map| map.get(text(entry, "/valueFrom/configMapKeyRef/key")));
                    Ok(value.and_then(|value| set(value)))
                }
            };
        }
        for from in list(&self.container, "/envFrom").iter().rev() {
            let (name, prefix) = (text(from, "/configMapRef/name"), text(from, "/prefix"));
            let Some(key) = variable.strip_prefix(prefix).filter(|_| !name.is_empty()) else { continue };
            if let Some(value) = map(name)?.and_then(|map| map.get(key)) {
                return Ok(set(value));
            }
        }
        Ok(None)
    }

    /// The value of the last flag on the command line. In a script only plain words are read; a shell may change others.
    fn flag(&self, wanted: Wanted<'_>) -> Result<Option<String>, String> {
        let words = self.words();
        let mut found = None;
        for (at, (word, _)) in words.iter().enumerate() {
            let begun = wanted.flags.iter().find_map(|flag| Some((flag, word.strip_prefix(flag)?)));
            let Some((flag, rest)) = begun else { continue };
            let value = match rest.strip_prefix('=') {
                Some(value) => Some((value, words[at].1)),
                // In a script it may be the last word of its command.
                None if wanted.switch && words[at].1 && rest.starts_with([';', '&', '|', ')']) => Some(("true", false)),
                // The value of a short flag may follow without a space.
                None if !rest.is_empty() && !flag.starts_with("--") => Some((rest, words[at].1)),
                None if !rest.is_empty() => continue,
                None if wanted.switch => Some(("true", false)),
                None => words.get(at + 1).copied(),
            };
            let Some((value, of_script)) = value else { continue };
            let plain = if of_script { unquoted(value) } else { Some(value).filter(|value| !value.contains(EXPANDED)) };
            found = Some(plain.ok_or_else(|| format!("{} is more than a plain word", wanted.variable))?.to_string());
        }
        Ok(found)
    }

    /// The words of the command line, and whether each is from a script.
    fn words(&self) -> Vec<(&str, bool)> {
        let parts: Vec<&str> = ["/command", "/args"]
            .into_iter()
            .flat_map(|part| list(&self.container, part))
            .filter_map(Value::as_str)
            .collect();
        let is_script = |at: usize| {
            let to_shell =
                |before: &&str| before.starts_with('-') && !before.starts_with("--") && before.ends_with('c');
            let is_behind = at.checked_sub(1).is_some_and(|before| to_shell(&parts[before]));
            let mut words = parts[at].split_whitespace();
            parts[at].contains(char::is_whitespace) && (is_behind || words.any(job::is_program))
        };
        let words = |at: usize| match is_script(at) {
            true => {
                let words: Vec<(&str, bool)> = parts[at].split_whitespace().map(|word| (word, true)).collect();
                // Words before this program are of another, as in `nice -n5 backup-ns create`, and so are those after the
                // next call of it, as in `backup-ns create; backup-ns retain --dry-run`.
                let starts = (0..words.len()).filter(|at| job::is_program(words[*at].0));
                let starts: Vec<usize> = starts.chain([words.len()]).collect();
                let mut calls = starts.windows(2).map(|call| &words[call[0]..call[1]]);
                let creates = |call: &&[(&str, bool)]| call.iter().any(|(word, _)| job::is_create(word));
                calls.clone().find(creates).or_else(|| calls.next()).unwrap_or(&words).to_vec()
            }
            false => vec![(parts[at], false)],
        };
        (0..parts.len()).flat_map(words).collect()
    }
}

/// The beginning of a reference to another variable, which the kubelet expands
/// (<https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>).
const EXPANDED: &str = "$(";

/// A word of a script without its quotes and without the separator at its end; None if a shell would change it.
fn unquoted(word: &str) -> Option<&str> {
    let word = word.trim_end_matches([';', '&', '|', ')']);
    let quoted = ['\'', '"'].into_iter().find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote));
    let bare = quoted.unwrap_or(word);
    (!bare.contains(['\'', '"', '$', '`', '\\', ';', '&', '|', '<', '>', '(', ')'])).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(container: Value) -> Schedule {
        let mut container = container;
        container["image"] = json!("registry/backup-ns:1");
        let cronjob = json!({
            "metadata": {"namespace": "shop", "name": "backup"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}},
        });
        Schedule::of(&cronjob).unwrap()
    }

    fn maps(all: &[(&str, &[(&str, &str)])]) -> ConfigMaps {
        let data = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        all.iter().map(|(name, pairs)| (("shop".to_string(), name.to_string()), data(pairs))).collect()
    }

    #[test]
    fn the_claims_follow_from_the_settings_of_the_container() {
        let maps = maps(&[
            ("a", &[("BAK_PVC_NAME", "of-a"), ("PVC_NAME", "prefixed"), ("key", "by-key")]),
            ("b", &[("BAK_PVC_NAME", "of-b")]),
            ("other", &[("X", "y")]),
        ]);
        let from = |names: &[&str]| {
            let refs: Vec<Value> = names.iter().map(|name| json!({"configMapRef": {"name": name}})).collect();
            json!(refs)
        };
        let own = |value: &str| json!([{"name": "BAK_PVC_NAME", "value": value}]);
        for (container, claims) in [
            (json!({}), &[("shop", "data")][..]),
            (json!({"env": own("logs")}), &[("shop", "logs")]),
            (json!({"env": own("")}), &[("shop", "data")]),
            (json!({"env": own("data, uploads")}), &[("shop", "data"), ("shop", "uploads")]),
            (json!({"envFrom": from(&["a"])}), &[("shop", "of-a")]),
            (json!({"envFrom": from(&["a", "b"])}), &[("shop", "of-b")]),
            (json!({"envFrom": from(&["b", "other", "gone"])}), &[("shop", "of-b")]),
            (json!({"envFrom": [{"prefix": "BAK_", "configMapRef": {"name": "a"}}]}), &[("shop", "prefixed")]),
            (json!({"env": own("logs"), "envFrom": from(&["a"])}), &[("shop", "logs")]),
            (
                json!({"env": [{"name": "BAK_PVC_NAME", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "key"}}}]}),
                &[("shop", "by-key")],
            ),
            (json!({"env": own("logs"), "args": ["create", "--pvc-name=flag"]}), &[("shop", "flag")]),
            (json!({"command": ["sh", "-c", "exec backup-ns create --pvc-name 'x' -n bank"]}), &[("bank", "x")]),
            (json!({"env": [{"name": "BAK_NAMESPACE", "value": "bank"}]}), &[("bank", "data")]),
            (json!({"args": ["create", "-nbank"]}), &[("bank", "data")]),
            (json!({"args": ["create", "-n=bank", "--namespaces"]}), &[("bank", "data")]),
            (json!({"command": ["sh", "-c", "nice -n5 backup-ns create"]}), &[("shop", "data")]),
            (
                json!({"command": ["sh", "-c", "backup-ns doctor -n zoo; backup-ns create --hook-pre='a; b' --pvc-name logs; backup-ns verify --pvc-name x"]}),
                &[("shop", "logs")],
            ),
            (json!({"envFrom": [{"secretRef": {"name": "s"}}]}), &[("shop", "data")]),
            (json!({"env": own("logs"), "envFrom": [{"secretRef": {"name": "s"}}]}), &[("shop", "logs")]),
            (
                json!({"env": [{"name": "BAK_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]}),
                &[("shop", "data")],
            ),
        ] {
            let claims: Vec<_> = claims.iter().map(|(ns, name)| (ns.to_string(), name.to_string())).collect();
            assert_eq!(schedule(container.clone()).claims(Some(&maps)), Ok(claims), "{container}");
        }
    }

    #[test]
    fn a_flag_is_read_as_the_program_would_read_it() {
        let hook = Wanted { variable: "BAK_HOOK_PRE", flags: &["--hook-pre"], switch: false };
        let switch = Wanted { variable: "BAK_DB_POSTGRES", flags: &["--db-postgres"], switch: true };
        let pvc = PVC;
        let yes = |text: &str| Ok(Some(text.to_string()));
        let unclear = |wanted: Wanted<'_>| Err(format!("{} is more than a plain word", wanted.variable));
        for (args, wanted, value) in [
            // An argument is one, whatever is in it.
            (json!(["--hook-pre=psql -c 'CHECKPOINT'"]), hook, yes("psql -c 'CHECKPOINT'")),
            (json!(["--hook-pre", "rm -rf /cache/tmp; echo ${x}"]), hook, yes("rm -rf /cache/tmp; echo ${x}")),
            (json!(["--hook-pre=mysqldump --pvc-name=evil"]), pvc, Ok(None)),
            (json!(["--pvc-name=a", "--pvc-name", "b"]), pvc, yes("b")),
            (json!(["--pvc-name"]), pvc, Ok(None)),
            (json!(["--pvc-names=a"]), pvc, Ok(None)),
            // A switch takes no value.
            (json!(["--db-postgres", "--pvc-name=x"]), switch, yes("true")),
            (json!(["--db-postgres"]), switch, yes("true")),
            (json!(["--db-postgres=no"]), switch, yes("no")),
            // The kubelet expands only the first.
            (json!(["--hook-pre=echo $(SECRET)"]), hook, unclear(hook)),
            (json!(["--hook-pre=${DUMPER}"]), hook, yes("${DUMPER}")),
            // A script's words are those of a shell.
            (json!(["-c", "exec backup-ns create --db-postgres --pvc-name \"x\""]), pvc, yes("x")),
            (json!(["-ec", "$BACKUP create --db-postgres"]), switch, yes("true")),
            (json!(["cd / && backup-ns create --hook-pre='psql -c x'"]), hook, unclear(hook)),
            (json!(["cd / && backup-ns create --hook-pre='psql --pvc-name=evil'"]), pvc, unclear(pvc)),
            (json!(["backup-ns create --pvc-name=$PVC"]), pvc, unclear(pvc)),
            (json!(["backup-ns create --pvc-name=x; echo"]), pvc, yes("x")),
            (json!(["backup-ns create --pvc-name=x;echo"]), pvc, unclear(pvc)),
            (json!(["backup-ns create --pvc-name=$(cat /pvc)"]), pvc, unclear(pvc)),
        ] {
            assert_eq!(schedule(json!({"args": args})).value_of(wanted, None), value, "{args}");
        }
    }

    #[test]
    fn a_dry_run_is_read_from_the_words_of_this_program() {
        let maps = maps(&[("a", &[("BAK_DRY_RUN", "Yes")]), ("b", &[("BAK_DRY_RUN", "no")])]);
        let from = |name: &str| json!([{"configMapRef": {"name": name}}]);
        let own = |value: &str| json!([{"name": "BAK_DRY_RUN", "value": value}]);
        for (container, dry) in [
            (json!({}), false),
            (json!({"args": ["create", "--dry-run"]}), true),
            (json!({"args": ["create", "--dry-run=false"], "env": own("true")}), false),
            (json!({"command": ["sh", "-c", "backup-ns create --dry-run; backup-ns retain"]}), true),
            (json!({"command": ["sh", "-c", "backup-ns create; backup-ns retain --dry-run"]}), false),
            (json!({"args": ["create", "--dry-run=client"]}), true),
            (json!({"args": ["create", "--dry-run=none"], "env": own("server")}), false),
            (json!({"command": ["sh", "-c", "(backup-ns create --dry-run) && echo"]}), true),
            (json!({"env": own("1")}), true),
            // A backup fails with these.
            (json!({"env": own("perhaps")}), false),
            (json!({"envFrom": from("a")}), true),
            (json!({"envFrom": from("b")}), false),
        ] {
            assert_eq!(schedule(container.clone()).is_dry_run(Some(&maps)), dry, "{container}");
        }
        assert!(!schedule(json!({"envFrom": from("a")})).is_dry_run(None), "what is not known is no dry run");
    }

    #[test]
    fn a_variable_is_read_as_the_container_has_it() {
        let password = Wanted { variable: "BAK_DB_POSTGRES_PASSWORD", flags: &[], switch: false };
        let maps = maps(&[("a", &[("BAK_DB_POSTGRES_PASSWORD", "hunter2$(X")])]);
        let from = json!({"envFrom": [{"configMapRef": {"name": "a"}}]});
        assert_eq!(schedule(from).value_of(password, Some(&maps)), Ok(Some("hunter2$(X".into())));
        let own = |value: &str| schedule(json!({"env": [{"name": password.variable, "value": value}]}));
        assert_eq!(own("${DUMPER}").value_of(password, None), Ok(Some("${DUMPER}".into())));
        // What is not known is not shown either.
        let value = own("hunter2$(X)").value_of(password, None);
        assert_eq!(value, Err("BAK_DB_POSTGRES_PASSWORD is made of other variables".into()));
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        let secret = json!([{"name": "BAK_PVC_NAME", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        for container in [json!({"env": secret}), json!({"args": ["create", "--pvc-name=$(PVC)"]})] {
            assert!(schedule(container.clone()).claims(Some(&ConfigMaps::new())).is_err(), "{container}");
        }
        // With these a backup fails.
        for wrong in ["data,", "data,data", "Data"] {
            let why = schedule(json!({"args": ["create", "--pvc-name", wrong]})).claims(None).unwrap_err();
            assert!(why.starts_with("BAK_PVC_NAME is wrong; accepted: "), "{why}");
        }
        let from = schedule(json!({"envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "s"}}]}));
        assert_eq!(from.config_maps(), BTreeSet::from([("shop".into(), "a".into())]));
        assert!(from.claims(None).unwrap_err().contains("ConfigMap a may not be read"));
        // A flag needs no ConfigMap.
        assert!(
            schedule(
                json!({"args": ["create", "--pvc-name=x", "-n=shop"], "envFrom": [{"configMapRef": {"name": "a"}}]})
            )
            .claims(None)
            .is_ok()
        );
    }

    #[test]
    fn a_backup_is_due_a_day_later_or_since_a_run_of_long_ago() {
        let rules = include_str!("../../../charts/backup-ns/files/rules.yaml");
        assert!(rules.contains(&format!("> {} * 3600", LATE.num_hours())), "the alert has another number");
        let at = |text: &str| DateTime::parse_from_rfc3339(&format!("2026-11-{text}:00Z")).unwrap().to_utc();
        let due = |cron: &str, created: &str, last: Option<&str>| {
            let (cron, created, last) = (cron.into(), Some(at(created)), last.map(at));
            Schedule { cron, created, last, ..schedule(json!({})) }.due(at("22T12:00"), LATE)
        };
        let (old, yesterday) = ("01T00:00", Some(at("21T10:00")));
        for daily in ["0 3 * * *", "*/5 * * * ?", "@daily"] {
            assert_eq!(due(daily, old, Some("22T03:00")), yesterday, "{daily}");
            assert_eq!(due(daily, old, None), yesterday, "{daily}: it never ran");
            assert_eq!(due(daily, "21T11:00", None), None, "{daily}: its first night may be to come");
        }
        for rare in ["0 3 * * 0", "0 3 1 * *", "0 3 * 1 *", "@weekly", "@every 1h", "0 0 3 * * *", ""] {
            assert_eq!(due(rare, old, None), None, "{rare}");
            assert_eq!(due(rare, old, Some("22T03:00")), None, "{rare}: it may be at work");
            assert_eq!(due(rare, old, Some("08T03:00")), Some(at("08T03:00")), "{rare}");
        }
        let suspended = Schedule { suspended: true, created: Some(at(old)), ..schedule(json!({})) };
        assert_eq!(suspended.due(at("22T12:00"), LATE), None);
    }

    #[test]
    fn a_run_without_success_failed_unless_it_is_at_work() {
        let at = |text: &str| Some(DateTime::parse_from_rfc3339(text).unwrap().to_utc());
        let (before, night, done) =
            (at("2026-11-21T03:00:40Z"), at("2026-11-22T03:00:00Z"), at("2026-11-22T03:01:00Z"));
        for (last, succeeded, active, failed) in [
            (None, None, false, false),
            (night, done, false, false),
            (night, before, false, true),
            (night, None, false, true),
            (night, before, true, false),
        ] {
            assert_eq!(Schedule { last, succeeded, active, ..schedule(json!({})) }.failed(), failed);
        }
    }
}
