//! The environment of kubectl: the caller's, without the variables that change what its commands do or the language of its
//! messages. Pure: the environment and the text of the preferences file are arguments.
//!
//! Since 1.34 kubectl reads a preferences file, the kuberc, which changes the defaults of commands, such as `--interactive` of
//! `delete` (<https://kubernetes.io/docs/reference/kubectl/kuberc/>). `KUBERC=off` turns it off. But since 1.35 the same file
//! may hold the policy that says which credential plugins kubectl may run, and `KUBERC=off` would lift that. So if there is
//! a policy, kubectl gets a preferences file with only that policy.

use serde::Deserialize as _;
use serde_json::{Map, Value};

/// A change of one variable of a child's environment: its new value, or None to remove it.
pub type EnvChange = (String, Option<String>);

/// The variable that names the preferences file, or turns preferences off.
pub const KUBERC: &str = "KUBERC";

/// The changes that shield kubectl from the caller's environment.
#[derive(Debug, Clone, Default)]
pub struct Shield {
    /// Changes of variables other than [`KUBERC`].
    pub changes: Vec<EnvChange>,
    /// The preferences file that kubectl would read.
    pub preferences: Option<Preferences>,
    /// The path of the kubectl that called this program as its plugin.
    pub caller: Option<String>,
}

/// The variable in which kubectl 1.37 and newer tell a plugin their path.
pub const CALLER: &str = "KUBECTL_PATH";

/// Whether this is the path of a kubectl. It is that of the file that a link leads to, which may be a program that is kubectl only
/// under that name.
pub fn is_kubectl(path: &str) -> bool {
    path.starts_with('/') && path.rsplit('/').next().is_some_and(|name| name.starts_with("kubectl"))
}

/// A preferences file of kubectl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    pub path: String,
    /// The text of a preferences file with only the policy for credential plugins, if there is a policy.
    pub policy: Option<String>,
}

/// Variables with these names or prefixes change what kubectl does: they switch features, name an editor or a diff program,
/// end kubectl after failed checks, or set its retries.
const CHANGING: [&str; 4] = ["KUBECTL_", "KUBE_FEATURE_", "KUBE_CLIENT_BACKOFF_", "KUBE_EDITOR"];

/// Variables among them that only say how to reach the API; some gateways need them.
const REACHING: [&str; 2] = ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_COMMAND_HEADERS"];

/// The changes for variables, given by name and value. Credential plugins get the same environment, so the character set and
/// all that is not kubectl's stays. Messages are switched to English, because refusals are recognized by their text.
pub fn changes<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<EnvChange> {
    let mut changes = vec![("LC_MESSAGES".to_string(), Some("C".to_string()))];
    for (name, value) in variables {
        let changing = CHANGING.iter().any(|start| name.starts_with(start))
            || name.starts_with("KUBE_") && name.ends_with("_DETECTOR");
        if changing && !REACHING.contains(&name) {
            changes.push((name.into(), None));
        } else if name == "LC_ALL" && !value.is_empty() {
            // LC_ALL overrides all other LC_* variables.
            changes.push(("LC_CTYPE".into(), Some(value.into())));
            changes.push(("LC_ALL".into(), None));
        }
    }
    changes
}

/// Reduces the preferences to their policy for credential plugins; None without a policy. Like kubectl, it uses the first document
/// that holds preferences. Fails if there may be a policy and the text cannot be parsed.
pub fn policy(text: &str) -> Result<Option<String>, String> {
    const FIELDS: [&str; 2] = ["credentialPluginPolicy", "credentialPluginAllowlist"];
    if !FIELDS.iter().any(|field| text.contains(field)) {
        return Ok(None);
    }
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let document = Map::<String, Value>::deserialize(document).map_err(|error| error.to_string())?;
        let group = document.get("apiVersion").and_then(Value::as_str).and_then(|version| version.split_once('/'));
        if document.get("kind") != Some(&Value::from("Preference")) || group.is_none_or(|(group, _)| group != GROUP) {
            continue;
        }
        if !FIELDS.iter().any(|field| document.get(*field).is_some_and(|value| !value.is_null())) {
            return Ok(None);
        }
        let kept = ["apiVersion", "kind"].into_iter().chain(FIELDS);
        let kept = kept.filter_map(|field| Some((field.to_string(), document.get(field)?.clone())));
        return Ok(Some(Value::Object(kept.collect()).to_string()));
    }
    Ok(None)
}

/// The API group of kubectl's preferences.
const GROUP: &str = "kubectl.config.k8s.io";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Vec<EnvChange> {
        let mut changes = changes(variables.iter().copied());
        changes.remove(0);
        changes
    }

    #[test]
    fn variables_that_change_kubectl_are_removed_and_others_stay() {
        for gone in [
            "KUBECTL_KUBERC",
            "KUBECTL_APPLYSET",
            "KUBECTL_KYAML",
            "KUBECTL_ENABLE_CMD_SHADOW",
            "KUBECTL_OPENAPIV3_PATCH",
            "KUBECTL_EXTERNAL_DIFF",
            "KUBECTL_PORT_FORWARD_WEBSOCKETS",
            "KUBECTL_ANYTHING_NEW",
            "KUBE_EDITOR",
            "KUBE_FEATURE_ClientsPreferCBOR",
            "KUBE_CLIENT_BACKOFF_BASE",
            "KUBE_CACHE_MUTATION_DETECTOR",
        ] {
            assert_eq!(of(&[(gone, "true")]), [(gone.to_string(), None)]);
        }
        for kept in [
            "KUBECONFIG",
            "KUBECACHEDIR",
            "KUBERNETES_SERVICE_HOST",
            "HTTPS_PROXY",
            "no_proxy",
            "HOME",
            "PATH",
            "TERM",
            "KUBE_TOKEN",
            "AWS_PROFILE",
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS",
            "KUBECTL_COMMAND_HEADERS",
            "LANG",
            "LC_CTYPE",
        ] {
            assert_eq!(of(&[(kept, "x")]), [], "{kept}");
        }
    }

    #[test]
    fn a_caller_is_a_kubectl_by_its_name() {
        for path in ["/usr/bin/kubectl", "/opt/kubectl-1.37", "/x/kubectl.1.33"] {
            assert!(is_kubectl(path), "{path}");
        }
        for path in ["", "kubectl", "bin/kubectl", "/usr/local/bin/k3s", "/usr/bin/minikube", "/kubectl/oc"] {
            assert!(!is_kubectl(path), "{path}");
        }
    }

    #[test]
    fn messages_are_english_and_the_character_set_stays() {
        assert_eq!(changes([("LANG", "de_DE.UTF-8")].into_iter()), [("LC_MESSAGES".into(), Some("C".into()))]);
        assert_eq!(
            of(&[("LC_ALL", "ja_JP.UTF-8")]),
            [("LC_CTYPE".into(), Some("ja_JP.UTF-8".into())), ("LC_ALL".into(), None)]
        );
    }

    #[test]
    fn only_the_policy_for_credential_plugins_is_kept_of_preferences() {
        let head = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n";
        let interactive = "defaults:\n- command: delete\n  options:\n  - {name: interactive, default: \"true\"}\n";
        let kept = |text: &str| policy(text).map(|kept| kept.map(|kept| serde_json::from_str::<Value>(&kept).unwrap()));
        assert_eq!(kept(""), Ok(None));
        assert_eq!(kept(&format!("{head}{interactive}")), Ok(None));
        let list = "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- {name: aws}\n";
        let is = serde_json::json!({
            "apiVersion": "kubectl.config.k8s.io/v1beta1", "kind": "Preference",
            "credentialPluginPolicy": "Allowlist", "credentialPluginAllowlist": [{"name": "aws"}],
        });
        assert_eq!(kept(&format!("{head}{interactive}{list}")), Ok(Some(is.clone())));
        // Like kubectl, only the first document of preferences counts.
        assert_eq!(kept(&format!("kind: Other\n---\n{head}{list}---\n{head}{interactive}")), Ok(Some(is)));
        assert_eq!(kept(&format!("{head}{interactive}---\n{head}{list}")), Ok(None));
        assert_eq!(kept(&format!("{head}# no credentialPluginPolicy\n")), Ok(None));
        assert!(policy(&format!("{head}{list}  : [")).is_err());
    }
}
