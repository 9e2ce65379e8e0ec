//! `--from-cronjob`: a command by hand has the settings of the backup CronJob, against the fake kubectl.

use crate::support::fake_api::{CONFIG_MAPS, CRONJOBS};
use crate::support::{ALWAYS, FORBIDDEN, Fault, Outcome, Scenario};
use serde_json::{Value, json};

fn cronjob(name: &str, container: &Value) -> Value {
    json!({
        "kind": "CronJob", "metadata": {"namespace": "shop", "name": name},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}},
    })
}

/// The namespace `shop` with a CronJob whose container has this besides its image.
fn shop(args: &[&str], mut container: Value) -> Scenario {
    // What every scenario sets, and would win.
    let scenario = Scenario::cluster(args).env("BAK_DB_POSTGRES", "").env("BAK_DB_POSTGRES_DUMP_FILE", "");
    let api = scenario.api();
    container["image"] = json!("x/backup-ns:1");
    api.put(CRONJOBS, cronjob("nightly", &container));
    let data = json!({
        "BAK_DB_POSTGRES": "true", "BAK_DB_POSTGRES_USER": "${DUMPER}", "BAK_PVC_NAME": "data-db-0", "BAK_LABEL_VS_RETAIN_DAYS": "9", "BAK_LABEL_VS_TYPE": "cronjob",
        "BAK_LOCK": "flock", "BAK_DRY_RUN": "true",
    });
    api.put(
        CONFIG_MAPS,
        json!({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "backup"}, "data": data}),
    );
    scenario
}

/// From the ConfigMap `backup`.
fn by_map() -> Value {
    json!({"name": "b", "args": ["create"], "envFrom": [{"configMapRef": {"name": "backup"}}], "env": [
        {"name": "TZ", "value": "Europe/Vienna"},
        {"name": "BAK_LABEL_VS_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]})
}

/// Value and origin of a setting, as `env -o json` has it.
#[track_caller]
fn setting<'a>(told: &'a Value, name: &str) -> (&'a str, &'a str) {
    let all = told.as_array().or_else(|| told["settings"].as_array()).unwrap();
    let found = all.iter().find(|one| one["variable"] == name).unwrap_or_else(|| panic!("{told}"));
    (found["value"].as_str().unwrap(), found["origin"].as_str().unwrap())
}

#[track_caller]
fn told(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

#[test]
fn what_is_backed_up_and_how_is_the_cronjobs() {
    let scenario = shop(&["env", "-o", "json", "--from-cronjob", "--pvc-name=other"], by_map());
    let scenario = scenario.env("BAK_VS_CLASS_NAME", "fast").env("TZ", "");
    let told = told(&scenario.run().exits(0).calls("config cronjobs named"));
    assert_eq!(setting(&told, "BAK_DB_POSTGRES"), ("true", "cronjob"));
    assert_eq!(setting(&told, "BAK_DB_POSTGRES_USER"), ("${DUMPER}", "cronjob"));
    assert_eq!(setting(&told, "BAK_LABEL_VS_RETAIN_DAYS"), ("9", "cronjob"));
    assert_eq!(setting(&told, "TZ"), ("Europe/Vienna", "cronjob"));
    // What is said here wins.
    assert_eq!(setting(&told, "BAK_PVC_NAME"), ("other", "flag"));
    assert_eq!(setting(&told, "BAK_VS_CLASS_NAME"), ("fast", "environment"));
    // Who makes it, where and when, is not the CronJob's.
    for (name, value) in
        [("BAK_LABEL_VS_TYPE", "adhoc"), ("BAK_LOCK", ""), ("BAK_LABEL_VS_POD", ""), ("BAK_DRY_RUN", "false")]
    {
        assert_eq!(setting(&told, name), (value, "default"));
    }
}

#[test]
fn flags_of_its_command_line_count_too() {
    let container =
        json!({"name": "b", "command": ["sh", "-c", "backup-ns create --db-mysql --pvc-name=logs --hook-timeout 5m"]});
    let scenario = shop(&["env", "-o", "json", "--from-cronjob=nightly"], container);
    let told = told(&scenario.run().exits(0));
    assert_eq!(setting(&told, "BAK_PVC_NAME"), ("logs", "cronjob"));
    assert_eq!(setting(&told, "BAK_HOOK_TIMEOUT"), ("5m", "cronjob"));
    assert_eq!(setting(&told, "BAK_DB_MYSQL"), ("true", "cronjob"));
}

#[test]
fn what_cannot_be_read_is_said_where_it_is_needed() {
    let mut container = by_map();
    container["env"][0] =
        json!({"name": "BAK_LABEL_VS_RETAIN_DAYS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    container["envFrom"] = json!([{"configMapRef": {"name": "backup"}}, {"secretRef": {"name": "more"}}]);
    let scenario = shop(&["create", "--from-cronjob"], container);
    let words = ["BAK_LABEL_VS_RETAIN_DAYS", "in the CronJob nightly", "set it here", "the Secret more"];
    scenario.run().exits(2).calls("config cronjobs named").says(&words);
    // What this command does not read does not keep it from its work.
    let scenario = scenario.args(&["postgres", "info", "--from-cronjob"]);
    scenario.run().calls("config cronjobs named config observe");

    let scenario = shop(&["create", "--from-cronjob"], by_map()).fault("named", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(2).calls("config cronjobs named").says(&["the ConfigMap backup may not be read"]);
    let scenario = scenario.mended().fault("cronjobs", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(4).calls("config cronjobs").says(&["grant the verb"]);
}

/// A user who may write a CronJob must get nothing out of an administrator's terminal, home or log.
#[test]
fn what_a_stranger_wrote_does_no_harm() {
    let mut container = by_map();
    container["env"] = json!([
        {"name": "BAK_DB_POSTGRES_PASSWORD", "value": "hunter2$(X)"}, {"name": "BAK_VS_CLASS_NAME", "value": "\u{1b}[2Jx"},
        {"name": "BAK_DB_POSTGRES_DUMP_FILE", "value": "/data/.profile"},
    ]);
    let scenario = shop(&["create", "--from-cronjob"], container);
    let outcome = scenario.run().exits(2).says(&["BAK_DB_POSTGRES_PASSWORD is made of other variables"]);
    assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
    let scenario = scenario.args(&["env", "--from-cronjob"]);
    let outcome = scenario.run();
    assert!(!format!("{outcome}").contains("hunter2") && !outcome.stdout.contains('\u{1b}'), "{outcome}");
    let scenario =
        scenario.env("BAK_DB_POSTGRES_PASSWORD", "hunter3").args(&["postgres", "download-dump", "--from-cronjob"]);
    scenario.run().exits(2).says(&["begins with a dot", "name the FILE"]);
    assert!(!scenario.dir().join(".profile").exists());
}

#[test]
fn the_cronjob_must_be_clear() {
    let scenario = shop(&["doctor", "--from-cronjob"], by_map());
    let other = json!({"name": "b", "image": "x/backup-ns:1", "args": ["create"]});
    scenario.api().put(CRONJOBS, cronjob("weekly", &other));
    scenario.run().exits(4).calls("config cronjobs").says(&["2 CronJobs", "nightly, weekly", "--from-cronjob=NAME"]);
    scenario.api().put(CRONJOBS, cronjob("prune", &json!({"name": "b", "image": "x/backup-ns:1", "args": ["retain"]})));
    let scenario = scenario.args(&["doctor", "--from-cronjob=prune"]);
    scenario.run().exits(4).says(&["does not run backup-ns create"]);
    let scenario = scenario.args(&["doctor", "--from-cronjob=none"]);
    scenario.run().exits(4).says(&["no CronJob 'none'"]);
    let central = json!({"name": "b", "image": "x/backup-ns:1", "args": ["create", "-n", "bank"]});
    scenario.api().put(CRONJOBS, cronjob("central", &central));
    let scenario = scenario.args(&["doctor", "--from-cronjob=central"]);
    scenario.run().exits(4).says(&["makes backups of the namespace 'bank'"]);
}
