//! The rights of the caller: which ones `doctor` asks for, and what the two reviews of the API say about them. Must not know how
//! the API is asked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::health::doctor::Check;
use crate::core::kube::calls::Kind;
use crate::core::kube::json::{list, text};

/// A right that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core's.
    pub group: &'static str,
    /// The resource, in the plural, with a subresource behind a slash.
    pub resource: &'static str,
    pub verb: &'static str,
    /// Whether it is a right in the whole cluster.
    pub cluster: bool,
    /// Whether a backup cannot be made without it.
    pub needed: bool,
}

impl Right {
    /// The one object that it is about: a namespace is its own.
    fn name<'a>(&self, namespace: &'a str) -> Option<&'a str> {
        Some(namespace).filter(|_| self.resource == "namespaces")
    }
}

pub const SNAPSHOT_GROUP: &str = "snapshot.storage.k8s.io";

/// The rights that `create` needs, and those that `doctor` reads more with. `workloads` are the resources that run databases;
/// `exec` is whether a backup needs `pods/exec`, which one that only flushes a volume does not; `minor` is the minor version of
/// the server.
pub fn rights(workloads: &[Kind], exec: bool, minor: Option<u32>) -> Vec<Right> {
    let right = |group, resource, verb| Right { group, resource, verb, cluster: false, needed: true };
    let mut all =
        vec![right("", "persistentvolumeclaims", "list"), right("", "pods", "get"), right("", "pods", "list")];
    let run = |verb| Right { needed: exec, ..right("", "pods/exec", verb) };
    all.push(run("create"));
    // Before 1.35 Kubernetes authorizes a WebSocket by the verb of its HTTP request.
    if minor.is_none_or(|minor| minor < 35) {
        all.push(run("get"));
    }
    all.extend(workloads.iter().map(|workload| right("apps", workload.plural, "list")));
    let snapshots = ["create", "get", "list", "watch", "patch"];
    all.extend(snapshots.map(|verb| right(SNAPSHOT_GROUP, "volumesnapshots", verb)));
    let wish = |group, resource, verb, cluster| Right { group, resource, verb, cluster, needed: false };
    all.extend([
        wish("", "namespaces", "get", false),
        wish("", "persistentvolumes", "get", true),
        wish("", "configmaps", "get", false),
        wish("", "events", "create", false),
        wish("", "events", "list", false),
        wish("", "resourcequotas", "list", false),
        wish("", "limitranges", "list", false),
        wish("batch", "cronjobs", "list", false),
        wish("batch", "jobs", "list", false),
        wish("storage.k8s.io", "csidrivers", "get", true),
        wish(SNAPSHOT_GROUP, "volumesnapshotclasses", "list", true),
        wish(SNAPSHOT_GROUP, "volumesnapshotcontents", "list", true),
    ]);
    all
}

/// The rights that `export` needs besides those of [`rights`] with `exec`, and the one by which doctor looks for its Secret.
pub fn export_rights() -> Vec<Right> {
    let right = |group, resource, verb| Right { group, resource, verb, cluster: false, needed: true };
    let mut all = vec![right("", "persistentvolumeclaims", "get")];
    all.extend(["get", "list", "create", "delete"].map(|verb| right("batch", "jobs", verb)));
    // It goes without this one, and nothing of it reads the Secret.
    let wishes = [right("networking.k8s.io", "networkpolicies", "create"), right("", "secrets", "get")];
    all.extend(wishes.map(|right| Right { needed: false, ..right }));
    all
}

/// The rights on Leases, which are in a namespace of their own.
pub fn lease_rights(verbs: &[&'static str]) -> Vec<Right> {
    let right = |verb: &&'static str| Right {
        group: "coordination.k8s.io",
        resource: "leases",
        verb,
        cluster: false,
        needed: true,
    };
    verbs.iter().map(right).collect()
}

/// The SelfSubjectAccessReview for a right. The API does not store it.
pub fn review(right: &Right, namespace: &str) -> Value {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let mut attributes = json!({"group": right.group, "resource": resource, "verb": right.verb});
    if !subresource.is_empty() {
        attributes["subresource"] = json!(subresource);
    }
    if !right.cluster {
        attributes["namespace"] = json!(namespace);
    }
    if let Some(name) = right.name(namespace) {
        attributes["name"] = json!(name);
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
        "spec": {"resourceAttributes": attributes},
    })
}

/// The SelfSubjectRulesReview for a namespace, which lists the rights there. The API does not store it.
pub fn rules_review(namespace: &str) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {},
        "spec": {"namespace": namespace},
    })
}

/// A rule in the answer to [`rules_review`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    /// The only objects that it is about; empty for all.
    resource_names: Vec<String>,
}

impl ResourceRule {
    /// Whether it names a right, as RBAC reads rules: `*` is every verb, group, or resource with its subresources, and
    /// `*/exec` the subresource of every resource. RBAC has no `pods/*`. A rule for named objects is for the right to get one of
    /// them only: a list and a new object have no name.
    fn names(&self, right: &Right, namespace: &str) -> bool {
        let has = |all: &[String], one: &str| all.iter().any(|other| other == "*" || other == one);
        let of_every = right.resource.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        has(&self.verbs, right.verb)
            && has(&self.api_groups, right.group)
            && (has(&self.resources, right.resource) || of_every.is_some_and(|every| self.resources.contains(&every)))
            && (self.resource_names.is_empty()
                || right.name(namespace).is_some_and(|name| self.resource_names.iter().any(|other| other == name)))
    }
}

/// The answer to [`rules_review`]: the rights of the caller in one namespace. The default one answers nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RulesReview {
    rules: Vec<ResourceRule>,
    /// Whether every authorizer of the server listed its rules. RBAC, ABAC and the authorizer for nodes do; a webhook does not.
    /// The API calls rules additive and each listed one safe to rely on, even then
    /// (<https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-rules-review-v1/>), but a
    /// webhook may deny what a rule grants
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/webhook/#request-payloads>). So no rule of an incomplete
    /// answer is relied on.
    is_complete: bool,
}

impl RulesReview {
    pub fn of(answer: &Value) -> RulesReview {
        let status = &answer["status"];
        let rules = list(status, "/resourceRules").iter();
        RulesReview {
            rules: rules.filter_map(|rule| ResourceRule::deserialize(rule).ok()).collect(),
            is_complete: status["incomplete"] == false && text(status, "/evaluationError").is_empty(),
        }
    }

    /// Those of `rights` that must be asked for one by one, with [`review`], because the rules do not decide them.
    ///
    /// A right that no rule names may still be granted: to the group system:masters without any rule, and by ABAC, which does not
    /// tell subresources apart. A right in the whole cluster is not granted by a rule that a RoleBinding of the namespace gives,
    /// and such a rule is listed like the others, so it must be asked for. It need not be if the rules name every right and some
    /// objects of the whole cluster were listed (`all_listed`): a caller with these rights is no admin of the namespace alone, and
    /// the API refuses the requests for others that it does not grant.
    pub fn undecided<'a>(&self, rights: &'a [Right], namespace: &str, all_listed: bool) -> Vec<&'a Right> {
        let named = |right: &Right| self.is_complete && self.rules.iter().any(|rule| rule.names(right, namespace));
        match all_listed && rights.iter().all(named) {
            true => Vec::new(),
            false => rights.iter().filter(|right| right.cluster || !named(right)).collect(),
        }
    }
}

/// The rights of the caller, by resource and verb; None if they could not be asked for.
#[derive(Debug, Clone, Default)]
pub struct Granted(Option<BTreeMap<(String, String), bool>>);

impl Granted {
    /// All of `rights`, but for those that the answers to [`review`] deny.
    pub fn of<'a>(rights: impl IntoIterator<Item = &'a Right>, answers: &[Value]) -> Granted {
        let key = |right: &Right| (right.resource.to_string(), right.verb.to_string());
        let read = |answer: &Value| {
            let attribute = |name: &str| text(answer, &format!("/spec/resourceAttributes/{name}")).to_string();
            let resource = match attribute("subresource") {
                sub if sub.is_empty() => attribute("resource"),
                sub => format!("{}/{sub}", attribute("resource")),
            };
            ((resource, attribute("verb")), answer["status"]["allowed"] == true)
        };
        let all = rights.into_iter().map(|right| (key(right), true));
        Granted(Some(all.chain(answers.iter().map(read)).collect()))
    }

    /// Whether the rights could be asked for.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the caller has a right; true if unknown, because then trying shows it.
    pub fn may(&self, verb: &str, resource: &str) -> bool {
        let key = (resource.to_string(), verb.to_string());
        self.0.as_ref().is_none_or(|all| all.get(&key).copied().unwrap_or(false))
    }

    /// A check for each resource that a backup needs.
    pub fn checks(&self, rights: &[Right]) -> Vec<Check> {
        let mut resources: Vec<(&str, &str)> = Vec::new();
        for right in rights.iter().filter(|right| right.needed) {
            if !resources.contains(&(right.group, right.resource)) {
                resources.push((right.group, right.resource));
            }
        }
        let check = |(group, resource): (&str, &str)| {
            let verbs =
                rights.iter().filter(|right| right.needed && right.resource == resource).map(|right| right.verb);
            let (may, not): (Vec<&str>, Vec<&str>) = verbs.partition(|verb| self.may(verb, resource));
            if not.is_empty() {
                return Check::passed("rights", format!("may {} {resource}", may.join(", ")));
            }
            let (missing, list) = (format!("may not {} {resource}", not.join(", ")), not.join(", "));
            let rule = format!("apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{list}]");
            Check::failed("rights", missing, format!("add to the Role: {rule}"))
        };
        resources.into_iter().map(check).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::health::doctor::CheckOutcome::{Failed, Passed};

    fn answers(rights: &[Right], allowed: impl Fn(&Right) -> bool) -> Vec<Value> {
        let answer = |right: &Right| {
            let mut answer = review(right, "shop");
            answer["status"] = json!({"allowed": allowed(right)});
            answer
        };
        rights.iter().map(answer).collect()
    }

    #[test]
    fn each_right_that_is_missing_is_named_with_its_rule() {
        let rights = rights(&[crate::core::kube::calls::STATEFUL_SETS], true, Some(34));
        let all = Granted::of(&rights, &answers(&rights, |_| true)).checks(&rights);
        assert_eq!(all, Granted::of(&rights, &[]).checks(&rights), "what was not asked is granted");
        let may = [
            "may list persistentvolumeclaims",
            "may get, list pods",
            "may create, get pods/exec",
            "may list statefulsets",
            "may create, get, list, watch, patch volumesnapshots",
        ];
        assert_eq!(all.iter().map(|check| check.what.as_str()).collect::<Vec<_>>(), may);
        assert!(all.iter().all(|check| check.outcome == Passed));
        for right in rights.iter().filter(|right| right.needed) {
            let granted = Granted::of(&rights, &answers(&rights, |other| other != right));
            let checks = granted.checks(&rights);
            let failed: Vec<&Check> = checks.iter().filter(|check| check.outcome == Failed).collect();
            let [one] = failed[..] else { panic!("{right:?}: {checks:?}") };
            assert_eq!(one.what, format!("may not {} {}", right.verb, right.resource));
            let rule =
                format!("apiGroups: [\"{}\"], resources: [{}], verbs: [{}]", right.group, right.resource, right.verb);
            assert!(one.remedy.contains(&rule), "{}", one.remedy);
        }
        // A right that only doctor uses fails no check.
        let wishes = Granted::of(&rights, &answers(&rights, |right| right.needed));
        assert!(wishes.checks(&rights).iter().all(|check| check.outcome == Passed));
        assert!(!wishes.may("list", "volumesnapshotclasses") && wishes.may("list", "pods"));
        assert!(Granted::default().may("list", "pods"), "unknown rights are assumed");
    }

    #[test]
    fn an_export_needs_jobs_and_reads_no_secret() {
        let mut rights = rights(&[], true, Some(35));
        rights.extend(export_rights());
        let checks = Granted::of(&rights, &answers(&rights, |right| right.resource != "jobs" || right.verb == "list"));
        let said: Vec<String> = checks.checks(&rights).into_iter().map(|check| check.what).collect();
        let expected = [
            "may list, get persistentvolumeclaims",
            "may get, list pods",
            "may create pods/exec",
            "may create, get, list, watch, patch volumesnapshots",
            "may not get, create, delete jobs",
        ];
        assert_eq!(said, expected);
        let verbs = export_rights().into_iter().filter(|right| right.resource == "secrets").map(|right| right.verb);
        assert_eq!(verbs.collect::<Vec<_>>(), ["get"]);
    }

    #[test]
    fn exec_takes_what_the_server_asks_for() {
        let verbs = |exec, minor| {
            let exec = rights(&[], exec, minor).into_iter().filter(|right| right.resource == "pods/exec");
            exec.filter(|right| right.needed).map(|right| right.verb).collect::<Vec<_>>()
        };
        assert_eq!(verbs(true, Some(35)), ["create"]);
        assert_eq!(verbs(true, None), ["create", "get"]);
        assert!(verbs(false, None).is_empty());
        let wish = rights(&[], false, None).into_iter().find(|right| right.resource == "pods/exec");
        assert!(wish.is_some_and(|right| !right.needed), "it is asked all the same");
        let exec = rights(&[], true, None).into_iter().find(|right| right.resource == "pods/exec").unwrap();
        let asked =
            json!({"group": "", "resource": "pods", "subresource": "exec", "verb": "create", "namespace": "shop"});
        assert_eq!(review(&exec, "shop")["spec"]["resourceAttributes"], asked);
    }

    fn rules(rules: &Value) -> RulesReview {
        RulesReview::of(&json!({"status": {"resourceRules": rules, "nonResourceRules": [], "incomplete": false}}))
    }

    #[test]
    fn a_rule_grants_what_rbac_reads_in_it() {
        let right = |group, resource, verb| Right { group, resource, verb, cluster: false, needed: true };
        let (pods, exec, namespace) =
            (right("", "pods", "list"), right("", "pods/exec", "create"), right("", "namespaces", "get"));
        let snapshots = right(SNAPSHOT_GROUP, "volumesnapshots", "patch");
        for (right, rule, expected) in [
            (
                pods,
                json!({"verbs": ["get", "list"], "apiGroups": ["apps", ""], "resources": ["secrets", "pods"]}),
                true,
            ),
            (pods, json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}), true),
            (pods, json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), false),
            (pods, json!({"verbs": ["list"], "apiGroups": ["apps"], "resources": ["pods"]}), false),
            (pods, json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods/log"]}), false),
            (pods, json!({"verbs": ["list"], "resources": ["pods"]}), false),
            (pods, json!({"verbs": ["list"], "apiGroups": [""]}), false),
            (pods, json!({"apiGroups": [""], "resources": ["pods"]}), false),
            // Neither a list nor a new object has a name.
            (pods, json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["shop"]}), false),
            (
                exec,
                json!({"verbs": ["create"], "apiGroups": [""], "resources": ["pods/exec"], "resourceNames": ["p"]}),
                false,
            ),
            (exec, json!({"verbs": ["create"], "apiGroups": [""], "resources": ["pods/exec"]}), true),
            (exec, json!({"verbs": ["create"], "apiGroups": [""], "resources": ["*/exec"]}), true),
            (exec, json!({"verbs": ["create"], "apiGroups": [""], "resources": ["*"]}), true),
            (exec, json!({"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}), false),
            (exec, json!({"verbs": ["create"], "apiGroups": [""], "resources": ["pods/*"]}), false),
            (exec, json!({"verbs": ["create"], "apiGroups": [""], "resources": ["*/attach"]}), false),
            (exec, json!({"verbs": ["create"], "apiGroups": ["apps"], "resources": ["*/exec"]}), false),
            (
                snapshots,
                json!({"verbs": ["patch"], "apiGroups": [SNAPSHOT_GROUP], "resources": ["volumesnapshots"]}),
                true,
            ),
            (snapshots, json!({"verbs": ["patch"], "apiGroups": [""], "resources": ["volumesnapshots"]}), false),
            // A namespace is the one object that is got by its name.
            (namespace, json!({"verbs": ["get"], "apiGroups": [""], "resources": ["namespaces"]}), true),
            (
                namespace,
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["shop"]}),
                true,
            ),
            (
                namespace,
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["other"]}),
                false,
            ),
            // What is no rule grants nothing.
            (pods, json!("*"), false),
            (pods, json!({"verbs": "*", "apiGroups": ["*"], "resources": ["*"]}), false),
        ] {
            let undecided = rules(&json!([rule])).undecided(&[right], "shop", true).len();
            assert_eq!(undecided, usize::from(!expected), "{right:?} by {rule}");
        }
    }

    #[test]
    fn what_the_rules_do_not_decide_is_asked_one_by_one() {
        let rights = rights(&[crate::core::kube::calls::DEPLOYMENTS], true, Some(36));
        let rule =
            |right: &Right| json!({"verbs": [right.verb], "apiGroups": [right.group], "resources": [right.resource]});
        let all: Vec<Value> = rights.iter().map(rule).collect();
        let asked = |rules: &RulesReview| rules.undecided(&rights, "shop", true).len();
        assert_eq!(asked(&rules(&json!(all))), 0, "the requests show whether rights in the whole cluster are granted");
        let in_cluster = rights.iter().filter(|right| right.cluster).count();
        assert_eq!(in_cluster, 4);
        let admin = rules(&json!(all));
        let asked_of_admin = admin.undecided(&rights, "shop", false);
        assert!(asked_of_admin.len() == in_cluster && asked_of_admin.iter().all(|right| right.cluster));
        for (number, missing) in rights.iter().enumerate() {
            let mut less = all.clone();
            less.remove(number);
            let asked = rules(&json!(less));
            let asked = asked.undecided(&rights, "shop", true);
            // The list does not say whether a ClusterRoleBinding or a RoleBinding gives a rule.
            assert!(asked.contains(&missing) && asked.iter().all(|right| right.cluster || *right == missing));
            assert_eq!(asked.len(), in_cluster + usize::from(!missing.cluster));
        }
        // No rule counts where an authorizer did not list its own: it may deny what the others grant.
        let every = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        for status in [
            json!({"resourceRules": every, "incomplete": true}),
            json!({"resourceRules": every, "incomplete": false, "evaluationError": "no role \"a\""}),
            json!({"resourceRules": every}),
            json!({"incomplete": false}),
            json!(null),
        ] {
            assert_eq!(asked(&RulesReview::of(&json!({"status": status}))), rights.len(), "{status}");
        }
        assert_eq!(asked(&rules(&every)), 0);
        assert_eq!(asked(&RulesReview::default()), rights.len());
    }
}
