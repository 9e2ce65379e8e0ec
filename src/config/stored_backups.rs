//! The configuration of the commands that list, restore, verify and delete backups.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::fault::About;
use super::settings::var;
use super::{
    Database, Global, Output, Outputs, Plain, REPORTED, SHOWN, TABLE, Values, change_concurrency, check_level,
    configured, database, either, notifications, parse_duration,
};
use crate::core::backup::name;
use crate::core::backup::one_table::OneTable;
use crate::core::engine::Engine;
use crate::core::export::import::CopiesOf;
use crate::core::export::job::ExportResources;
use crate::core::export::{self, ExportContent, ExportTool};
use crate::core::health::listing::SortKey;
use crate::core::kube::quantity;
use crate::core::restore::stored_data::Wish;
use crate::exit::Fail;

/// The values of `-o` for `list`.
pub(super) const LISTED: Outputs = &[SHOWN, &[("name", Output::Name)], TEMPLATES];

/// The values of `-o` for `status`.
pub(super) const SCRAPED: Outputs = &[SHOWN, &[("prometheus", Output::Prometheus)], TEMPLATES];

/// What begins the values of `-o` that kubectl prints.
const TEMPLATES: &[(&str, Output)] = &[
    ("jsonpath=", Output::Template),
    ("jsonpath-as-json=", Output::Template),
    ("jsonpath-file=", Output::Template),
    ("go-template=", Output::Template),
    ("go-template-file=", Output::Template),
];

#[derive(Debug, Clone)]
pub struct List {
    pub all_namespaces: bool,
    /// List only snapshots of this claim.
    pub pvc: Option<String>,
    /// List only snapshots that are good to restore.
    pub ready: bool,
    /// List only snapshots of one of these [`KINDS`]; empty for all.
    pub kinds: Vec<&'static str>,
    /// List only snapshots with these labels; empty for all.
    pub selector: String,
    pub sort_by: Option<SortKey>,
    /// Whether a table has the line of its columns.
    pub headers: bool,
    /// List again so often, and print what changed.
    pub watch: Option<Duration>,
}

/// The filters of `list`.
pub const KINDS: [&str; 5] = ["daily", "weekly", "monthly", "adhoc", "cronjob"];

pub fn list(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, List), Fail> {
    configured(plain, LISTED, values, |_, v| List {
        all_namespaces: plain.is("all-namespaces"),
        pvc: plain.name("pvc", v),
        ready: plain.is("ready"),
        kinds: KINDS.into_iter().filter(|kind| plain.is(kind)).collect(),
        selector: plain.word("selector").unwrap_or_default(),
        sort_by: plain.word("sort-by").and_then(|word| {
            let found = SortKey::NAMES.into_iter().find(|(name, _)| *name == word);
            if found.is_none() {
                let names = either(&SortKey::NAMES.map(|(name, _)| name));
                v.error(About::Argument, format!("--sort-by is '{word}'; accepted: {names}"));
            }
            found.map(|(_, key)| key)
        }),
        headers: !plain.is("no-headers"),
        watch: watch(plain, v),
    })
}

/// How often a command with `--watch` reads again.
fn watch(plain: &Plain, v: &mut Values<'_>) -> Option<Duration> {
    if plain.is("watch") { every(plain, WATCH_EVERY, v) } else { None }
}

/// The time of `--every`.
fn every(plain: &Plain, default: &str, v: &mut Values<'_>) -> Option<Duration> {
    let text = plain.word("every").unwrap_or_else(|| default.into());
    let time = parse_duration(&text).ok().filter(|time| *time >= Duration::from_secs(1));
    if time.is_none() {
        let accepted = "a number with its unit, from 1s to 365d, such as 30s or 5m";
        v.error(About::Argument, format!("--every is '{text}'; accepted: {accepted}"));
    }
    time
}

#[derive(Debug, Clone)]
pub struct Status {
    pub all_namespaces: bool,
    /// How long a snapshot may take to become ready.
    pub ready_timeout: Duration,
    /// Whether `mark-and-delete` keeps what is not exported.
    pub require_exported: bool,
    /// Serve metrics instead of printing the status once.
    pub service: Option<Service>,
    /// Read the status again so often, and print it if it changed.
    pub watch: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct Service {
    /// The addresses to listen at; the first that can be bound is used.
    pub at: Vec<SocketAddr>,
    /// How often the status is read again.
    pub every: Duration,
}

/// The default of `--every` for metrics.
pub const EVERY: &str = "5m";

/// The default of `--every` with `--watch`, where a person waits.
pub const WATCH_EVERY: &str = "5s";

pub fn status(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Status), Fail> {
    configured(plain, SCRAPED, values, |global, v| Status {
        all_namespaces: plain.is("all-namespaces"),
        ready_timeout: v.time(var!("BAK_VS_WAIT_UNTIL_READY_TIMEOUT")),
        require_exported: v.switch(var!("BAK_REQUIRE_EXPORTED")),
        service: service(plain, global, v),
        watch: {
            if plain.is("every") && !plain.is("listen") && !plain.is("watch") {
                v.error(
                    About::Argument,
                    "--every says how often --watch or --listen reads again: one of them is missing".into(),
                );
            }
            if plain.is("watch") && global.output == Output::Prometheus {
                v.error(About::Argument, "--watch is for people: metrics are served with --listen".into());
            }
            watch(plain, v)
        },
    })
}

fn service(plain: &Plain, global: &Global, v: &mut Values<'_>) -> Option<Service> {
    let address = plain.word("listen")?;
    if global.output != Output::Prometheus {
        v.error(About::Argument, "--listen serves metrics: it takes -o prometheus".into());
    }
    if global.timeout.is_some() {
        v.error(About::Argument, "--listen serves until a signal comes: it takes no BAK_TIMEOUT (--timeout)".into());
    }
    let at = parse_address(&address).ok_or_else(|| {
        v.error(About::Argument, format!(
            "--listen is '{address}'; accepted: an IP address and a port, or the port of all, such as 127.0.0.1:9469 or :9469"
        ));
    });
    let every = every(plain, EVERY, v);
    Some(Service { at: at.ok()?, every: every? })
}

/// Parses `ADDRESS:PORT`, or `:PORT` for all addresses, IPv6 and IPv4.
fn parse_address(text: &str) -> Option<Vec<SocketAddr>> {
    let Some(port) = text.strip_prefix(':') else {
        return Some(vec![text.parse().ok()?]);
    };
    let port = port.parse().ok()?;
    // On most kernels the IPv6 address accepts IPv4 connections, too.
    Some(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()])
}

#[derive(Debug, Clone)]
pub struct Delete {
    pub snapshot: String,
    /// Do not ask.
    pub yes: bool,
    /// Delete even the newest ready snapshot, or one in use.
    pub force: bool,
}

pub fn delete(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Delete), Fail> {
    configured(plain, REPORTED, values, |_, v| Delete {
        snapshot: plain.name("VS", v).unwrap_or_default(),
        yes: plain.is("yes"),
        force: plain.is("force"),
    })
}

#[derive(Debug, Clone)]
pub struct Trust {
    pub snapshot: String,
    /// Do not ask.
    pub yes: bool,
}

pub fn trust(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Trust), Fail> {
    configured(plain, REPORTED, values, |_, v| Trust {
        snapshot: plain.name("VS", v).unwrap_or_default(),
        yes: plain.is("yes"),
    })
}

#[derive(Debug, Clone)]
pub struct Restore {
    pub snapshot: String,
    pub way: Way,
    /// The name of the new claim.
    pub pvc: Option<String>,
    /// The namespace of a clone.
    pub to_namespace: Option<String>,
    pub storage_class: Option<String>,
    /// Wait until the claim is bound.
    pub wait: bool,
    /// Do not ask.
    pub yes: bool,
    /// The VolumeSnapshotClass of the safety snapshot.
    pub class: Option<String>,
    /// How long a snapshot may take to become ready.
    pub ready_timeout: Duration,
    /// How long a claim may take to be bound, a pod to end, a workload to become ready.
    pub timeout: Duration,
}

/// How a snapshot is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Into a new claim beside the old one.
    Beside,
    /// In the place of the claim that the snapshot was made of.
    InPlace,
    /// Take back an interrupted in-place restore.
    RollBack,
}

pub fn restore(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Restore), Fail> {
    configured(plain, REPORTED, values, |global, v| {
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
            class: v.optional(var!("BAK_VS_CLASS_NAME"), |text| name::check_name(text).map(|()| text.to_string())),
            ready_timeout: v.time(var!("BAK_VS_WAIT_UNTIL_READY_TIMEOUT")),
            timeout: v.time(var!("BAK_RESTORE_TIMEOUT")),
        };
        if way != Way::Beside {
            for word in ["pvc", "to-namespace", "storage-class"].into_iter().filter(|word| plain.is(word)) {
                v.error(
                    About::Argument,
                    format!("--{word} goes with a claim beside the old one, not with --in-place or --rollback"),
                );
            }
            if global.output == Output::Yaml {
                v.error(
                    About::Argument,
                    "-o yaml prints the claim of a restore beside the old one; see --dry-run for this".into(),
                );
            }
        }
        restore
    })
}

#[derive(Debug, Clone)]
pub struct Rebind {
    pub content: String,
    /// The name of the new VolumeSnapshot.
    pub name: Option<String>,
    pub ready_timeout: Duration,
}

pub fn rebind(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Rebind), Fail> {
    configured(plain, REPORTED, values, |_, v| Rebind {
        content: plain.name("VSC", v).unwrap_or_default(),
        name: plain.name("name", v),
        ready_timeout: v.time(var!("BAK_VS_WAIT_UNTIL_READY_TIMEOUT")),
    })
}

/// The configuration of `delete-vsc`.
#[derive(Debug, Clone)]
pub struct DeleteContent {
    pub content: String,
    /// Do not ask.
    pub yes: bool,
    pub wish: Wish,
}

pub fn delete_content(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, DeleteContent), Fail> {
    configured(plain, REPORTED, values, |_, v| DeleteContent {
        content: plain.name("VSC", v).unwrap_or_default(),
        yes: plain.is("yes"),
        wish: Wish { keep_data: plain.is("keep-data"), force: plain.is("force") },
    })
}

#[derive(Debug, Clone, Copy)]
pub struct SyncMetadata {
    /// How many kubectl change contents at once.
    pub concurrency: usize,
}

pub fn sync(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, SyncMetadata), Fail> {
    configured(plain, REPORTED, values, |_, v| SyncMetadata { concurrency: change_concurrency(v) })
}

#[derive(Debug, Clone)]
pub struct Adhoc {
    /// The CronJob; none for the only one that makes backups.
    pub cronjob: Option<String>,
}

pub fn adhoc(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Adhoc), Fail> {
    configured(plain, REPORTED, values, |_, v| Adhoc { cronjob: plain.name("CRONJOB", v) })
}

#[derive(Debug, Clone)]
pub struct Verify {
    /// The VolumeSnapshot; none for the newest ready one of `pvc`.
    pub snapshot: Option<String>,
    pub pvc: String,
    /// Test only this database.
    pub database: Option<String>,
    /// A query that must return true; empty for none.
    pub sql: String,
    /// Start the server on the snapshotted data directory, too.
    pub physical: bool,
    /// The server's image; none for that of the dumped database.
    pub image: Option<String>,
    /// The limit of the whole restore test.
    pub timeout: Duration,
    /// Where the copy is that is tested instead of the snapshot.
    pub from_export: Option<ExportSettings>,
}

pub fn verify(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Verify), Fail> {
    configured(plain, REPORTED, values, |_, v| {
        notifications::read(v);
        Verify {
            snapshot: plain.name("VS", v),
            pvc: v.parse(var!("BAK_PVC_NAME"), name::claims, Vec::new()).into_iter().next().unwrap_or_default(),
            database: database_name(plain, v),
            sql: v.text(var!("BAK_VERIFY_SQL")),
            physical: v.switch(var!("BAK_VERIFY_PHYSICAL")),
            image: v.optional(var!("BAK_VERIFY_IMAGE"), |text| Ok(text.to_string())),
            timeout: v.time(var!("BAK_VERIFY_TIMEOUT")),
            from_export: (v.switch(var!("BAK_VERIFY_FROM_EXPORT")) || plain.is("from-export"))
                .then(|| repository_settings(v)),
        }
    })
}

#[derive(Debug, Clone)]
pub struct Export {
    /// The VolumeSnapshot; none for the newest ready one of `pvc`.
    pub snapshot: Option<String>,
    /// Export it even if its copy was proven before.
    pub again: bool,
    pub settings: ExportSettings,
}

/// How and where copies are made.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    pub pvc: String,
    pub tool: ExportTool,
    /// The tool's image; empty if it is not set.
    pub image: String,
    pub secret: Option<String>,
    pub what: ExportContent,
    /// The rclone remote; empty if it is not set.
    pub remote: String,
    /// The user's commands; empty if they are not set.
    pub command: String,
    pub check: String,
    /// The limit of the whole export.
    pub timeout: Duration,
    pub service_account: Option<String>,
    pub resources: ExportResources,
}

/// Reads the settings of an export, without what must be set for one.
pub(super) fn export_settings(v: &mut Values<'_>) -> ExportSettings {
    let object = |text: &str| name::check_name(text).map(|()| text.to_string());
    let amount = |known: bool, text: &str, example: &str| {
        if known { Ok(text.to_string()) } else { Err(format!("a quantity such as {example}")) }
    };
    let cpu = |text: &str| amount(quantity::thousandths(text).is_some(), text, "500m");
    let memory = |text: &str| amount(quantity::bytes(text).is_some(), text, "256Mi");
    let remote = |text: &str| if text.is_empty() { Ok(()) } else { export::check_remote(text) };
    ExportSettings {
        pvc: v.parse(var!("BAK_PVC_NAME"), name::claims, Vec::new()).into_iter().next().unwrap_or_default(),
        tool: v.parse(var!("BAK_EXPORT_TOOL"), ExportTool::parse, ExportTool::Restic),
        image: v.text(var!("BAK_EXPORT_IMAGE")),
        secret: v.optional(var!("BAK_EXPORT_SECRET"), object),
        what: v.parse(var!("BAK_EXPORT_WHAT"), ExportContent::parse, ExportContent::Dump),
        remote: v.parse(
            var!("BAK_EXPORT_REMOTE"),
            |text| remote(text).map(|()| text.trim_end_matches('/').to_string()),
            String::new(),
        ),
        command: v.text(var!("BAK_EXPORT_COMMAND")),
        check: v.text(var!("BAK_EXPORT_CHECK")),
        timeout: v.time(var!("BAK_EXPORT_TIMEOUT")),
        service_account: v.optional(var!("BAK_EXPORT_SERVICE_ACCOUNT"), object),
        resources: ExportResources {
            cpu_request: v.optional(var!("BAK_EXPORT_CPU_REQUEST"), cpu),
            cpu_limit: v.optional(var!("BAK_EXPORT_CPU_LIMIT"), cpu),
            memory_request: v.optional(var!("BAK_EXPORT_MEMORY_REQUEST"), memory),
            memory_limit: v.optional(var!("BAK_EXPORT_MEMORY_LIMIT"), memory),
        },
    }
}

/// What the chosen tool needs and is not set, or cannot do.
pub(super) fn missing_for_tool(settings: &ExportSettings) -> Vec<(&'static super::Setting, String)> {
    let mut missing = Vec::new();
    let mut require = |setting: &'static super::Setting, value: &str, accepted: &str| {
        if value.is_empty() {
            let what = format!("{} (--{}) is not set; accepted: {accepted}", setting.var, setting.flag);
            missing.push((setting, what));
        }
    };
    require(var!("BAK_EXPORT_IMAGE"), &settings.image, "an image that has the tool, such as restic/restic:0.18.1");
    match settings.tool {
        ExportTool::Restic => {}
        ExportTool::Rclone => {
            require(var!("BAK_EXPORT_REMOTE"), &settings.remote, "REMOTE:PATH, of a remote that the Secret configures");
        }
        ExportTool::Command => {
            require(var!("BAK_EXPORT_COMMAND"), &settings.command, "a command that stores its stdin as $EXPORT_NAME");
            require(var!("BAK_EXPORT_CHECK"), &settings.check, "a command that prints what is stored as $EXPORT_NAME");
        }
    }
    if settings.tool == ExportTool::Command && settings.what == ExportContent::Volume {
        let what =
            "BAK_EXPORT_WHAT is 'volume', and BAK_EXPORT_TOOL is 'command'; accepted for volume: restic or rclone";
        missing.push((var!("BAK_EXPORT_WHAT"), what.into()));
    }
    missing
}

/// Adds an error for each of these.
fn require_for_tool(settings: &ExportSettings, v: &mut Values<'_>) {
    for (setting, what) in missing_for_tool(settings) {
        v.error(About::Setting(setting), what);
    }
}

pub fn export(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Export), Fail> {
    configured(plain, REPORTED, values, |_, v| {
        notifications::read(v);
        let settings = export_settings(v);
        require_for_tool(&settings, v);
        Export { snapshot: plain.name("VS", v), again: plain.is("again"), settings }
    })
}

/// Reads the settings of an export for a command that only reads its repository.
fn repository_settings(v: &mut Values<'_>) -> ExportSettings {
    let settings = ExportSettings { command: "-".into(), what: ExportContent::Dump, ..export_settings(v) };
    require_for_tool(&settings, v);
    settings
}

#[derive(Debug, Clone)]
pub struct Import {
    pub wish: ImportWish,
    /// Only copies of these.
    pub of: Option<CopiesOf>,
    pub settings: ExportSettings,
}

/// What `import` does.
#[derive(Debug, Clone)]
pub enum ImportWish {
    /// Lists so many of the newest copies; 0 is all.
    List {
        last: usize,
    },
    Show {
        id: String,
    },
    /// Makes a claim, and fills it.
    Claim {
        id: String,
        pvc: String,
        class: Option<String>,
        storage: Option<String>,
    },
}

impl Import {
    /// What `latest` is of: what was named, else the claim of the settings in the namespace `own`.
    pub fn of_or_own(&self, own: &str) -> CopiesOf {
        of_or_own(self.of.as_ref(), &self.settings, own)
    }
}

fn of_or_own(of: Option<&CopiesOf>, settings: &ExportSettings, own: &str) -> CopiesOf {
    of.cloned().unwrap_or_else(|| CopiesOf { namespace: own.into(), claim: Some(settings.pvc.clone()) })
}

/// How many copies a list shows without `--last`.
pub const LAST: &str = "20";

pub fn import(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Import), Fail> {
    configured(plain, TABLE, values, |_, v| {
        let storage = plain.word("storage");
        if let Some(text) = storage.as_ref().filter(|text| quantity::bytes(text).is_none_or(|bytes| bytes == 0)) {
            v.error(About::Argument, format!("--storage is '{text}'; accepted: a quantity such as 10Gi"));
        }
        let last = plain.word("last").unwrap_or_else(|| LAST.into());
        let number = last.parse().unwrap_or_else(|_| {
            v.error(About::Argument, format!("--last is '{last}'; accepted: a whole number, 0 for all"));
            0
        });
        let pvc = plain.name("pvc", v);
        let wish = match (copy_id(plain, "ID", v), pvc) {
            (None, _) => ImportWish::List { last: number },
            (Some(id), None) => ImportWish::Show { id },
            (Some(id), Some(pvc)) => ImportWish::Claim { id, pvc, class: plain.name("storage-class", v), storage },
        };
        Import { wish, of: copies_of(plain, v), settings: repository_settings(v) }
    })
}

/// The name of a copy, which becomes a part of its address.
fn copy_id(plain: &Plain, argument: &str, v: &mut Values<'_>) -> Option<String> {
    let id = plain.word(argument)?;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-./".contains(&byte));
    if !is_id {
        let accepted = "the name of a copy, as backup-ns import lists them, or latest";
        v.error(About::Argument, format!("{argument} is '{id}'; accepted: {accepted}"));
    }
    Some(id)
}

fn copies_of(plain: &Plain, v: &mut Values<'_>) -> Option<CopiesOf> {
    let text = plain.word("of")?;
    let of = CopiesOf::parse(&text);
    of.map_err(|accepted| v.error(About::Argument, format!("--of is '{text}'; accepted: {accepted}"))).ok()
}

/// A copy in a repository that a restore loads.
#[derive(Debug, Clone)]
pub struct FromExport {
    pub id: String,
    pub of: Option<CopiesOf>,
    pub settings: ExportSettings,
}

impl FromExport {
    /// As [`Import::of_or_own`].
    pub fn of_or_own(&self, own: &str) -> CopiesOf {
        of_or_own(self.of.as_ref(), &self.settings, own)
    }
}

fn from_export(plain: &Plain, v: &mut Values<'_>) -> Option<FromExport> {
    let id = copy_id(plain, "from-export", v)?;
    Some(FromExport { id, of: copies_of(plain, v), settings: repository_settings(v) })
}

/// The configuration of the commands below `postgres` and `mysql`.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// The databases of the server, as a backup dumps them.
    pub database: Database,
    /// The one of them that the command is for, if it is named.
    pub name: Option<String>,
    /// The claim that holds its dump.
    pub pvc: String,
    /// The dump fails if the volume is this full, in percent.
    pub threshold_percent: u8,
    pub dump_timeout: Option<Duration>,
    /// How long to wait for another backup of the same dump file.
    pub busy_timeout: Duration,
    /// The target of a download.
    pub file: Option<PathBuf>,
    /// The file that a restore loads instead of the dump file; `-` for stdin.
    pub from: Option<String>,
    /// The copy outside the cluster that a restore loads instead.
    pub from_export: Option<FromExport>,
    /// The only table that a restore loads.
    pub table: Option<OneTable>,
    /// Do not ask.
    pub yes: bool,
    /// Load a dump that was not tried first, or replace a file; also do not ask.
    pub force: bool,
    /// Make missing roles or accounts from the file beside the dump, or download that file, too.
    pub globals: bool,
}

/// The database that `--database` names.
fn database_name(plain: &Plain, v: &mut Values<'_>) -> Option<String> {
    let name = plain.word("database")?;
    if name.is_empty() || name.contains('\0') {
        v.error(About::Argument, format!("--database is '{name}'; accepted: the name of a database"));
    }
    Some(name)
}

fn one_table(plain: &Plain, v: &mut Values<'_>, engine: Engine) -> Option<OneTable> {
    let table = plain.word("table")?;
    let name = plain.word("table-as");
    if name.is_none() && !plain.is("replace") && plain.word("as").is_some() {
        v.error(About::Argument, "--as names the user that kubectl acts as, and no flag says what the table is called; accepted with --as: --table-as or --replace".into());
    }
    match OneTable::parse(engine, &table, name.as_deref(), plain.is("replace")) {
        Ok(table) => Some(table),
        Err(why) => {
            v.error(About::Argument, why);
            None
        }
    }
}

pub fn by_hand(plain: &Plain, values: &mut Values<'_>, engine: Engine) -> Result<(Global, ByHand), Fail> {
    configured(plain, REPORTED, values, |_, v| {
        if plain.word("FILE").as_deref() == Some("-") {
            v.error(About::Argument, "FILE is '-'; accepted: a file or a directory, for a download is checked and goes on where it broke off".into());
        }
        let database = database(v, engine);
        check_level(v, &database);
        ByHand {
            database,
            name: database_name(plain, v),
            pvc: v.parse(var!("BAK_PVC_NAME"), name::claims, Vec::new()).into_iter().next().unwrap_or_default(),
            threshold_percent: u8::try_from(v.number(var!("BAK_THRESHOLD_SPACE_USED_PERCENTAGE"), 1, 100))
                .unwrap_or(100),
            dump_timeout: Some(v.time(var!("BAK_DUMP_TIMEOUT"))).filter(|time| !time.is_zero()),
            busy_timeout: v.time(var!("BAK_BUSY_TIMEOUT")),
            file: plain.word("FILE").map(PathBuf::from),
            from: plain.word("from"),
            from_export: from_export(plain, v),
            table: one_table(plain, v, engine),
            yes: plain.is("yes") || plain.is("force"),
            force: plain.is("force"),
            globals: plain.is("globals"),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Origin, Setting};
    use super::*;

    fn plain(words: &[(&str, &str)]) -> Plain {
        Plain(words.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<BTreeMap<_, _>>())
    }

    fn set(all: &'static [(&str, &str)]) -> impl Fn(&'static Setting) -> Result<Option<(String, Origin)>, String> {
        move |setting| {
            let found = all.iter().chain(&[("TZ", "UTC")]).find(|(var, _)| *var == setting.var);
            Ok(found.map(|(_, value)| (value.to_string(), Origin::Environment)))
        }
    }

    const IMAGE: &[(&str, &str)] = &[("BAK_EXPORT_IMAGE", "restic:1"), ("BAK_PVC_NAME", "data")];

    #[test]
    fn an_import_lists_shows_or_fills_a_claim() {
        let wish = |words: &[(&str, &str)]| import(&plain(words), &mut Values::new(&set(IMAGE))).map(|(_, it)| it);
        assert!(matches!(wish(&[]).unwrap().wish, ImportWish::List { last: 20 }));
        assert!(matches!(wish(&[("last", "0")]).unwrap().wish, ImportWish::List { last: 0 }));
        assert!(matches!(wish(&[("ID", "shop/data/data-1")]).unwrap().wish, ImportWish::Show { .. }));
        let all = [("ID", "latest"), ("pvc", "copy"), ("storage-class", "fast"), ("storage", "1Gi"), ("of", "shop/db")];
        let found = wish(&all).unwrap();
        let ImportWish::Claim { id, pvc, class, storage } = &found.wish else { panic!("{found:?}") };
        assert_eq!((id.as_str(), pvc.as_str()), ("latest", "copy"));
        assert_eq!((class.as_deref(), storage.as_deref()), (Some("fast"), Some("1Gi")));
        assert_eq!(found.of_or_own("x"), CopiesOf { namespace: "shop".into(), claim: Some("db".into()) });
        let own = wish(&[]).unwrap().of_or_own("x");
        assert_eq!(own, CopiesOf { namespace: "x".into(), claim: Some("data".into()) });
        for (name, value) in
            [("last", "x"), ("ID", ""), ("ID", "a b"), ("ID", "$(x)"), ("of", "a/b/c"), ("storage", "0"), ("pvc", "A")]
        {
            let fail = wish(&[(name, value)]).unwrap_err();
            assert!(fail.what.contains(&format!("{name} is '{value}'; accepted: ")), "{}", fail.what);
        }
    }

    #[test]
    fn what_only_reads_a_repository_needs_only_what_reads_it() {
        let fail = import(&Plain::default(), &mut Values::new(&set(&[]))).unwrap_err();
        assert!(fail.what.contains("BAK_EXPORT_IMAGE"), "{}", fail.what);
        const COMMAND: &[(&str, &str)] = &[("BAK_EXPORT_IMAGE", "x"), ("BAK_EXPORT_TOOL", "command")];
        let fail = import(&Plain::default(), &mut Values::new(&set(COMMAND))).unwrap_err();
        assert!(fail.what.contains("BAK_EXPORT_CHECK") && !fail.what.contains("BAK_EXPORT_COMMAND"), "{}", fail.what);
        // Without the flag, neither a restore test nor a load asks for these settings.
        assert!(verify(&Plain::default(), &mut Values::new(&set(&[]))).unwrap().1.from_export.is_none());
        const TEST: &[(&str, &str)] = &[("BAK_VERIFY_FROM_EXPORT", "true")];
        assert!(verify(&Plain::default(), &mut Values::new(&set(TEST))).is_err());
        let flag = plain(&[("from-export", "")]);
        assert!(verify(&flag, &mut Values::new(&set(&[]))).is_err());
        assert!(verify(&flag, &mut Values::new(&set(IMAGE))).unwrap().1.from_export.is_some());
        let load = |words: &[(&str, &str)], set_to| {
            by_hand(&plain(words), &mut Values::new(&set(set_to)), Engine::Postgres).map(|(_, it)| it.from_export)
        };
        assert!(load(&[], &[]).unwrap().is_none());
        assert!(load(&[("from-export", "latest")], &[]).is_err());
        assert_eq!(load(&[("from-export", "latest")], IMAGE).unwrap().unwrap().id, "latest");
    }
}
