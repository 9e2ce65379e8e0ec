//! What the commands are told that show, bring back, check and remove backups.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{Database, Global, Output, Outputs, Plain, TOLD, Values, database, parse_duration, told};
use crate::core::backup::name;
use crate::core::engine::Engine;
use crate::core::restore::stored_data::Wish;
use crate::exit::Fail;

/// Of commands that list.
pub(super) const LISTED: Outputs = &[
    ("table", Output::Text),
    ("text", Output::Text),
    ("wide", Output::Wide),
    ("json", Output::Json),
    ("yaml", Output::Yaml),
    ("name", Output::Name),
];

/// Of `status`.
pub(super) const SCRAPED: Outputs = &[
    ("table", Output::Text),
    ("text", Output::Text),
    ("wide", Output::Wide),
    ("json", Output::Json),
    ("yaml", Output::Yaml),
    ("prometheus", Output::Prometheus),
];

/// What `list` is told.
#[derive(Debug, Clone)]
pub struct List {
    /// Whether all namespaces are meant.
    pub all_namespaces: bool,
    /// Only snapshots of this claim.
    pub pvc: Option<String>,
    /// Only those that are good to restore.
    pub ready: bool,
    /// Only these kinds, any of them: `daily`, `weekly`, `monthly`, `adhoc`, `cronjob`; none for all.
    pub kinds: Vec<&'static str>,
}

/// The filters of `list`.
pub const KINDS: [&str; 5] = ["daily", "weekly", "monthly", "adhoc", "cronjob"];

/// The configuration of `list`.
///
/// # Errors
/// Every word that does not parse, at once.
pub fn list(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, List), Fail> {
    told(plain, LISTED, values, |_, v| List {
        all_namespaces: plain.is("all-namespaces"),
        pvc: plain.name("pvc", v),
        ready: plain.is("ready"),
        kinds: KINDS.into_iter().filter(|kind| plain.is(kind)).collect(),
    })
}

/// What `status` is told.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether all namespaces are meant.
    pub all_namespaces: bool,
    /// How long a snapshot may take to become ready.
    pub ready_timeout: Duration,
    /// Not once, but for Prometheus to scrape.
    pub service: Option<Service>,
}

/// Metrics that are served.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where: the first of these that can be had.
    pub at: Vec<SocketAddr>,
    /// How often all is asked anew.
    pub every: Duration,
}

/// How often that is where nobody says.
pub const EVERY: &str = "5m";

/// The configuration of `status`.
///
/// # Errors
/// As [`list`].
pub fn status(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Status), Fail> {
    told(plain, SCRAPED, values, |global, v| Status {
        all_namespaces: plain.is("all-namespaces"),
        ready_timeout: v.time("BAK_VS_WAIT_UNTIL_READY_TIMEOUT"),
        service: service(plain, global, &mut v.errors),
    })
}

fn service(plain: &Plain, global: &Global, errors: &mut Vec<String>) -> Option<Service> {
    let address = plain.word("listen")?;
    if global.output != Output::Prometheus {
        errors.push("--listen serves metrics: it takes -o prometheus".into());
    }
    if global.timeout.is_some() {
        errors.push("--listen serves until a signal comes: it takes no BAK_TIMEOUT (--timeout)".into());
    }
    let at = parse_address(&address).ok_or_else(|| {
        errors.push(format!(
            "--listen is '{address}'; accepted: an IP address and a port, or the port of all, such as 127.0.0.1:9469 or :9469"
        ));
    });
    let every = plain.word("every").unwrap_or_else(|| EVERY.into());
    let time = parse_duration(&every).ok().filter(|time| *time >= Duration::from_secs(1)).ok_or_else(|| {
        errors.push(format!(
            "--every is '{every}'; accepted: a number with its unit, from 1s to 365d, such as 30s or 5m"
        ));
    });
    Some(Service { at: at.ok()?, every: time.ok()? })
}

/// All addresses, where only a port is given, of either family.
fn parse_address(text: &str) -> Option<Vec<SocketAddr>> {
    let Some(port) = text.strip_prefix(':') else {
        return Some(vec![text.parse().ok()?]);
    };
    let port = port.parse().ok()?;
    // The first takes both, where the kernel has it.
    Some(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()])
}

/// What `delete` is told.
#[derive(Debug, Clone)]
pub struct Delete {
    /// The VolumeSnapshot.
    pub snapshot: String,
    /// Do not ask.
    pub yes: bool,
    /// Even the newest ready one.
    pub force: bool,
}

/// The configuration of `delete`.
///
/// # Errors
/// As [`list`].
pub fn delete(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Delete), Fail> {
    told(plain, TOLD, values, |_, v| Delete {
        snapshot: plain.name("VS", v).unwrap_or_default(),
        yes: plain.is("yes"),
        force: plain.is("force"),
    })
}

/// The configuration of `trust`.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The VolumeSnapshot.
    pub snapshot: String,
    /// Do not ask.
    pub yes: bool,
}

/// The configuration of `trust`.
///
/// # Errors
/// As [`list`].
pub fn trust(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Trust), Fail> {
    told(plain, TOLD, values, |_, v| Trust { snapshot: plain.name("VS", v).unwrap_or_default(), yes: plain.is("yes") })
}

/// What `restore` is told.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The VolumeSnapshot.
    pub snapshot: String,
    /// What becomes of it.
    pub way: Way,
    /// The claim's name, where one was given.
    pub pvc: Option<String>,
    /// The namespace of a clone.
    pub to_namespace: Option<String>,
    /// The claim's StorageClass, where one was named.
    pub storage_class: Option<String>,
    /// Wait until the claim is bound.
    pub wait: bool,
    /// Do not ask.
    pub yes: bool,
    /// The class of a safety snapshot, where one was named.
    pub class: Option<String>,
    /// How long a snapshot may take to become ready.
    pub ready_timeout: Duration,
    /// How long a claim may take to be bound, a pod to end, a workload to become ready.
    pub timeout: Duration,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A claim beside what is there.
    Beside,
    /// The claim that it is of, replaced.
    InPlace,
    /// The end of an in-place restore that did not come to its own: back to what was there.
    RollBack,
}

/// The configuration of `restore`.
///
/// # Errors
/// As [`list`].
pub fn restore(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Restore), Fail> {
    told(plain, TOLD, values, |global, v| {
        let way = match (plain.is("in-place"), plain.is("rollback")) {
            (_, true) => Way::RollBack,
            (true, false) => Way::InPlace,
            (false, false) => Way::Beside,
        };
        let restore = Restore {
            snapshot: plain.name("VS", v).unwrap_or_default(),
            way,
            pvc: plain.name("pvc", v),
            to_namespace: plain.name("to-namespace", v),
            storage_class: plain.name("storage-class", v),
            wait: plain.is("wait"),
            yes: plain.is("yes"),
            class: v.optional("BAK_VS_CLASS_NAME", |text| name::check_name(text).map(|()| text.to_string())),
            ready_timeout: v.time("BAK_VS_WAIT_UNTIL_READY_TIMEOUT"),
            timeout: v.time("BAK_RESTORE_TIMEOUT"),
        };
        if way != Way::Beside {
            for word in ["pvc", "to-namespace", "storage-class"].into_iter().filter(|word| plain.is(word)) {
                v.error(format!("--{word} goes with a claim beside the old one, not with --in-place or --rollback"));
            }
            if global.output == Output::Yaml {
                v.error("-o yaml prints the claim of a restore beside the old one; see --dry-run for this".into());
            }
        }
        restore
    })
}

/// What `rebind-vsc` is told.
#[derive(Debug, Clone)]
pub struct Rebind {
    /// The VolumeSnapshotContent.
    pub content: String,
    /// The name of the new VolumeSnapshot, where one was given.
    pub name: Option<String>,
    /// How long the new snapshot may take to become ready.
    pub ready_timeout: Duration,
}

/// The configuration of `rebind-vsc`.
///
/// # Errors
/// As [`list`].
pub fn rebind(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Rebind), Fail> {
    told(plain, TOLD, values, |_, v| Rebind {
        content: plain.name("VSC", v).unwrap_or_default(),
        name: plain.name("name", v),
        ready_timeout: v.time("BAK_VS_WAIT_UNTIL_READY_TIMEOUT"),
    })
}

/// The configuration of `delete-vsc`.
#[derive(Debug, Clone)]
pub struct DeleteContent {
    /// The VolumeSnapshotContent.
    pub content: String,
    /// Do not ask.
    pub yes: bool,
    /// What is wanted of it.
    pub wish: Wish,
}

/// The configuration of `delete-vsc`.
///
/// # Errors
/// As [`list`].
pub fn delete_content(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, DeleteContent), Fail> {
    told(plain, TOLD, values, |_, v| DeleteContent {
        content: plain.name("VSC", v).unwrap_or_default(),
        yes: plain.is("yes"),
        wish: Wish { keep_data: plain.is("keep-data"), force: plain.is("force") },
    })
}

/// The configuration of `sync-metadata-to-vsc`: nothing of its own.
///
/// # Errors
/// As [`list`].
pub fn sync(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, ()), Fail> {
    told(plain, TOLD, values, |_, _| ())
}

/// What `adhoc` is told.
#[derive(Debug, Clone)]
pub struct Adhoc {
    /// The CronJob, where one was named.
    pub cronjob: Option<String>,
}

/// The configuration of `adhoc`.
///
/// # Errors
/// As [`list`].
pub fn adhoc(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Adhoc), Fail> {
    told(plain, TOLD, values, |_, v| Adhoc { cronjob: plain.name("CRONJOB", v) })
}

/// What `verify` is told.
#[derive(Debug, Clone)]
pub struct Verify {
    /// The VolumeSnapshot; none for the newest ready one.
    pub snapshot: Option<String>,
    /// The claim whose newest is meant.
    pub pvc: String,
    /// A query that must return true; empty for none.
    pub sql: String,
    /// Start the server on the snapshotted data directory, too.
    pub physical: bool,
    /// The image to verify with, where it is not the database's own.
    pub image: Option<String>,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// The configuration of `verify`.
///
/// # Errors
/// As [`list`].
pub fn verify(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Verify), Fail> {
    told(plain, TOLD, values, |_, v| Verify {
        snapshot: plain.name("VS", v),
        pvc: v.parse("BAK_PVC_NAME", name::claims, Vec::new()).into_iter().next().unwrap_or_default(),
        sql: v.text("BAK_VERIFY_SQL"),
        physical: v.switch("BAK_VERIFY_PHYSICAL"),
        image: v.optional("BAK_VERIFY_IMAGE", |text| Ok(text.to_string())),
        timeout: v.time("BAK_VERIFY_TIMEOUT"),
    })
}

/// What `postgres` and `mysql` are told.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// The database.
    pub database: Database,
    /// The claim that holds its dump.
    pub pvc: String,
    /// How full the volume may not be, in percent.
    pub threshold_percent: u8,
    /// How long a dump may take; none for as long as it takes.
    pub dump_timeout: Option<Duration>,
    /// How long to wait for another backup of the same dump file.
    pub busy_timeout: Duration,
    /// The file that a download goes to, where one was named.
    pub file: Option<PathBuf>,
    /// Do not ask.
    pub yes: bool,
    /// Even what is better not done: a load that was not tried, a file that is replaced. Nobody is asked then either.
    pub force: bool,
}

/// The configuration of `postgres` and `mysql`, whatever of theirs is done.
///
/// # Errors
/// As [`list`].
pub fn by_hand(plain: &Plain, values: &mut Values<'_>, engine: Engine) -> Result<(Global, ByHand), Fail> {
    told(plain, TOLD, values, |_, v| {
        if plain.word("FILE").as_deref() == Some("-") {
            v.error("FILE is '-'; accepted: a file or a directory, for a download is checked and goes on where it broke off".into());
        }
        ByHand {
            database: database(v, engine),
            pvc: v.parse("BAK_PVC_NAME", name::claims, Vec::new()).into_iter().next().unwrap_or_default(),
            threshold_percent: u8::try_from(v.number("BAK_THRESHOLD_SPACE_USED_PERCENTAGE", 1, 100)).unwrap_or(100),
            dump_timeout: Some(v.time("BAK_DUMP_TIMEOUT")).filter(|time| !time.is_zero()),
            busy_timeout: v.time("BAK_BUSY_TIMEOUT"),
            file: plain.word("FILE").map(PathBuf::from),
            yes: plain.is("yes") || plain.is("force"),
            force: plain.is("force"),
        }
    })
}
