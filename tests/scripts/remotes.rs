//! The remotes of the export's tests are as broken as they say: each fault, with the real restic.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::remote::{Fault, Remote};

/// A remote, and restic with what it sends there.
struct Client {
    remote: Remote,
    folder: tempfile::TempDir,
}

impl Client {
    fn new() -> Client {
        let folder = tempfile::tempdir().unwrap();
        let mut noise = 1u64;
        let random = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        });
        fs::write(folder.path().join("dump"), random.take(500_000).collect::<Vec<_>>()).unwrap();
        Client { remote: Remote::start("127.0.0.1"), folder }
    }

    fn command(&self, fault: Fault, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command
            .args(args)
            .env("RESTIC_REPOSITORY", self.remote.repository("127.0.0.1", fault, name))
            .env("RESTIC_PASSWORD", "key")
            .env("RESTIC_CACHE_DIR", self.folder.path().join("cache"))
            .stdin(fs::File::open(self.folder.path().join("dump")).unwrap());
        command
    }

    fn run(&self, fault: Fault, name: &str, args: &[&str]) -> Output {
        self.command(fault, name, args).output().unwrap()
    }

    /// Runs restic, which must succeed.
    fn done(&self, fault: Fault, name: &str, args: &[&str]) {
        let output = self.run(fault, name, args);
        assert!(output.status.success(), "{fault:?} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Whether the newest snapshot gives the dump back.
    fn gives_back(&self, name: &str) -> bool {
        let output = self.run(Fault::Sound, name, &["dump", "latest", "dump"]);
        output.status.success() && output.stdout == fs::read(self.folder.path().join("dump")).unwrap()
    }

    /// Starts a backup, waits until it has sent so many packs, and kills it.
    fn kill_after(&self, fault: Fault, name: &str, packs: usize) {
        let mut backup =
            self.command(fault, name, &BACKUP).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let sent = format!("POST {name}/data/");
        while self.remote.requests().iter().filter(|request| request.starts_with(&sent)).count() < packs {
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(backup.try_wait().unwrap().is_none(), "{fault:?}: it ended before it sent {packs} packs");
        }
        backup.kill().unwrap();
        backup.wait().unwrap();
    }
}

const BACKUP: [&str; 6] = ["backup", "--host=h", "--quiet", "--stdin", "--stdin-filename", "dump"];

#[test]
#[ignore = "needs restic: make test"]
fn each_fault_of_a_remote_is_what_its_name_says() {
    let client = Client::new();
    // Not read back where packs are missing: restic asks for a missing file for most of a minute.
    for (fault, kept, gives_back) in [
        (Fault::Sound, 500_000..510_000, Some(true)),
        (Fault::Slow, 500_000..510_000, Some(true)),
        (Fault::Forgets, 0..1, None),
        (Fault::Halves, 250_000..255_000, None),
        (Fault::Flips, 500_000..510_000, Some(false)),
    ] {
        let name = format!("{fault:?}").to_lowercase();
        client.done(Fault::Sound, &name, &["init"]);
        client.done(fault, &name, &BACKUP);
        let bytes: u64 = client.remote.files(&name, "data").iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(kept.contains(&bytes), "{fault:?}: {bytes}");
        if let Some(gives_back) = gives_back {
            assert_eq!(client.gives_back(&name), gives_back, "{fault:?}");
        }
    }
    client.done(Fault::Sound, "sound", &["check", "--read-data"]);
    client.done(Fault::Sound, "sound", &["forget", "--keep-last=1", "--prune"]);
    let refused = client.run(Fault::Refuses, "sound", &["snapshots"]);
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));

    // restic tries again and again, so it is killed. The next night works, although the lock of the killed one is left.
    for fault in [Fault::GoesAway, Fault::Full] {
        let name = format!("{fault:?}").to_lowercase();
        client.done(Fault::Sound, &name, &["init"]);
        client.kill_after(fault, &name, 1);
        assert_eq!(
            (client.remote.files(&name, "data").len(), client.remote.files(&name, "locks").len()),
            (0, 1),
            "{fault:?}"
        );
        client.remote.come_back();
        client.done(Fault::Sound, &name, &BACKUP);
        assert!(client.gives_back(&name), "{fault:?}");
    }
}
