//! The remotes of docs/export.md, with the real restic and rclone: what a stolen Secret of the cluster cannot do there, and how a
//! copy comes back.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::kit::*;

/// A pod with one program that serves.
pub fn server(tenant: &Tenant, name: &str, image: &str, args: &[&str], env: &[(&str, &str)], port: u16) -> String {
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "args": args, "env": env,
                "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
                "volumeMounts": [{"name": "data", "mountPath": "/srv"}],
            }],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    });
    apply(&tenant.namespace, &pod);
    tenant.kubectl(&["wait", &format!("pod/{name}"), "--for=condition=Ready", "--timeout=120s"]);
    let address = tenant.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"]);
    format!("{address}:{port}")
}

/// A Secret of the cluster, whose variables a thief has.
struct Secret(Vec<(String, String)>);

impl Secret {
    fn new(tenant: &Tenant, variables: &[(&str, &str)]) -> Secret {
        let data: serde_json::Map<String, Value> =
            variables.iter().map(|(name, value)| ((*name).to_string(), json!(value))).collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "export"}, "stringData": data});
        apply(&tenant.namespace, &secret);
        Secret(variables.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect())
    }

    /// Runs restic on this machine with its variables.
    fn restic(&self, scratch: &tempfile::TempDir, args: &[&str]) -> Output {
        let mut command = Command::new("restic");
        command.args(args).envs(self.0.clone()).env("RESTIC_CACHE_DIR", scratch.path().join("cache"));
        command.stdin(std::fs::File::open(scratch.path().join("dump")).unwrap());
        command.output().unwrap()
    }

    /// Makes a repository with one copy of 3 MB.
    fn export(&self, scratch: &tempfile::TempDir) {
        let noise = Command::new("head").args(["-c", "3000000", "/dev/urandom"]).output().unwrap();
        std::fs::write(scratch.path().join("dump"), noise.stdout).unwrap();
        for args in [&["init"][..], &["backup", "--host=shop", "--stdin", "--stdin-filename=/shop/data/dump.sql"]] {
            let output = self.restic(scratch, args);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    fn comes_back(&self, scratch: &tempfile::TempDir) -> bool {
        let output = self.restic(scratch, &["--no-cache", "dump", "latest", "/shop/data/dump.sql"]);
        output.status.success() && output.stdout == std::fs::read(scratch.path().join("dump")).unwrap()
    }
}

/// The HTTP status of a request.
fn status(args: &[&str]) -> String {
    let output =
        Command::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A block of docs/export.md: the first of its kind that holds these words.
fn block_of_the_document(kind: &str, words: &str) -> String {
    let document = std::fs::read_to_string(root().join("docs/export.md")).unwrap();
    let lead = format!("```{kind}\n");
    let mut blocks = document.split(&lead).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_string());
    blocks.find(|block| block.contains(words)).unwrap_or_else(|| panic!("no block with {words}"))
}

/// Deletes and overwrites each file of a repository behind restic's protocol; how often the server allowed it, of how many.
fn destroy(tenant: &Tenant, pod: &str, url: &str) -> (usize, usize) {
    let script = "cd /srv/shop && find . -type f ! -path './locks/*' | sed 's|/data/../|/data/|; s|^./||'";
    let files = tenant.kubectl(&["exec", pod, "--", "sh", "-c", script]);
    let (mut allowed, mut all) = (0, 0);
    for file in files.lines() {
        for request in [&["-X", "POST", "--data-binary", "junk"][..], &["-X", "DELETE"]] {
            let status = status(&[request, &[&format!("{url}{file}")]].concat());
            all += 1;
            allowed += usize::from(status == "200");
        }
    }
    (allowed, all)
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_stolen_secret_takes_nothing_from_a_server_that_only_appends() {
    if !has_image("backup-ns/remotes:12") {
        return;
    }
    let tenant = Tenant::empty("appends");
    for (name, flag, survives) in [("appends", "--append-only", true), ("deletes", "--append-only=false", false)] {
        let args = [
            "rclone",
            "serve",
            "restic",
            flag,
            "--private-repos",
            "--user=shop",
            "--pass=word",
            "--addr=:8080",
            "/srv",
        ];
        let address = server(&tenant, name, "backup-ns/remotes:12", &args, &[], 8080);
        let url = format!("http://shop:word@{address}/shop/");
        let repository = format!("rest:{url}");
        let secret =
            Secret::new(&tenant, &[("RESTIC_REPOSITORY", repository.as_str()), ("RESTIC_PASSWORD", "key of shop")]);
        let scratch = tempfile::tempdir().unwrap();
        secret.export(&scratch);
        assert!(secret.comes_back(&scratch));
        assert_eq!(status(&[&format!("http://{address}/shop/config")]), "401");
        assert_eq!(status(&[&format!("http://shop:word@{address}/other/config")]), "403");

        let (allowed, all) = destroy(&tenant, name, &url);
        assert!(all >= 10, "{all}");
        assert_eq!(allowed == 0, survives, "{name}: {allowed} of {all}");
        if !survives {
            // The same attack finds its mark where the flag is missing.
            assert_eq!(secret.restic(&scratch, &["--no-cache", "snapshots"]).status.code(), Some(1));
            continue;
        }
        assert!(secret.comes_back(&scratch));
        // The policy of the document, on the server itself, removes the older of two copies of a day.
        secret.restic(&scratch, &["backup", "--host=shop", "--stdin", "--stdin-filename=/shop/data/dump.sql"]);
        let policy = block_of_the_document("sh", "restic forget");
        let script = format!("export RESTIC_PASSWORD='key of shop' RESTIC_REPOSITORY=/srv/shop; set -e; {policy}");
        tenant.kubectl(&["exec", name, "--", "sh", "-c", &script]);
        let left = secret.restic(&scratch, &["--no-cache", "snapshots", "--json"]);
        let left: Value = serde_json::from_slice(&left.stdout).unwrap();
        assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
        assert!(secret.comes_back(&scratch));
    }
}

/// The S3 server, as one of its users.
struct Bucket<'a> {
    address: &'a str,
    key: &'a str,
}

const BUCKET: &str = "shop-backups";

impl Bucket<'_> {
    /// Signs a request, sends it, and returns the status and the answer.
    fn ask(&self, method: &str, path: &str, body: &str, header: &str) -> (String, String) {
        let script = r#"
            sum=$(printf %s "$body" | sha256sum)
            md5=$(printf %s "$body" | openssl md5 -binary | base64)
            curl -sS -X "$1" --aws-sigv4 aws:amz:us-east-1:s3 --user "$2:secret of $2" -H "x-amz-content-sha256: ${sum%% *}" \
                -H "Content-MD5: $md5" -H "$4" --data-binary "$body" -w '\n%{http_code}' "$3""#;
        let url = format!("http://{}/{path}", self.address);
        let header = if header.is_empty() { "x-test: none" } else { header };
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", method, self.key, &url, header]).env("body", body);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').unwrap();
        (status.into(), answer.into())
    }

    fn status(&self, method: &str, path: &str, body: &str) -> String {
        self.ask(method, path, body, "").0
    }

    /// Key and id of each version.
    fn versions(&self) -> Vec<(String, String)> {
        let (_, answer) = self.ask("GET", &format!("{BUCKET}?versions="), "", "");
        let member =
            |text: &str, name: &str| text.split(&format!("<{name}>")).nth(1)?.split('<').next().map(String::from);
        let versions = answer.split("<Version>").skip(1);
        versions.filter_map(|version| Some((member(version, "Key")?, member(version, "VersionId")?))).collect()
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_stolen_secret_takes_nothing_from_a_bucket_with_versions() {
    if !has_image("backup-ns/s3:1") {
        return;
    }
    let tenant = Tenant::empty("bucket");
    let env = [
        ("ROOT_ACCESS_KEY", "admin"),
        ("ROOT_SECRET_KEY", "secret of admin"),
        ("USER_ACCESS_KEY", "cluster"),
        ("USER_SECRET_KEY", "secret of cluster"),
    ];
    let address = server(&tenant, "s3", "backup-ns/s3:1", &[":9000", "/srv"], &env, 9000);
    let (admin, thief) = (Bucket { address: &address, key: "admin" }, Bucket { address: &address, key: "cluster" });
    assert_eq!(admin.ask("PUT", BUCKET, "", "x-amz-bucket-object-lock-enabled: true").0, "200");
    let lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
        <Mode>COMPLIANCE</Mode><Days>180</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    assert_eq!(admin.status("PUT", &format!("{BUCKET}?object-lock="), lock), "200");
    // This server names its users by their keys.
    let policy =
        block_of_the_document("json", "s3:DeleteObject").replace("arn:aws:iam::111122223333:user/cluster", "cluster");
    assert_eq!(admin.status("PUT", &format!("{BUCKET}?policy="), &policy), "204");

    let repository = format!("s3:http://{address}/{BUCKET}/2026-q4");
    let secret = Secret::new(
        &tenant,
        &[
            ("RESTIC_REPOSITORY", repository.as_str()),
            ("RESTIC_PASSWORD", "key of shop"),
            ("AWS_ACCESS_KEY_ID", "cluster"),
            ("AWS_SECRET_ACCESS_KEY", "secret of cluster"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ],
    );
    let scratch = tempfile::tempdir().unwrap();
    secret.export(&scratch);
    assert!(secret.comes_back(&scratch));
    let before = admin.versions();
    assert!(before.len() >= 6, "{before:?}");

    for (key, version) in before.iter().filter(|(key, _)| !key.contains("/locks/")) {
        let path = format!("{BUCKET}/{key}");
        assert_eq!(thief.status("DELETE", &path, ""), "403", "{key}");
        assert_eq!(thief.status("DELETE", &format!("{path}?versionId={version}"), ""), "403", "{key}");
        // Writing over a file makes one more version, which hides the copy.
        assert_eq!(thief.status("PUT", &path, "junk"), "200", "{key}");
        // Not even the administrator removes a version that is locked.
        assert_eq!(admin.status("DELETE", &format!("{path}?versionId={version}"), ""), "403", "{key}");
    }
    for (setting, body) in [
        ("policy=", policy.as_str()),
        ("object-lock=", lock),
        ("versioning=", "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"),
    ] {
        assert_eq!(thief.status("PUT", &format!("{BUCKET}?{setting}"), body), "403", "{setting}");
    }
    assert_eq!(thief.status("DELETE", BUCKET, ""), "403");
    assert!(!secret.comes_back(&scratch), "the copy is hidden");

    // What the document says to do about that.
    let mut command = Command::new("sh");
    command.args(["-euc", &block_of_the_document("sh", "--s3-versions")]).current_dir(scratch.path());
    command.env_remove("AWS_CA_BUNDLE").env("RESTIC_PASSWORD", "key of shop");
    for (name, value) in [
        ("CONFIG", "/dev/null"),
        ("CONFIG_S3_TYPE", "s3"),
        ("CONFIG_S3_PROVIDER", "Other"),
        ("CONFIG_S3_REGION", "us-east-1"),
        ("CONFIG_S3_ACCESS_KEY_ID", "admin"),
        ("CONFIG_S3_SECRET_ACCESS_KEY", "secret of admin"),
        ("CONFIG_S3_ENDPOINT", &format!("http://{address}")),
    ] {
        command.env(format!("RCLONE_{name}"), value);
    }
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("no errors were found"), "{said}");
    let old = scratch.path().join("old");
    let copy = Secret(vec![
        ("RESTIC_REPOSITORY".into(), old.to_str().unwrap().into()),
        ("RESTIC_PASSWORD".into(), "key of shop".into()),
    ]);
    assert!(copy.comes_back(&scratch));
}
