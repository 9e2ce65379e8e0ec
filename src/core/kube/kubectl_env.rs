//! What kubectl is given of the caller's environment: what it needs to reach the cluster, and nothing that changes what its
//! commands do or the language of its messages. Pure: the environment and the text of the preferences file are arguments.
//!
//! kubectl reads a preferences file, the kuberc, since 1.34: it gives commands other defaults, such as `--interactive` to
//! `delete` (<https://kubernetes.io/docs/reference/kubectl/kuberc/>). `KUBERC=off` turns it off. But since 1.35 the same file
//! may hold the policy that says which credential plugins kubectl may run, and `KUBERC=off` would lift that. So where there is
//! one, kubectl gets a preferences file with that policy alone.

use serde::Deserialize as _;
use serde_json::{Map, Value};

/// A change of one variable of a child's environment: its new value, or none where it goes.
pub type EnvChange = (String, Option<String>);

/// The variable that names the preferences file, or turns preferences off.
pub const KUBERC: &str = "KUBERC";

/// What kubectl is to be shielded from.
#[derive(Debug, Clone, Default)]
pub struct Shield {
    /// What becomes of variables, but for [`KUBERC`].
    pub changes: Vec<EnvChange>,
    /// The preferences file that kubectl would read, if there is one.
    pub preferences: Option<Preferences>,
}

/// A preferences file of kubectl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// Where it is.
    pub path: String,
    /// The text of one that holds its policy for credential plugins alone; none where it has no such policy.
    pub policy: Option<String>,
}

/// Variables that start so, or are called so, change what kubectl does: features that are switched on and off, an editor or
/// diff program of one's own, checks that end it, retries of its own.
const CHANGING: [&str; 4] = ["KUBECTL_", "KUBE_FEATURE_", "KUBE_CLIENT_BACKOFF_", "KUBE_EDITOR"];

/// Those of them that only say how the API is reached, as a proxy's variables do: what some gateways need.
const REACHING: [&str; 2] = ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_COMMAND_HEADERS"];

/// What becomes of these variables, given by name and value. Credential plugins get the same environment, so the character set
/// stays and so does everything that is not kubectl's; but messages are in English, because refusals are told apart by them.
pub fn changes<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<EnvChange> {
    let mut changes = vec![("LC_MESSAGES".to_string(), Some("C".to_string()))];
    for (name, value) in variables {
        let changing = CHANGING.iter().any(|start| name.starts_with(start))
            || name.starts_with("KUBE_") && name.ends_with("_DETECTOR");
        if changing && !REACHING.contains(&name) {
            changes.push((name.into(), None));
        } else if name == "LC_ALL" && !value.is_empty() {
            // It outweighs every other of its kind.
            changes.push(("LC_CTYPE".into(), Some(value.into())));
            changes.push(("LC_ALL".into(), None));
        }
    }
    changes
}

/// The preferences with the policy for credential plugins alone, as kubectl reads them: from the first document that is one
/// of preferences. None without a policy.
///
/// # Errors
/// There may be a policy, but the text cannot be read.
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
    fn what_changes_kubectl_goes_and_what_reaches_the_cluster_stays() {
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
    fn messages_are_english_and_the_character_set_stays() {
        assert_eq!(changes([("LANG", "de_DE.UTF-8")].into_iter()), [("LC_MESSAGES".into(), Some("C".into()))]);
        assert_eq!(
            of(&[("LC_ALL", "ja_JP.UTF-8")]),
            [("LC_CTYPE".into(), Some("ja_JP.UTF-8".into())), ("LC_ALL".into(), None)]
        );
    }

    #[test]
    fn of_preferences_only_the_policy_for_credential_plugins_is_kept() {
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
        // The first document of preferences counts, as it does for kubectl.
        assert_eq!(kept(&format!("kind: Other\n---\n{head}{list}---\n{head}{interactive}")), Ok(Some(is)));
        assert_eq!(kept(&format!("{head}{interactive}---\n{head}{list}")), Ok(None));
        assert_eq!(kept(&format!("{head}# no credentialPluginPolicy\n")), Ok(None));
        assert!(policy(&format!("{head}{list}  : [")).is_err());
    }
}
