//! The command line of the real binary: help, configuration errors, dry run, output formats, secrets.

use crate::support::{ALWAYS, Fault, OLD, ONCE, REFUSED, Scenario};
use serde_json::Value;

#[test]
fn help_names_every_exit_code() {
    for args in [&["--help"][..], &["create", "--help"]] {
        let scenario = Scenario::new().args(args);
        let outcome = scenario.run().exits(0).calls("");
        for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "128+n"] {
            let found = outcome.stdout.lines().any(|line| line.trim_start().starts_with(code));
            assert!(found, "no exit code {code}: {outcome}");
        }
        assert!(outcome.stderr.is_empty(), "{outcome}");
    }
}

#[test]
fn version_is_cargos() {
    let scenario = Scenario::new().args(&["--version"]);
    let outcome = scenario.run().exits(0).calls("");
    assert_eq!(outcome.stdout, format!("backup-ns {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn version_prints_what_is_known_and_fails_for_what_is_not() {
    let own = concat!("backup-ns: ", env!("CARGO_PKG_VERSION"), " (built without a record of its commit)\n");
    let version = |args: &[&str]| Scenario::new().args(&[&["version"], args].concat()).env("BAK_RETRY_TIMEOUT", "0s");
    let group = Fault::Print(r#"{"kind": "APIGroup", "versions": [{"version": "v1"}, {"version": "v1beta2"}]}"#);
    let all = version(&[]).fault("kinds", ONCE, group);
    let outcome = all.run().exits(0).calls("config versions kinds");
    assert_eq!(outcome.stdout, format!("{own}kubectl: v1.36.3\nserver: v1.36.1\nsnapshot API: v1, v1beta2\n"));
    assert!(outcome.stderr.is_empty(), "{outcome}");

    let client = version(&["--client", "-o", "json"]);
    let outcome = client.run().exits(0).calls("version");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let expected = serde_json::json!({
        "backupNs": {"version": env!("CARGO_PKG_VERSION")}, "kubectl": {"version": "v1.36.3"},
    });
    assert_eq!(report, expected);

    let gone = Fault::Refuse("Error from server (NotFound): the server could not find the requested resource");
    let without = version(&[]).fault("kinds", ONCE, gone);
    assert!(without.run().exits(0).stdout.ends_with("\nsnapshot API: not installed\n"));

    // The cluster is away: the versions of both clients are still printed, and nothing is asked twice.
    let away = version(&["-o", "yaml"]).fault("versions", ALWAYS, Fault::Refuse(REFUSED));
    let outcome = away.run().exits(1).calls("config versions version").says(&["was refused", "remedy="]);
    let report: Value = serde_yaml_ng::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["kubectl"]["version"], "v1.36.3", "{outcome}");
    assert!(report["server"]["error"].as_str().unwrap().contains("was refused"), "{outcome}");
    assert!(report.get("snapshotApi").is_none(), "{outcome}");

    let nowhere = version(&[]).config(serde_json::json!({"contexts": null, "current-context": ""}));
    let outcome = nowhere.run().exits(4).calls("config version").says(&["no current context", "remedy="]);
    assert_eq!(outcome.stdout, format!("{own}kubectl: v1.36.3\nserver: unknown\n"));

    for args in [&[][..], &["--client"]] {
        let missing = version(args).env("PATH", "/nonexistent");
        let outcome = missing.run().exits(4).says(&["not in the PATH", "install kubectl"]);
        assert!(outcome.stdout.starts_with(own), "{outcome}");
    }
}

#[test]
fn quiet_says_only_what_is_wrong() {
    for format in ["plain", "json", "live"] {
        let scenario = Scenario::new().args_also(&["-q", "--log-format", format]);
        let outcome = scenario.run().exits(0);
        assert!(outcome.stderr.is_empty() && !outcome.stdout.is_empty(), "{format}: {outcome}");
        let scenario = Scenario::new().args_also(&["--quiet", "--log-format", format]).env("BAK_DB_POSTGRE", "x");
        scenario.run().exits(0).says(&["BAK_DB_POSTGRE is not a setting"]);
        let scenario = Scenario::new().args_also(&["-q", "--log-format", format]).env("BAK_PVC_NAME", "nope");
        scenario.run().exits(4).says(&["has no PVC 'nope'", "remedy"]);
    }
    Scenario::new().args_also(&["-q", "-v"]).run().exits(2).calls("");
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    for args in [&["create", "--no-such-flag"][..], &["no-such-command"], &[], &["create", "stray"]] {
        let scenario = Scenario::new().args(args);
        let outcome = scenario.run().exits(2).calls("");
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{outcome}");
    }
}

#[test]
fn configuration_errors_come_all_at_once_and_before_any_call() {
    Scenario::new()
        .env("BAK_DRY_RUN", "perhaps")
        .env("BAK_LABEL_VS_RETAIN", "forever")
        .env("BAK_DB_POSTGRES_PORT", "0")
        .env("TZ", "Mars/Olympus")
        .arg("--vs-wait-until-ready-timeout=soon")
        .args_also(&["-o", "wide"])
        .run()
        .exits(2)
        .calls("")
        .says(&[
            "wrong in 6 places",
            "BAK_DRY_RUN is 'perhaps'; accepted: true, yes, on or 1; false, no, off or 0",
            "BAK_LABEL_VS_RETAIN is 'forever'; accepted: days or daily_weekly_monthly",
            "BAK_DB_POSTGRES_PORT is '0'; accepted: a whole number from 1 to 65535",
            "TZ is 'Mars/Olympus'; accepted:",
            "BAK_VS_WAIT_UNTIL_READY_TIMEOUT (--vs-wait-until-ready-timeout) is 'soon'; accepted:",
            "-o is 'wide'; accepted: text, json or yaml",
        ])
        .lost_nothing();
}

/// A misspelt variable is named, once and without what it holds, and is no error: ConfigMaps of an older tool bring many.
#[test]
fn a_variable_that_is_no_setting_is_warned_of() {
    let strange = |args: &[&str]| {
        let scenario = Scenario::new().args(args).env("BAK_VS_CLAS_NAME", "hunter2").env("RETAIN_FOREVER", "hunter2");
        scenario.env("BAK_DEBUG", "true").env("BAK_EMPTY", "").env("MY_BAK_X", "1")
    };
    let commands: [(&[&str], i32); 4] = [
        (&["create"], 0),
        (&["create", "--dry-run", "--log-format=json"], 0),
        // Not even a configuration that is wrong keeps it from being told.
        (&["create", "--db-postgres-port=0"], 2),
        (&["env", "--log-format=live"], 0),
    ];
    for (args, code) in commands {
        let scenario = strange(args);
        let outcome = scenario.run().exits(code);
        for words in [
            "BAK_VS_CLAS_NAME is not a setting and has no effect; did you mean BAK_VS_CLASS_NAME?",
            "RETAIN_FOREVER is not a setting and has no effect",
        ] {
            assert_eq!(outcome.stderr.matches(words).count(), 1, "{args:?}: {outcome}");
        }
        assert_eq!(outcome.stderr.matches("is not a setting").count(), 2, "{args:?}: {outcome}");
        assert!(outcome.stderr.contains("WARN") && !format!("{outcome}").contains("hunter2"), "{outcome}");
    }
    // Nothing is printed into a shell that starts.
    for args in [&["man"][..], &["completion", "bash"]] {
        let scenario = strange(args);
        assert_eq!(scenario.run().exits(0).stderr, "", "{args:?}");
    }
    // `env` has a line for each.
    let scenario = strange(&["env", "-o", "wide"]);
    let outcome = scenario.run().exits(0);
    let line = outcome.stdout.lines().find(|line| line.starts_with("BAK_VS_CLAS_NAME ")).unwrap();
    assert!(
        line.contains("environment, not a setting") && line.ends_with("did you mean BAK_VS_CLASS_NAME?"),
        "{outcome}"
    );
    let scenario = strange(&["env", "-o", "json"]);
    let all: Value = serde_json::from_str(&scenario.run().exits(0).stdout).unwrap();
    let last = all.as_array().unwrap().last().unwrap();
    assert_eq!((&last["variable"], &last["value"], &last["flag"]), (&"RETAIN_FOREVER".into(), &"".into(), &"".into()));
    assert_eq!(last["faults"][0], "RETAIN_FOREVER is not a setting and has no effect");
    assert!(!Scenario::new().run().stderr.contains("is not a setting"));
}

#[test]
fn no_database_is_a_usage_error() {
    let scenario = Scenario::new().env("BAK_DB_POSTGRES", "no");
    scenario.run().exits(2).calls("").says(&["BAK_DB_POSTGRES=true"]);
}

#[test]
fn a_flag_wins_over_the_environment() {
    let scenario = Scenario::new()
        .env("BAK_DRY_RUN", "perhaps")
        .env("BAK_NAMESPACE", "wrong")
        .env("BAK_VS_RAND", "wrong")
        .env("BAK_LABEL_VS_TYPE", "cronjob")
        .args_also(&["--dry-run=no", "-n", "right", "--vs-rand=bright", "--context=staging", "--kubeconfig=/k"]);
    let outcome = scenario.run().exits(0);
    assert_eq!(outcome.kinds(), ["config", "observe", "session", "try", "second", "create", "watch", "event"]);
    for kind in &outcome.kinds()[1..] {
        let argv = outcome.argv(kind);
        assert!(argv.starts_with("--kubeconfig=/k --context=staging "), "{argv}");
        assert!(argv.contains(" -n right ") || argv.contains("/namespaces/right/"), "{argv}");
    }
    let snapshot = &scenario.snapshots()[0];
    assert!(snapshot["metadata"]["name"].as_str().unwrap().ends_with("-bright"), "{snapshot}");
    assert_eq!(snapshot["metadata"]["labels"]["backup-ns.sh/type"], "cronjob");
}

#[test]
fn kubectls_own_flags_are_passed_on_to_each_of_its_calls() {
    let flags = [
        "--as=system:serviceaccount:shop:backup",
        "--as-group=night shift",
        "--as-group=admins",
        "--as-uid=7",
        "--cluster=c",
        "--user=u",
        "--server=https://10.0.0.1:6443",
        "--tls-server-name=api",
        "--insecure-skip-tls-verify=true",
        "--certificate-authority=/ca",
        "--client-certificate=/crt",
        "--client-key=/key",
        "--cache-dir=/cache",
    ];
    // As they may be typed, before the command and behind it.
    let typed = |flag: &str| match flag {
        "--insecure-skip-tls-verify=true" => vec!["--insecure-skip-tls-verify".to_string()],
        _ => flag.splitn(2, '=').map(String::from).collect(),
    };
    let words: Vec<String> = flags.iter().flat_map(|flag| typed(flag)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let prefix = format!("--context=prod {} ", flags.join(" "));
    for args in [[&["create"], &words[..]].concat(), [&words[..], &["create"]].concat()] {
        let scenario = Scenario::new().args(&args);
        let outcome = scenario.run().exits(0);
        assert_eq!(outcome.kinds(), ["config", "observe", "session", "try", "second", "create", "watch", "event"]);
        for kind in &outcome.kinds()[1..] {
            assert!(outcome.argv(kind).starts_with(&prefix), "{outcome}");
        }
        assert!(!outcome.argv("config").contains("--as"), "{outcome}");
    }
    let scenario = Scenario::new().args(&[&["create", "--dry-run"], &words[..]].concat());
    let shown = prefix.replace("--as-group=night shift", "'--as-group=night shift'");
    scenario.run().exits(0).prints(&[&format!("$ kubectl {shown}exec -i -q -n shop ")]);
    // A cluster that is named needs no context.
    let nowhere = serde_json::json!({"contexts": null, "current-context": ""});
    let scenario = Scenario::new().config(nowhere).args_also(&["--server=https://x", "-n", "shop"]);
    assert!(scenario.run().exits(0).argv("observe").starts_with("--server=https://x "));
    let scenario = Scenario::new().args_also(&["--as=", "--insecure-skip-tls-verify=perhaps", "--token=hunter2"]);
    let outcome = scenario.run().exits(2).calls("").says(&[
        "wrong in 3 places",
        "--as is ''; accepted: a text that is not empty",
        "--insecure-skip-tls-verify is 'perhaps'; accepted: true or false",
        "--token is not passed on: every user of the machine can read argument lists; accepted: a kubeconfig",
    ]);
    assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
}

/// kubectl before 1.34 leaves the path of the server's address out of such requests: another server would answer.
#[test]
fn a_server_behind_a_path_is_asked_with_every_kubectl() {
    let behind = |version: &'static str| {
        let context = serde_json::json!({"name": "prod", "context": {"cluster": "c", "namespace": "shop"}});
        let cluster = serde_json::json!({"name": "c", "cluster": {"server": "https://x/k8s/clusters/c-1"}});
        let config = serde_json::json!({"current-context": "prod", "contexts": [context], "clusters": [cluster]});
        let none = Fault::Print(r#"{"kind": "VolumeSnapshotList", "items": []}"#);
        let scenario =
            Scenario::new().args(&["list", "-A"]).config(config).fault("version", ALWAYS, Fault::Print(version));
        // The fake kubectl knows no paths of servers.
        scenario.fault("page", ALWAYS, none).fault("observe", ALWAYS, none)
    };
    let scenario = behind(r#"{"clientVersion": {"major": "1", "minor": "33"}}"#);
    let argv = scenario.run().exits(0).calls("config version observe").argv("observe");
    assert!(argv.contains(" --raw /k8s/clusters/c-1/apis/snapshot.storage.k8s.io/v1/volumesnapshots?"), "{argv}");
    let scenario = behind(r#"{"clientVersion": {"major": "1", "minor": "34"}}"#);
    let argv = scenario.run().exits(0).calls("config version page").argv("page");
    assert!(argv.contains(" --raw /apis/snapshot.storage.k8s.io/v1/volumesnapshots?"), "{argv}");
    behind("no version")
        .run()
        .exits(4)
        .calls("config version")
        .says(&["has the path /k8s/clusters/c-1", "1.34 or newer"]);
}

#[test]
fn log_lines_of_kubectl_are_no_message_and_no_reason() {
    const LOG: &str = "E1129 12:00:00.000000     123 memcache.go:265] \"Unhandled Error\" err=\"the server is currently unable to handle the request\"";
    const GONE: &str = "Error from server (NotFound): namespaces \"shop\" not found";
    let logged: &'static str = format!("{LOG}\n{GONE}\n{LOG}").leak();
    let mut calls = Vec::new();
    for words in [GONE, logged] {
        let scenario = Scenario::new().args_also(&["--events=false"]).fault("observe", ALWAYS, Fault::Refuse(words));
        let outcome = scenario.run().exits(1).says(&[GONE]);
        assert!(!outcome.stderr.contains("memcache.go"), "{outcome}");
        calls.push(outcome.kinds().join(" "));
    }
    assert_eq!(calls[0], calls[1], "what a log says is no reason to ask again");
    // Where there is nothing else, it is better than nothing.
    let scenario = Scenario::new().fault("observe", ALWAYS, Fault::Refuse(LOG)).env("BAK_RETRY_TIMEOUT", "0s");
    scenario.run().exits(1).says(&["memcache.go"]);
}

#[test]
fn the_context_and_its_namespace_are_pinned() {
    let scenario = Scenario::new();
    let outcome = scenario.run().exits(0);
    for kind in ["observe", "session", "try", "second", "create", "watch"] {
        let argv = outcome.argv(kind);
        assert!(argv.starts_with("--context=prod "), "{argv}");
        assert!(argv.contains(" -n shop ") || argv.contains("/namespaces/shop/"), "{argv}");
    }
    let context = serde_json::json!({"name": "prod", "context": {"cluster": "c"}});
    let scenario = Scenario::new().config(serde_json::json!({"current-context": "prod", "contexts": [context]}));
    let argv = scenario.run().exits(0).argv("observe");
    assert!(argv.contains(" -n default "), "{argv}");
    let scenario = Scenario::new().config(serde_json::json!({"contexts": null, "current-context": ""}));
    scenario.run().exits(4).calls("config").says(&["no current context", "remedy="]);
}

/// kubectl takes it for an empty one.
#[test]
fn a_kubeconfig_that_is_not_there_is_told() {
    let empty = || Scenario::new().config(serde_json::json!({"contexts": null, "current-context": ""}));
    let words = ["the kubeconfig that KUBECONFIG names does not exist: /nope/a, /nope/b", "remedy="];
    let lost = empty().env("KUBECONFIG", "/nope/a::/nope/b");
    lost.run().exits(4).calls("config").says(&words);
    let flag = empty().args_also(&["--kubeconfig=/nope/c"]);
    flag.run().exits(4).says(&["the kubeconfig that --kubeconfig names does not exist: /nope/c"]);
    // One of several is enough; and kubectl may be one that finds them elsewhere.
    let one = empty().env("KUBECONFIG", "/nope/a:/dev/null");
    one.run().exits(4).says(&["no current context"]);
    Scenario::new().env("KUBECONFIG", "/nope/a").run().exits(0);
}

#[test]
fn a_namespace_that_is_not_there_is_told_where_nothing_is_found() {
    const NONE: &str = r#"{"kind": "List", "items": []}"#;
    const GONE: &str = "Error from server (NotFound): namespaces \"shop\" not found";
    const MAY_NOT: &str =
        "Error from server (Forbidden): namespaces \"shop\" is forbidden: User \"x\" cannot get resource";
    for args in [&["create", "--events=false"][..], &["verify"], &["postgres", "info"]] {
        let empty = || Scenario::new().args(args).fault("observe", ONCE, Fault::Print(NONE));
        let gone = empty().fault("observe", 2..=2, Fault::Refuse(GONE));
        gone.run().exits(4).calls("config observe observe").says(&["there is no namespace 'shop'", "-n; kubectl get"]);
        // One that is empty, and one of which nothing may be known.
        empty().run().exits(4).says(&["the namespace 'shop' has no"]);
        empty().fault("observe", 2..=2, Fault::Refuse(MAY_NOT)).run().exits(4).says(&["the namespace 'shop' has no"]);
    }
    let other = Scenario::new().env("BAK_PVC_NAME", "nope").args_also(&["--events=false"]);
    other.run().exits(4).calls("config observe").says(&["has no PVC 'nope' (it has data)"]);
}

#[test]
fn a_claim_without_snapshots_is_told_which_has_some() {
    let ready = serde_json::json!({"readyToUse": true});
    let scenario = Scenario::new().args(&["verify"]).env("BAK_PVC_NAME", "other");
    scenario.run().exits(4).says(&["no ready VolumeSnapshot of the PVC 'other' (there are none)"]);
    let scenario = scenario.snapshot("night", serde_json::json!({}), ready);
    scenario.run().exits(4).says(&["no ready VolumeSnapshot of the PVC 'other' (there are some of data)"]);
}

#[test]
fn a_missing_kubectl_is_a_precondition_with_its_remedy() {
    let scenario = Scenario::new().env("PATH", "/nonexistent");
    scenario.run().exits(4).says(&["not in the PATH", "install kubectl"]).lost_nothing();
}

#[test]
fn json_is_all_that_is_on_stdout() {
    for dry in [true, false] {
        let scenario = Scenario::new().args_also(&["-o", "json", if dry { "--dry-run" } else { "--dry-run=false" }]);
        let outcome = scenario.run().exits(0);
        let value: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|why| panic!("{why}: {outcome}"));
        assert_eq!((&value["namespace"], &value["pvc"]), (&"shop".into(), &"data".into()), "{outcome}");
        if dry {
            assert_eq!(value["dryRun"], true);
            let steps = value["steps"].as_array().unwrap();
            assert!(steps.iter().any(|step| step["manifest"]["kind"] == "VolumeSnapshot"), "{outcome}");
        } else {
            assert_eq!(value["ready"], true);
            assert_eq!(value["volumeSnapshotContent"], "snapcontent-1");
            assert_eq!(value["volumeSnapshot"], scenario.snapshots()[0]["metadata"]["name"]);
            assert_eq!(value["dumps"]["postgres"]["bytes"], scenario.dump_file().len());
        }
    }
}

#[test]
fn a_failure_leaves_stdout_empty() {
    let scenario = Scenario::new().args_also(&["-o", "json", "--pvc-name=other"]);
    let outcome = scenario.run().exits(4).says(&["no PVC 'other'", "it has data"]);
    assert!(outcome.stdout.is_empty(), "{outcome}");
}

fn every_line_is_json(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
    text.lines().map(parse).inspect(|value: &Value| assert!(value.is_object(), "{value}")).collect()
}

#[test]
fn json_logs_are_an_object_on_each_line() {
    for verbose in [&["--log-format=json"][..], &["--log-format=json", "-v"]] {
        let scenario = Scenario::new().args_also(verbose);
        let outcome = scenario.run().exits(0);
        let lines = every_line_is_json(&outcome.stderr);
        for step in ["observe", "check", "preflight", "dump", "prove", "snapshot", "cut", "ready"] {
            let line = lines.iter().find(|line| line["step"] == step && line["seconds"].is_number());
            assert!(line.is_some(), "no line of step {step} with its duration: {outcome}");
        }
    }
    let scenario = Scenario::new().args_also(&["--log-format=json", "--pvc-name=other"]);
    let outcome = scenario.run().exits(4);
    let lines = every_line_is_json(&outcome.stderr);
    assert!(lines.iter().any(|line| line["code"] == 4 && line["remedy"].is_string()), "{outcome}");
}

#[test]
fn plain_logs_have_a_line_with_its_duration_for_each_step() {
    let scenario = Scenario::new().env("BAK_FLOCK", "true").args_also(&["--flock-dir", "locks"]);
    let outcome = scenario.run().exits(0).prints(&["is done", "SHA-256"]);
    for step in ["lock", "observe", "check", "preflight", "dump", "prove", "snapshot", "cut", "ready"] {
        let mark = format!("step=\"{step}\" seconds=");
        assert_eq!(outcome.stderr.matches(&mark).count(), 1, "{step}: {outcome}");
    }
    assert!(!outcome.stderr.contains('\x1b'), "{outcome}");
}

#[test]
fn a_dry_run_shows_everything_and_changes_nothing() {
    let scenario = Scenario::new().env("BAK_DB_POSTGRES_PASSWORD", "hunter2 it's").args_also(&[
        "--dry-run",
        "--label-vs-retain=daily_weekly_monthly",
        "--flock",
        "--flock-dir=locks",
        "-v",
    ]);
    let stamp = |file: &str| std::fs::metadata(scenario.dir().join(file)).unwrap().modified().unwrap();
    let before = (stamp("data"), stamp("data/dump.sql.gz"), stamp("locks"));
    let outcome = scenario.run().exits(0).calls("config observe session try list").lost_nothing().prints(&[
        "nothing was changed",
        "PGPASSWORD=****",
        "pg_dump --no-password --format=plain --clean --if-exists",
        "\"kind\": \"VolumeSnapshot\"",
        "\"backup-ns.sh/retain\": \"daily_weekly_monthly\"",
        "kubectl --context=prod --request-timeout=30s create --raw",
        "exec -i -q -n shop app-base-0 -c postgres",
        "in locks",
    ]);
    assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
    assert_eq!(before, (stamp("data"), stamp("data/dump.sql.gz"), stamp("locks")), "a file was made or changed");
    assert!(scenario.lines("synced").is_empty() && scenario.lines("dump.text").len() > 1);
    assert!(!outcome.stdin("session").lines().any(|line| line == "dump"), "{outcome}");
}

/// Invariant 11.
#[test]
fn a_password_is_nowhere_but_where_it_is_used() {
    let password = r#"hunter2 it's "a" $PATH `id` \n%s;*"#;
    let scenario = Scenario::new()
        .env("BAK_DB_POSTGRES_PASSWORD", password)
        .tool("psql", r#"tr '\0' '\n' </proc/$$/cmdline >"$FAKE_KUBECTL_DIR/psql.cmdline""#)
        .arg("-v");
    let outcome = scenario.run().exits(0).clean().holds_new();
    assert_eq!(scenario.lines("dump.password"), [password], "it did not arrive as it is");
    let mut seen = format!("{outcome}{}", outcome.stdin("create"));
    for file in ["calls.jsonl", "dump.cmdline", "psql.cmdline"] {
        let lines = scenario.lines(file);
        assert!(!lines.is_empty(), "{file} was not recorded");
        seen.push_str(&lines.join("\n"));
    }
    assert!(!seen.contains("hunter2"), "{seen}");
    assert!(outcome.stdin("session").contains("hunter2"), "the test looks in the wrong place: {outcome}");
}

/// What the container says is logged where it fails, but never with the password in it.
#[test]
fn a_password_that_the_container_echoes_is_masked() {
    // shows: what the container said is lost where it comes later than the session's last line, as another stream may.
    for tool in ["psql", "pg_dump"] {
        let script = r#"case $* in --version) echo v; exit ;; esac; echo "no entry with $PGPASSWORD" >&2; exit 2"#;
        let scenario = Scenario::new().env("BAK_DB_POSTGRES_PASSWORD", "hunter2").arg("-v").tool(tool, script);
        let outcome = scenario.run().says(&["no entry with ****"]).lost_nothing();
        assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
    }
}

#[test]
fn a_literal_password_is_no_flag() {
    let scenario = Scenario::new().arg("--db-postgres-password=hunter2");
    let outcome = scenario.run().exits(2).calls("").says(&["--db-postgres-password", "environment"]);
    assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
}

#[test]
fn the_containers_own_variables_are_the_default() {
    let scenario = Scenario::new();
    scenario.run().exits(0).holds_new();
    assert_eq!(scenario.lines("dump.password"), ["from the container"]);
}

#[test]
fn a_live_display_ends_with_the_result() {
    let scenario = Scenario::new().arg("--log-format=live");
    let outcome = scenario.run().exits(0).prints(&["is done"]);
    assert!(outcome.stderr.contains("ready"), "{outcome}");
    let scenario = Scenario::new().args_also(&["--log-format=live", "--pvc-name=other"]);
    scenario.run().exits(4).says(&["error:", "no PVC 'other'", "remedy:"]);
    assert_eq!(scenario.dump_file(), OLD.as_bytes());
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_fail() {
    let scenario = Scenario::new();
    scenario.start_under(&["/bin/sh", "-c", "exec \"$@\" 2>/dev/full", "sh"]).finish().exits(0).clean().holds_new();
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    let scenario = Scenario::new().held();
    let running = scenario.start_under(&["/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]).until("dumping");
    running.signal("HUP").go_on().finish().exits(0).clean().holds_new();
}

/// With `-n "$NS"` and no NS, whatever was meant is not the whole cluster.
#[test]
fn an_empty_namespace_is_none_at_all() {
    for command in ["create", "list", "status", "retain", "mark-and-delete", "sync-metadata-to-vsc"] {
        let said = "BAK_NAMESPACE (--namespace) is ''; accepted: the name of a namespace";
        Scenario::new().args(&[command, "-n", ""]).run().exits(2).calls("").says(&[said]);
    }
    Scenario::cluster(&["list"]).env("BAK_NAMESPACE", "").run().exits(0);
}

#[test]
fn global_flags_are_kubectls_own() {
    let list = |flags: &[&str]| Scenario::cluster(&[&["list", "-n", "bank", "-n", "shop"], flags].concat());
    for (flags, request) in
        [(&["--request-timeout=7"][..], "--request-timeout=7s"), (&["--request-timeout=2m"], "--request-timeout=120s")]
    {
        let scenario = list(flags);
        let outcome = scenario.run().exits(0);
        let argv = outcome.calls.last().unwrap()["argv"].to_string();
        assert!(argv.contains(request) && argv.contains("shop") && !argv.contains("bank"), "{argv}");
    }
    for timeout in ["0", "1ms", "soon"] {
        list(&["--request-timeout", timeout]).run().exits(2).calls("").says(&["BAK_REQUEST_TIMEOUT", "from 1s"]);
    }
    for (word, dry) in [("client", true), ("server", true), ("none", false)] {
        let scenario = Scenario::new().arg(&format!("--dry-run={word}"));
        let outcome = scenario.run().exits(0);
        assert_eq!(outcome.count("create"), usize::from(!dry), "{outcome}");
    }
}

#[test]
fn who_reads_no_more_makes_nothing_fail() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let scenario = Scenario::new();
    let mut env = std::process::Command::new(env!("CARGO_BIN_EXE_backup-ns"));
    let output = env.arg("env").current_dir(scenario.dir()).stdout(writer).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Invariant 11.
#[test]
fn no_process_leaves_a_core() {
    let limit = Fault::Run("ulimit -H -c >core-limit");
    let scenario = Scenario::new().fault("observe", ONCE, limit);
    scenario.run().exits(0);
    assert_eq!(scenario.lines("core-limit"), ["0"]);
}

#[test]
fn every_command_that_tells_something_tells_it_as_yaml() {
    Scenario::new().args_also(&["-o", "yaml"]).run().exits(0).prints(&["\nvolumeSnapshot: data-"]);
    for command in ["retain", "mark-and-delete"] {
        let said = format!("command: {command}\ndryRun: true\n");
        Scenario::cluster(&[command, "--dry-run", "-o", "yaml"]).run().exits(0).prints(&[&said]);
    }
}

#[test]
fn a_download_goes_to_a_file() {
    let args = ["postgres", "download-dump", "-"];
    Scenario::new().args(&args).run().exits(2).calls("").says(&["FILE is '-'; accepted: a file or a directory"]);
}
