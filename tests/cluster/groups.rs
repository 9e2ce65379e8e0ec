//! Group snapshots of the cluster itself, by plain kubectl: that its driver cuts all members at one moment, that the tests
//! would notice members of several moments, and that its fault parameters do what kind/README.md says. And that backup-ns
//! deletes none of their members alone.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

/// Two claims `a` and `b` with the label that the groups of this file select.
fn two_claims(tenant: &Tenant) {
    let claims: Vec<Value> = ["a", "b"]
        .into_iter()
        .map(|name| {
            let mut claim = tenant.claim(name, "64Mi", None);
            claim["metadata"]["labels"] = json!({"group": "both"});
            claim
        })
        .collect();
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": claims}));
    let bound = ["wait", "pvc/a", "pvc/b", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s"];
    tenant.kubectl(&bound);
}

fn take_group(tenant: &Tenant, name: &str, class: &str) {
    let group = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot", "metadata": {"name": name},
        "spec": {
            "volumeGroupSnapshotClassName": class,
            "source": {"selector": {"matchLabels": {"group": "both"}}},
        },
    });
    apply(&tenant.namespace, &group);
}

fn group_is_ready(tenant: &Tenant, name: &str) {
    tenant.kubectl(&["wait", "volumegroupsnapshot", name, "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"]);
}

/// The snapshots of a group: the claim of each, its name, and whether it is ready.
fn members(tenant: &Tenant, group: &str) -> Vec<(String, String, bool)> {
    let list = tenant.get(&["volumesnapshots"]);
    let of_group =
        |item: &&Value| item["metadata"]["ownerReferences"].as_array().is_some_and(|them| them[0]["name"] == group);
    let member = |item: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let claim = text(&item["spec"]["source"]["persistentVolumeClaimName"]);
        (claim, text(&item["metadata"]["name"]), item["status"]["readyToUse"] == true)
    };
    let mut members: Vec<_> = list["items"].as_array().unwrap().iter().filter(of_group).map(member).collect();
    members.sort();
    members
}

fn two_ready_members(tenant: &Tenant, group: &str) -> (String, String) {
    until("both members are ready", 60, || match &members(tenant, group)[..] {
        [(a, of_a, true), (b, of_b, true)] if a == "a" && b == "b" => Some((of_a.clone(), of_b.clone())),
        _ => None,
    })
}

/// A pod with the claims `a` and `b`, or their restored ones, at /a and /b.
fn pod(name: &str, claims: [&str; 2], script: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "postgres:15", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
                "volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b"}],
            }],
            "volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": claims[0]}},
                {"name": "b", "persistentVolumeClaim": {"claimName": claims[1]}},
            ],
        },
    })
}

/// The numbers in volumes restored from these snapshots of `a` and `b`.
fn restored(tenant: &Tenant, name: &str, snapshots: &(String, String)) -> (i64, i64) {
    let claims = [format!("{name}-a"), format!("{name}-b")];
    let items = json!([
        tenant.claim(&claims[0], "64Mi", Some(&snapshots.0)),
        tenant.claim(&claims[1], "64Mi", Some(&snapshots.1)),
        pod(name, [&claims[0], &claims[1]], "exec sleep 86400"),
    ]);
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
    tenant.kubectl(&["wait", &format!("pod/{name}"), "--for=condition=Ready", "--timeout=120s"]);
    let numbers = tenant.kubectl(&["exec", name, "--", "cat", "/a/n", "/b/n"]);
    let numbers: Vec<i64> = numbers.lines().map(|line| line.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_group_is_of_one_moment_and_snapshots_one_by_one_are_not() {
    let tenant = Tenant::empty("moment");
    two_claims(&tenant);
    // Each number is on the disk of `a` before it is written to `b`.
    let write = |volume| format!("printf '%09d\\n' $n | dd of=/{volume}/n conv=notrunc,fsync 2>/dev/null");
    let writer = format!("n=0; while :; do n=$((n + 1)); {}; {}; done", write("a"), write("b"));
    apply(&tenant.namespace, &pod("writer", ["a", "b"], &writer));
    tenant.kubectl(&["wait", "pod/writer", "--for=condition=Ready", "--timeout=120s"]);
    let written = || {
        let output = kubectl_with(&["-n", &tenant.namespace, "exec", "writer", "--", "cat", "/b/n"], "");
        String::from_utf8_lossy(&output.stdout).trim().parse::<i64>().unwrap_or_default()
    };
    until("the writer writes", 60, || (written() > 10).then_some(()));

    let mut last = 0;
    for name in ["one", "two"] {
        let before = written();
        take_group(&tenant, name, "csi-local");
        group_is_ready(&tenant, name);
        let (a, b) = restored(&tenant, name, &two_ready_members(&tenant, name));
        assert!(a - b == 0 || a - b == 1, "{a} in one volume, {b} in the other");
        assert!(a >= before && a > last, "{a} is older than {before} or {last}");
        last = a;
    }

    let apart = Class::new("apart", &json!({"cut-apart": "3s"}));
    let single = |claim| {
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": format!("single-{claim}")},
            "spec": {"volumeSnapshotClassName": apart.0, "source": {"persistentVolumeClaimName": claim}},
        })
    };
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": [single("a"), single("b")]}));
    let ready = ["wait", "volumesnapshot/single-a", "volumesnapshot/single-b"];
    tenant.kubectl(&[&ready[..], &["--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"]].concat());
    let (a, b) = restored(&tenant, "single", &("single-a".into(), "single-b".into()));
    assert!(a - b != 0 && a - b != 1, "cut three seconds apart, {a} and {b} are of one moment");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_faults_of_a_group_can_be_had() {
    let tenant = Tenant::empty("groupfault");
    two_claims(&tenant);
    let claims = |group| members(&tenant, group).into_iter().map(|member| member.0).collect::<Vec<_>>();

    let failing = [
        ("fails", json!({"fail": "the array is on fire"}), "the array is on fire"),
        ("half", json!({"fail-member": "1"}), "the copy of volume pvc-"),
    ];
    for (name, parameters, why) in failing {
        let class = Class::of_groups(name, &parameters);
        take_group(&tenant, name, &class.0);
        let said = until("the group has an error", 60, || {
            let group = tenant.get(&["volumegroupsnapshot", name]);
            Some(group["status"]["error"]["message"].as_str()?.to_string())
        });
        assert!(said.contains(why), "{said}");
        assert_eq!(claims(name), [""; 0]);
        // It would be tried for ever.
        tenant.kubectl(&["delete", "volumegroupsnapshot", name, "--timeout=60s"]);
    }

    let class = Class::of_groups("fewer", &json!({"leave-out": "0"}));
    take_group(&tenant, "fewer", &class.0);
    group_is_ready(&tenant, "fewer");
    until("its only member", 30, || (claims("fewer").len() == 1).then_some(()));

    let class = Class::of_groups("later", &json!({"members-ready-after": "8s", "freeze": "false"}));
    take_group(&tenant, "later", &class.0);
    group_is_ready(&tenant, "later");
    let ready = members(&tenant, "later").iter().filter(|member| member.2).count();
    assert_eq!(ready, 0, "the group is ready before its members");
    two_ready_members(&tenant, "later");
}

/// A pod that has written `kept` into both volumes.
fn two_kept_claims(tenant: &Tenant) {
    two_claims(tenant);
    let write =
        "for d in a b; do echo kept >/$d/kept && sync -f /$d || exit; done; touch /tmp/written; exec sleep 86400";
    let mut holder = pod("holder", ["a", "b"], write);
    holder["spec"]["containers"][0]["readinessProbe"] =
        json!({"exec": {"command": ["test", "-e", "/tmp/written"]}, "periodSeconds": 1});
    apply(&tenant.namespace, &holder);
    tenant.kubectl(&["wait", "pod/holder", "--for=condition=Ready", "--timeout=120s"]);
}

fn content_object(name: &str) -> Value {
    serde_json::from_str(&kubectl(&["get", "volumesnapshotcontent", name, "-o", "json"])).unwrap()
}

/// The policy and the deletion of a content, and the deletion and the finalizers of a snapshot.
fn state(tenant: &Tenant, snapshot: &str) -> [Value; 4] {
    let object = tenant.get(&["volumesnapshot", snapshot]);
    let content = content_object(&tenant.content(snapshot));
    let of = |object: &Value, field: &str| object["metadata"][field].clone();
    let policy = content["spec"]["deletionPolicy"].clone();
    [policy, of(&content, "deletionTimestamp"), of(&object, "deletionTimestamp"), of(&object, "finalizers")]
}

/// Whether the local driver has a file of this snapshot.
fn is_stored(handle: &str) -> bool {
    let find = ["/var/lib/backup-ns-cluster/csi", "-name", &format!("{handle}*")];
    !is_local() || !Command::new("find").args(find).output().unwrap().stdout.is_empty()
}

/// The VolumeGroupSnapshotContent of a group, and the storage's names of its two members.
fn group_content(tenant: &Tenant, group: &str) -> (String, Vec<String>) {
    let group = tenant.get(&["volumegroupsnapshot", group]);
    let name = group["status"]["boundVolumeGroupSnapshotContentName"].as_str().unwrap().to_string();
    let content: Value =
        serde_json::from_str(&kubectl(&["get", "volumegroupsnapshotcontent", &name, "-o", "json"])).unwrap();
    let members = content["status"]["volumeSnapshotInfoList"].as_array().unwrap().iter();
    (name, members.map(|member| member["snapshotHandle"].as_str().unwrap().to_string()).collect())
}

/// Runs the commands of a remedy as they were printed, with `NAME` filled in.
fn follow(said: &str, name: &str) {
    let remedy = said.lines().find_map(|line| line.split_once("remedy=\"")).unwrap_or_else(|| panic!("{said}")).1;
    let remedy = remedy.replace("\\\"", "\u{1}");
    let remedy = remedy.split('"').next().unwrap().replace('\u{1}', "\"");
    let mut commands: Vec<String> = Vec::new();
    for part in remedy.split("kubectl ").skip(1).filter(|part| !part.starts_with("get ")) {
        let ends = [" deletes ", " then deletes ", ", then ", ";"];
        let end = ends.iter().filter_map(|end| part.find(end)).min().unwrap_or(part.len());
        commands.push(format!("kubectl {}", &part[..end]).replace("NAME", name));
    }
    assert!(!commands.is_empty(), "{said}");
    for command in commands {
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn no_member_of_a_group_is_deleted_alone() {
    let tenant = Tenant::empty("member");
    two_kept_claims(&tenant);
    let class = Class::of_groups("member", &json!({}));
    for (group, class) in [("one", "csi-local"), ("two", &class.0)] {
        take_group(&tenant, group, class);
        group_is_ready(&tenant, group);
        // Moments are compared by the second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let one = two_ready_members(&tenant, "one");
    two_ready_members(&tenant, "two");
    let (group_content, handles) = group_content(&tenant, "one");
    assert_eq!(handles.len(), 2);
    let content = tenant.content(&one.0);
    let due = ["backup-ns.sh/retain=days", "backup-ns.sh/delete-after=2026-01-01"];
    tenant.kubectl(&[&["label", "volumesnapshot", &one.0][..], &due].concat());
    // One of ours goes in the same run.
    let ours = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": "ours", "labels": {"backup-ns.sh/retain": "days", "backup-ns.sh/delete-after": "2026-01-01"}},
        "spec": {"source": {"persistentVolumeClaimName": "b"}},
    });
    apply(&tenant.namespace, &ours);
    let newer = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": "newer", "labels": {"backup-ns.sh/retain": "days"}},
        "spec": {"source": {"persistentVolumeClaimName": "b"}},
    });
    tenant.kubectl(&["wait", "volumesnapshot/ours", "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    apply(&tenant.namespace, &newer);
    tenant.kubectl(&["wait", "volumesnapshot/newer", "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"]);
    // The newest of `a` that is pruned must be another than the member.
    let two = two_ready_members(&tenant, "two");
    tenant.kubectl(&["label", "volumesnapshot", &two.0, "backup-ns.sh/retain=days"]);

    let before = state(&tenant, &one.0);
    let run = |code, args: &[&str], words: &[&str]| {
        let done = tenant.run(args, |_| ()).done();
        done.assert(code, words);
        done
    };
    let group = format!("kubectl delete volumegroupsnapshot one -n {}", tenant.namespace);
    let swept = run(0, &["mark-and-delete", "--delete-interval=0s"], &["VolumeGroupSnapshot one", &group]);
    let account: Value = serde_json::from_str(&swept.stdout).unwrap();
    assert_eq!((&account["summary"]["done"], &account["summary"]["failed"]), (&json!(1), &json!(0)), "{account}");
    until("ours goes", 30, || (!tenant.snapshots().contains(&"ours".to_string())).then_some(()));
    assert_eq!(state(&tenant, &one.0), before);
    run(4, &["delete", &one.0, "--yes"], &["VolumeGroupSnapshot one", &group]);
    let said = run(4, &["delete", &one.0, "--yes", "--force"], &["VolumeGroupSnapshot one", &group]);
    run(4, &["delete-vsc", &content, "--yes"], &["VolumeGroupSnapshot one", &group]);
    assert_eq!(state(&tenant, &one.0), before);
    assert!(handles.iter().all(|handle| is_stored(handle)));

    // A clone of a member brings its data over and goes.
    let staging = Tenant::empty("membercopy");
    run(0, &["restore", &one.0, "--to-namespace", &staging.namespace, "--pvc", "copy", "--wait"], &[]);
    assert_eq!(staging.snapshots(), [""; 0]);
    let handle = content_object(&content)["status"]["snapshotHandle"].clone();
    let contents_of = || {
        let list: Value = serde_json::from_str(&kubectl(&["get", "volumesnapshotcontents", "-o", "json"])).unwrap();
        let same = |content: &&Value| content["status"]["snapshotHandle"] == handle;
        let name = |content: &Value| content["metadata"]["name"].as_str().unwrap().to_string();
        list["items"].as_array().unwrap().iter().filter(same).map(name).collect::<Vec<_>>()
    };
    until("the clone's content goes", 30, || (contents_of() == [content.clone()]).then_some(()));
    assert_eq!(state(&tenant, &one.0), before);

    // The remedy as it was printed: under Retain the contents of the members are left.
    follow(&said.stderr, "");
    until("the members go", 30, || (!tenant.snapshots().contains(&one.0)).then_some(()));
    assert!(handles.iter().all(|handle| is_stored(handle)));
    run(4, &["delete-vsc", &content, "--yes", "--keep-data"], &["kubectl delete volumegroupsnapshotcontent"]);
    let said = run(4, &["delete-vsc", &content, "--yes"], &["kubectl delete volumegroupsnapshotcontent"]);
    assert_eq!(content_object(&content)["spec"]["deletionPolicy"], "Retain");
    assert!(handles.iter().all(|handle| is_stored(handle)));
    follow(&said.stderr, &group_content);
    until("the data goes", 30, || handles.iter().all(|handle| !is_local() || !is_stored(handle)).then_some(()));
    let gone = kubectl_with(&["get", "volumesnapshotcontent", &content], "");
    assert!(!gone.status.success());
    kubectl(&["delete", "volumesnapshotcontent", &content_of_b(&handles, &handle)]);
    run(0, &["delete", "newer", "--yes", "--force"], &[]);
}

/// The content of the group's other member.
fn content_of_b(handles: &[String], of_a: &Value) -> String {
    let list: Value = serde_json::from_str(&kubectl(&["get", "volumesnapshotcontents", "-o", "json"])).unwrap();
    let other = handles.iter().find(|handle| **handle != *of_a).unwrap();
    let content = list["items"].as_array().unwrap().iter().find(|item| item["status"]["snapshotHandle"] == *other);
    content.unwrap()["metadata"]["name"].as_str().unwrap().into()
}
