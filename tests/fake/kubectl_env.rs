//! What kubectl gets of the caller's environment: no preference of a person changes what is done, on any call.

use std::fs;

use crate::support::{ALWAYS, Fault, Outcome, Scenario};
use serde_json::{Value, json};

const HEAD: &str = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n";
const HOSTILE: &str = "defaults:\n- command: delete\n  options: [{name: interactive, default: \"true\"}]\n\
                       - command: get\n  options: [{name: output, default: wide}, {name: all-namespaces, default: \"true\"}]\n";
const POLICY: &str = "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{name: aws}]\n";

/// A home with this preferences file, and variables that change kubectl.
fn at_home(scenario: Scenario, kuberc: &str) -> Scenario {
    let home = scenario.dir().join("home");
    fs::create_dir_all(home.join(".kube")).unwrap();
    fs::write(home.join(".kube/kuberc"), kuberc).unwrap();
    let home = home.display().to_string();
    [
        ("HOME", home.as_str()),
        ("KUBECTL_EXTERNAL_DIFF", "meld"),
        ("KUBECTL_APPLYSET", "true"),
        ("KUBE_EDITOR", "vi"),
        ("KUBE_FEATURE_ClientsPreferCBOR", "true"),
        ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"),
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ("LANG", "de_DE.UTF-8"),
        ("LC_ALL", "ja_JP.UTF-8"),
    ]
    .into_iter()
    .fold(scenario, |scenario, (name, value)| scenario.env(name, value))
}

/// What each call found: `env` and `kuberc`.
#[track_caller]
fn seen(outcome: &Outcome<'_>) -> (Vec<Value>, Vec<Value>) {
    assert!(outcome.calls.len() >= 3, "{outcome}");
    let of = |key: &str| outcome.calls.iter().map(|call| call[key].clone()).collect();
    (of("env"), of("kuberc"))
}

fn shot() -> Value {
    json!({
        "kind": "VolumeSnapshot",
        "metadata": {"namespace": "shop", "name": "s", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
        "status": {"readyToUse": true, "creationTime": "2026-01-02T03:04:05Z", "restoreSize": "1Gi"},
    })
}

#[test]
fn every_call_is_shielded_from_preferences_and_language() {
    let is = json!({
        "KUBERC": "off", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "HTTPS_PROXY": "http://127.0.0.1:9",
        "LANG": "de_DE.UTF-8", "LC_CTYPE": "ja_JP.UTF-8", "LC_MESSAGES": "C",
    });
    let create = at_home(Scenario::new(), &format!("{HEAD}{HOSTILE}"));
    let of_create = create.run().exits(0);
    let delete = Scenario::cluster(&["delete", "s", "--yes", "--force"]);
    delete.api().cut([(shot(), "Delete")]);
    let delete = at_home(delete, &format!("{HEAD}{HOSTILE}"));
    let of_delete = delete.run().exits(0);
    for outcome in [&of_create, &of_delete] {
        let (environments, preferences) = seen(outcome);
        assert!(environments.iter().all(|env| *env == is), "{environments:#?}");
        assert!(preferences.iter().all(Value::is_null));
    }
    // The variable may name it, too.
    let named = create.dir().join("home/.kube/kuberc").display().to_string();
    let create = create.env("KUBERC", &named);
    let outcome = create.run().exits(0);
    assert!(seen(&outcome).0.iter().all(|env| *env == is), "{outcome}");
}

#[test]
fn a_policy_for_credential_plugins_is_kept_and_nothing_else_of_the_preferences() {
    let scenario = at_home(Scenario::new(), &format!("{HEAD}{HOSTILE}{POLICY}"));
    let temporary = scenario.dir().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let scenario = scenario.env("TMPDIR", &temporary.display().to_string());
    let outcome = scenario.run().exits(0);
    let is = json!({
        "apiVersion": "kubectl.config.k8s.io/v1beta1", "kind": "Preference",
        "credentialPluginPolicy": "Allowlist", "credentialPluginAllowlist": [{"name": "aws"}],
    });
    for kuberc in seen(&outcome).1 {
        assert_eq!(serde_json::from_str::<Value>(kuberc.as_str().unwrap()).unwrap(), is);
    }
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "the file is gone");
    // A user who turns preferences off goes without the policy, as with kubectl itself.
    for (name, value) in [("KUBERC", "off"), ("KUBECTL_KUBERC", "False")] {
        let scenario = at_home(Scenario::new(), &format!("{HEAD}{POLICY}")).env(name, value);
        assert!(seen(&scenario.run().exits(0)).1.iter().all(Value::is_null), "{name}");
    }
}

#[test]
fn a_policy_that_cannot_be_passed_on_stops_the_run_before_kubectl_does_anything() {
    let scenario = at_home(Scenario::new(), &format!("{HEAD}{POLICY}\t: ["));
    scenario.run().exits(2).calls("").says(&["home/.kube/kuberc", "KUBERC=off"]).keeps_old();
    let scenario = scenario.env("KUBERC", "off");
    scenario.run().exits(0).holds_new();
    let scenario = at_home(Scenario::new(), &format!("{HEAD}{POLICY}")).env("TMPDIR", "/nowhere");
    scenario.run().exits(4).calls("").says(&["cannot be passed on", "TMPDIR", "KUBERC=off"]).keeps_old();
}

#[test]
fn a_pod_of_another_namespace_is_never_chosen() {
    let other =
        r#"{"kind": "List", "items": [{"kind": "Pod", "metadata": {"namespace": "bank", "name": "app-base-0"}}]}"#;
    let scenario = Scenario::new().env("BAK_RETRY_TIMEOUT", "1s").fault("observe", ALWAYS, Fault::Print(other));
    scenario.run().exits(1).calls("config observe observe").says(&["objects of the namespace 'bank', not of 'shop'"]);
}
