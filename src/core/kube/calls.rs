//! The cluster and the namespace of a run, and the argument lists of all its kubectl calls. Dry runs print the same lists that
//! runs execute.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::core::escape;
use crate::core::kube::access;
use crate::core::kube::kubectl_env::Shield;
use crate::core::kube::list_reader::ListEnd;

/// A namespace of a cluster, and how to reach it.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub kubeconfig: Option<String>,
    /// Fixed at the start, so that a later switch of the current context has no effect on the run.
    pub context: Option<String>,
    /// The arguments for [`access::FLAGS`].
    pub access: Vec<String>,
    /// The path of the API server's address, if it has one, as behind a proxy for several clusters.
    pub server_path: String,
    /// Whether kubectl leaves that path out of `--raw` requests, so that it must be in theirs.
    pub adds_server_path: bool,
    /// Whether kubectl uses the service account of its pod.
    pub in_cluster: bool,
    pub namespace: String,
    /// How long one request may take.
    pub request_timeout: Duration,
}

/// Replaces the script of a container in a plan.
pub const SCRIPT: &str = "<script on stdin>";

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The path of its group and version.
    api: &'static str,
    /// Its name in paths and Roles.
    pub plural: &'static str,
    namespaced: bool,
}

const fn in_namespace(api: &'static str, plural: &'static str) -> Kind {
    Kind { api, plural, namespaced: true }
}

const fn in_cluster(api: &'static str, plural: &'static str) -> Kind {
    Kind { api, plural, namespaced: false }
}

const SNAPSHOT_API: &str = "/apis/snapshot.storage.k8s.io/v1";

pub const SNAPSHOTS: Kind = in_namespace(SNAPSHOT_API, "volumesnapshots");
pub const CONTENTS: Kind = in_cluster(SNAPSHOT_API, "volumesnapshotcontents");
pub const SNAPSHOT_CLASSES: Kind = in_cluster(SNAPSHOT_API, "volumesnapshotclasses");
pub const CLAIMS: Kind = in_namespace("/api/v1", "persistentvolumeclaims");
pub const VOLUMES: Kind = in_cluster("/api/v1", "persistentvolumes");
pub const PODS: Kind = in_namespace("/api/v1", "pods");
pub const LIMIT_RANGES: Kind = in_namespace("/api/v1", "limitranges");
pub const NAMESPACES: Kind = in_cluster("/api/v1", "namespaces");
pub const EVENTS: Kind = in_namespace("/api/v1", "events");
pub const STORAGE_CLASSES: Kind = in_cluster("/apis/storage.k8s.io/v1", "storageclasses");
pub const CSI_DRIVERS: Kind = in_cluster("/apis/storage.k8s.io/v1", "csidrivers");
pub const DEPLOYMENTS: Kind = in_namespace("/apis/apps/v1", "deployments");
pub const STATEFUL_SETS: Kind = in_namespace("/apis/apps/v1", "statefulsets");
pub const DAEMON_SETS: Kind = in_namespace("/apis/apps/v1", "daemonsets");
pub const JOBS: Kind = in_namespace("/apis/batch/v1", "jobs");
pub const CRON_JOBS: Kind = in_namespace("/apis/batch/v1", "cronjobs");
pub const QUOTAS: Kind = in_namespace("/api/v1", "resourcequotas");
/// Creating one checks a right of the caller, and stores nothing.
pub const ACCESS_REVIEWS: Kind = in_cluster("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews");
/// Creating one lists the rights of the caller in a namespace, and stores nothing.
pub const RULES_REVIEWS: Kind = in_cluster("/apis/authorization.k8s.io/v1", "selfsubjectrulesreviews");
pub const NETWORK_POLICIES: Kind = in_namespace("/apis/networking.k8s.io/v1", "networkpolicies");
pub const LEASES: Kind = in_namespace("/apis/coordination.k8s.io/v1", "leases");

impl Kind {
    /// The name for kubectl, such as `deployments.apps`.
    pub fn name(&self) -> String {
        let group = self.api.strip_prefix("/apis/").and_then(|api| api.split_once('/'));
        group.map_or(self.plural.into(), |(group, _)| format!("{}.{group}", self.plural))
    }
}

/// The label of a Job's pods, the Job's uid
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/#batchkubernetesio-controller-uid>).
pub const JOB_UID: &str = "batch.kubernetes.io/controller-uid";

const PRINT_NAME: &str = r#"-o=jsonpath={.metadata.namespace}/{.metadata.name}{"\n"}"#;

/// A change of labels that many objects get alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relabel {
    /// Set the value, unless the label exists.
    Give(&'static str, String),
    /// Remove these labels.
    Take(Vec<&'static str>),
}

impl std::fmt::Display for Relabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Relabel::Give(key, value) => write!(f, "{key}={value}"),
            Relabel::Take(keys) => {
                let words: Vec<String> = keys.iter().map(|key| format!("{key}-")).collect();
                f.write_str(&words.join(" "))
            }
        }
    }
}

/// DeleteOptions with preconditions, such as `{"uid": …}`.
pub fn delete_options(preconditions: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}).to_string()
}

/// DeleteOptions of a dry run. `dryRun` must be in the body: if there is a body, the API ignores it in the URL, and deletes.
pub fn try_delete_options(preconditions: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions, "dryRun": ["All"]}).to_string()
}

/// How many objects the first page of a list may have. Controllers ask for all objects at once when they start, so this is less
/// than a server answers every day.
const FIRST_PAGE: usize = 25_000;

/// How many objects a page may have after one that got no answer, which is kubectl's own number, and where objects are kept
/// whole until the next page.
const SMALL_PAGE: usize = 500;

/// The longest text of a larger page, in bytes, by the size of the objects in the first one.
const PAGE_BYTES: usize = 256 << 20;

/// The next page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The `continue` token of the previous page; empty for the first page.
    pub token: String,
    /// The largest number of objects.
    pub limit: usize,
    /// Whether this is the first page of a list that may be read with a larger one.
    is_sample: bool,
}

impl Default for Next {
    fn default() -> Next {
        Next { token: String::new(), limit: FIRST_PAGE, is_sample: true }
    }
}

impl Next {
    /// The first of pages that are all small.
    pub fn small() -> Next {
        Next { token: String::new(), limit: SMALL_PAGE, is_sample: false }
    }

    /// Makes the page smaller, because a page that is too big gets no answer, and keeps later pages small. The limit may change
    /// within a list: the token only says where to continue.
    pub fn shrink(&mut self) {
        self.limit = if self.limit > SMALL_PAGE { SMALL_PAGE } else { (self.limit / 4).max(1) };
        self.is_sample = false;
    }

    /// Moves on after a page that was read. Whether that page counts: if the first one shows that all objects may be in one page,
    /// the list is begun again. An API server answers a request without a token from its watch cache, and reads etcd, at
    /// several times the cost, for one with a token.
    #[must_use]
    pub fn follow(&mut self, page: &ListEnd) -> bool {
        let fits = (PAGE_BYTES / (page.bytes / page.objects.max(1)).max(1)).max(1);
        if self.is_sample && !page.next.is_empty() && fits >= 2 * page.objects {
            *self = Next { token: String::new(), limit: fits, is_sample: false };
            return false;
        }
        let limit = fits.min(if self.limit > SMALL_PAGE { self.limit } else { SMALL_PAGE.min(self.limit * 2) });
        *self = Next { token: page.next.clone(), limit, is_sample: false };
        true
    }
}

/// The cluster and the namespace, as flags and environment select them.
#[derive(Debug, Clone, Default)]
pub struct ClusterChoice {
    pub kubeconfig: Option<String>,
    pub context: Option<String>,
    /// The arguments for [`access::FLAGS`].
    pub access: Vec<String>,
    /// The error text, if the named kubeconfig does not exist.
    pub lost: Option<String>,
    pub namespace: Option<String>,
    /// The namespace of the pod that this program runs in, if it runs in one.
    pub own_namespace: Option<String>,
    /// How long one request may take.
    pub request_timeout: Duration,
    pub shield: Shield,
}

impl Target {
    /// A target for what needs no namespace, in the current context if none is asked for. In a pod that may be the cluster of the pod.
    pub fn of(asked: &ClusterChoice) -> Target {
        Target {
            kubeconfig: asked.kubeconfig.clone(),
            context: asked.context.clone(),
            access: asked.access.clone(),
            in_cluster: asked.own_namespace.is_some(),
            request_timeout: asked.request_timeout,
            ..Target::default()
        }
    }

    /// Resolves context and namespace with `view`, the output of `kubectl config view -o json`: the current context and its
    /// namespace, in a pod without a kubeconfig the pod's own, else `default`. Fails if there is neither a context nor a pod.
    pub fn resolve(asked: &ClusterChoice, view: &Value) -> Result<Target, String> {
        let named = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_string);
        let context = asked.context.clone().or_else(|| named(&view["current-context"]));
        let contexts = view["contexts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = contexts.iter().find(|found| context.is_some() && named(&found["name"]) == context);
        let contexts_own = found.and_then(|found| named(&found["context"]["namespace"]));
        // Without a context kubectl uses the cluster that is named, or that it runs in.
        let is_named = access::names_cluster(&asked.access);
        let own = asked.own_namespace.clone().filter(|_| context.is_none() && !is_named);
        let in_cluster = own.is_some();
        // kubectl treats a kubeconfig that does not exist as an empty one.
        if let Some(lost) = asked.lost.as_ref().filter(|_| contexts.is_empty() && !in_cluster && !is_named) {
            return Err(format!("kubectl has no cluster to talk to: {lost}"));
        }
        if context.is_none() && !in_cluster && !is_named {
            return Err("kubectl has no cluster to talk to: no current context is set".into());
        }
        let namespace = asked.namespace.clone().or(contexts_own).or(own).unwrap_or_else(|| "default".into());
        let cluster = access::value(&asked.access, "cluster").map(str::to_string);
        let cluster = cluster.or_else(|| found.and_then(|found| named(&found["context"]["cluster"])));
        let clusters = view["clusters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let server = clusters.iter().find(|known| cluster.is_some() && named(&known["name"]) == cluster);
        let server = server.and_then(|known| known["cluster"]["server"].as_str());
        let server = access::value(&asked.access, "server").or(server).filter(|_| !in_cluster).unwrap_or_default();
        Ok(Target { context, in_cluster, namespace, server_path: access::path(server).into(), ..Target::of(asked) })
    }

    /// The same for a kubectl of this version, the output of [`Target::version`]: one before 1.34 leaves the path of the server's
    /// address out of `--raw` requests, and so asks another server (<https://github.com/kubernetes/kubernetes/pull/131165>).
    /// Fails if that cannot be told.
    pub fn for_version(self, version: &Value) -> Result<Target, String> {
        let client = &version["clientVersion"];
        let number = |field: &str| -> Option<u32> {
            client[field].as_str()?.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
        };
        match (number("major"), number("minor")) {
            (Some(major), Some(minor)) => Ok(Target { adds_server_path: (major, minor) < (1, 34), ..self }),
            _ => Err(format!(
                "the address of the API server has the path {}, and kubectl does not tell its version: before 1.34 it leaves that path \
                 out of some requests, which another server would answer",
                self.server_path
            )),
        }
    }

    fn call(&self, limit: Duration, rest: &[&str]) -> Vec<String> {
        let mut args = Vec::new();
        for (flag, value) in [("--kubeconfig", &self.kubeconfig), ("--context", &self.context)] {
            if let Some(value) = value {
                args.push(format!("{flag}={value}"));
            }
        }
        args.extend_from_slice(&self.access);
        // In a pod without a kubeconfig, this flag would make kubectl ignore its service account.
        if !limit.is_zero() && !self.in_cluster {
            args.push(format!("--request-timeout={}s", limit.as_secs().max(1)));
        }
        let mut is_raw = false;
        for word in rest {
            let path = if is_raw && self.adds_server_path { self.server_path.as_str() } else { "" };
            args.push(format!("{path}{word}"));
            is_raw = *word == "--raw";
        }
        args
    }

    /// The API path of a kind, with this namespace if it has namespaces.
    fn path(&self, kind: Kind, rest: &str) -> String {
        let namespace = if kind.namespaced { format!("/namespaces/{}", self.namespace) } else { String::new() };
        format!("{}{namespace}/{}{rest}", kind.api, kind.plural)
    }

    pub fn get(&self, kind: Kind, name: &str) -> Vec<String> {
        self.call(self.request_timeout, &["get", "--raw", &self.path(kind, &format!("/{name}"))])
    }

    /// Lists the objects of a kind that match a label selector, or all with an empty one.
    pub fn list(&self, kind: Kind, labels: &str) -> Vec<String> {
        let query = if labels.is_empty() { String::new() } else { format!("?labelSelector={}", escape::query(labels)) };
        self.call(self.request_timeout, &["get", "--raw", &self.path(kind, &query)])
    }

    /// Lists the namespace's warnings.
    pub fn warnings(&self) -> Vec<String> {
        self.call(self.request_timeout, &["get", "--raw", &self.path(EVENTS, "?fieldSelector=type%3DWarning")])
    }

    /// Reads one page of the objects of a kind that match a label selector, in one namespace or in all.
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

    /// Reads all objects of these kinds in the namespace, with one process.
    pub fn get_all(&self, kinds: &[Kind]) -> Vec<String> {
        let kinds: Vec<String> = kinds.iter().map(Kind::name).collect();
        self.call(self.request_timeout, &["get", &kinds.join(","), "-n", &self.namespace, "-o", "json"])
    }

    /// Asks whether a Secret is there. The API answers with a row of a table, which has none of its data
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>).
    pub fn secret_row(&self, name: &str) -> Vec<String> {
        let row = ["get", "secrets", name, "-n", &self.namespace, "--no-headers", "--server-print=true"];
        self.call(self.request_timeout, &row)
    }

    /// Creates the object on stdin.
    pub fn create(&self, kind: Kind) -> Vec<String> {
        self.call(self.request_timeout, &["create", "--raw", &self.path(kind, ""), "-f", "-"])
    }

    /// Creates the object on stdin as a dry run.
    pub fn try_create(&self, kind: Kind) -> Vec<String> {
        self.call(self.request_timeout, &["create", "--raw", &self.path(kind, "?dryRun=All"), "-f", "-"])
    }

    /// Replaces an object by that on stdin, if its version is still the one in the manifest.
    pub fn replace_one(&self, kind: Kind, name: &str) -> Vec<String> {
        self.call(self.request_timeout, &["replace", "--raw", &self.path(kind, &format!("/{name}")), "-f", "-"])
    }

    /// Patches one object: with a JSON patch if `patch` is a list, else with a merge patch.
    pub fn patch(&self, kind: Kind, name: &str, patch: &Value) -> Vec<String> {
        let (resource, how) = (kind.name(), if patch.is_array() { "--type=json" } else { "--type=merge" });
        let place: &[&str] = if kind.namespaced { &["-n", &self.namespace] } else { &[] };
        let change = [how, "-o", "json", "-p", &patch.to_string()];
        self.call(self.request_timeout, &[&["patch", &resource, name], place, &change].concat())
    }

    /// Patches one object as a dry run.
    pub fn try_patch(&self, kind: Kind, name: &str, patch: &Value) -> Vec<String> {
        [self.patch(kind, name, patch), vec!["--dry-run=server".into()]].concat()
    }

    /// Deletes one object, with DeleteOptions on stdin.
    pub fn delete(&self, kind: Kind, name: &str) -> Vec<String> {
        self.call(self.request_timeout, &["delete", "--raw", &self.path(kind, &format!("/{name}")), "-f", "-"])
    }

    /// Lists the pods of the Job with this uid.
    pub fn job_pods(&self, uid: &str) -> Vec<String> {
        self.list(PODS, &format!("{JOB_UID}={uid}"))
    }

    /// Reads the Jobs, pods and claims that `selector` selects, with one process.
    pub fn trial(&self, selector: &str) -> Vec<String> {
        [self.get_all(&[JOBS, PODS, CLAIMS]), vec!["-l".into(), selector.into()]].concat()
    }

    /// Reads the kubeconfig's contexts, without a request.
    pub fn config_view(&self) -> Vec<String> {
        let any = Target { context: None, access: Vec::new(), ..self.clone() };
        any.call(Duration::ZERO, &["config", "view", "-o", "json"])
    }

    /// Runs `script` in a container, with stdin.
    pub fn exec(&self, pod: &str, container: &str, script: &str) -> Vec<String> {
        let rest = ["exec", "-i", "-q", "-n", &self.namespace, pod, "-c", container, "--", "sh", "-c", script];
        self.call(Duration::ZERO, &rest)
    }

    /// Writes a file of a container to stdout, without its first `from` bytes.
    pub fn stream(&self, pod: &str, container: &str, file: &str, from: u64) -> Vec<String> {
        let from = format!("+{}", from + 1);
        let rest = ["exec", "-q", "-n", &self.namespace, pod, "-c", container, "--", "tail", "-c", &from, "--", file];
        self.call(Duration::ZERO, &rest)
    }

    /// Runs a script in a container with this program's stdin, or with its terminal. `words` are its `$1` and so on.
    pub fn hand_over(&self, pod: &str, container: &str, terminal: bool, script: &str, words: &[&str]) -> Vec<String> {
        let streams = if terminal { "-it" } else { "-i" };
        let rest = ["exec", streams, "-q", "-n", &self.namespace, pod, "-c", container, "--", "sh", "-c", script, "sh"];
        self.call(Duration::ZERO, &[&rest, words].concat())
    }

    /// Changes labels of every object in the list on stdin and prints `NAMESPACE/NAME` of each that is done. `kubectl label` reads
    /// the object first, and does not overwrite a value; a patch removes labels without that.
    pub fn relabel(&self, change: &Relabel) -> Vec<String> {
        let (give, take);
        let change = match change {
            Relabel::Give(key, value) => {
                give = format!("{key}={value}");
                ["label", "-f", "-", PRINT_NAME, &give]
            }
            Relabel::Take(keys) => {
                let labels: BTreeMap<&str, Value> = keys.iter().map(|key| (*key, Value::Null)).collect();
                take = format!("--patch={}", json!({"metadata": {"labels": labels}}));
                ["patch", "-f", "-", PRINT_NAME, &take]
            }
        };
        let kind: &[&str] = if change[0] == "patch" { &["--type=merge"] } else { &[] };
        self.call(self.request_timeout, &[&change, kind].concat())
    }

    /// Prints the object on stdin by a template, as `-o` of kubectl has it, without a request. Of kubectl's commands that print what
    /// they get on stdin without asking the API, `patch --local` is one that takes any kind. Of a list, its `rows` become the
    /// `items`: if they were called so on stdin, each of them would be printed by itself, and would need a kind.
    pub fn print(&self, template: &str, is_list: bool) -> Vec<String> {
        let patch = if is_list { r#"[{"op":"move","from":"/rows","path":"/items"}]"# } else { "[]" };
        let call = ["patch", "--local", "-f", "-", "--type=json", "-p", patch, "-o", template];
        self.call(Duration::ZERO, &call)
    }

    /// Prints the version of kubectl, without a request.
    pub fn version(&self) -> Vec<String> {
        self.call(Duration::ZERO, &["version", "--client", "-o", "json"])
    }

    /// Prints the versions of kubectl and of the API server. Fails if the latter is not a release.
    pub fn versions(&self) -> Vec<String> {
        self.call(self.request_timeout, &["version", "-o", "json"])
    }

    /// Reads the version of the API server, whatever it is.
    pub fn server_version(&self) -> Vec<String> {
        self.call(self.request_timeout, &["get", "--raw", "/version"])
    }

    /// Creates the SelfSubjectAccessReviews in the list on stdin, and prints their answers one after the other.
    pub fn review(&self) -> Vec<String> {
        // To validate, kubectl would read the schema first.
        self.call(self.request_timeout, &["create", "-f", "-", "--validate=false", "-o", "json"])
    }

    /// Creates the Events in the list on stdin, with one process.
    pub fn create_events(&self) -> Vec<String> {
        let rest = ["create", "-f", "-", "--validate=false", "-n", &self.namespace, "-o", "name"];
        self.call(self.request_timeout, &rest)
    }

    /// Reads the kinds of the snapshot API in a `version`, or with an empty one its versions.
    pub fn snapshot_kinds(&self, version: &str) -> Vec<String> {
        let path = format!("/apis/snapshot.storage.k8s.io{version}");
        self.call(self.request_timeout, &["get", "--raw", &path])
    }

    /// Replaces every object in the list on stdin, if its version is unchanged, and prints `NAMESPACE/NAME` of each that is done.
    pub fn replace(&self) -> Vec<String> {
        // The objects were just read, so validation is not needed.
        self.call(self.request_timeout, &["replace", "--validate=false", "-f", "-", PRINT_NAME])
    }

    /// Reads the objects in the list on stdin, of any namespace, with one process. Objects that do not exist are left out.
    pub fn get_named(&self) -> Vec<String> {
        self.call(self.request_timeout, &["get", "-f", "-", "--ignore-not-found", "-o", "json"])
    }

    /// Streams the log of a container from its beginning, until the container ends.
    pub fn logs(&self, pod: &str, container: &str) -> Vec<String> {
        self.call(Duration::ZERO, &["logs", "-f", "-n", &self.namespace, pod, "-c", container])
    }

    /// Streams the changes of one snapshot, after the version `since` or beginning with its present state.
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
        let access = vec!["--as=x".to_string(), "--server=https://y".into()];
        let target = Target { context: Some("prod".into()), namespace: "shop".into(), access, ..Target::default() };
        let calls = [
            target.get_all(&[CLAIMS, SNAPSHOTS, DEPLOYMENTS]),
            target.exec("p", "c", "read"),
            target.stream("p", "c", "/f", 0),
            target.hand_over("p", "c", true, "exit", &[]),
            target.get(SNAPSHOTS, "s"),
            target.secret_row("s"),
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
            assert_eq!(call[..3], ["--context=prod", "--as=x", "--server=https://y"]);
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
        let named = |own| ClusterChoice { access: vec!["--server=https://y".into()], ..asked(None, None, own) };
        assert_eq!(resolve(named(None), &none), is("", "default", false));
        assert_eq!(resolve(named(Some("pod")), &none), is("", "default", false));
    }

    /// The end of a page with objects of a size, after which there are more.
    fn page(objects: usize, size: usize) -> ListEnd {
        ListEnd { next: "t".into(), objects, bytes: objects * size }
    }

    #[test]
    fn a_page_shrinks_and_grows_again() {
        for (mut next, limits) in [
            (Next::default(), vec![25_000, 500, 125, 31, 7, 1, 1]),
            (Next { limit: 40_000, is_sample: false, ..Next::default() }, vec![40_000, 500, 125, 31, 7, 1, 1]),
        ] {
            for limit in limits {
                assert_eq!(next.limit, limit);
                next.shrink();
            }
            for limit in [2, 4, 8, 16, 32, 64, 128, 256, 500, 500] {
                assert!(next.follow(&page(next.limit, 2000)));
                assert_eq!((next.limit, next.token.as_str()), (limit, "t"));
            }
        }
        let mut small = Next::small();
        assert!(small.follow(&page(500, 2000)));
        assert_eq!((small.limit, small.token.as_str()), (500, "t"));
    }

    #[test]
    fn the_first_page_shows_how_large_the_others_may_be() {
        for (size, counts, limit) in [
            (0, false, 256 << 20),
            (2000, false, 134_217),
            (5 << 10, false, 52_428),
            // A page for all would hardly be larger.
            (6 << 10, true, 25_000),
            (20 << 10, true, 13_107),
            (1 << 20, true, 256),
            (300 << 20, true, 1),
        ] {
            let mut next = Next::default();
            assert_eq!(next.follow(&page(FIRST_PAGE, size)), counts, "{size}");
            let token = if counts { "t" } else { "" };
            assert_eq!((next.limit, next.token.as_str()), (limit, token), "{size}");
            // Of a list that is begun again every page counts.
            assert!(next.follow(&page(next.limit, size)));
            assert_eq!((next.limit, next.token.as_str()), (limit, "t"), "{size}");
        }
        let mut next = Next::default();
        assert!(next.follow(&ListEnd { next: String::new(), ..page(FIRST_PAGE - 1, 100) }), "it is the only one");
    }

    /// How many kubectl read a list.
    fn requests(objects: usize, size: usize) -> usize {
        let (mut next, mut left, mut requests) = (Next::default(), objects, 0);
        while left > 0 {
            let read = next.limit.min(left);
            let token = if read < left { "t" } else { "" };
            let end = ListEnd { next: token.into(), ..page(read, size) };
            left = if next.follow(&end) { left - read } else { objects };
            requests += 1;
        }
        requests
    }

    #[test]
    fn a_thousand_namespaces_take_eight_processes() {
        assert_eq!(1 + requests(23_000, 2100), 2, "retain: the kubeconfig and the snapshots");
        // Contents, snapshots, claims and CronJobs, and some ConfigMaps.
        let all = [(23_000, 1500), (23_000, 2100), (2000, 4000), (1000, 6000)];
        let requests = |(objects, size)| requests(objects, size);
        assert_eq!(1 + all.map(requests).iter().sum::<usize>() + 1, 6, "status -A");
        assert_eq!(requests((69_000, 2100)), 2);
    }

    #[test]
    fn a_page_asks_for_what_comes_after_the_last() {
        let target = Target::default();
        let path = |call: Vec<String>| call.last().unwrap().clone();
        assert_eq!(
            path(target.page(SNAPSHOTS, None, "b.sh/x=y,!b.sh/z", &Next::default())),
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshots?limit=25000&labelSelector=b.sh%2Fx%3Dy%2C%21b.sh%2Fz"
        );
        assert_eq!(
            path(target.page(CLAIMS, Some("shop"), "", &Next { token: "a+b".into(), ..Next::default() })),
            "/api/v1/namespaces/shop/persistentvolumeclaims?limit=25000&continue=a%2Bb"
        );
    }

    #[test]
    fn a_path_of_the_server_is_in_every_request() {
        let view = json!({"current-context": "a", "contexts": [
            {"name": "a", "context": {"cluster": "plain"}}, {"name": "b", "context": {"cluster": "proxied"}}],
            "clusters": [{"name": "plain", "cluster": {"server": "https://x:6443"}},
                {"name": "proxied", "cluster": {"server": "https://x/k8s/clusters/c-1/"}}]});
        let resolve = |context: Option<&str>, access: &[&str], own: Option<&str>| {
            let access = access.iter().map(ToString::to_string).collect();
            let (context, own_namespace) = (context.map(str::to_string), own.map(str::to_string));
            let asked = ClusterChoice { context, own_namespace, access, ..ClusterChoice::default() };
            Target::resolve(&asked, &view).unwrap()
        };
        for (context, access, path) in [
            (None, &[][..], ""),
            (Some("b"), &[], "/k8s/clusters/c-1"),
            (None, &["--cluster=proxied"], "/k8s/clusters/c-1"),
            (Some("b"), &["--cluster=plain"], ""),
            (Some("b"), &["--server=https://y"], ""),
            (None, &["--as=x", "--server=http://y:1/z?q"], "/z"),
        ] {
            assert_eq!(resolve(context, access, None).server_path, path, "{context:?} {access:?}");
        }
        let target = resolve(Some("b"), &[], None);
        let of = |version: Value| target.clone().for_version(&json!({"clientVersion": version}));
        let path = |version: Value| of(version).unwrap().get(PODS, "p").pop().unwrap();
        let before = "/k8s/clusters/c-1/api/v1/namespaces/default/pods/p";
        assert_eq!(path(json!({"major": "1", "minor": "33"})), before);
        assert_eq!(path(json!({"major": "1", "minor": "27+"})), before);
        assert_eq!(path(json!({"major": "1", "minor": "34"})), "/api/v1/namespaces/default/pods/p");
        assert_eq!(path(json!({"major": "2", "minor": "0"})), "/api/v1/namespaces/default/pods/p");
        assert!(of(json!({"major": "", "minor": ""})).is_err() && of(Value::Null).is_err());
        let old = of(json!({"major": "1", "minor": "30"})).unwrap();
        assert!(old.get_all(&[PODS]).iter().all(|word| !word.contains("clusters")), "only --raw leaves it out");
    }

    #[test]
    fn no_request_timeout_is_set_in_a_pod() {
        let target = Target { in_cluster: true, request_timeout: Duration::from_secs(30), ..Target::default() };
        assert!(!target.list(SNAPSHOTS, "").join(" ").contains("--request-timeout"));
        let target = Target { in_cluster: false, ..target };
        assert!(target.list(SNAPSHOTS, "").join(" ").contains("--request-timeout=30s"));
    }
}
