//! `status` against the fake kubectl: how many processes it takes at a thousand namespaces, what it says where it may not read,
//! and that Prometheus can read what it prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use crate::support::fake_api::{CLAIMS, CONFIG_MAPS, CONTENTS, CRONJOBS, SNAPSHOTS, content_of};
use crate::support::{ALWAYS, FORBIDDEN, Fault, ONCE, Outcome, REFUSED, Scenario, poll};
use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

/// So many hours ago.
fn ago(hours: i64) -> String {
    (Utc::now() - TimeDelta::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A ready snapshot of ours, of the claim `data`.
fn shot(namespace: &str, name: &str, hours: i64) -> Value {
    let labels = json!({"backup-ns.sh/retain": "days", "backup-ns.sh/pvc": "data", "backup-ns.sh/type": "cronjob"});
    json!({
        "kind": "VolumeSnapshot",
        "metadata": {"namespace": namespace, "name": name, "creationTimestamp": ago(hours), "labels": labels},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
        "status": {"readyToUse": true, "creationTime": ago(hours), "restoreSize": "1Gi"},
    })
}

fn claim(namespace: &str, name: &str) -> Value {
    json!({"kind": "PersistentVolumeClaim", "metadata": {"namespace": namespace, "name": name}, "status": {"phase": "Bound"}})
}

/// A CronJob that has its claim's name from a ConfigMap.
fn cronjob(namespace: &str, suspend: bool) -> Value {
    let container = json!({"name": "b", "image": "x/backup-ns:1", "envFrom": [{"configMapRef": {"name": "backup"}}]});
    json!({
        "kind": "CronJob", "metadata": {"namespace": namespace, "name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "suspend": suspend,
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}},
        "status": {"lastScheduleTime": ago(9), "lastSuccessfulTime": ago(9)},
    })
}

fn config_map(namespace: &str, pvc: &str) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"namespace": namespace, "name": "backup"}, "data": {"BAK_PVC_NAME": pvc}})
}

/// `shop` as it should be, with a claim besides that is not backed up.
fn shop(args: &[&str]) -> Scenario {
    let scenario = Scenario::cluster(&[&["status"], args].concat()).env("BAK_RETRY_TIMEOUT", "1s");
    let api = scenario.api();
    api.cut([(shot("shop", "old", 33), "Retain"), (shot("shop", "new", 9), "Retain")]);
    for name in ["data", "cache"] {
        api.put(CLAIMS, claim("shop", name));
    }
    api.put(CRONJOBS, cronjob("shop", false));
    api.put(CONFIG_MAPS, config_map("shop", "data"));
    scenario
}

#[track_caller]
fn told(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

#[test]
fn a_namespace_takes_a_process_for_a_kind() {
    let scenario = shop(&["-o", "json"]);
    let outcome = scenario.run().exits(0).calls("config contents page claims cronjobs named");
    let told = told(&outcome);
    let claims = told["claims"].as_array().unwrap();
    assert_eq!(claims.iter().map(|claim| claim["pvc"].as_str().unwrap()).collect::<Vec<_>>(), ["cache", "data"]);
    assert_eq!(claims[0]["notes"], json!(["no CronJob in shop makes backups of it"]));
    assert_eq!((&claims[1]["notes"], &claims[1]["scheduled"]), (&json!([]), &json!(true)));
    assert_eq!(claims[1]["newestReady"]["name"], "new");
    assert_eq!((&told["orphanedContents"], &told["overdue"]), (&json!([]), &json!([])));
}

#[test]
fn a_backup_by_a_mirrored_image_is_scheduled() {
    let scenario = Scenario::cluster(&["status", "-o", "json"]);
    scenario.api().put(CLAIMS, claim("shop", "data"));
    let mut nightly = cronjob("shop", false);
    let env = json!([{"name": "BAK_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]);
    nightly["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "b", "image": "registry.corp/mirror/k8s-bak", "args": ["create"], "env": env}]);
    scenario.api().put(CRONJOBS, nightly);
    let told = told(&scenario.run().exits(0));
    assert_eq!((&told["claims"][0]["pvc"], &told["claims"][0]["scheduled"]), (&json!("data"), &json!(true)));
}

/// Its Jobs succeed, and no alert on the age of a backup is to hang on it; the one on suspended CronJobs tells of it.
#[test]
fn a_dry_run_is_no_schedule() {
    let scenario = shop(&["-o", "prometheus"]);
    let mut map = config_map("shop", "data");
    map["data"]["BAK_DRY_RUN"] = json!("true");
    scenario.api().put(CONFIG_MAPS, map);
    let of = |metric: &str| format!("\nbackup_ns_{metric}{{namespace=\"shop\",pvc=\"data\"}}");
    scenario.run().exits(0).prints(&[&format!("{} 0\n", of("scheduled")), &format!("{} 1\n", of("suspended"))]);
    let scenario = scenario.args(&["status"]);
    scenario.run().exits(0).prints(&["dry run", "CronJob nightly only prints its plan (BAK_DRY_RUN)"]);
}

/// What one namespace tells of another is not taken for all.
#[test]
fn a_cronjob_of_another_namespace_may_make_the_backups() {
    let scenario = shop(&["-n", "bank", "-o", "prometheus"]);
    let api = scenario.api();
    api.cut([(shot("bank", "night", 9), "Retain")]);
    api.put(CLAIMS, claim("bank", "data"));
    let mut central = cronjob("shop", false);
    central["metadata"]["name"] = json!("central");
    central["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] =
        json!(["create", "-n", "bank"]);
    api.put(CRONJOBS, central);
    let outcome = scenario.run().exits(0).prints(&["\nbackup_ns_last_success_age_seconds{namespace=\"bank\""]);
    assert!(!outcome.stdout.contains("\nbackup_ns_scheduled{"), "{outcome}");
    let scenario = scenario.args(&["status", "-n", "bank", "-o", "json"]);
    let bank = told(&scenario.run().exits(0))["claims"][0].clone();
    assert_eq!(
        (&bank["scheduled"], &bank["notes"]),
        (&Value::Null, &json!(["no CronJob in bank makes backups of it"]))
    );
    // Whether that claim is there was not asked.
    let scenario = scenario.args(&["status", "-n", "shop", "-o", "json"]);
    assert_eq!(told(&scenario.run().exits(0))["claims"].as_array().unwrap().len(), 2);
    let scenario = scenario.args(&["status", "-A", "-o", "json"]);
    let all = told(&scenario.run().exits(0));
    assert_eq!((&all["claims"][0]["namespace"], &all["claims"][0]["scheduled"]), (&json!("bank"), &json!(true)));
}

#[test]
fn a_thousand_namespaces_take_a_process_a_kind() {
    let scenario = Scenario::cluster(&["status", "-A", "-o", "prometheus"]);
    let api = scenario.api();
    let names: Vec<String> = (0..1000).map(|number| format!("ns-{number:04}")).collect();
    api.cut(names.iter().map(|name| (shot(name, "night", 9), "Retain")));
    for name in &names {
        api.put(CLAIMS, claim(name, "data"));
        api.put(CRONJOBS, cronjob(name, false));
        api.put(CONFIG_MAPS, config_map(name, "data"));
    }
    let outcome = scenario.run().exits(0).calls("config contents page claims cronjobs named named");
    assert_eq!(outcome.stdout.matches("\nbackup_ns_scheduled{").count(), 1000);
}

#[test]
fn everything_that_is_wrong_is_told() {
    let scenario = shop(&["-A", "-o", "json"]);
    let api = scenario.api();
    // A failed night.
    let mut failed = shot("shop", "failed", 1);
    failed["status"] = json!({"readyToUse": false, "error": {"message": "the disk is full"}});
    let mut late = shot("shop", "late", 900);
    late["metadata"]["labels"]["backup-ns.sh/delete-after"] = json!("2020-01-01");
    api.cut([(failed, ""), (late, "Retain"), (shot("shop", "lost", 500), "Retain"), (shot("bank", "b", 9), "Retain")]);
    // A CronJob of a claim that is not there.
    api.put(CRONJOBS, cronjob("zoo", true));
    api.put(CONFIG_MAPS, config_map("zoo", "gone"));
    // An orphan: its data says whose it was.
    let content = content_of("shop/lost");
    let labels = json!([{"op": "replace", "path": "/metadata/annotations", "value": {"backup-ns.sh/claim": "{}"}}]);
    api.patch(CONTENTS, &content, &labels).unwrap();
    api.merge(SNAPSHOTS, "shop/lost", &json!({"metadata": {"finalizers": []}})).unwrap();
    api.delete(SNAPSHOTS, "shop/lost", &json!({})).unwrap();

    let outcome = scenario.run().exits(0);
    let told = told(&outcome);
    let find = |ns: &str, pvc: &str| {
        let all = told["claims"].as_array().unwrap().iter();
        all.clone().find(|claim| claim["namespace"] == ns && claim["pvc"] == pvc).unwrap_or_else(|| panic!("{told}"))
    };
    let data = find("shop", "data");
    assert_eq!(data["snapshots"], json!({"ready": 3, "pending": 0, "failed": 1, "distrusted": 0}));
    assert_eq!(data["newestReady"]["name"], "new");
    assert_eq!(data["notes"], json!(["the last attempt, failed, failed: the disk is full"]));
    assert_eq!(find("bank", "data")["notes"], json!(["the claim is not there", "no CronJob makes backups of it"]));
    let gone = json!(["the claim is not there", "there is no good backup", "CronJob nightly is suspended"]);
    assert_eq!(find("zoo", "gone")["notes"], gone);
    assert_eq!(told["orphanedContents"][0]["name"], json!(content));
    assert_eq!(told["overdue"], json!([{"namespace": "shop", "volumeSnapshot": "late", "deleteAfter": "2020-01-01"}]));

    // People read the same.
    let scenario = scenario.args(&["status", "-A", "-o", "wide"]);
    let words =
        ["the disk is full", "suspended", "missing", &content, "late", "mark-and-delete", "nightly (0 3 * * *)"];
    let outcome = scenario.run().exits(0).prints(&words);
    assert!(outcome.stdout.starts_with("NAMESPACE "), "{outcome}");
}

/// A content that is left of `bank`, which is gone or may not be seen, on the data of `shop/new`.
fn twin(name: &str) -> Value {
    json!({
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": name, "creationTimestamp": ago(9), "labels": {"backup-ns.sh/pvc": "data"}},
        "spec": {
            "driver": "csi.example", "deletionPolicy": "Retain", "source": {"snapshotHandle": content_of("shop/new")},
            "volumeSnapshotRef": {"namespace": "shop", "name": "lost", "uid": "uid-lost"},
        },
    })
}

#[test]
fn what_shares_the_data_of_a_snapshot_is_no_orphan() {
    let scenario = shop(&["-A", "-o", "json"]);
    let api = scenario.api();
    api.put(CONTENTS, twin("twin"));
    let mut other = twin("other");
    other["spec"]["driver"] = json!("csi.other");
    api.put(CONTENTS, other);
    let all = told(&scenario.run().exits(0));
    let names: Vec<&str> =
        all["orphanedContents"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["other"], "the same handle of another driver is other data");
    let superfluous = all["superfluousContents"].as_array().unwrap();
    let fields = ["name", "sharesDataOf", "belongsTo"].map(|field| superfluous[0][field].as_str().unwrap());
    assert_eq!((superfluous.len(), fields), (1, ["twin", "snapcontent-shop-new", "shop/new"]));
    let scenario = scenario.args(&["status", "-A"]);
    let words = ["that share the data of another: 1", "shop/new", "backup-ns delete-vsc CONTENT --keep-data"];
    scenario.run().exits(0).prints(&words).prints(&["backup-ns delete-vsc CONTENT deletes one with its data"]);
    let scenario = scenario.args(&["status", "-A", "-o", "prometheus"]);
    scenario.run().exits(0).prints(&["\nbackup_ns_orphaned_contents 1\n", "\nbackup_ns_superfluous_contents 1\n"]);
}

/// What a killed `delete` leaves holds its namespace.
#[test]
fn a_deletion_that_was_begun_and_not_finished_is_named() {
    let scenario = shop(&["-o", "json"]);
    let begun = json!({"metadata": {
        "finalizers": ["backup-ns.sh/sweep"], "deletionTimestamp": ago(1), "annotations": {"backup-ns.sh/deleting": ago(1)},
    }});
    scenario.api().merge(SNAPSHOTS, "shop/old", &begun).unwrap();
    let all = told(&scenario.run().exits(0));
    assert_eq!(all["unfinishedDeletions"], json!([{"namespace": "shop", "volumeSnapshot": "old"}]));
    let scenario = scenario.args(&["status"]);
    scenario
        .run()
        .exits(0)
        .prints(&["Deletions that were begun and not finished: 1", "backup-ns delete SNAPSHOT -n NAMESPACE"]);
}

#[test]
fn what_may_not_be_read_is_left_out_and_said() {
    for (call, what, gone) in [
        ("contents", "volumesnapshotcontents of the cluster", "backup_ns_orphaned_contents "),
        ("claims", "persistentvolumeclaims of shop", "backup_ns_claim_exists{"),
        ("cronjobs", "cronjobs of shop", "backup_ns_scheduled{"),
        ("named", "the ConfigMap backup may not be read", "backup_ns_scheduled{"),
    ] {
        let scenario = shop(&["-o", "prometheus"]).fault(call, ALWAYS, Fault::Refuse(FORBIDDEN));
        let outcome = scenario.run().exits(3).says(&["not all could be read", what, "remedy="]);
        assert!(!outcome.stdout.contains(&format!("\n{gone}")), "{call}: {outcome}");
        assert!(outcome.stdout.contains("\nbackup_ns_last_success_age_seconds{"), "{call}: {outcome}");
    }
    // Of several namespaces one.
    let scenario = shop(&["-A", "-o", "json"])
        .namespaces(&["bank", "shop"])
        .fault("page", ONCE, Fault::Refuse(FORBIDDEN))
        .fault_about("page", "/bank/", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(3).says(&["volumesnapshots of bank"]);
    assert_eq!(told(&outcome)["claims"].as_array().unwrap().len(), 2);
    // Not even which namespaces there are: the one at hand is not all.
    let narrowed = |output: &str| {
        shop(&["-A", "-o", output]).namespaces(&["bank", "shop"]).fault("page", ONCE, Fault::Refuse(FORBIDDEN)).fault(
            "namespaces",
            ALWAYS,
            Fault::Refuse(FORBIDDEN),
        )
    };
    let scenario = narrowed("prometheus");
    let outcome = scenario.run().exits(3).says(&["reading shop alone", "volumesnapshots of the cluster"]);
    assert!(outcome.stdout.contains("\nbackup_ns_unread 1\n"), "{outcome}");
    let told = told(&narrowed("json").run().exits(3));
    let unread: Vec<_> =
        told["unread"].as_array().unwrap().iter().map(|one| (&one["what"], &one["namespace"])).collect();
    assert_eq!(unread, [(&json!("volumesnapshots"), &Value::Null)], "{told}");
    // Of what may be read nothing is unknown for that.
    let data = told["claims"].as_array().unwrap().iter().find(|claim| claim["pvc"] == "data").unwrap();
    assert_eq!((&data["scheduled"], &data["exists"]), (&json!(true), &json!(true)));
    // An API that is away is no status at all.
    for call in ["contents", "page", "claims", "cronjobs", "named"] {
        let scenario = shop(&[]).fault(call, ALWAYS, Fault::Refuse(REFUSED));
        assert!(scenario.run().exits(1).stdout.is_empty(), "{call}");
    }
}

#[test]
fn a_namespace_that_is_not_there_is_said() {
    const NOT_THERE: &str = "Error from server (NotFound): namespaces \"shop\" not found";
    let scenario = Scenario::cluster(&["status"]).fault_about(
        "observe",
        "/api/v1/namespaces/shop",
        ALWAYS,
        Fault::Refuse(NOT_THERE),
    );
    scenario.run().exits(4).says(&["there is no namespace 'shop'"]);
}

/// What a GET of `path` gives: status and body.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
}

#[test]
fn no_client_can_keep_it_from_the_others() {
    let scenario = shop(&["-A", "-o", "prometheus", "--listen=127.0.0.1:0", "--every=1h"]);
    let running = scenario.start().until_said("claims");
    let said = running.said();
    let address = said.split("http://").nth(1).unwrap().split('/').next().unwrap();
    // Who asks and reads nothing, asks for nothing, or for what does not exist.
    let mut deaf = TcpStream::connect(address).unwrap();
    let much = "GET /metrics HTTP/1.1\r\n\r\n".repeat(1000);
    let _ = deaf.write_all(much.as_bytes());
    assert_eq!(get(address, "/metrics").0, 200);
    let mut rude = TcpStream::connect(address).unwrap();
    rude.write_all(&[0xff; 64 * 1024]).unwrap_or_default();
    assert_eq!(get(address, "/metrics").0, 200);
    // More than are answered at once, who ask for nothing and come again as soon as they are sent away.
    let sent_away = Arc::new(AtomicUsize::new(0));
    for _ in 0..40 {
        let (address, sent_away) = (address.to_string(), Arc::clone(&sent_away));
        thread::spawn(move || {
            while let Ok(mut idle) = TcpStream::connect(&address) {
                let _ = idle.read(&mut [0]);
                sent_away.fetch_add(1, SeqCst);
            }
        });
    }
    poll("they are sent away", || sent_away.load(SeqCst) > 40);
    for _ in 0..20 {
        assert_eq!(get(address, "/metrics").0, 200);
    }
    let threads = fs::read_dir(format!("/proc/{}/task", running.pid())).map_or(0, Iterator::count);
    assert!(threads < 24, "{threads}");
    running.signal("TERM").finish().exits(143);
}

#[test]
fn prometheus_can_scrape_it_for_as_long_as_it_runs() {
    let scenario =
        shop(&["-A", "-o", "prometheus", "--listen=127.0.0.1:0", "--every=1s"]).env("BAK_RETRY_TIMEOUT", "0s");
    let running = scenario.start().until_said("/metrics is served");
    let said = running.said();
    let address = said.split("http://").nth(1).unwrap().split('/').next().unwrap();
    poll("the first metrics", || get(address, "/metrics").0 == 200);
    let (_, first) = get(address, "/metrics?x=1");
    assert!(parse(&first).iter().any(|sample| sample.0 == "backup_ns_orphaned_contents"), "{first}");
    assert_eq!(get(address, "/").0, 404);
    poll("newer ones", || get(address, "/metrics").1 != first);
    // What may not be read any more is not there any more.
    scenario.now_fails("contents", Fault::Refuse(FORBIDDEN));
    let running = running.until_said("volumesnapshotcontents of the cluster");
    poll("what is left", || get(address, "/metrics").1.contains("\nbackup_ns_unread 1\n"));
    // An API that is away takes nothing off.
    scenario.now_fails("contents", Fault::Refuse(REFUSED));
    let running = running.until_said("what is served grows old");
    let (status, old) = get(address, "/metrics");
    assert!(status == 200 && !old.contains("\nbackup_ns_orphaned_contents"), "{old}");
    assert!(first.contains("\nbackup_ns_unread 0\n") && old.contains("\nbackup_ns_unread 1\n"), "{old}");
    poll("one more try", || running.said().matches("what is served grows old").count() > 1);
    assert_eq!(get(address, "/metrics").1, old);
    running.signal("TERM").finish().exits(143);

    // What never could be asked is not served.
    let scenario = scenario.mended().fault("contents", ALWAYS, Fault::Refuse(REFUSED));
    scenario.run().exits(1).says(&["was refused", "remedy="]);
    // Another program has the port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--listen={}", taken.local_addr().unwrap());
    let scenario = scenario.mended().args(&["status", "-o", "prometheus", &address]);
    scenario.run().exits(1).calls("config").says(&["the metrics cannot be served at 127.0.0.1:", "--listen"]);
    for (args, words) in [
        (&["--listen=:9469"][..], "takes -o prometheus"),
        (&["-o", "prometheus", "--listen=localhost"], "--listen is 'localhost'"),
        (&["-o", "prometheus", "--listen=:http"], "--listen is ':http'"),
        (&["-o", "prometheus", "--listen=:1", "--every=0s"], "--every is '0s'"),
        (&["-o", "prometheus", "--every=1m"], "--listen"),
        (&["-o", "prometheus", "--listen=:1", "--timeout=1h"], "BAK_TIMEOUT"),
    ] {
        let scenario = Scenario::cluster(&[&["status"], args].concat());
        scenario.run().exits(2).calls("").says(&[words]);
    }
}

#[test]
fn a_watched_status_is_printed_again_when_it_changed() {
    let scenario = shop(&["-w", "--every=1s", "-o", "json"]);
    let running = scenario.start().until_printed("\"new\"").until("page.3");
    scenario.api().cut([(shot("shop", "newer", 1), "Retain")]);
    let outcome = running.until_printed("\"newer\"").until("page.6").signal("TERM").finish().exits(143);
    let mut reports = serde_json::Deserializer::from_str(&outcome.stdout).into_iter::<Value>();
    let newest = |report: Value| {
        let claims = report["claims"].as_array().unwrap().clone();
        claims.iter().find(|claim| claim["pvc"] == "data").unwrap()["newestReady"]["name"].clone()
    };
    assert_eq!(reports.by_ref().map(|report| newest(report.unwrap())).collect::<Vec<_>>(), ["new", "newer"]);

    let scenario = shop(&["-w", "-o", "prometheus"]);
    scenario.run().exits(2).calls("").says(&["metrics are served with --listen"]);
    let scenario = shop(&["-w", "-o", "prometheus", "--listen=:1"]);
    scenario.run().exits(2).calls("");
}

/// A line of Prometheus' text format: name, labels, value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads text format 0.0.4 as its specification says
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>), and no other.
fn parse(text: &str) -> Vec<Sample> {
    let (mut samples, mut helped, mut typed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut last = String::new();
    assert!(text.ends_with('\n'), "the last line ends");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, _) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name.to_string()), "one HELP for each: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split_once(' ').unwrap().1, "gauge");
            assert!(typed.insert(rest.split_once(' ').unwrap().0.to_string()), "one TYPE for each: {line}");
        } else {
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(typed.contains(&name) && helped.contains(&name), "no TYPE or HELP before {line}");
            let known = samples.iter().any(|(other, ..): &Sample| *other == name);
            assert!(!known || last == name, "the lines of {name} stand together");
            let mut rest = line[name.len()..].chars().peekable();
            let mut labels = BTreeMap::new();
            if rest.next_if_eq(&'{').is_some() {
                while rest.next_if_eq(&'}').is_none() {
                    let mut key = String::new();
                    while let Some(c) = rest.next_if(|c| *c != '=') {
                        key.push(c);
                    }
                    assert_eq!((rest.next(), rest.next()), (Some('='), Some('"')), "{line}");
                    let mut value = String::new();
                    loop {
                        match rest.next().unwrap() {
                            '"' => break,
                            '\\' => value.push(match rest.next() {
                                Some('n') => '\n',
                                Some(c @ ('\\' | '"')) => c,
                                other => panic!("{other:?} in {line}"),
                            }),
                            c => value.push(c),
                        }
                    }
                    assert!(labels.insert(key, value).is_none(), "{line}");
                    rest.next_if_eq(&',');
                }
            }
            assert_eq!(rest.next(), Some(' '), "{line}");
            let value = rest.collect::<String>().parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let sample = (name.clone(), labels, value);
            assert!(!samples.iter().any(|(n, l, _)| (n, l) == (&sample.0, &sample.1)), "twice: {line}");
            samples.push(sample);
            last = name;
        }
    }
    samples
}

#[test]
fn prometheus_can_read_the_metrics() {
    let scenario = shop(&["-A", "-o", "prometheus"]);
    let text = scenario.run().exits(0).stdout;
    let samples = parse(&text);
    let find = |name: &str, labels: &[(&str, &str)]| {
        let labels: BTreeMap<String, String> = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let found = samples.iter().find(|(n, l, _)| n == &format!("backup_ns_{name}") && *l == labels);
        found.unwrap_or_else(|| panic!("no {name} {labels:?} in {text}")).2
    };
    let data = [("namespace", "shop"), ("pvc", "data")];
    assert_eq!([find("scheduled", &data), find("claim_exists", &data), find("newest_ready", &data)], [1.0; 3]);
    assert_eq!(find("snapshots", &[data[0], data[1], ("state", "ready")]), 2.0);
    assert_eq!(find("snapshots", &[data[0], data[1], ("state", "distrusted")]), 0.0);
    assert_eq!(find("restore_size_bytes", &data), f64::from(1 << 30));
    assert_eq!(find("overdue_snapshots", &data[..1]), 0.0);
    assert_eq!(find("orphaned_contents", &[]), 0.0);
    let age = find("last_success_age_seconds", &data);
    assert!((9.0 * 3600.0..10.0 * 3600.0).contains(&age), "{age}");
    let sum = find("last_success_timestamp_seconds", &data) + age - find("status_timestamp_seconds", &[]);
    assert_eq!(sum, 0.0);
    // No alert for what is not to be backed up.
    assert!(!text.contains("cache"), "{text}");
}
