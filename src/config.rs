//! From flags and environment to one typed configuration, with every error at once. The only module that reads the
//! environment. Must not know the cluster.

use std::path::Path;
use std::time::Duration;

use crate::core::labels;
use crate::core::manifest::Retain;
use crate::core::name::{self, Template};
use crate::core::pod::ExecResource;
use crate::core::retention::Policy;
use crate::core::target::Asked;
use crate::core::zone::Zone;
use crate::exit::{Exit, Fail};
use crate::lock::Locks;
use crate::report::LogFormat;
use crate::settings::{self, Setting};

/// What every command is told.
#[derive(Debug, Clone)]
pub struct Global {
    /// Which cluster and namespace.
    pub asked: Asked,
    /// Print the plan, change nothing.
    pub dry_run: bool,
    /// How long an absent API is asked again.
    pub retry_timeout: Duration,
    /// `-o`.
    pub output: Output,
    /// The zone of every date.
    pub zone: Zone,
    /// Who runs this, for others who wait: user, host, process.
    pub holder: String,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What `create` is told.
#[derive(Debug, Clone)]
pub struct Create {
    /// The PersistentVolumeClaim.
    pub pvc: String,
    /// The name template's `.rand`, where it was set.
    pub rand: Option<String>,
    /// The name template.
    pub template: Template,
    /// The VolumeSnapshotClass, where one was named.
    pub class: Option<String>,
    /// Whether to wait for readiness.
    pub wait_until_ready: bool,
    /// How long to wait for the snapshot.
    pub ready_timeout: Duration,
    /// The `type` label.
    pub label_type: String,
    /// The `pod` label.
    pub label_pod: Option<String>,
    /// How long the snapshot is to stay.
    pub retain: Retain,
    /// How full the volume may not be, in percent.
    pub threshold_percent: u8,
    /// The PostgreSQL to dump.
    pub postgres: Database,
    /// How long to wait for another backup of the same dump file.
    pub busy_timeout: Duration,
    /// The node's locks, where one is to be taken.
    pub locks: Option<Locks>,
    /// The settings that were set, in the order of the table, without passwords.
    pub set: Vec<(String, String)>,
}

/// What `retain` is told.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// How many slots are kept.
    pub policy: Policy,
    /// How long a snapshot may take to become ready.
    pub patience: Duration,
}

/// What `mark-and-delete` is told.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// The pause between two deletions.
    pub interval: Duration,
    /// How long a snapshot may take to become ready.
    pub patience: Duration,
}

/// A database and where its dump goes.
#[derive(Debug, Clone)]
pub struct Database {
    /// What runs it.
    pub resource: ExecResource,
    /// The container it runs in.
    pub container: String,
    /// The dump's path in that container.
    pub dump_file: String,
    /// Host as seen in the container, an address, a name or the path of a socket's directory.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: DbValue,
    /// Password.
    pub password: DbValue,
    /// Database.
    pub database: DbValue,
}

/// A value that may stand in the container's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DbValue {
    /// This very text.
    Literal(String),
    /// The container's variable of this name.
    Variable(String),
}

impl DbValue {
    /// Parses: `${NAME}` is the container's variable NAME, anything else is itself.
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

    /// As the container's scripts take it: `=text` or `$NAME`.
    pub fn spec(&self) -> String {
        match self {
            DbValue::Literal(text) => format!("={text}"),
            DbValue::Variable(name) => format!("${name}"),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag on the command line.
    Flag,
    /// The environment.
    Environment,
    /// The default.
    Default,
}

/// The text that was set for a setting, with where it was set.
pub type Get<'a> = dyn Fn(&'static Setting) -> Result<Option<(String, Origin)>, String> + 'a;

/// Raw texts by setting, and the errors found in them so far.
pub struct Values<'a> {
    get: &'a Get<'a>,
    errors: Vec<String>,
}

/// The environment, read here and nowhere else. A variable that is empty is not set.
///
/// # Errors
/// The value is no Unicode.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn environment(var: &str) -> Result<Option<String>, String> {
    match std::env::var(var) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{var} is not valid UTF-8")),
    }
}

impl<'a> Values<'a> {
    /// Reads through `get`.
    pub fn new(get: &'a Get<'a>) -> Values<'a> {
        Values { get, errors: Vec::new() }
    }

    fn find(var: &str) -> &'static Setting {
        let mut all = settings::ALL.into_iter().flatten();
        // A name that is not in the table is a mistake in this file; the tests read every setting.
        all.find(|setting| setting.var == var).unwrap_or(&settings::GLOBAL[0])
    }

    fn raw(&mut self, var: &str) -> (String, Origin) {
        let setting = Values::find(var);
        match (self.get)(setting) {
            Ok(Some(found)) => found,
            Ok(None) => (setting.default.to_string(), Origin::Default),
            Err(error) => {
                self.errors.push(error);
                (setting.default.to_string(), Origin::Default)
            }
        }
    }

    /// Parses a setting; a text that does not parse becomes an error, with what would be accepted.
    fn parse<T>(&mut self, var: &str, parse: impl Fn(&str) -> Result<T, String>, otherwise: T) -> T {
        let (text, origin) = self.raw(var);
        parse(&text).unwrap_or_else(|accepted| {
            let setting = Values::find(var);
            let shown = if setting.is_secret() { "****" } else { &text };
            let name = match origin {
                Origin::Flag => format!("{} (--{})", setting.var, setting.flag),
                _ => setting.var.to_string(),
            };
            self.errors.push(format!("{name} is '{shown}'; accepted: {accepted}"));
            otherwise
        })
    }

    fn text(&mut self, var: &str) -> String {
        self.parse(var, |text| Ok(text.into()), String::new())
    }

    fn optional<T>(&mut self, var: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.parse(var, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }, None)
    }

    fn switch(&mut self, var: &str) -> bool {
        self.parse(var, parse_bool, false)
    }

    fn time(&mut self, var: &str) -> Duration {
        self.parse(var, parse_duration, Duration::ZERO)
    }

    fn number(&mut self, var: &str, least: u32, most: u32) -> u32 {
        self.parse(var, |text| parse_number(text, least, most), least)
    }

    fn db_value(&mut self, var: &str) -> DbValue {
        let (text, origin) = self.raw(var);
        let value = DbValue::parse(&text);
        if Values::find(var).is_secret() && origin == Origin::Flag && matches!(value, DbValue::Literal(_)) {
            self.errors.push(format!(
                "{var} (--{}) is a literal; accepted as a flag: ${{NAME}}, a variable of the container. An argument list is seen by everyone on the machine: put a literal password into the environment variable",
                Values::find(var).flag
            ));
        }
        if text.contains('\0') {
            self.errors.push(format!("{var} holds a NUL character, which no database takes"));
        }
        value
    }

    /// Fails with all the errors that were found.
    ///
    /// # Errors
    /// There are any.
    fn finish(self) -> Result<(), Fail> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let what = match &self.errors[..] {
            [one] => format!("the configuration is wrong: {one}"),
            all => format!("the configuration is wrong in {} places:\n  {}", all.len(), all.join("\n  ")),
        };
        Err(Fail::new(Exit::Usage, what).remedy("correct the variables or flags named above; --help lists them all"))
    }
}

/// What the command line says besides settings.
#[derive(Debug, Clone, Default)]
pub struct Plain {
    /// `--context`.
    pub context: Option<String>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<String>,
    /// `-v`.
    pub verbose: bool,
    /// `-o`.
    pub output: Option<String>,
}

/// The configuration of `create`.
///
/// # Errors
/// Every setting that does not parse or does not fit the others, at once.
pub fn create(plain: Plain, mut values: Values<'_>) -> Result<(Global, Create), Fail> {
    let global = global(plain, &mut values);
    let v = &mut values;
    let name = |text: &str| name::check_name(text).map(|()| text.to_string());
    let label = |text: &str| labels::check_value(text).map(|()| text.to_string());

    let set = set(v);
    let retain_days = v.number("BAK_LABEL_VS_RETAIN_DAYS", 1, 36_500);
    let retain = v.parse(
        "BAK_LABEL_VS_RETAIN",
        |text| match text {
            "days" => Ok(Retain::Days(retain_days)),
            labels::RETAIN_SLOTS => Ok(Retain::DailyWeeklyMonthly),
            _ => Err("days or daily_weekly_monthly".into()),
        },
        Retain::Days(retain_days),
    );
    let create = Create {
        pvc: v.parse("BAK_PVC_NAME", name, String::new()),
        rand: v.optional("BAK_VS_RAND", name),
        template: v.parse("BAK_VS_NAME_TEMPLATE", Template::parse, Template::default()),
        class: v.optional("BAK_VS_CLASS_NAME", name),
        wait_until_ready: v.switch("BAK_VS_WAIT_UNTIL_READY"),
        ready_timeout: v.time("BAK_VS_WAIT_UNTIL_READY_TIMEOUT"),
        label_type: v.parse("BAK_LABEL_VS_TYPE", label, String::new()),
        label_pod: v.optional("BAK_LABEL_VS_POD", label),
        retain,
        threshold_percent: u8::try_from(v.number("BAK_THRESHOLD_SPACE_USED_PERCENTAGE", 1, 100)).unwrap_or(100),
        postgres: Database {
            resource: v.parse(
                "BAK_DB_POSTGRES_EXEC_RESOURCE",
                ExecResource::parse,
                ExecResource { kind: crate::core::pod::ExecKind::Pod, name: String::new() },
            ),
            container: v.parse("BAK_DB_POSTGRES_EXEC_CONTAINER", name, String::new()),
            dump_file: v.parse("BAK_DB_POSTGRES_DUMP_FILE", parse_dump_file, String::new()),
            host: v.parse("BAK_DB_POSTGRES_HOST", parse_host, String::new()),
            port: u16::try_from(v.number("BAK_DB_POSTGRES_PORT", 1, 65535)).unwrap_or(0),
            user: v.db_value("BAK_DB_POSTGRES_USER"),
            password: v.db_value("BAK_DB_POSTGRES_PASSWORD"),
            database: v.db_value("BAK_DB_POSTGRES_DB"),
        },
        busy_timeout: v.time("BAK_BUSY_TIMEOUT"),
        locks: locks(v),
        set,
    };
    check_modes(v);
    values.finish()?;
    Ok((global, create))
}

/// The configuration of `retain`.
///
/// # Errors
/// As [`create`].
pub fn retain(plain: Plain, mut values: Values<'_>) -> Result<(Global, Retention), Fail> {
    let mut global = global(plain, &mut values);
    let v = &mut values;
    global.dry_run |= v.switch("RETAIN_DRY_RUN");
    let mut number = |var: &str| v.number(var, 0, 100_000) as usize;
    let policy = Policy {
        daily: number("RETAIN_LAST_DAILY"),
        weekly: number("RETAIN_LAST_WEEKLY"),
        monthly: number("RETAIN_LAST_MONTHLY"),
    };
    let patience = v.time("BAK_VS_WAIT_UNTIL_READY_TIMEOUT");
    if !v.switch("BAK_ALLOW_EMPTY_POLICY") && policy.is_empty() && v.errors.is_empty() {
        v.errors.push(
            "RETAIN_LAST_DAILY, RETAIN_LAST_WEEKLY and RETAIN_LAST_MONTHLY are all 0, which keeps nothing but the newest snapshot of each PVC; accepted: a number above 0 in one of them, or --allow-empty-policy".into(),
        );
    }
    values.finish()?;
    Ok((global, Retention { policy, patience }))
}

/// The configuration of `mark-and-delete`.
///
/// # Errors
/// As [`create`].
pub fn sweep(plain: Plain, mut values: Values<'_>) -> Result<(Global, Sweep), Fail> {
    let mut global = global(plain, &mut values);
    let v = &mut values;
    global.dry_run |= v.switch("RETAIN_DRY_RUN");
    let sweep = Sweep { interval: v.time("BAK_DELETE_INTERVAL"), patience: v.time("BAK_VS_WAIT_UNTIL_READY_TIMEOUT") };
    values.finish()?;
    Ok((global, sweep))
}

/// How progress and logs look. Read before everything else, so that errors of the rest look that way too; its own error
/// comes with theirs.
pub fn log_format(get: &Get<'_>) -> LogFormat {
    Values::new(get).parse("BAK_LOG_FORMAT", parse_log_format, LogFormat::Auto)
}

fn global(plain: Plain, v: &mut Values<'_>) -> Global {
    v.parse("BAK_LOG_FORMAT", parse_log_format, LogFormat::Auto);
    let output = match plain.output.as_deref() {
        None | Some("text") => Output::Text,
        Some("json") => Output::Json,
        Some(other) => {
            v.errors.push(format!("-o is '{other}'; accepted: text or json"));
            Output::Text
        }
    };
    Global {
        asked: Asked {
            namespace: v.optional("BAK_NAMESPACE", |text| name::check_name(text).map(|()| text.to_string())),
            own_namespace: std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
                .ok()
                .map(|text| text.trim().to_string())
                .filter(|text| !text.is_empty()),
            context: plain.context,
            kubeconfig: plain.kubeconfig,
            request_timeout: v.time("BAK_REQUEST_TIMEOUT").max(Duration::from_secs(1)),
        },
        dry_run: v.switch("BAK_DRY_RUN"),
        retry_timeout: v.time("BAK_RETRY_TIMEOUT"),
        output,
        zone: zone(v),
        holder: holder(),
    }
}

/// The zone: what TZ says, else the system's own.
fn zone(v: &mut Values<'_>) -> Zone {
    if let Some(zone) = v.optional("TZ", |text| {
        Zone::parse(text).map_err(|why| format!("an IANA name such as Europe/Vienna, or UTC ({why})"))
    }) {
        return zone;
    }
    let system = iana_time_zone::get_timezone().ok();
    match system.as_deref().map(Zone::parse) {
        Some(Ok(zone)) => zone,
        // A machine without a zone, as most containers are, is in UTC.
        None if !Path::new("/etc/localtime").exists() => Zone::UTC,
        _ => {
            v.errors.push("TZ is not set and the system's time zone has no name; accepted: an IANA name such as Europe/Vienna, or UTC".into());
            Zone::UTC
        }
    }
}

/// Who runs this. In a pod the host's name is the pod's.
fn holder() -> String {
    let word = |var: &str| environment(var).ok().flatten();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_string());
    let host = host.or_else(|| word("HOSTNAME")).unwrap_or_else(|| "unknown-host".into());
    let user = word("USER").or_else(|| word("LOGNAME")).map(|user| format!("{user}@")).unwrap_or_default();
    format!("{user}{host} (process {})", std::process::id())
}

fn locks(v: &mut Values<'_>) -> Option<Locks> {
    let wanted = v.switch("BAK_FLOCK");
    let count = v.optional("BAK_FLOCK_COUNT", |text| parse_number(text, 1, 10_000));
    let dir = v.text("BAK_FLOCK_DIR");
    let timeout = v.number("BAK_FLOCK_TIMEOUT_SEC", 0, 365 * 24 * 3600);
    let half = || (crate::lock::node_cpus().unwrap_or(2) / 2).max(1);
    wanted.then(|| Locks {
        dir: dir.into(),
        count: count.unwrap_or_else(half),
        timeout: Duration::from_secs(u64::from(timeout)),
    })
}

/// Which databases: this version dumps PostgreSQL.
fn check_modes(v: &mut Values<'_>) {
    let (skip, postgres, mysql) = (v.switch("BAK_DB_SKIP"), v.switch("BAK_DB_POSTGRES"), v.switch("BAK_DB_MYSQL"));
    if mysql {
        v.errors.push("BAK_DB_MYSQL is 'true'; this version dumps PostgreSQL only: accepted: false".into());
    }
    if skip {
        v.errors.push("BAK_DB_SKIP is 'true'; this version makes no snapshot without a dump: accepted: false".into());
    }
    if !(skip || postgres || mysql) {
        v.errors.push("no database is chosen: set BAK_DB_POSTGRES=true (--db-postgres)".into());
    }
}

/// The settings that were set by somebody, without passwords.
fn set(v: &mut Values<'_>) -> Vec<(String, String)> {
    let all = settings::GLOBAL.iter().chain(settings::CREATE).filter(|setting| !setting.is_secret());
    all.filter_map(|setting| match (v.get)(setting) {
        Ok(Some((text, _))) => Some((setting.var.to_string(), text)),
        _ => None,
    })
    .collect()
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Ok(true),
        "false" | "no" | "off" | "0" | "f" | "n" => Ok(false),
        _ => Err("true, yes, on or 1; false, no, off or 0".into()),
    }
}

/// The longest time that can be set; sums of a few never overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

fn parse_duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= LONGEST);
    time.ok_or_else(|| "a number with its unit, at most 365d, such as 90s, 15m or 1h30m".into())
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

fn parse_dump_file(text: &str) -> Result<String, String> {
    let base = text.rsplit('/').next().unwrap_or_default();
    let fine = text.starts_with('/')
        && !text.chars().any(char::is_control)
        && !["", ".", ".."].contains(&base)
        && !text.split('/').any(|part| part == "..");
    if fine { Ok(text.into()) } else { Err("the absolute path of a file, without '..' and control characters".into()) }
}

fn parse_host(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if fine { Ok(text.into()) } else { Err("a host name, an address, or the directory of a socket".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn pruning_has_its_own_settings() {
        let set = |set: &'static [(&str, &str)]| {
            move |setting: &'static Setting| {
                let found = set.iter().chain(&[("TZ", "UTC")]).find(|(var, _)| *var == setting.var);
                Ok(found.map(|(_, value)| (value.to_string(), Origin::Environment)))
            }
        };
        let (global, kept) = retain(Plain::default(), Values::new(&set(&[]))).unwrap();
        assert!(!global.dry_run);
        assert_eq!(kept.policy, Policy { daily: 7, weekly: 4, monthly: 12 });
        assert_eq!(kept.patience, Duration::from_secs(900));
        assert!(retain(Plain::default(), Values::new(&set(&[("RETAIN_DRY_RUN", "yes")]))).unwrap().0.dry_run);
        let (global, swept) = sweep(Plain::default(), Values::new(&set(&[("RETAIN_DRY_RUN", "1")]))).unwrap();
        assert!(global.dry_run);
        assert_eq!(swept.interval, Duration::from_secs(5));

        const NONE: &[(&str, &str)] =
            &[("RETAIN_LAST_DAILY", "0"), ("RETAIN_LAST_WEEKLY", "0"), ("RETAIN_LAST_MONTHLY", "0")];
        let fail = retain(Plain::default(), Values::new(&set(NONE))).unwrap_err();
        assert!(fail.exit == Exit::Usage && fail.what.contains("--allow-empty-policy"), "{}", fail.what);
        let allowed = |setting: &'static Setting| match setting.var {
            "BAK_ALLOW_EMPTY_POLICY" => Ok(Some(("true".into(), Origin::Flag))),
            _ => set(NONE)(setting),
        };
        assert!(retain(Plain::default(), Values::new(&allowed)).unwrap().1.policy.is_empty());

        let wrong: &[(&str, &str)] = &[
            ("RETAIN_DRY_RUN", "perhaps"),
            ("RETAIN_LAST_DAILY", "-1"),
            ("RETAIN_LAST_WEEKLY", "x"),
            ("RETAIN_LAST_MONTHLY", "1.5"),
            ("BAK_ALLOW_EMPTY_POLICY", "x"),
            ("BAK_DELETE_INTERVAL", "5"),
            ("BAK_VS_WAIT_UNTIL_READY_TIMEOUT", "soon"),
        ];
        let all_wrong = |setting: &'static Setting| {
            let found = wrong.iter().find(|(var, _)| *var == setting.var);
            Ok(found.map(|(_, value)| (value.to_string(), Origin::Environment)))
        };
        let said = [
            retain(Plain::default(), Values::new(&all_wrong)).unwrap_err().what,
            sweep(Plain::default(), Values::new(&all_wrong)).unwrap_err().what,
        ];
        for (table, said) in [settings::RETAIN, settings::SWEEP].into_iter().zip(said) {
            for setting in table {
                let (_, value) = wrong.iter().find(|(var, _)| *var == setting.var).unwrap();
                assert!(said.contains(&format!("{} is '{value}'; accepted: ", setting.var)), "{said}");
            }
        }
    }

    fn with(set: &[(&str, &str)]) -> Result<(Global, Create), Fail> {
        let mut map: BTreeMap<String, String> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        map.entry("BAK_DB_POSTGRES".into()).or_insert("true".into());
        map.entry("TZ".into()).or_insert("UTC".into());
        let get = |setting: &'static Setting| Ok(map.get(setting.var).map(|v| (v.clone(), Origin::Environment)));
        create(Plain::default(), Values::new(&get))
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let (global, create) = with(&[]).unwrap();
        assert!(!global.dry_run);
        assert_eq!(global.asked.namespace, None);
        assert_eq!(create.pvc, "data");
        assert_eq!(create.ready_timeout, Duration::from_secs(900));
        assert!(create.wait_until_ready);
        assert_eq!(create.label_type, "adhoc");
        assert_eq!(create.retain, Retain::Days(30));
        assert_eq!(create.threshold_percent, 90);
        assert_eq!(create.postgres.resource.to_string(), "deployment/app-base");
        assert_eq!(create.postgres.container, "postgres");
        assert_eq!(create.postgres.dump_file, "/var/lib/postgresql/data/dump.sql.gz");
        assert_eq!((create.postgres.host.as_str(), create.postgres.port), ("127.0.0.1", 5432));
        assert_eq!(create.postgres.user, DbValue::Variable("POSTGRES_USER".into()));
        assert_eq!(create.postgres.password.spec(), "$POSTGRES_PASSWORD");
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
            ("BAK_PVC_NAME", "a b"),
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
            ("BAK_DB_MYSQL", "x"),
            ("BAK_BUSY_TIMEOUT", "584542046090y"),
            ("BAK_FLOCK", "x"),
            ("BAK_FLOCK_COUNT", "0"),
            ("BAK_FLOCK_TIMEOUT_SEC", "-1"),
        ];
        let fail = with(&wrong).unwrap_err();
        for (var, value) in wrong {
            assert!(fail.what.contains(&format!("{var} is '{value}'; accepted: ")), "{var}: {}", fail.what);
        }
        // What any text is good for cannot be wrong; and no setting of the table is forgotten here.
        let free = ["BAK_DB_POSTGRES_USER", "BAK_DB_POSTGRES_PASSWORD", "BAK_DB_POSTGRES_DB", "BAK_FLOCK_DIR"];
        for setting in settings::GLOBAL.iter().chain(settings::CREATE) {
            assert!(free.contains(&setting.var) || wrong.iter().any(|(var, _)| *var == setting.var), "{}", setting.var);
        }
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
        let fail = create(Plain::default(), Values::new(&get)).unwrap_err();
        assert!(fail.what.contains("--db-postgres-password") && !fail.what.contains("hunter2"), "{}", fail.what);
        let (_, create) = with(&[("BAK_DB_POSTGRES_PASSWORD", "hunter2")]).unwrap();
        assert_eq!(create.postgres.password, DbValue::Literal("hunter2".into()));
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
    fn no_database_at_all_says_what_to_set() {
        let fail = with(&[("BAK_DB_POSTGRES", "false")]).unwrap_err();
        assert!(fail.what.contains("set BAK_DB_POSTGRES=true"), "{}", fail.what);
    }

    #[test]
    fn locks_default_to_half_the_cpus() {
        let (_, create) = with(&[("BAK_FLOCK", "yes")]).unwrap();
        let locks = create.locks.unwrap();
        assert!(locks.count >= 1);
        assert_eq!(locks.dir, Path::new("/mnt/host-backup-locks"));
        assert_eq!(locks.timeout, Duration::from_secs(3600));
    }
}
