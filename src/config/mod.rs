//! From flags and environment to one typed configuration, with every error at once. The only module that reads the
//! environment. Must not know the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use self::fault::{About, Fault};
use self::settings::{Setting, var};
use crate::core::backup::compression::Compression;
use crate::core::backup::databases::OtherDatabases;
use crate::core::backup::globals::GlobalsMode;
use crate::core::backup::manifest::Retain;
use crate::core::backup::name::{self, Template};
use crate::core::backup::pod::ExecResource;
use crate::core::engine::Engine;
use crate::core::escape::Secrets;
use crate::core::health::cronjob;
use crate::core::kube::access::{self, AccessFlag};
use crate::core::kube::calls::ClusterChoice;
use crate::core::kube::kubectl_env::{self, Preferences, Shield};
use crate::core::kube::labels;
use crate::core::lease::Slots;
use crate::core::retention::retain::Policy;
use crate::core::time_zone::Zone;
use crate::exit::{Exit, Fail};
use crate::io::report::LogFormat;
use crate::lock::{NodeLocks, flock, lease};

mod effective;
pub mod fault;
mod notifications;
pub mod settings;
mod stored_backups;

pub use effective::*;
pub use notifications::*;
pub use stored_backups::*;

/// The configuration that all commands share.
#[derive(Debug, Clone)]
pub struct Global {
    pub asked: ClusterChoice,
    /// Print the plan, change nothing.
    pub dry_run: bool,
    /// The limit of the whole run.
    pub timeout: Option<Duration>,
    /// How long a request is repeated while the API does not answer.
    pub retry_timeout: Duration,
    pub output: Output,
    /// The value of `-o` for [`Output::Template`].
    pub template: String,
    /// The zone of every date.
    pub zone: Zone,
    /// User, host and process, as others see them who wait for a lock that this run holds.
    pub holder: String,
    /// The pod that this program runs in, if it runs in one.
    pub own_pod: Option<String>,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Sentences, or a table.
    Text,
    /// A table with more columns.
    Wide,
    Json,
    Yaml,
    /// Lines of `KIND/NAME`, as arguments of kubectl.
    Name,
    /// Metrics in the text format of Prometheus.
    Prometheus,
    /// What a template of kubectl makes of the data.
    Template,
}

/// The values of `-o` that a command accepts, in lists that some commands share. One that ends with `=` only begins the value.
type Outputs = &'static [&'static [(&'static str, Output)]];

/// For commands that report an action, or show one object.
const REPORTED: Outputs = &[&[("text", Output::Text), ("json", Output::Json), ("yaml", Output::Yaml)]];

/// For commands that show a table.
const TABLE: Outputs = &[SHOWN];

const SHOWN: &[(&str, Output)] = &[
    ("table", Output::Text),
    ("text", Output::Text),
    ("wide", Output::Wide),
    ("json", Output::Json),
    ("yaml", Output::Yaml),
];

/// The values of `-o` that any command accepts.
pub fn outputs() -> BTreeSet<&'static str> {
    let all = [REPORTED, TABLE, stored_backups::LISTED, stored_backups::SCRAPED];
    all.into_iter().flatten().copied().flatten().map(|(word, _)| *word).collect()
}

#[derive(Debug, Clone)]
pub struct Create {
    /// The PersistentVolumeClaims, at least one; the first holds the dump.
    pub pvcs: Vec<String>,
    /// The value of `.rand` in the name template, if it was set.
    pub rand: Option<String>,
    pub template: Template,
    /// The VolumeSnapshotClass.
    pub class: Option<String>,
    pub wait_until_ready: bool,
    pub ready_timeout: Duration,
    pub label_type: String,
    pub label_pod: Option<String>,
    pub retain: Retain,
    /// The backup fails if the volume is this full, in percent.
    pub threshold_percent: u8,
    /// The databases to dump; empty for a snapshot without a dump.
    pub databases: Vec<Database>,
    /// The limit of one dump.
    pub dump_timeout: Option<Duration>,
    pub hooks: HookCommands,
    pub run_id: Option<String>,
    /// How long to wait for another backup of the same dump file.
    pub busy_timeout: Duration,
    /// Whether to create Events for the claims.
    pub events: bool,
    /// The node locks, if one must be taken.
    pub locks: Option<NodeLocks>,
    /// The settings that were set, in the order of the table, without passwords.
    pub set: Vec<(String, String)>,
}

impl Create {
    /// The literal passwords, which must never be shown.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.databases.iter().filter_map(|database| match &database.password {
            DbValue::Literal(text) => Some(text.clone()),
            DbValue::Variable(_) => None,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub policy: Policy,
    /// How long a snapshot may take to become ready.
    pub ready_timeout: Duration,
    /// How many kubectl change labels at once.
    pub concurrency: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct MarkAndDelete {
    /// The policy of `retain`, if `mark-and-delete` applies it first.
    pub first: Option<Retention>,
    /// Keep every good backup whose copy outside the cluster is not proven.
    pub require_exported: bool,
    /// The pause between two deletions.
    pub interval: Duration,
    /// How long a snapshot may take to become ready.
    pub ready_timeout: Duration,
    /// How many kubectl change labels at once.
    pub concurrency: usize,
}

/// Commands of the user for the database's container; an empty one is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCommands {
    /// Runs before the dump.
    pub pre: String,
    /// Runs once the snapshot is cut.
    pub post: String,
    /// The limit of each.
    pub timeout: Duration,
    /// Whether the backup continues if one of them fails.
    pub continue_on_error: bool,
}

/// A database to dump.
#[derive(Debug, Clone)]
pub struct Database {
    pub engine: Engine,
    /// The pod or workload that runs it.
    pub resource: ExecResource,
    pub container: String,
    /// The dump's path in the container. Its suffix says how it is compressed.
    pub dump_file: String,
    /// Whether no setting names that path.
    pub has_default_dump_file: bool,
    /// How hard the dump is compressed, if that was set.
    pub compression_level: Option<u8>,
    /// An address, a name or the path of a socket's directory, as seen in the container.
    pub host: String,
    pub port: u16,
    pub user: DbValue,
    pub password: DbValue,
    /// The first database, whose dump has the path `dump_file`.
    pub database: DbValue,
    /// The databases besides that.
    pub others: OtherDatabases,
    /// Whether no setting names the first database: it is one of all that the server has.
    pub is_listed: bool,
    /// The character set of a MySQL dump.
    pub charset: Option<String>,
    /// Whether the server's roles are written beside the dump.
    pub globals: GlobalsMode,
}

impl Database {
    /// The container's variables that settings name, as (setting, variable), without those of the defaults.
    pub fn named(&self) -> Vec<(String, String)> {
        let all = [("USER", &self.user), ("PASSWORD", &self.password), ("DB", &self.database)];
        let named = all.into_iter().filter_map(|(rest, value)| match value {
            DbValue::Variable(name) => Some((format!("{}_{rest}", self.engine.setting()), name.clone())),
            DbValue::Literal(_) => None,
        });
        named
            .filter(|(setting, name)| {
                settings::each().all(|each| each.var != *setting || each.default != format!("${{{name}}}"))
            })
            .collect()
    }
}

/// A value of a database setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DbValue {
    Literal(String),
    /// The name of a variable in the container's environment.
    Variable(String),
}

impl DbValue {
    /// `${NAME}` is the container's variable NAME, anything else is a literal.
    fn parse(text: &str) -> DbValue {
        let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let is_name = |name: &&str| {
            name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match inner.filter(is_name) {
            Some(name) => DbValue::Variable(name.into()),
            None => DbValue::Literal(text.into()),
        }
    }

    /// The form that the container's scripts expect: `=text` or `$NAME`.
    pub fn spec(&self) -> String {
        match self {
            DbValue::Literal(text) => format!("={text}"),
            DbValue::Variable(name) => format!("${name}"),
        }
    }
}

impl fmt::Display for DbValue {
    /// As in a setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DbValue::Literal(text) => f.write_str(text),
            DbValue::Variable(name) => write!(f, "${{{name}}}"),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Flag,
    Environment,
    /// The settings of the backup CronJob, with `--from-cronjob`.
    CronJob,
    Default,
}

/// Reads the text that was set for a setting, with its origin.
pub type Get<'a> = dyn Fn(&'static Setting) -> Result<Option<(String, Origin)>, String> + 'a;

/// Parses settings, and collects each error once.
pub struct Values<'a> {
    get: &'a Get<'a>,
    errors: Vec<Fault>,
}

/// Reads a variable of the environment. An empty one counts as not set; one that is not UTF-8 is an error.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn environment(var: &str) -> Result<Option<String>, String> {
    match std::env::var(var) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{var} is not valid UTF-8")),
    }
}

/// The variables that look like settings and are not.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn unknown_variables() -> BTreeSet<String> {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    set.filter_map(|(var, _)| var.into_string().ok()).filter(|var| settings::is_unknown(var)).collect()
}

pub fn about_unknown(var: &str) -> String {
    let meant = settings::meant_by(var).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    format!("{var} is not a setting and has no effect{meant}")
}

impl<'a> Values<'a> {
    pub fn new(get: &'a Get<'a>) -> Values<'a> {
        Values { get, errors: Vec::new() }
    }

    fn error(&mut self, about: About, text: String) {
        let fault = Fault { about, text };
        if !self.errors.contains(&fault) {
            self.errors.push(fault);
        }
    }

    fn raw(&mut self, setting: &'static Setting) -> (String, Origin) {
        match (self.get)(setting) {
            Ok(Some(found)) => found,
            Ok(None) => (setting.default.to_string(), Origin::Default),
            Err(error) => {
                self.error(About::Setting(setting), error);
                (setting.default.to_string(), Origin::Default)
            }
        }
    }

    /// Parses a setting. If it does not parse, the error names what is accepted, and `otherwise` is returned.
    fn parse<T>(&mut self, setting: &'static Setting, parse: impl Fn(&str) -> Result<T, String>, otherwise: T) -> T {
        let (text, origin) = self.raw(setting);
        parse(&text).unwrap_or_else(|accepted| {
            let shown = if setting.is_secret() { "****" } else { &text };
            let name = match origin {
                Origin::Flag => format!("{} (--{})", setting.var, setting.flag),
                _ => setting.var.to_string(),
            };
            self.error(About::Setting(setting), format!("{name} is '{shown}'; accepted: {accepted}"));
            otherwise
        })
    }

    fn text(&mut self, setting: &'static Setting) -> String {
        self.parse(setting, |text| Ok(text.into()), String::new())
    }

    fn optional<T>(&mut self, setting: &'static Setting, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.parse(setting, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }, None)
    }

    fn switch(&mut self, setting: &'static Setting) -> bool {
        self.parse(setting, parse_bool, false)
    }

    fn time(&mut self, setting: &'static Setting) -> Duration {
        self.parse(setting, parse_duration, Duration::ZERO)
    }

    fn number(&mut self, setting: &'static Setting, least: u32, most: u32) -> u32 {
        self.parse(setting, |text| parse_number(text, least, most), least)
    }

    fn db_value(&mut self, setting: &'static Setting) -> DbValue {
        let (text, origin) = self.raw(setting);
        let (var, about) = (setting.var, About::Setting(setting));
        let value = DbValue::parse(&text);
        if setting.is_secret() && origin == Origin::Flag && matches!(value, DbValue::Literal(_)) {
            self.error(about, format!(
                "{var} (--{}) is a literal; accepted as a flag: ${{NAME}}, a variable of the container. All users of the machine can read argument lists: put a literal password into the environment variable",
                setting.flag
            ));
        }
        if text.contains('\0') {
            self.error(about, format!("{var} holds a NUL character, which no database takes"));
        }
        value
    }

    /// Fails with all the errors that were found.
    fn finish(&self) -> Result<(), Fail> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let what = match &self.errors[..] {
            [one] => format!("the configuration is wrong: {one}"),
            all => {
                let texts: Vec<&str> = all.iter().map(|fault| fault.text.as_str()).collect();
                format!("the configuration is wrong in {} places:\n  {}", all.len(), texts.join("\n  "))
            }
        };
        Err(Fail::new(Exit::Usage, what).remedy("correct the variables or flags named above; --help lists them all"))
    }
}

/// The arguments of the command line that are not settings, by name; a switch has an empty value. One that was repeated has a line
/// for each of its values.
#[derive(Debug, Clone, Default)]
pub struct Plain(pub BTreeMap<String, String>);

impl Plain {
    pub fn word(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub fn is(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Checks an argument that is an object's name. A positional one may be `KIND/NAME`, as `-o name` prints it.
    fn name(&self, argument: &str, v: &mut Values<'_>) -> Option<String> {
        let word = self.word(argument)?;
        let is_object = argument.bytes().all(|byte| byte.is_ascii_uppercase());
        let name = word.rsplit('/').next().filter(|_| is_object).unwrap_or(&word);
        if let Err(accepted) = name::check_name(name) {
            v.error(About::Argument, format!("{argument} is '{word}'; accepted: {accepted}"));
        }
        Some(name.to_string())
    }
}

/// Reads the global configuration and, with `read`, that of a command. The error names everything that does not parse or
/// does not fit the rest.
fn configured<T>(
    plain: &Plain,
    outputs: Outputs,
    values: &mut Values<'_>,
    read: impl FnOnce(&mut Global, &mut Values<'_>) -> T,
) -> Result<(Global, T), Fail> {
    let mut global = global(plain, outputs, values);
    let own = read(&mut global, values);
    values.finish()?;
    Ok((global, own))
}

pub fn create(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Create), Fail> {
    configured(plain, REPORTED, values, |_, v| {
        notifications::read(v);
        backup(v)
    })
}

#[derive(Debug, Clone)]
pub struct Doctor {
    /// The configuration of `create`, with defaults for settings that are wrong.
    pub create: Create,
    /// Whether `mark-and-delete` keeps what is not exported.
    pub require_exported: bool,
    /// The settings of an export, if one is configured, and what they lack.
    pub export: Option<(ExportSettings, Vec<String>)>,
    /// The faults that any command finds in the settings, each once.
    pub faults: Vec<Fault>,
}

/// The configuration of `doctor`, which reports wrong settings as faults; only a wrong `-o` is an error.
pub fn doctor(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Doctor), Fail> {
    let global = global(plain, REPORTED, values);
    let create = backup(values);
    let require_exported = values.switch(var!("BAK_REQUIRE_EXPORTED"));
    let named = [var!("BAK_EXPORT_TOOL"), var!("BAK_EXPORT_IMAGE"), var!("BAK_EXPORT_SECRET")];
    let is_configured = named.into_iter().any(|setting| !matches!((values.get)(setting), Ok(None)));
    let export = is_configured.then(|| {
        let settings = stored_backups::export_settings(values);
        let missing = stored_backups::missing_for_tool(&settings).into_iter().map(|(_, what)| what).collect();
        (settings, missing)
    });
    let (words, mut faults): (Vec<Fault>, Vec<Fault>) =
        std::mem::take(&mut values.errors).into_iter().partition(|fault| fault.about == About::Output);
    faults.extend(effective::faults(values.get));
    let mut seen = BTreeSet::new();
    faults.retain(|fault| seen.insert(fault.text.clone()));
    values.errors = words;
    values.finish()?;
    Ok((global, Doctor { create, require_exported, export, faults }))
}

/// Reads the configuration of a backup; errors are left in `v`.
fn backup(v: &mut Values<'_>) -> Create {
    let name = |text: &str| name::check_name(text).map(|()| text.to_string());
    let label = |text: &str| labels::check_value(text).map(|()| text.to_string());

    let set = set(v);
    let retain_days = v.number(var!("BAK_LABEL_VS_RETAIN_DAYS"), 1, 36_500);
    let retain = v.parse(
        var!("BAK_LABEL_VS_RETAIN"),
        |text| match text {
            "days" => Ok(Retain::Days(retain_days)),
            labels::RETAIN_SLOTS => Ok(Retain::DailyWeeklyMonthly),
            _ => Err("days or daily_weekly_monthly".into()),
        },
        Retain::Days(retain_days),
    );
    Create {
        pvcs: v.parse(var!("BAK_PVC_NAME"), name::claims, Vec::new()),
        rand: v.optional(var!("BAK_VS_RAND"), name),
        template: v.parse(var!("BAK_VS_NAME_TEMPLATE"), Template::parse, Template::default()),
        class: v.optional(var!("BAK_VS_CLASS_NAME"), name),
        wait_until_ready: v.switch(var!("BAK_VS_WAIT_UNTIL_READY")),
        ready_timeout: v.time(var!("BAK_VS_WAIT_UNTIL_READY_TIMEOUT")),
        label_type: v.parse(var!("BAK_LABEL_VS_TYPE"), label, String::new()),
        label_pod: v.optional(var!("BAK_LABEL_VS_POD"), label),
        retain,
        threshold_percent: u8::try_from(v.number(var!("BAK_THRESHOLD_SPACE_USED_PERCENTAGE"), 1, 100)).unwrap_or(100),
        databases: databases(v),
        dump_timeout: Some(v.time(var!("BAK_DUMP_TIMEOUT"))).filter(|time| !time.is_zero()),
        hooks: HookCommands {
            pre: v.text(var!("BAK_HOOK_PRE")),
            post: v.text(var!("BAK_HOOK_POST")),
            timeout: v.time(var!("BAK_HOOK_TIMEOUT")),
            continue_on_error: v.parse(
                var!("BAK_HOOK_ON_ERROR"),
                |text| match text {
                    "fail" => Ok(false),
                    "continue" => Ok(true),
                    _ => Err("fail or continue".into()),
                },
                false,
            ),
        },
        run_id: v.optional(var!("BAK_RUN_ID"), label),
        busy_timeout: v.time(var!("BAK_BUSY_TIMEOUT")),
        events: v.switch(var!("BAK_EVENTS")),
        locks: chosen_locks(v),
        set,
    }
}

/// Reads the chosen databases. The settings of the others are checked, too.
fn databases(v: &mut Values<'_>) -> Vec<Database> {
    let skip = v.switch(var!("BAK_DB_SKIP"));
    let all = Engine::ALL
        .map(|engine| (v.switch(pick(engine, var!("BAK_DB_POSTGRES"), var!("BAK_DB_MYSQL"))), database(v, engine)));
    let chosen: Vec<Database> = all.into_iter().filter_map(|(wanted, database)| wanted.then_some(database)).collect();
    chosen.iter().for_each(|database| check_level(v, database));
    if let [one, other] = &chosen[..]
        && one.dump_file == other.dump_file
        && one.resource == other.resource
    {
        v.error(
            About::Setting(var!("BAK_DB_POSTGRES_DUMP_FILE")),
            format!(
                "BAK_DB_POSTGRES_DUMP_FILE and BAK_DB_MYSQL_DUMP_FILE are both '{}'; accepted: a file for each",
                one.dump_file
            ),
        );
    }
    if chosen.is_empty() && !skip {
        v.error(
            About::NoDatabase,
            "no database is chosen: set BAK_DB_POSTGRES=true (--db-postgres), BAK_DB_MYSQL=true (--db-mysql), or BAK_DB_SKIP=true (--db-skip) for a snapshot without a dump; --from-cronjob uses the settings of the backup CronJob".into(),
        );
    }
    if skip { Vec::new() } else { chosen }
}

/// Checks that the format of the dump file knows the level.
fn check_level(v: &mut Values<'_>, database: &Database) {
    let levels = Compression::of(&database.dump_file).levels();
    if let Some(level) = database.compression_level.filter(|level| !levels.contains(level)) {
        let about = About::Setting(var!("BAK_DUMP_COMPRESSION_LEVEL"));
        let (file, least, most) = (&database.dump_file, levels.start(), levels.end());
        let text =
            format!("BAK_DUMP_COMPRESSION_LEVEL is '{level}'; accepted for {file}: a number from {least} to {most}");
        v.error(about, text);
    }
}

/// The setting of the engine.
fn pick(engine: Engine, postgres: &'static Setting, mysql: &'static Setting) -> &'static Setting {
    match engine {
        Engine::Postgres => postgres,
        Engine::MySql => mysql,
    }
}

fn database(v: &mut Values<'_>, engine: Engine) -> Database {
    let (database, others) = named_databases(v, engine);
    let name = |text: &str| name::check_name(text).map(|()| text.to_string());
    let dump_file = pick(engine, var!("BAK_DB_POSTGRES_DUMP_FILE"), var!("BAK_DB_MYSQL_DUMP_FILE"));
    Database {
        engine,
        resource: v.parse(
            pick(engine, var!("BAK_DB_POSTGRES_EXEC_RESOURCE"), var!("BAK_DB_MYSQL_EXEC_RESOURCE")),
            ExecResource::parse,
            ExecResource { kind: crate::core::kube::namespace_objects::ExecKind::Pod, name: String::new() },
        ),
        container: v.parse(
            pick(engine, var!("BAK_DB_POSTGRES_EXEC_CONTAINER"), var!("BAK_DB_MYSQL_EXEC_CONTAINER")),
            name,
            String::new(),
        ),
        has_default_dump_file: v.raw(dump_file).1 == Origin::Default,
        dump_file: v.parse(dump_file, parse_dump_file, String::new()),
        compression_level: v.optional(var!("BAK_DUMP_COMPRESSION_LEVEL"), |text| {
            parse_number(text, 1, 19).map(|level| u8::try_from(level).unwrap_or(1))
        }),
        host: v.parse(pick(engine, var!("BAK_DB_POSTGRES_HOST"), var!("BAK_DB_MYSQL_HOST")), parse_host, String::new()),
        port: u16::try_from(v.number(pick(engine, var!("BAK_DB_POSTGRES_PORT"), var!("BAK_DB_MYSQL_PORT")), 1, 65535))
            .unwrap_or(0),
        user: v.db_value(pick(engine, var!("BAK_DB_POSTGRES_USER"), var!("BAK_DB_MYSQL_USER"))),
        password: v.db_value(pick(engine, var!("BAK_DB_POSTGRES_PASSWORD"), var!("BAK_DB_MYSQL_PASSWORD"))),
        database,
        others,
        is_listed: false,
        charset: match engine {
            Engine::Postgres => None,
            Engine::MySql => Some(v.parse(var!("BAK_DB_MYSQL_DEFAULT_CHARACTER_SET"), parse_charset, String::new())),
        },
        globals: v.parse(
            pick(engine, var!("BAK_DB_POSTGRES_GLOBALS"), var!("BAK_DB_MYSQL_GLOBALS")),
            GlobalsMode::parse,
            GlobalsMode::Off,
        ),
    }
}

/// Reads which databases are dumped: the first, and the others.
fn named_databases(v: &mut Values<'_>, engine: Engine) -> (DbValue, OtherDatabases) {
    let setting = pick(engine, var!("BAK_DB_POSTGRES_DB"), var!("BAK_DB_MYSQL_DB"));
    v.db_value(setting);
    let split = |text: &str| {
        let (first, others) = OtherDatabases::split(text)?;
        Ok((DbValue::parse(first.unwrap_or(setting.default)), others))
    };
    v.parse(setting, split, (DbValue::parse(setting.default), OtherDatabases::Named(Vec::new())))
}

pub fn retain(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, Retention), Fail> {
    configured(plain, REPORTED, values, |global, v| {
        global.dry_run |= v.switch(var!("RETAIN_DRY_RUN"));
        notifications::read(v);
        retention(v, true)
    })
}

/// Reads the retention policy. A policy that keeps nothing is an error only if it is `wanted`.
fn retention(v: &mut Values<'_>, wanted: bool) -> Retention {
    let mut number = |setting: &'static Setting| v.number(setting, 0, 100_000) as usize;
    let policy = Policy {
        daily: number(var!("RETAIN_LAST_DAILY")),
        weekly: number(var!("RETAIN_LAST_WEEKLY")),
        monthly: number(var!("RETAIN_LAST_MONTHLY")),
    };
    let ready_timeout = v.time(var!("BAK_VS_WAIT_UNTIL_READY_TIMEOUT"));
    let concurrency = change_concurrency(v);
    let allowed = v.switch(var!("BAK_ALLOW_EMPTY_POLICY"));
    if wanted && !allowed && policy.is_empty() && v.errors.is_empty() {
        v.error(
            About::Setting(var!("RETAIN_LAST_DAILY")),
            "RETAIN_LAST_DAILY, RETAIN_LAST_WEEKLY and RETAIN_LAST_MONTHLY are all 0, which keeps nothing but the newest snapshot of each PVC; accepted: a number above 0 in one of them, or --allow-empty-policy".into(),
        );
    }
    Retention { policy, ready_timeout, concurrency }
}

fn change_concurrency(v: &mut Values<'_>) -> usize {
    v.number(var!("BAK_CHANGE_CONCURRENCY"), 1, 16) as usize
}

pub fn mark_and_delete(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, MarkAndDelete), Fail> {
    configured(plain, REPORTED, values, |global, v| {
        global.dry_run |= v.switch(var!("RETAIN_DRY_RUN"));
        notifications::read(v);
        let wanted = v.switch(var!("BAK_RETAIN_FIRST"));
        let retention = retention(v, wanted);
        MarkAndDelete {
            first: wanted.then_some(retention),
            require_exported: v.switch(var!("BAK_REQUIRE_EXPORTED")),
            interval: v.time(var!("BAK_DELETE_INTERVAL")),
            ready_timeout: retention.ready_timeout,
            concurrency: retention.concurrency,
        }
    })
}

/// Reads the log format before the rest, so that errors of the rest are printed in it. Its own error is reported with theirs.
pub fn log_format(get: &Get<'_>) -> LogFormat {
    Values::new(get).parse(var!("BAK_LOG_FORMAT"), parse_log_format, LogFormat::Auto)
}

/// The configuration for reading the settings of the backup CronJob. A missing time zone is no error yet: the CronJob may set it.
pub fn before_cronjob_settings(plain: &Plain, get: &Get<'_>) -> Result<Global, Fail> {
    let mut plain = plain.clone();
    plain.0.remove("output");
    let mut values = Values::new(get);
    let global = global(&plain, REPORTED, &mut values);
    values.errors.retain(|fault| fault.about != About::SystemZone);
    values.finish()?;
    Ok(global)
}

fn global(plain: &Plain, outputs: Outputs, v: &mut Values<'_>) -> Global {
    v.parse(var!("BAK_LOG_FORMAT"), parse_log_format, LogFormat::Auto);
    let word = plain.word("output");
    let is = |name: &str, word: &str| word == name || name.ends_with('=') && word.starts_with(name);
    let accepted = outputs.iter().copied().flatten();
    let output = accepted.clone().find(|(name, _)| word.as_deref().is_none_or(|word| is(name, word)));
    if output.is_none() {
        let words: Vec<&str> = accepted.map(|(name, _)| *name).collect();
        v.error(About::Output, format!("-o is '{}'; accepted: {}", word.clone().unwrap_or_default(), either(&words)));
    }
    let output = output.map_or(Output::Text, |(_, output)| *output);
    // `-n "$NS"` with an empty NS would select another namespace, or all of them.
    if v.raw(var!("BAK_NAMESPACE")) == (String::new(), Origin::Flag) {
        v.error(
            About::Setting(var!("BAK_NAMESPACE")),
            "BAK_NAMESPACE (--namespace) is ''; accepted: the name of a namespace, or no flag at all".into(),
        );
    }
    Global {
        asked: ClusterChoice {
            namespace: v.optional(var!("BAK_NAMESPACE"), |text| name::check_name(text).map(|()| text.to_string())),
            own_namespace: own_namespace(),
            context: plain.word("context"),
            kubeconfig: plain.word("kubeconfig"),
            access: access(plain, v),
            lost: lost_kubeconfig(plain),
            request_timeout: v.parse(var!("BAK_REQUEST_TIMEOUT"), parse_request_timeout, Duration::ZERO),
            shield: Shield {
                caller: plain.word(CALLER),
                ..shield().unwrap_or_else(|why| {
                    v.error(About::Argument, why);
                    Shield::default()
                })
            },
        },
        dry_run: v.parse(var!("BAK_DRY_RUN"), parse_dry_run, false),
        timeout: Some(v.time(var!("BAK_TIMEOUT"))).filter(|time| !time.is_zero()),
        retry_timeout: v.time(var!("BAK_RETRY_TIMEOUT")),
        output,
        template: word.unwrap_or_default(),
        zone: zone(v),
        holder: holder(),
        own_pod: Some(hostname()).filter(|_| Path::new(SERVICE_ACCOUNT).exists()),
    }
}

/// The name under which [`Plain`] has the kubectl that called this program.
pub const CALLER: &str = "caller";

/// The path of the kubectl that called this program as its plugin; None if the variable is not set or names no file.
pub fn caller() -> Option<String> {
    environment(kubectl_env::CALLER).ok()?.filter(|path| kubectl_env::is_kubectl(path) && Path::new(path).is_file())
}

/// The arguments by which kubectl reaches the API as it is asked to. An empty value would mean to kubectl that the flag is not set.
fn access(plain: &Plain, v: &mut Values<'_>) -> Vec<String> {
    if plain.is("token") {
        let text = "--token is not passed on: every user of the machine can read argument lists; accepted: a kubeconfig (--kubeconfig) whose user has the token, or the file that holds it (tokenFile)";
        v.error(About::Argument, text.into());
    }
    let mut arguments = Vec::new();
    for AccessFlag { name, value, .. } in &access::FLAGS {
        for word in plain.word(name).iter().flat_map(|words| words.split('\n')) {
            let accepted =
                if value.is_empty() { "true or false" } else { "a text that is not empty, or no flag at all" };
            match (value.is_empty(), word) {
                (true, "true" | "false") | (false, _) if !word.is_empty() => arguments.push(format!("--{name}={word}")),
                _ => v.error(About::Argument, format!("--{name} is '{word}'; accepted: {accepted}")),
            }
        }
    }
    arguments
}

/// The parts of the environment and the preferences file that kubectl must not see. Fails if the preferences file may hold a
/// policy for credential plugins and cannot be parsed.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn shield() -> Result<Shield, String> {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect();
    let changes = kubectl_env::changes(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Ok(Shield { changes, preferences: preferences()?, caller: None })
}

/// The preferences file that kubectl would read, if it exists and preferences are not turned off.
fn preferences() -> Result<Option<Preferences>, String> {
    let set = |var: &str| environment(var).ok().flatten();
    let path = match set(kubectl_env::KUBERC) {
        Some(off) if off == "off" => return Ok(None),
        Some(path) => path,
        None => match set("HOME") {
            Some(home) => format!("{home}/.kube/kuberc"),
            None => return Ok(None),
        },
    };
    if set("KUBECTL_KUBERC").is_some_and(|word| word.eq_ignore_ascii_case("false")) {
        return Ok(None);
    }
    // kubectl ignores a preferences file that it cannot read.
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let policy = kubectl_env::policy(&String::from_utf8_lossy(&text)).map_err(|why| {
        format!("the policy for credential plugins in kubectl's preferences, {path}, cannot be read ({why}); correct the file, or set KUBERC=off to ignore it")
    })?;
    Ok(Some(Preferences { path, policy }))
}

/// The error text if no kubeconfig file that was named exists. `KUBECONFIG` may name several files; one is enough.
fn lost_kubeconfig(plain: &Plain) -> Option<String> {
    let (by, named) = match plain.word("kubeconfig") {
        Some(named) => ("--kubeconfig", vec![named]),
        None => ("KUBECONFIG", environment("KUBECONFIG").ok()??.split(':').map(str::to_string).collect()),
    };
    let named: Vec<String> = named.into_iter().filter(|file| !file.is_empty()).collect();
    if named.is_empty() || named.iter().any(|file| Path::new(file).exists()) {
        return None;
    }
    Some(format!("the kubeconfig that {by} names does not exist: {}", named.join(", ")))
}

/// The zone of TZ, else of the system.
fn zone(v: &mut Values<'_>) -> Zone {
    if let Some(zone) = v.optional(var!("TZ"), |text| {
        Zone::parse(text).map_err(|why| format!("an IANA name such as Europe/Vienna, or UTC ({why})"))
    }) {
        return zone;
    }
    let system = iana_time_zone::get_timezone().ok();
    match system.as_deref().map(Zone::parse) {
        Some(Ok(zone)) => zone,
        // Most containers have no zone, and are in UTC.
        None if !Path::new("/etc/localtime").exists() => Zone::UTC,
        _ => {
            v.error(About::SystemZone, "TZ is not set and the system's time zone has no name; accepted: an IANA name such as Europe/Vienna, or UTC".into());
            Zone::UTC
        }
    }
}

/// Where Kubernetes tells a pod who it is
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api>).
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn own_namespace() -> Option<String> {
    let text = std::fs::read_to_string(Path::new(SERVICE_ACCOUNT).join("namespace")).ok()?;
    Some(text.trim().to_string()).filter(|name| !name.is_empty())
}

/// The host's name; in a pod the pod's name.
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_string());
    name.or_else(|| environment("HOSTNAME").ok().flatten()).unwrap_or_else(|| "unknown-host".into())
}

fn holder() -> String {
    let word = |var: &str| environment(var).ok().flatten();
    let host = hostname();
    let user = word("USER").or_else(|| word("LOGNAME")).map(|user| format!("{user}@")).unwrap_or_default();
    format!("{user}{host} (process {})", std::process::id())
}

#[derive(Debug, Clone, Copy)]
pub struct VersionConfig {
    /// Only the versions of this program and of kubectl, without a request to the cluster.
    pub client: bool,
}

pub fn version(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, VersionConfig), Fail> {
    configured(plain, REPORTED, values, |_, _| VersionConfig { client: plain.is("client") })
}

#[derive(Debug, Clone)]
pub struct LocksConfig {
    /// Whether to create the lock files and open them to every user.
    pub prepare: bool,
    pub locks: NodeLocks,
}

/// The configuration of `locks`: the chosen kind, or lock files by default.
pub fn locks(plain: &Plain, values: &mut Values<'_>) -> Result<(Global, LocksConfig), Fail> {
    configured(plain, TABLE, values, |_, v| {
        let prepare = plain.is("prepare");
        // Only files are prepared; the settings of Leases do not matter then.
        let chosen = if prepare { None } else { chosen_locks(v) };
        LocksConfig { prepare, locks: chosen.unwrap_or_else(|| NodeLocks::Flock(lock_files(v))) }
    })
}

fn lock_files(v: &mut Values<'_>) -> flock::LockFiles {
    let count = v.optional(var!("BAK_FLOCK_COUNT"), |text| parse_number(text, 1, 10_000));
    let dir = v.text(var!("BAK_FLOCK_DIR"));
    let timeout = v.number(var!("BAK_FLOCK_TIMEOUT_SEC"), 0, 365 * 24 * 3600);
    flock::LockFiles {
        dir: dir.into(),
        count: count.unwrap_or_else(lock_count),
        timeout: Duration::from_secs(u64::from(timeout)),
    }
}

/// The default number of node locks: half of the CPUs.
fn lock_count() -> u32 {
    (flock::node_cpus().unwrap_or(2) / 2).max(1)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LockKind {
    Flock,
    Lease,
    None,
}

/// Reads the node locks of the chosen kind. The settings of the other kind are checked, too.
fn chosen_locks(v: &mut Values<'_>) -> Option<NodeLocks> {
    let name = |text: &str| name::check_name(text).map(|()| text.to_string());
    let flock = v.switch(var!("BAK_FLOCK"));
    let kind = v.optional(var!("BAK_LOCK"), |text| match text {
        "flock" => Ok(LockKind::Flock),
        "lease" => Ok(LockKind::Lease),
        "none" => Ok(LockKind::None),
        _ => Err("flock, lease or none".into()),
    });
    let files = lock_files(v);
    let namespace = v.parse(var!("BAK_LOCK_NAMESPACE"), name, String::new());
    let node =
        v.parse(var!("BAK_LOCK_NODE"), |text| if text.is_empty() { Ok(String::new()) } else { name(text) }, "?".into());
    let duration = v.parse(var!("BAK_LOCK_LEASE_DURATION"), parse_lease_duration, Duration::ZERO);
    if kind == Some(LockKind::Lease) && node.is_empty() {
        v.error(
            About::Setting(var!("BAK_LOCK_NODE")),
            "BAK_LOCK_NODE (--lock-node) is not set; accepted with BAK_LOCK=lease: the name of the node, in a pod by the downward API (fieldRef spec.nodeName)".into(),
        );
    }
    match kind.unwrap_or(if flock { LockKind::Flock } else { LockKind::None }) {
        LockKind::Flock => Some(NodeLocks::Flock(files)),
        LockKind::Lease => {
            let slots = Slots::new(&node, files.count, duration);
            Some(NodeLocks::Lease(lease::LeaseLocks { namespace, slots, timeout: files.timeout }))
        }
        LockKind::None => None,
    }
}

/// The settings that were set, without passwords.
fn set(v: &mut Values<'_>) -> Vec<(String, String)> {
    let all = settings::GLOBAL.iter().chain(settings::CREATE).filter(|setting| !setting.is_secret());
    all.filter_map(|setting| match (v.get)(setting) {
        Ok(Some((text, _))) => Some((setting.var.to_string(), text)),
        _ => None,
    })
    .collect()
}

fn parse_dry_run(text: &str) -> Result<bool, String> {
    cronjob::dry_run(text).ok_or(SWITCH.into())
}

fn parse_bool(text: &str) -> Result<bool, String> {
    cronjob::yes_or_no(text).ok_or(SWITCH.into())
}

const SWITCH: &str = "true, yes, on or 1; false, no, off or 0";

/// Joins words as `a, b or c`.
fn either(words: &[&str]) -> String {
    match words {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => words.concat(),
    }
}

/// The longest time that can be set. It is short enough that sums of a few do not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

fn parse_duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= LONGEST);
    time.ok_or_else(|| "a number with its unit, at most 365d, such as 90s, 15m or 1h30m".into())
}

/// As for kubectl, a bare number is seconds. 0 is refused, because a request without a limit could block the program for ever.
fn parse_request_timeout(text: &str) -> Result<Duration, String> {
    let time = text.parse().map(Duration::from_secs).or_else(|_| parse_duration(text));
    let time = time.ok().filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time));
    time.ok_or_else(|| "seconds, or a number with its unit, from 1s to 365d, such as 30s or 2m".into())
}

/// A Lease holds whole seconds; fewer than 3 are too few to renew it in time.
fn parse_lease_duration(text: &str) -> Result<Duration, String> {
    let time =
        parse_duration(text).ok().filter(|time| (3..=3600).contains(&time.as_secs()) && time.subsec_nanos() == 0);
    time.ok_or_else(|| "whole seconds from 3s to 1h, such as 60s".into())
}

fn parse_number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("a whole number from {least} to {most}"))
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "live" => Ok(LogFormat::Live),
        "plain" | "text" => Ok(LogFormat::Plain),
        "json" => Ok(LogFormat::Json),
        _ => Err("auto, live, plain or json".into()),
    }
}

/// The longest path of a dump file, in bytes: the proofs of many databases, each with its paths, are in one annotation.
const LONGEST_DUMP_FILE: usize = 512;

fn parse_dump_file(text: &str) -> Result<String, String> {
    let base = text.rsplit('/').next().unwrap_or_default();
    let fine = text.starts_with('/')
        && text.len() <= LONGEST_DUMP_FILE
        && !text.chars().any(char::is_control)
        && !["", ".", ".."].contains(&base)
        && !text.split('/').any(|part| part == "..");
    if fine {
        Ok(text.into())
    } else {
        Err(format!(
            "the absolute path of a file, without '..' and control characters, of at most {LONGEST_DUMP_FILE} bytes"
        ))
    }
}

fn parse_charset(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fine { Ok(text.into()) } else { Err("a character set of the server, such as utf8mb4".into()) }
}

fn parse_host(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if fine { Ok(text.into()) } else { Err("a host name, an address, or the directory of a socket".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_has_its_own_settings() {
        let set = |set: &'static [(&str, &str)]| {
            move |setting: &'static Setting| {
                let found = set.iter().chain(&[("TZ", "UTC")]).find(|(var, _)| *var == setting.var);
                Ok(found.map(|(_, value)| (value.to_string(), Origin::Environment)))
            }
        };
        let (global, kept) = retain(&Plain::default(), &mut Values::new(&set(&[]))).unwrap();
        assert!(!global.dry_run);
        assert_eq!(kept.policy, Policy { daily: 7, weekly: 4, monthly: 12 });
        assert_eq!((kept.ready_timeout, kept.concurrency), (Duration::from_secs(900), 4));
        let sixteen: &[(&str, &str)] = &[("BAK_CHANGE_CONCURRENCY", "16")];
        assert_eq!(mark_and_delete(&Plain::default(), &mut Values::new(&set(sixteen))).unwrap().1.concurrency, 16);
        assert_eq!(sync(&Plain::default(), &mut Values::new(&set(sixteen))).unwrap().1.concurrency, 16);
        for wrong in ["0", "17", "many"] {
            let get = |setting: &'static Setting| match setting.var {
                "BAK_CHANGE_CONCURRENCY" => Ok(Some((wrong.into(), Origin::Flag))),
                _ => set(&[])(setting),
            };
            let fail = sync(&Plain::default(), &mut Values::new(&get)).unwrap_err();
            let said = format!("BAK_CHANGE_CONCURRENCY (--change-concurrency) is '{wrong}'; accepted: ");
            assert!(fail.exit == Exit::Usage && fail.what.contains(&said), "{}", fail.what);
        }
        assert!(retain(&Plain::default(), &mut Values::new(&set(&[("RETAIN_DRY_RUN", "yes")]))).unwrap().0.dry_run);
        let (global, pruned) =
            mark_and_delete(&Plain::default(), &mut Values::new(&set(&[("RETAIN_DRY_RUN", "1")]))).unwrap();
        assert!(global.dry_run);
        assert_eq!(pruned.interval, Duration::from_secs(5));
        assert!(pruned.first.is_none() && !pruned.require_exported);
        let required: &[(&str, &str)] = &[("BAK_REQUIRE_EXPORTED", "true")];
        assert!(mark_and_delete(&Plain::default(), &mut Values::new(&set(required))).unwrap().1.require_exported);
        assert!(status(&Plain::default(), &mut Values::new(&set(required))).unwrap().1.require_exported);

        const NONE: &[(&str, &str)] =
            &[("RETAIN_LAST_DAILY", "0"), ("RETAIN_LAST_WEEKLY", "0"), ("RETAIN_LAST_MONTHLY", "0")];
        assert!(mark_and_delete(&Plain::default(), &mut Values::new(&set(NONE))).unwrap().1.first.is_none());
        let first = |setting: &'static Setting| match setting.var {
            "BAK_RETAIN_FIRST" => Ok(Some(("true".into(), Origin::Flag))),
            _ => set(NONE)(setting),
        };
        let fail = mark_and_delete(&Plain::default(), &mut Values::new(&first)).unwrap_err();
        assert!(fail.what.contains("--allow-empty-policy"), "{}", fail.what);
        let fail = retain(&Plain::default(), &mut Values::new(&set(NONE))).unwrap_err();
        assert!(fail.exit == Exit::Usage && fail.what.contains("--allow-empty-policy"), "{}", fail.what);
        let allowed = |setting: &'static Setting| match setting.var {
            "BAK_ALLOW_EMPTY_POLICY" => Ok(Some(("true".into(), Origin::Flag))),
            _ => set(NONE)(setting),
        };
        assert!(retain(&Plain::default(), &mut Values::new(&allowed)).unwrap().1.policy.is_empty());

        let wrong: &[(&str, &str)] = &[
            ("RETAIN_DRY_RUN", "perhaps"),
            ("RETAIN_LAST_DAILY", "-1"),
            ("RETAIN_LAST_WEEKLY", "x"),
            ("RETAIN_LAST_MONTHLY", "1.5"),
            ("BAK_ALLOW_EMPTY_POLICY", "x"),
            ("BAK_RETAIN_FIRST", "x"),
            ("BAK_REQUIRE_EXPORTED", "x"),
            ("BAK_DELETE_INTERVAL", "5"),
            ("BAK_VS_WAIT_UNTIL_READY_TIMEOUT", "soon"),
            ("BAK_CHANGE_CONCURRENCY", "17"),
        ];
        let all_wrong = |setting: &'static Setting| {
            let found = wrong.iter().find(|(var, _)| *var == setting.var);
            Ok(found.map(|(_, value)| (value.to_string(), Origin::Environment)))
        };
        let said = [
            retain(&Plain::default(), &mut Values::new(&all_wrong)).unwrap_err().what,
            mark_and_delete(&Plain::default(), &mut Values::new(&all_wrong)).unwrap_err().what,
        ];
        for (table, said) in [settings::RETAIN, settings::MARK_AND_DELETE].into_iter().zip(said) {
            for setting in table {
                let (_, value) = wrong.iter().find(|(var, _)| *var == setting.var).unwrap();
                assert!(said.contains(&format!("{} is '{value}'; accepted: ", setting.var)), "{said}");
            }
        }
    }

    #[test]
    fn every_choice_of_a_setting_is_accepted() {
        for setting in settings::each().filter(|setting| !setting.choices.is_empty()) {
            let default = setting.default;
            assert!(default.is_empty() || setting.choices.contains(&default), "{}", setting.var);
            for choice in setting.choices {
                let set =
                    |other: &'static Setting| Ok((other == setting).then(|| (choice.to_string(), Origin::Environment)));
                let all = effective(&Plain::default(), &Values::new(&set)).unwrap().all;
                let found = all.iter().find(|effective| effective.variable == setting.var).unwrap();
                assert!(found.value == *choice && found.faults.is_empty(), "{found:?}");
            }
        }
    }

    fn with(set: &[(&str, &str)]) -> Result<(Global, Create), Fail> {
        let mut map: BTreeMap<String, String> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        map.entry("BAK_DB_POSTGRES".into()).or_insert("true".into());
        map.entry("TZ".into()).or_insert("UTC".into());
        let get = |setting: &'static Setting| Ok(map.get(setting.var).map(|v| (v.clone(), Origin::Environment)));
        create(&Plain::default(), &mut Values::new(&get))
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let (global, create) = with(&[]).unwrap();
        assert!(!global.dry_run);
        assert_eq!(global.asked.namespace, None);
        assert_eq!(create.pvcs, ["data"]);
        assert_eq!(create.ready_timeout, Duration::from_secs(900));
        assert!(create.wait_until_ready);
        assert_eq!(create.label_type, "adhoc");
        assert_eq!(create.retain, Retain::Days(30));
        assert_eq!(create.threshold_percent, 90);
        assert_eq!(create.databases[0].resource.to_string(), "deployment/app-base");
        assert_eq!(create.databases[0].container, "postgres");
        assert_eq!(create.databases[0].dump_file, "/var/lib/postgresql/data/dump.sql.gz");
        assert!(create.databases[0].has_default_dump_file);
        let (_, set) = with(&[("BAK_DB_POSTGRES_DUMP_FILE", &create.databases[0].dump_file)]).unwrap();
        assert!(!set.databases[0].has_default_dump_file, "a setting counts even if it names the default");
        assert_eq!((create.databases[0].host.as_str(), create.databases[0].port), ("127.0.0.1", 5432));
        assert_eq!(create.databases[0].user, DbValue::Variable("POSTGRES_USER".into()));
        assert_eq!(create.databases[0].password.spec(), "$POSTGRES_PASSWORD");
        assert_eq!(create.locks, None);
        assert_eq!(create.set.iter().map(|(k, _)| k.as_str()).collect::<Vec<_>>(), ["TZ", "BAK_DB_POSTGRES"]);
    }

    #[test]
    fn yes_is_yes_and_perhaps_is_an_error() {
        for yes in ["yes", "true", "1", "on", "YES", "True"] {
            assert!(with(&[("BAK_DRY_RUN", yes)]).unwrap().0.dry_run, "{yes}");
        }
        let fail = with(&[("BAK_DRY_RUN", "perhaps")]).unwrap_err();
        assert_eq!(fail.exit, Exit::Usage);
        assert!(fail.what.contains("BAK_DRY_RUN is 'perhaps'; accepted: true, yes"), "{}", fail.what);
    }

    #[test]
    fn every_setting_is_checked_and_all_errors_come_at_once() {
        let wrong = [
            ("BAK_NAMESPACE", "Not A Name"),
            ("BAK_DRY_RUN", "perhaps"),
            ("BAK_REQUEST_TIMEOUT", "soon"),
            ("BAK_RETRY_TIMEOUT", "-1s"),
            ("BAK_LOG_FORMAT", "loud"),
            ("TZ", "Mars/Olympus"),
            ("BAK_PVC_NAME", "a,b,a"),
            ("BAK_VS_RAND", "A"),
            ("BAK_VS_NAME_TEMPLATE", "{{ .what }}"),
            ("BAK_VS_CLASS_NAME", "-"),
            ("BAK_VS_WAIT_UNTIL_READY", "2"),
            ("BAK_VS_WAIT_UNTIL_READY_TIMEOUT", "15"),
            ("BAK_LABEL_VS_TYPE", "a b"),
            ("BAK_LABEL_VS_POD", "-"),
            ("BAK_LABEL_VS_RETAIN", "weeks"),
            ("BAK_LABEL_VS_RETAIN_DAYS", "0"),
            ("BAK_THRESHOLD_SPACE_USED_PERCENTAGE", "101"),
            ("BAK_DB_SKIP", "x"),
            ("BAK_DB_POSTGRES", "x"),
            ("BAK_DB_POSTGRES_EXEC_RESOURCE", "job/x"),
            ("BAK_DB_POSTGRES_EXEC_CONTAINER", "a b"),
            ("BAK_DB_POSTGRES_DUMP_FILE", "relative"),
            ("BAK_DB_POSTGRES_HOST", "a b"),
            ("BAK_DB_POSTGRES_PORT", "65536"),
            ("BAK_DB_POSTGRES_DB", "a,,b"),
            ("BAK_DB_POSTGRES_GLOBALS", "yes"),
            ("BAK_DB_MYSQL", "x"),
            ("BAK_DB_MYSQL_EXEC_RESOURCE", "job/y"),
            ("BAK_DB_MYSQL_EXEC_CONTAINER", "c d"),
            ("BAK_DB_MYSQL_DUMP_FILE", "../x"),
            ("BAK_DB_MYSQL_HOST", "c d"),
            ("BAK_DB_MYSQL_PORT", "0"),
            ("BAK_DB_MYSQL_DB", "*,a"),
            ("BAK_DB_MYSQL_DEFAULT_CHARACTER_SET", "utf8; x"),
            ("BAK_DB_MYSQL_GLOBALS", "maybe"),
            ("BAK_BUSY_TIMEOUT", "584542046090y"),
            ("BAK_TIMEOUT", "5"),
            ("BAK_DUMP_COMPRESSION_LEVEL", "20"),
            ("BAK_DUMP_TIMEOUT", "x"),
            ("BAK_HOOK_TIMEOUT", "x"),
            ("BAK_HOOK_ON_ERROR", "ignore"),
            ("BAK_RUN_ID", "a b"),
            ("BAK_EVENTS", "maybe"),
            ("BAK_FLOCK", "x"),
            ("BAK_FLOCK_COUNT", "0"),
            ("BAK_FLOCK_TIMEOUT_SEC", "-1"),
            ("BAK_LOCK", "file"),
            ("BAK_LOCK_NAMESPACE", "A"),
            ("BAK_LOCK_NODE", "a b"),
            ("BAK_LOCK_LEASE_DURATION", "2s"),
            ("BAK_NOTIFY_ON", "always"),
            ("BAK_NOTIFY_FORMAT", "xml"),
        ];
        let fail = with(&wrong).unwrap_err();
        for (var, value) in wrong {
            assert!(fail.what.contains(&format!("{var} is '{value}'; accepted: ")), "{var}: {}", fail.what);
        }
        // What any text is good for cannot be wrong; and no setting of the table is forgotten here.
        let free = ["_USER", "_PASSWORD", "_FLOCK_DIR", "_HOOK_PRE", "_HOOK_POST"];
        // Those of tests/fake/notifications.rs are not shown.
        let visible = settings::NOTIFICATIONS.iter().filter(|setting| !setting.is_secret());
        for setting in settings::GLOBAL.iter().chain(settings::CREATE).chain(visible) {
            let is_free = free.iter().any(|end| setting.var.ends_with(end));
            assert!(is_free || wrong.iter().any(|(var, _)| *var == setting.var), "{}", setting.var);
        }
    }

    #[test]
    fn the_level_must_be_one_of_the_dump_files_format() {
        let level = |file: &str, level: &str| {
            let read = with(&[
                ("BAK_DB_POSTGRES", "true"),
                ("BAK_DB_POSTGRES_DUMP_FILE", file),
                ("BAK_DUMP_COMPRESSION_LEVEL", level),
            ]);
            read.map(|(_, create)| create.databases[0].compression_level).map_err(|fail| fail.what)
        };
        for (file, text, read) in
            [("/d.gz", "", None), ("/d.gz", "9", Some(9)), ("/d.zst", "19", Some(19)), ("/d.zst", "", None)]
        {
            assert_eq!(level(file, text), Ok(read), "{file} {text}");
        }
        // The dump file of a database that is not chosen does not matter.
        let what = level("/d.gz", "10").unwrap_err();
        assert!(
            what.contains("BAK_DUMP_COMPRESSION_LEVEL is '10'; accepted for /d.gz: a number from 1 to 9"),
            "{what}"
        );
    }

    #[test]
    fn a_literal_password_is_no_flag_and_is_never_shown() {
        let get = |setting: &'static Setting| {
            Ok(match setting.var {
                "BAK_DB_POSTGRES" => Some(("true".into(), Origin::Flag)),
                "BAK_DB_POSTGRES_PASSWORD" => Some(("hunter2".into(), Origin::Flag)),
                _ => None,
            })
        };
        let fail = create(&Plain::default(), &mut Values::new(&get)).unwrap_err();
        assert!(fail.what.contains("--db-postgres-password") && !fail.what.contains("hunter2"), "{}", fail.what);
        let (_, create) = with(&[("BAK_DB_POSTGRES_PASSWORD", "hunter2")]).unwrap();
        assert_eq!(create.databases[0].password, DbValue::Literal("hunter2".into()));
        assert!(!format!("{:?}", create.set).contains("hunter2"));
    }

    #[test]
    fn database_values_are_references_or_literals() {
        assert_eq!(DbValue::parse("${A_1}"), DbValue::Variable("A_1".into()));
        for literal in ["${1A}", "${A B}", "$A", "${A", "x${A}", "${}", "a'b\"c\\ d$(e)`f`"] {
            assert_eq!(DbValue::parse(literal), DbValue::Literal(literal.into()));
        }
    }

    #[test]
    fn a_setting_may_name_several_databases() {
        let of = |text: &str| {
            let (_, create) = with(&[("BAK_DB_POSTGRES_DB", text)]).unwrap();
            assert_eq!(create.databases.len(), 1, "one server");
            (create.databases[0].database.clone(), create.databases[0].others.clone())
        };
        let named = |names: &[&str]| OtherDatabases::Named(names.iter().map(ToString::to_string).collect());
        let own = DbValue::Variable("POSTGRES_DB".into());
        assert_eq!(of(" app "), (DbValue::Literal(" app ".into()), named(&[])));
        assert_eq!(of("app, shop"), (DbValue::Literal("app".into()), named(&["shop"])));
        assert_eq!(of("${POSTGRES_DB},shop"), (own.clone(), named(&["shop"])));
        assert_eq!(of("*"), (own, OtherDatabases::All));
    }

    #[test]
    fn no_database_at_all_says_what_to_set() {
        let fail = with(&[("BAK_DB_POSTGRES", "false")]).unwrap_err();
        for var in ["BAK_DB_POSTGRES=true", "BAK_DB_MYSQL=true", "BAK_DB_SKIP=true"] {
            assert!(fail.what.contains(var), "{}", fail.what);
        }
    }

    #[test]
    fn both_databases_one_or_none() {
        let engines = |set: &[(&str, &str)]| {
            let (_, create) = with(set).unwrap();
            create.databases.iter().map(|database| database.engine).collect::<Vec<_>>()
        };
        assert_eq!(engines(&[]), [Engine::Postgres]);
        assert_eq!(engines(&[("BAK_DB_MYSQL", "1")]), [Engine::Postgres, Engine::MySql]);
        assert_eq!(engines(&[("BAK_DB_MYSQL", "1"), ("BAK_DB_POSTGRES", "0")]), [Engine::MySql]);
        assert_eq!(engines(&[("BAK_DB_MYSQL", "1"), ("BAK_DB_SKIP", "1")]), []);
        let (_, create) = with(&[("BAK_DB_MYSQL", "1")]).unwrap();
        let mysql = &create.databases[1];
        assert_eq!((mysql.container.as_str(), mysql.dump_file.as_str()), ("mysql", "/var/lib/mysql/dump.sql.gz"));
        assert_eq!((mysql.port, mysql.charset.as_deref()), (3306, Some("utf8mb4")));
        assert_eq!(
            (&mysql.user, mysql.password.spec()),
            (&DbValue::Literal("root".into()), "$MYSQL_ROOT_PASSWORD".into())
        );
        let same = [("BAK_DB_MYSQL", "1"), ("BAK_DB_MYSQL_DUMP_FILE", "/x/d"), ("BAK_DB_POSTGRES_DUMP_FILE", "/x/d")];
        assert!(with(&same).unwrap_err().what.contains("a file for each"));
    }

    #[test]
    fn locks_default_to_half_the_cpus() {
        let (_, create) = with(&[("BAK_FLOCK", "yes")]).unwrap();
        let Some(NodeLocks::Flock(locks)) = create.locks else { panic!("{:?}", create.locks) };
        assert!(locks.count >= 1);
        assert_eq!(locks.dir, Path::new("/mnt/host-backup-locks"));
        assert_eq!(locks.timeout, Duration::from_secs(3600));
        let (_, create) = with(&[("BAK_LOCK", "lease"), ("BAK_LOCK_NODE", "n1")]).unwrap();
        let slots = Slots::new("n1", locks.count, Duration::from_secs(60));
        let leases = lease::LeaseLocks { namespace: "backup-ns-locks".into(), slots, timeout: locks.timeout };
        assert_eq!(create.locks, Some(NodeLocks::Lease(leases)));
    }

    #[test]
    fn the_kind_of_lock_wins_over_the_old_switch() {
        let kind = |set: &[(&str, &str)]| match with(&[set, &[("BAK_LOCK_NODE", "n1")]].concat()).unwrap().1.locks {
            Some(NodeLocks::Flock(_)) => "flock",
            Some(NodeLocks::Lease(_)) => "lease",
            None => "none",
        };
        assert_eq!(kind(&[]), "none");
        assert_eq!(kind(&[("BAK_FLOCK", "true")]), "flock");
        for flock in ["true", "false"] {
            for set in ["flock", "lease", "none"] {
                assert_eq!(kind(&[("BAK_FLOCK", flock), ("BAK_LOCK", set)]), set);
            }
        }
        let fail = with(&[("BAK_LOCK", "lease")]).unwrap_err();
        assert_eq!(fail.exit, Exit::Usage);
        assert!(
            fail.what.contains("BAK_LOCK_NODE (--lock-node) is not set") && fail.what.contains("spec.nodeName"),
            "{}",
            fail.what
        );
        // What is wrong is said once.
        let fail = with(&[("BAK_LOCK", "lease"), ("BAK_LOCK_NODE", "-")]).unwrap_err();
        assert_eq!(fail.what.matches("BAK_LOCK_NODE").count(), 1, "{}", fail.what);
        for wrong in ["2s", "3500ms", "2h"] {
            assert!(with(&[("BAK_LOCK_LEASE_DURATION", wrong)]).is_err(), "{wrong}");
        }
    }
}
