//! Which cluster and namespace a run works on, and the argument lists of every kubectl call it makes there. Pure: these
//! lists are shown by a dry run and executed by a run, so the one cannot differ from the other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::core::escape;
use crate::core::kube::kubectl_env::Shield;

/// Which cluster and namespace, and how to reach them.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// `--kubeconfig`, where one was named.
    pub kubeconfig: Option<String>,
    /// `--context`: pinned at the start, so that somebody who switches contexts meanwhile switches nothing here.
    pub context: Option<String>,
    /// Whether kubectl talks to the cluster that it runs in.
    pub in_cluster: bool,
    /// The namespace.
    pub namespace: String,
    /// How long one request may take.
    pub request_timeout: Duration,
}

/// Stands in a plan for the script that a container gets.
pub const SCRIPT: &str = "<script on stdin>";

/// A kind of object, as the API has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The path of its group and version.
    api: &'static str,
    /// Its name in paths and Roles.
    pub plural: &'static str,
    /// Whether its objects are in namespaces.
    namespaced: bool,
}

const fn in_namespace(api: &'static str, plural: &'static str) -> Kind {
    Kind { api, plural, namespaced: true }
}

const fn in_cluster(api: &'static str, plural: &'static str) -> Kind {
    Kind { api, plural, namespaced: false }
}

/// The group and version of VolumeSnapshots.
const SNAPSHOT_API: &str = "/apis/snapshot.storage.k8s.io/v1";

/// VolumeSnapshots.
pub const SNAPSHOTS: Kind = in_namespace(SNAPSHOT_API, "volumesnapshots");
/// VolumeSnapshotContents.
pub const CONTENTS: Kind = in_cluster(SNAPSHOT_API, "volumesnapshotcontents");
/// VolumeSnapshotClasses.
pub const SNAPSHOT_CLASSES: Kind = in_cluster(SNAPSHOT_API, "volumesnapshotclasses");
/// PersistentVolumeClaims.
pub const CLAIMS: Kind = in_namespace("/api/v1", "persistentvolumeclaims");
/// PersistentVolumes.
pub const VOLUMES: Kind = in_cluster("/api/v1", "persistentvolumes");
/// Pods.
pub const PODS: Kind = in_namespace("/api/v1", "pods");
/// LimitRanges.
pub const LIMIT_RANGES: Kind = in_namespace("/api/v1", "limitranges");
/// Namespaces.
pub const NAMESPACES: Kind = in_cluster("/api/v1", "namespaces");
/// Events.
pub const EVENTS: Kind = in_namespace("/api/v1", "events");
/// StorageClasses.
pub const STORAGE_CLASSES: Kind = in_cluster("/apis/storage.k8s.io/v1", "storageclasses");
/// CSIDrivers.
pub const CSI_DRIVERS: Kind = in_cluster("/apis/storage.k8s.io/v1", "csidrivers");
/// Deployments.
pub const DEPLOYMENTS: Kind = in_namespace("/apis/apps/v1", "deployments");
/// StatefulSets.
pub const STATEFUL_SETS: Kind = in_namespace("/apis/apps/v1", "statefulsets");
/// DaemonSets.
pub const DAEMON_SETS: Kind = in_namespace("/apis/apps/v1", "daemonsets");
/// Jobs.
pub const JOBS: Kind = in_namespace("/apis/batch/v1", "jobs");
/// CronJobs.
pub const CRON_JOBS: Kind = in_namespace("/apis/batch/v1", "cronjobs");
/// ResourceQuotas.
pub const QUOTAS: Kind = in_namespace("/api/v1", "resourcequotas");
/// Questions whether the caller has a right; nothing is stored by asking.
pub const ACCESS_REVIEWS: Kind = in_cluster("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews");
/// NetworkPolicies.
pub const NETWORK_POLICIES: Kind = in_namespace("/apis/networking.k8s.io/v1", "networkpolicies");
/// Leases.
pub const LEASES: Kind = in_namespace("/apis/coordination.k8s.io/v1", "leases");

impl Kind {
    /// As kubectl names it, such as `deployments.apps`.
    pub fn name(&self) -> String {
        let group = self.api.strip_prefix("/apis/").and_then(|api| api.split_once('/'));
        group.map_or(self.plural.into(), |(group, _)| format!("{}.{group}", self.plural))
    }
}

/// The label by which a Job knows its pods
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/#batchkubernetesio-controller-uid>).
pub const JOB_UID: &str = "batch.kubernetes.io/controller-uid";

const PRINT_NAME: &str = r#"-o=jsonpath={.metadata.namespace}/{.metadata.name}{"\n"}"#;

/// A change of one label of many objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relabel {
    /// It gets a value where it has none.
    Give(&'static str, String),
    /// It goes.
    Take(&'static str),
}

impl std::fmt::Display for Relabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Relabel::Give(key, value) => write!(f, "{key}={value}"),
            Relabel::Take(key) => write!(f, "{key}-"),
        }
    }
}

/// DeleteOptions: only the object for which this holds, such as `{"uid": …}`.
pub fn delete_options(preconditions: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}).to_string()
}

/// DeleteOptions by which the API only tells whether it would delete the object. They belong into the body: with a body the API
/// heeds no `dryRun` in the URL, and deletes.
pub fn try_delete_options(preconditions: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions, "dryRun": ["All"]}).to_string()
}

/// How many objects are read at once, at most: what kubectl itself reads a list in.
const PAGE: usize = 500;

/// Which page of a list is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// What the page before said of the next one; empty for the first.
    pub token: String,
    /// How many objects it may have.
    pub limit: usize,
}

impl Default for Next {
    fn default() -> Next {
        Next { token: String::new(), limit: PAGE }
    }
}

impl Next {
    /// Asks for less at once: a page that is too big is never answered. The API heeds another limit in the middle of a list,
    /// because the token says where it goes on, and nothing else.
    pub fn shrink(&mut self) {
        self.limit = (self.limit / 4).max(1);
    }

    /// What follows a page that was read; it may be bigger again.
    pub fn follow(&mut self, token: String) {
        *self = Next { token, limit: (self.limit * 2).min(PAGE) };
    }
}

/// What was asked for by flags and environment.
#[derive(Debug, Clone, Default)]
pub struct ClusterChoice {
    /// `--kubeconfig`.
    pub kubeconfig: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// Why the kubeconfig that was named is none, where no file of it is there.
    pub lost: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// The namespace of the pod that this program runs in, if it runs in one.
    pub own_namespace: Option<String>,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// What kubectl is to be shielded from.
    pub shield: Shield,
}

impl Target {
    /// What needs no look at the kubeconfig; none where one is needed.
    pub fn as_asked(asked: &ClusterChoice) -> Option<Target> {
        let (context, namespace) = (asked.context.clone()?, asked.namespace.clone()?);
        Some(Target { context: Some(context), namespace, ..Target::of(asked) })
    }

    /// A target without context and namespace, good for [`Target::config_view`].
    pub fn of(asked: &ClusterChoice) -> Target {
        Target { kubeconfig: asked.kubeconfig.clone(), request_timeout: asked.request_timeout, ..Target::default() }
    }

    /// Pins context and namespace by `view`, what `kubectl config view -o json` printed: the current context; its
    /// namespace, in a pod without a kubeconfig the pod's own, else `default`.
    ///
    /// # Errors
    /// There is no context, and this is no pod.
    pub fn resolve(asked: &ClusterChoice, view: &Value) -> Result<Target, String> {
        let named = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_string);
        let context = asked.context.clone().or_else(|| named(&view["current-context"]));
        let contexts = view["contexts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = contexts.iter().find(|found| context.is_some() && named(&found["name"]) == context);
        let contexts_own = found.and_then(|found| named(&found["context"]["namespace"]));
        // Without a context kubectl talks to the cluster that it runs in, if it runs in one.
        let own = asked.own_namespace.clone().filter(|_| context.is_none());
        let in_cluster = own.is_some();
        // kubectl takes a kubeconfig that is not there for an empty one.
        if let Some(lost) = asked.lost.as_ref().filter(|_| contexts.is_empty() && !in_cluster) {
            return Err(format!("kubectl has no cluster to talk to: {lost}"));
        }
        if context.is_none() && !in_cluster {
            return Err("kubectl has no cluster to talk to: no current context is set".into());
        }
        let namespace = asked.namespace.clone().or(contexts_own).or(own).unwrap_or_else(|| "default".into());
        Ok(Target { context, in_cluster, namespace, ..Target::of(asked) })
    }

    fn call(&self, limit: Duration, rest: &[&str]) -> Vec<String> {
        let mut args = Vec::new();
        for (flag, value) in [("--kubeconfig", &self.kubeconfig), ("--context", &self.context)] {
            if let Some(value) = value {
                args.push(format!("{flag}={value}"));
            }
        }
        // In a pod without a kubeconfig kubectl takes any such flag for a configuration and looks for no other.
        if !limit.is_zero() && !self.in_cluster {
            args.push(format!("--request-timeout={}s", limit.as_secs().max(1)));
        }
        args.extend(rest.iter().map(ToString::to_string));
        args
    }

    /// The path of objects of a kind, in this namespace where they are in one.
    fn path(&self, kind: Kind, rest: &str) -> String {
        let namespace = if kind.namespaced { format!("/namespaces/{}", self.namespace) } else { String::new() };
        format!("{}{namespace}/{}{rest}", kind.api, kind.plural)
    }

    /// Reads one object.
    pub fn get(&self, kind: Kind, name: &str) -> Vec<String> {
        self.call(self.request_timeout, &["get", "--raw", &self.path(kind, &format!("/{name}"))])
    }

    /// Lists the objects of a kind that have these labels; all where there are none.
    pub fn list(&self, kind: Kind, labels: &str) -> Vec<String> {
        let query = if labels.is_empty() { String::new() } else { format!("?labelSelector={}", escape::query(labels)) };
        self.call(self.request_timeout, &["get", "--raw", &self.path(kind, &query)])
    }

    /// Lists the namespace's warnings.
    pub fn warnings(&self) -> Vec<String> {
        self.call(self.request_timeout, &["get", "--raw", &self.path(EVENTS, "?fieldSelector=type%3DWarning")])
    }

    /// Reads one page of the objects of a kind that have these labels, in one namespace or in all.
    pub fn page(&self, kind: Kind, namespace: Option<&str>, labels: &str, next: &Next) -> Vec<String> {
        let namespace = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        let of = |key: &str, value: &str| match value {
            "" => String::new(),
            value => format!("&{key}={}", escape::query(value)),
        };
        let (labels, token) = (of("labelSelector", labels), of("continue", &next.token));
        let path = format!("{}{namespace}/{}?limit={}{labels}{token}", kind.api, kind.plural, next.limit);
        self.call(self.request_timeout, &["get", "--raw", &path])
    }

    /// Reads all the namespace's objects of these kinds, in one process.
    pub fn get_all(&self, kinds: &[Kind]) -> Vec<String> {
        let kinds: Vec<String> = kinds.iter().map(Kind::name).collect();
        self.call(self.request_timeout, &["get", &kinds.join(","), "-n", &self.namespace, "-o", "json"])
    }

    /// Creates the object whose manifest comes on stdin.
    pub fn create(&self, kind: Kind) -> Vec<String> {
        self.call(self.request_timeout, &["create", "--raw", &self.path(kind, ""), "-f", "-"])
    }

    /// Asks whether the object whose manifest comes on stdin could be created; creates none.
    pub fn try_create(&self, kind: Kind) -> Vec<String> {
        self.call(self.request_timeout, &["create", "--raw", &self.path(kind, "?dryRun=All"), "-f", "-"])
    }

    /// Puts the object on stdin in the place of the one of its name, if that is still in the version that it says.
    pub fn replace_one(&self, kind: Kind, name: &str) -> Vec<String> {
        self.call(self.request_timeout, &["replace", "--raw", &self.path(kind, &format!("/{name}")), "-f", "-"])
    }

    /// Changes one object, by a JSON patch where that is a list, else by a merge patch.
    pub fn patch(&self, kind: Kind, name: &str, patch: &Value) -> Vec<String> {
        let (resource, how) = (kind.name(), if patch.is_array() { "--type=json" } else { "--type=merge" });
        let place: &[&str] = if kind.namespaced { &["-n", &self.namespace] } else { &[] };
        let change = [how, "-o", "json", "-p", &patch.to_string()];
        self.call(self.request_timeout, &[&["patch", &resource, name], place, &change].concat())
    }

    /// Asks whether the change of one object would be accepted; changes nothing.
    pub fn try_patch(&self, kind: Kind, name: &str, patch: &Value) -> Vec<String> {
        [self.patch(kind, name, patch), vec!["--dry-run=server".into()]].concat()
    }

    /// Deletes one object, under the conditions that come on stdin as DeleteOptions.
    pub fn delete(&self, kind: Kind, name: &str) -> Vec<String> {
        self.call(self.request_timeout, &["delete", "--raw", &self.path(kind, &format!("/{name}")), "-f", "-"])
    }

    /// Lists the pods of the Job with this uid.
    pub fn job_pods(&self, uid: &str) -> Vec<String> {
        self.list(PODS, &format!("{JOB_UID}={uid}"))
    }

    /// Reads the Jobs, pods and claims that `selector` selects, in one process.
    pub fn trial(&self, selector: &str) -> Vec<String> {
        [self.get_all(&[JOBS, PODS, CLAIMS]), vec!["-l".into(), selector.into()]].concat()
    }

    /// Reads the kubeconfig's contexts; no request is made.
    pub fn config_view(&self) -> Vec<String> {
        self.call(Duration::ZERO, &["config", "view", "-o", "json"])
    }

    /// Runs `script` in a container; what it reads goes to stdin.
    pub fn exec(&self, pod: &str, container: &str, script: &str) -> Vec<String> {
        let rest = ["exec", "-i", "-q", "-n", &self.namespace, pod, "-c", container, "--", "sh", "-c", script];
        self.call(Duration::ZERO, &rest)
    }

    /// Writes a file of a container to stdout as it is, behind its first `from` bytes.
    pub fn stream(&self, pod: &str, container: &str, file: &str, from: u64) -> Vec<String> {
        let from = format!("+{}", from + 1);
        let rest = ["exec", "-q", "-n", &self.namespace, pod, "-c", container, "--", "tail", "-c", &from, "--", file];
        self.call(Duration::ZERO, &rest)
    }

    /// Hands stdin, and with `terminal` the whole terminal, to a script in a container; it finds `words` as `$1` and so on.
    pub fn hand_over(&self, pod: &str, container: &str, terminal: bool, script: &str, words: &[&str]) -> Vec<String> {
        let streams = if terminal { "-it" } else { "-i" };
        let rest = ["exec", streams, "-q", "-n", &self.namespace, pod, "-c", container, "--", "sh", "-c", script, "sh"];
        self.call(Duration::ZERO, &[&rest, words].concat())
    }

    /// Changes a label of every object in the list on stdin and prints `NAMESPACE/NAME` of each that it is through with. A
    /// value is given only to those that have none: kubectl looks first. Taking one off needs no look.
    pub fn relabel(&self, change: &Relabel) -> Vec<String> {
        let (give, take);
        let change = match change {
            Relabel::Give(key, value) => {
                give = format!("{key}={value}");
                ["label", "-f", "-", PRINT_NAME, &give]
            }
            Relabel::Take(key) => {
                take = format!("--patch={}", json!({"metadata": {"labels": {*key: null}}}));
                ["patch", "-f", "-", PRINT_NAME, &take]
            }
        };
        let kind: &[&str] = if change[0] == "patch" { &["--type=merge"] } else { &[] };
        self.call(self.request_timeout, &[&change, kind].concat())
    }

    /// Asks for the version of kubectl; no request is made.
    pub fn version(&self) -> Vec<String> {
        self.call(Duration::ZERO, &["version", "--client", "-o", "json"])
    }

    /// Asks for the version of the API server, whatever it looks like: `kubectl version` fails where it is not a release's.
    pub fn server_version(&self) -> Vec<String> {
        self.call(self.request_timeout, &["get", "--raw", "/version"])
    }

    /// Asks each SelfSubjectAccessReview in the list on stdin; the answers are printed one after the other, and nothing is stored.
    pub fn review(&self) -> Vec<String> {
        self.call(self.request_timeout, &["create", "-f", "-", "-o", "json"])
    }

    /// Creates the Events in the list on stdin, in one process.
    pub fn create_events(&self) -> Vec<String> {
        let rest = ["create", "-f", "-", "--validate=false", "-n", &self.namespace, "-o", "name"];
        self.call(self.request_timeout, &rest)
    }

    /// Asks which kinds of snapshots the server knows in a `version`, or, without one, which versions.
    pub fn snapshot_kinds(&self, version: &str) -> Vec<String> {
        let path = format!("/apis/snapshot.storage.k8s.io{version}");
        self.call(self.request_timeout, &["get", "--raw", &path])
    }

    /// Puts every object in the list on stdin in the place of the one that it was, in the version that it was, and prints
    /// `NAMESPACE/NAME` of each that it is through with. It creates none.
    pub fn replace(&self) -> Vec<String> {
        // What was just read needs no check against the schema.
        self.call(self.request_timeout, &["replace", "--validate=false", "-f", "-", PRINT_NAME])
    }

    /// Reads the objects that the list on stdin names, wherever they are, in one process; those that are not there are left out.
    pub fn get_named(&self) -> Vec<String> {
        self.call(self.request_timeout, &["get", "-f", "-", "--ignore-not-found", "-o", "json"])
    }

    /// Streams the log of a container from its beginning, until the container ends.
    pub fn logs(&self, pod: &str, container: &str) -> Vec<String> {
        self.call(Duration::ZERO, &["logs", "-f", "-n", &self.namespace, pod, "-c", container])
    }

    /// Streams the changes of one snapshot, from the version `since` on or from its state now.
    pub fn watch_snapshot(&self, name: &str, since: Option<&str>, limit: Duration) -> Vec<String> {
        let seconds = limit.as_secs().max(1);
        let mut path = format!("?watch=1&timeoutSeconds={seconds}&fieldSelector=metadata.name%3D{name}");
        if let Some(since) = since {
            path.push_str("&resourceVersion=");
            path.push_str(since);
        }
        self.call(limit + Duration::from_secs(5), &["get", "--raw", &self.path(SNAPSHOTS, &path)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_names_its_context_and_namespace() {
        let target = Target { context: Some("prod".into()), namespace: "shop".into(), ..Target::default() };
        let calls = [
            target.get_all(&[CLAIMS, SNAPSHOTS, DEPLOYMENTS]),
            target.exec("p", "c", "read"),
            target.stream("p", "c", "/f", 0),
            target.hand_over("p", "c", true, "exit", &[]),
            target.get(SNAPSHOTS, "s"),
            target.list(SNAPSHOTS, ""),
            target.page(SNAPSHOTS, Some("shop"), "a,!b", &Next::default()),
            target.create(LEASES),
            target.try_create(LEASES),
            target.replace_one(LEASES, "l"),
            target.patch(CLAIMS, "data", &json!({})),
            target.delete(JOBS, "j"),
            target.watch_snapshot("s", Some("7"), Duration::from_secs(9)),
            target.create_events(),
            target.job_pods("u"),
            target.logs("p", "c"),
            target.trial("a=b"),
            target.warnings(),
        ];
        for call in calls {
            assert_eq!(call[0], "--context=prod");
            let line = call.join(" ");
            assert!(line.contains("-n shop") || line.contains("/namespaces/shop/"), "{line}");
        }
    }

    #[test]
    fn the_namespace_is_the_contexts_then_the_pods_then_default() {
        let view = json!({"current-context": "a", "contexts": [
            {"name": "a", "context": {"namespace": "of-a"}}, {"name": "b", "context": {}}]});
        let asked = |context: Option<&str>, namespace: Option<&str>, own: Option<&str>| ClusterChoice {
            context: context.map(str::to_string),
            namespace: namespace.map(str::to_string),
            own_namespace: own.map(str::to_string),
            ..ClusterChoice::default()
        };
        let resolve = |asked: ClusterChoice, view: &Value| {
            Target::resolve(&asked, view)
                .map(|target| (target.context.unwrap_or_default(), target.namespace, target.in_cluster))
        };
        let is =
            |context: &str, namespace: &str, in_cluster| Ok((context.to_string(), namespace.to_string(), in_cluster));
        assert_eq!(resolve(asked(None, None, None), &view), is("a", "of-a", false));
        assert_eq!(resolve(asked(Some("b"), None, Some("pod")), &view), is("b", "default", false));
        assert_eq!(resolve(asked(None, Some("x"), None), &view), is("a", "x", false));
        let none = json!({"current-context": "", "contexts": null});
        assert_eq!(resolve(asked(None, None, Some("pod")), &none), is("", "pod", true));
        assert_eq!(resolve(asked(None, Some("x"), Some("pod")), &none), is("", "x", true));
        assert!(resolve(asked(None, Some("x"), None), &none).is_err());
    }

    #[test]
    fn a_page_shrinks_and_grows_again() {
        let mut next = Next::default();
        let limits = [500, 125, 31, 7, 1, 1].map(|limit| {
            let is = next.limit;
            next.shrink();
            (is, limit)
        });
        assert!(limits.iter().all(|(is, limit)| is == limit), "{limits:?}");
        for limit in [2, 4, 8, 16, 32, 64, 128, 256, 500, 500] {
            next.follow("t".into());
            assert_eq!((next.limit, next.token.as_str()), (limit, "t"));
        }
    }

    #[test]
    fn a_page_asks_for_what_comes_after_the_last() {
        let target = Target::default();
        let path = |call: Vec<String>| call.last().unwrap().clone();
        assert_eq!(
            path(target.page(SNAPSHOTS, None, "b.sh/x=y,!b.sh/z", &Next::default())),
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshots?limit=500&labelSelector=b.sh%2Fx%3Dy%2C%21b.sh%2Fz"
        );
        assert_eq!(
            path(target.page(CLAIMS, Some("shop"), "", &Next { token: "a+b".into(), ..Next::default() })),
            "/api/v1/namespaces/shop/persistentvolumeclaims?limit=500&continue=a%2Bb"
        );
    }

    #[test]
    fn in_a_pod_nothing_keeps_kubectl_from_finding_its_cluster() {
        let target = Target { in_cluster: true, request_timeout: Duration::from_secs(30), ..Target::default() };
        assert!(!target.list(SNAPSHOTS, "").join(" ").contains("--request-timeout"));
        let target = Target { in_cluster: false, ..target };
        assert!(target.list(SNAPSHOTS, "").join(" ").contains("--request-timeout=30s"));
    }
}
