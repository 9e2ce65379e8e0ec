//! What the cluster tests stand on: a namespace with a real PostgreSQL, the real binary, and the means to break things.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const DUMP: &str = "/var/lib/postgresql/data/dump.sql.gz";

/// A text about dump files in gzip as one about the format of this run: that of BACKUP_NS_TEST_FORMAT, `zst`, or gzip.
pub fn in_format(text: &str) -> String {
    match std::env::var("BACKUP_NS_TEST_FORMAT").as_deref() {
        Ok("zst") => text
            .replace(".gz", ".zst")
            .replace("gzip -", "zstd -q -")
            .replace("gzip >", "zstd -q >")
            .replace("| gzip", "| zstd -q"),
        _ => text.into(),
    }
}

/// The settings that choose the format of this run.
pub fn format_settings() -> Vec<(String, String)> {
    let files = [("POSTGRES", DUMP), ("MYSQL", "/var/lib/mysql/dump.sql.gz")];
    let all = files.map(|(engine, file)| (format!("BAK_DB_{engine}_DUMP_FILE"), in_format(file)));
    all.into_iter().filter(|(_, file)| file.ends_with(".zst")).collect()
}

/// Waits until `done` says so; what is waited for never depends on how fast the machine is.
pub fn until<T>(what: &str, seconds: u64, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_string()
}

/// Runs kubectl with something on stdin.
pub fn kubectl_with(args: &[&str], input: &str) -> Output {
    piped(Command::new("kubectl").args(args.iter().map(|arg| in_format(arg))), input)
}

/// Runs a program of the PATH with this on its stdin.
pub fn piped(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/bin/tools.sh has what is missing"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

/// Runs kubectl, which must succeed; its stdout.
pub fn kubectl(args: &[&str]) -> String {
    let output = kubectl_with(args, "");
    assert!(output.status.success(), "kubectl {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

pub fn apply(namespace: &str, manifest: &Value) {
    let output = kubectl_with(&["-n", namespace, "apply", "-f", "-"], &manifest.to_string());
    assert!(output.status.success(), "apply: {}", text(&output.stderr));
}

/// A kubeconfig by which one is another user; it goes with the test.
pub fn kubeconfig_as(user: &str) -> tempfile::NamedTempFile {
    let mut config: Value =
        serde_json::from_str(&kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])).unwrap();
    config["users"][0]["user"]["as"] = json!(user);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config.to_string().as_bytes()).unwrap();
    file
}

/// The project's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Stops or starts a component of the local cluster.
pub fn component(verb: &str, name: &str) {
    let output = Command::new(root().join("kind/local/local.sh")).args([verb, name]).output().unwrap();
    assert!(output.status.success(), "{verb} {name}: {}", text(&output.stderr));
}

/// Starts a component again however the test ends.
pub struct Started(pub &'static str);

impl Drop for Started {
    fn drop(&mut self) {
        component("start", self.0);
    }
}

/// Whether the cluster is the local one, whose components can be stopped.
pub fn is_local() -> bool {
    let local = std::env::var("KUBECONFIG").is_ok_and(|path| path.starts_with("/var/lib/backup-ns-cluster/"));
    if !local {
        eprintln!("LEFT OUT: this test stops components, which only the local cluster of kind/local lets it do");
    }
    local
}

/// Has one more image in the cluster, as of a newer database server. Where that cannot be had, the test is left out: the file
/// `target/left-out.txt`, which tests/bin/slow.sh prints at its end, names it.
pub fn has_image(image: &str) -> bool {
    let output = Command::new(root().join("kind/cluster.sh")).args(["image", image]).output().unwrap();
    if output.status.code() == Some(4) {
        let test = std::thread::current().name().unwrap_or_default().to_string();
        let why = text(&output.stderr).replace('\n', " ");
        let file = root().join("target/left-out.txt");
        std::fs::create_dir_all(root().join("target")).unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{test}: no image {image}: {why}").unwrap();
        return false;
    }
    assert!(output.status.success(), "{image}: {}", text(&output.stderr));
    true
}

/// The cluster as tests use it: most beside each other, those that stop a part of it or change all namespaces alone.
static CLUSTER: RwLock<()> = RwLock::new(());

/// One release of the chart at a time, because its ClusterRoles have no namespace.
static RELEASES: Mutex<()> = Mutex::new(());

/// What a test holds of the cluster until its thread ends.
#[derive(Default)]
struct Turn {
    alone: Option<RwLockWriteGuard<'static, ()>>,
    beside_others: Option<RwLockReadGuard<'static, ()>>,
    release: Option<MutexGuard<'static, ()>>,
}

thread_local! {
    static TURN: RefCell<Turn> = RefCell::default();
}

/// Waits until no other test uses the cluster, and keeps others away until this test ends. Call it before anything else.
pub fn alone() {
    TURN.with_borrow_mut(|turn| {
        assert!(turn.beside_others.is_none(), "this test already uses the cluster beside others");
        // A test that failed leaves the lock poisoned, and the cluster as usable as before.
        turn.alone.get_or_insert_with(|| CLUSTER.write().unwrap_or_else(|error| error.into_inner()));
    });
}

/// Waits until no test is to be alone. Called by whatever makes a namespace.
pub fn beside_others() {
    TURN.with_borrow_mut(|turn| {
        if turn.alone.is_none() {
            turn.beside_others.get_or_insert_with(|| CLUSTER.read().unwrap_or_else(|error| error.into_inner()));
        }
    });
}

/// Waits until no other test has a release of the chart.
pub fn with_a_release() {
    beside_others();
    TURN.with_borrow_mut(|turn| {
        turn.release.get_or_insert_with(|| RELEASES.lock().unwrap_or_else(|error| error.into_inner()));
    });
}

/// A namespace of its own with a PostgreSQL; it goes with the test.
pub struct Tenant {
    pub namespace: String,
}

impl Tenant {
    /// An empty namespace.
    pub fn empty(name: &str) -> Tenant {
        beside_others();
        let namespace = format!("t-{name}-{:x}", std::process::id());
        kubectl(&["create", "namespace", &namespace]);
        Tenant { namespace }
    }

    /// The demo workload as the README's first command makes it.
    pub fn demo(name: &str) -> Tenant {
        Tenant::of(name, "postgres.yaml")
    }

    /// A workload of kind/demo.
    pub fn of(name: &str, manifest: &str) -> Tenant {
        let tenant = Tenant::empty(name);
        let manifest = root().join("kind/demo").join(manifest);
        tenant.kubectl(&["apply", "-f", manifest.to_str().unwrap()]);
        tenant.await_ready();
        tenant
    }

    /// A volume, and a pod without a database that mounts it.
    pub fn volume(name: &str) -> Tenant {
        let tenant = Tenant::empty(name);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holder"},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "holder", "image": "postgres:15", "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "echo kept >/data/kept && sync -f /data && touch /tmp/written && exec sleep 86400"],
                    "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/written"]}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        });
        let items = json!([tenant.claim("data", "256Mi", None), pod]);
        apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
        tenant.kubectl(&["wait", "pod/holder", "--for=condition=Ready", "--timeout=120s"]);
        tenant
    }

    /// A small database with one table that a test can lock, in a volume of `mebibytes`. `change` has the last word on
    /// the Deployment.
    pub fn small(name: &str, mebibytes: u32, change: impl Fn(&mut Value)) -> Tenant {
        let tenant = Tenant::empty(name);
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app-base"},
            "spec": {
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": {"app": "app-base"}},
                "template": {
                    "metadata": {"labels": {"app": "app-base"}},
                    "spec": {
                        "terminationGracePeriodSeconds": 2,
                        "containers": [{
                            "name": "postgres", "image": "postgres:15", "imagePullPolicy": "IfNotPresent",
                            "env": [
                                {"name": "POSTGRES_USER", "value": "app"},
                                {"name": "POSTGRES_DB", "value": "app"},
                                {"name": "POSTGRES_PASSWORD", "value": "hunter2 '$HOME"},
                                {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
                                {"name": "POSTGRES_INITDB_ARGS", "value": "--no-sync --wal-segsize=1"},
                            ],
                            "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "app"]}, "periodSeconds": 1},
                            "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
                        }],
                        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                    },
                },
            },
        });
        change(&mut deployment);
        apply(
            &tenant.namespace,
            &json!({"apiVersion": "v1", "kind": "List", "items": [tenant.claim("data", &format!("{mebibytes}Mi"), None), deployment]}),
        );
        tenant.await_ready();
        tenant.sql("CREATE TABLE gate (n int); INSERT INTO gate SELECT generate_series(1, 1000)");
        tenant
    }

    /// A claim, made from a snapshot or new.
    pub fn claim(&self, name: &str, size: &str, snapshot: Option<&str>) -> Value {
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
        });
        if let Some(snapshot) = snapshot {
            claim["spec"]["dataSource"] =
                json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot});
        }
        claim
    }

    /// A kubeconfig for this namespace with the rights of one of its accounts.
    pub fn kubeconfig(&self, account: &str) -> tempfile::NamedTempFile {
        let mut config: Value = serde_json::from_str(&kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
        config["users"][0]["user"] = json!({"token": self.kubectl(&["create", "token", account])});
        config["contexts"][0]["context"]["namespace"] = json!(self.namespace);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        file
    }

    pub fn await_ready(&self) {
        self.kubectl(&["rollout", "status", "deployment/app-base", "--timeout=180s"]);
    }

    pub fn kubectl(&self, args: &[&str]) -> String {
        kubectl(&[&["-n", &self.namespace], args].concat())
    }

    pub fn get(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[&["get", "-o", "json"], args].concat())).unwrap()
    }

    /// The database's pod.
    pub fn pod(&self) -> String {
        self.kubectl(&["get", "pods", "-l", "app=app-base", "-o", "jsonpath={.items[0].metadata.name}"])
    }

    /// Runs a script in the database's container; its stdout, whatever its status.
    pub fn sh(&self, script: &str) -> String {
        let args = ["-n", &self.namespace, "exec", "deploy/app-base", "-c", "postgres", "--", "sh", "-c", script];
        text(&kubectl_with(&args, "").stdout)
    }

    /// Asks the database.
    pub fn sql(&self, statement: &str) -> String {
        let script = "PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -XAtq -v ON_ERROR_STOP=1";
        let args = ["-n", &self.namespace, "exec", "-i", "deploy/app-base", "-c", "postgres", "--", "sh", "-c", script];
        let output = kubectl_with(&args, statement);
        assert!(output.status.success(), "{statement}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Locks the table `gate`, so that a pg_dump waits in front of it, until the gate is dropped.
    pub fn gate(&self) -> Gate {
        let script = "PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -XAtq";
        let mut command = Command::new("kubectl");
        command.args([
            "-n",
            &self.namespace,
            "exec",
            "-i",
            "deploy/app-base",
            "-c",
            "postgres",
            "--",
            "sh",
            "-c",
            script,
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lock = "BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n";
        child.stdin.as_mut().unwrap().write_all(lock.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        Gate(child)
    }

    /// Waits until a pg_dump runs in the container.
    pub fn await_dump(&self) {
        // The one that dumps, not the one that is asked for its version; the brackets keep the question from finding itself.
        let dumps = || !self.sh("pgrep -f '[p]g_dump --no-password'").is_empty();
        until("a pg_dump in the container", 30, || dumps().then_some(()));
    }

    /// What backup-ns may leave in the container: a part of the dump's pipe, a file.
    pub fn traces(&self) -> String {
        self.sh("pgrep -lx 'pg_dump|gzip|pigz|zstd|tee|cat|sha256sum|tail'; cd /var/lib/postgresql/data && ls -d *backup-ns* 2>/dev/null")
    }

    /// Nothing of backup-ns is left in the container within 5 s, and the dump is the one it was.
    pub fn assert_clean(&self, old_sum: &str) {
        self.assert_clean_within(5, old_sum);
    }

    pub fn assert_clean_within(&self, seconds: u64, old_sum: &str) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end && !self.traces().is_empty() {
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(self.traces(), "", "left in the container after {seconds} s");
        assert_eq!(self.sum(), old_sum, "the last good dump");
        self.assert_unharmed();
    }

    /// The database never took a process of ours for one of its own that crashed: where the server is process 1, it
    /// adopts orphans, and restarts everything when one ends by a signal.
    pub fn assert_unharmed(&self) {
        let log = self.kubectl(&["logs", "deployment/app-base", "-c", "postgres", "--tail=-1"]);
        assert!(!log.contains("was terminated by signal") && !log.contains("reinitializing"), "{log}");
    }

    /// SHA-256 of the dump; empty if there is none.
    pub fn sum(&self) -> String {
        self.sh(&format!("sha256sum {DUMP} | cut -d ' ' -f 1"))
    }

    /// `backup-ns create` with these arguments besides the usual ones.
    pub fn create(&self, args: &[&str]) -> Backup {
        self.create_with(args, |_| ())
    }

    pub fn create_with(&self, args: &[&str], change: impl Fn(&mut Command)) -> Backup {
        // A database that is not named otherwise is PostgreSQL.
        let named = args.iter().any(|arg| arg.starts_with("--db-mysql") || arg.starts_with("--db-skip"));
        let create: &[&str] = if named { &["create"] } else { &["create", "--db-postgres"] };
        self.run(&[create, args].concat(), change)
    }

    /// `backup-ns` with these arguments, in this namespace.
    pub fn run(&self, args: &[&str], change: impl Fn(&mut Command)) -> Backup {
        // The tests may run with signals ignored, as nohup(1) and a shell's background do; this does not.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_backup-ns")]);
        command.args(["-n", &self.namespace, "-o", "json"]).args(args.iter().map(|arg| in_format(arg)));
        command.envs(format_settings());
        change(&mut command);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Backup(child)
    }

    /// A backup that must succeed; its summary.
    pub fn backup(&self, args: &[&str]) -> Value {
        let done = self.create(args).done();
        assert!(done.status.success(), "{}", done.stderr);
        self.assert_unharmed();
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// A snapshot of the volume with these labels, ready; made without a dump.
    pub fn snapshot(&self, name: &str, labels: &Value) {
        let mut all = json!({"backup-ns.sh/pvc": "data", "backup-ns.sh/type": "adhoc"});
        all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": name, "labels": all},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
        });
        apply(&self.namespace, &snapshot);
        self.kubectl(&["wait", "volumesnapshot", name, "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"]);
    }

    /// The names of the namespace's snapshots.
    pub fn snapshots(&self) -> Vec<String> {
        let list = self.get(&["volumesnapshots"]);
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_string();
        list["items"].as_array().unwrap().iter().map(name).collect()
    }

    /// The VolumeSnapshotContent that holds a snapshot's data.
    pub fn content(&self, snapshot: &str) -> String {
        let snapshot = self.get(&["volumesnapshot", snapshot]);
        snapshot["status"]["boundVolumeSnapshotContentName"].as_str().unwrap().to_string()
    }

    /// A pod that mounts the volume of a snapshot at /restored, in a PostgreSQL of its own.
    pub fn scratch(&self, snapshot: &str) {
        let probe = json!(["pg_isready", "-h", "127.0.0.1", "-U", "app"]);
        self.scratch_in("postgres:15", snapshot, &[("POSTGRES_USER", "app"), ("POSTGRES_PASSWORD", "x")], &probe);
    }

    /// A pod that mounts the volume of a snapshot at /restored, in a MariaDB of its own.
    pub fn scratch_mariadb(&self, snapshot: &str) {
        let probe = json!(["mariadb-admin", "-h127.0.0.1", "-uroot", "-px", "ping"]);
        let env = [("MARIADB_ROOT_PASSWORD", "x"), ("MARIADB_DATABASE", "app")];
        self.scratch_in("mariadb:10.11", snapshot, &env, &probe);
    }

    fn scratch_in(&self, image: &str, snapshot: &str, env: &[(&str, &str)], probe: &Value) {
        let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let size = self.get(&["pvc", "data"])["spec"]["resources"]["requests"]["storage"].as_str().unwrap().to_string();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "scratch"},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "scratch", "image": image, "imagePullPolicy": "IfNotPresent", "env": env,
                    "readinessProbe": {"exec": {"command": probe}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "restored", "mountPath": "/restored"}],
                }],
                "volumes": [{"name": "restored", "persistentVolumeClaim": {"claimName": "restored"}}],
            },
        });
        let items = json!([self.claim("restored", &size, Some(snapshot)), pod]);
        apply(&self.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
        self.kubectl(&["wait", "pod/scratch", "--for=condition=Ready", "--timeout=120s"]);
    }

    /// Runs a script in the scratch pod.
    pub fn scratch_sh(&self, script: &str) -> (bool, String) {
        let output = kubectl_with(&["-n", &self.namespace, "exec", "scratch", "--", "sh", "-c", script], "");
        (output.status.success(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        kubectl_with(&["delete", "namespace", &self.namespace, "--wait=false"], "");
    }
}

/// A locked table; dropping it opens the way.
pub struct Gate(Child);

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A running backup-ns.
pub struct Backup(pub Child);

/// How it ended.
pub struct Done {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Ended with this code and these words.
    pub fn assert(&self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no '{word}' in: {}", self.stderr);
        }
        if code != 0 {
            assert!(self.stderr.contains("remedy"), "no remedy in: {}", self.stderr);
        }
    }
}

impl Backup {
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn done(mut self) -> Done {
        let mut stderr = self.0.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).ok();
            text
        });
        let mut stdout = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut stdout).ok();
        let status = self.0.wait().unwrap();
        Done { status, stdout, stderr: errors.join().unwrap() }
    }

    /// Reads stderr up to a line with `word`; what was read.
    pub fn until_says(&mut self, word: &str) -> String {
        let mut seen = String::new();
        let stderr = self.0.stderr.as_mut().unwrap();
        let mut byte = [0u8];
        while stderr.read(&mut byte).unwrap_or(0) == 1 {
            seen.push(char::from(byte[0]));
            if byte[0] == b'\n' && seen.contains(word) {
                return seen;
            }
        }
        panic!("it ended without saying '{word}': {seen}");
    }
}

/// The command lines of every process on this machine.
pub fn command_lines() -> String {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}

/// A VolumeSnapshotClass or VolumeGroupSnapshotClass of the local driver with a fault; it goes with the test.
pub struct Class(pub String, &'static str);

impl Class {
    pub fn new(name: &str, parameters: &Value) -> Class {
        Class::of("snapshot.storage.k8s.io/v1", "VolumeSnapshotClass", name, parameters)
    }

    pub fn of_groups(name: &str, parameters: &Value) -> Class {
        Class::of("groupsnapshot.storage.k8s.io/v1", "VolumeGroupSnapshotClass", name, parameters)
    }

    fn of(api: &str, kind: &'static str, name: &str, parameters: &Value) -> Class {
        let name = format!("{name}-{:x}", std::process::id());
        let class = json!({
            "apiVersion": api, "kind": kind, "metadata": {"name": name}, "driver": "csi-local.backup-ns.sh",
            "deletionPolicy": "Delete", "parameters": parameters,
        });
        apply("default", &class);
        Class(name, kind)
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        kubectl_with(&["delete", self.1, &self.0, "--wait=false"], "");
    }
}

/// The image of the Dockerfile, by the name that the chart has for it; `kind/image.sh load` makes it.
pub const IMAGE: &str = concat!("ghcr.io/backup-ns/backup-ns:", env!("CARGO_PKG_VERSION"));

/// The real kubectl.
pub fn real_kubectl() -> PathBuf {
    let path = std::env::var("PATH").unwrap();
    let kubectl = path.split(':').map(|dir| Path::new(dir).join("kubectl")).find(|path| path.exists()).unwrap();
    kubectl.canonicalize().unwrap()
}

/// Runs Helm in the project's folder, which must succeed; its stdout.
pub fn helm(args: &[&str]) -> String {
    let output = Command::new("helm").args(args).current_dir(root()).output();
    let output = output.expect("helm in the PATH; tests/bin/tools.sh has it");
    assert!(output.status.success(), "helm {args:?}: {}{}", text(&output.stderr), text(&output.stdout));
    text(&output.stdout)
}

/// A suspended CronJob whose container runs this program with these arguments, as the chart's account.
pub fn cronjob(tenant: &Tenant, name: &str, args: &[&str], change: impl Fn(&mut Value)) {
    let mut cronjob = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {"schedule": "0 3 * * *", "suspend": true, "jobTemplate": {
            "metadata": {"labels": {"team": "shop"}},
            "spec": {"backoffLimit": 0, "template": {"spec": {
                "serviceAccountName": "backup-ns", "restartPolicy": "Never",
                "containers": [{
                    "name": "backup-ns", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "args": args,
                    "env": [
                        {"name": "BAK_LABEL_VS_TYPE", "value": "cronjob"}, {"name": "BAK_DB_POSTGRES", "value": "true"},
                    ],
                }],
            }}},
        }},
    });
    change(&mut cronjob);
    apply(&tenant.namespace, &cronjob);
}

/// The account that makes backups, with the chart's Role.
pub fn account(tenant: &Tenant) {
    let namespace = format!("--namespace={}", tenant.namespace);
    let parts = ["--show-only=templates/serviceaccount.yaml", "--show-only=templates/role.yaml"];
    let template = ["template", "backup-ns", "charts/backup-ns", "--set=config.dbPostgres=true", &namespace];
    let applied = kubectl_with(&["apply", "-f", "-"], &helm(&[&template[..], &parts].concat()));
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}
