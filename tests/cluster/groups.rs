//! Group snapshots of the cluster itself, by plain kubectl: that its driver cuts all members at one moment, that the tests
//! would notice members of several moments, and that its fault parameters do what kind/README.md says.

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
