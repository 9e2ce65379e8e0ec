//! What the container reported before a dump, and the checks that decide whether a dump may start there. Must not know
//! how the report is fetched.

use std::collections::BTreeSet;

use crate::core::backup::compression::Compression;
use crate::core::backup::globals::GlobalsMode;
use crate::core::backup::grants::{self, Grants};
use crate::core::backup::tool_error::ToolError;
use crate::core::engine::Engine;
use crate::core::escape;
use crate::core::kube::objects::VolumeMount;

/// The preflight's report.
#[derive(Debug, Clone, Default)]
pub struct PreflightReport {
    /// The missing tools, separated by spaces.
    pub missing: String,
    /// The dump's directory without symbolic links; empty if it does not exist.
    pub directory: String,
    /// Mount paths of the PVC as the pod names them, each with the path that its symbolic links lead to.
    pub mounts: Vec<(String, String)>,
    /// The container's `/proc/self/mountinfo`.
    pub mountinfo: Vec<String>,
    /// The line of `df -P -k` for the dump's directory.
    pub df: String,
    /// The line of `df -P -i`; empty if `df` there has no `-i`.
    pub inodes: String,
    /// Size of the existing dump.
    pub old_bytes: Option<u64>,
    pub writable: bool,
    /// Whether the dump file's path is a directory.
    pub occupied: bool,
    /// Whether the database answered a query with these settings.
    pub answers: bool,
    /// The client's error message if the database did not answer.
    pub said: String,
    /// Requested variables that the container lacks, as it does the file variant of them; separated by spaces.
    pub unset: String,
    /// The container's variables that settings name, each behind its setting.
    pub named: Vec<(String, String)>,
    /// The number of tables to dump, if it was queried.
    pub tables: Option<u64>,
    /// Whether no setting names the database: it is one of all that the server has.
    pub is_listed: bool,
    /// Tables whose rows are not dumped as of one moment.
    pub unsteady: Vec<String>,
    /// The first views whose text the user may not see.
    pub unshown: Vec<String>,
    /// The first views that call a function.
    pub calling: Vec<String>,
    /// The first tables and sequences, or routines, that a dump reads and the user may not.
    pub unreadable: Vec<String>,
    /// The first large objects that a dump reads and the user may not.
    pub unreadable_objects: Vec<String>,
    /// What the dump lacks or may fail on although the server refuses nothing: a kind, and its first names.
    pub caveats: Vec<(String, String)>,
    /// The user as the server knows it.
    pub account: String,
    /// What MySQL or MariaDB granted that user.
    pub grants: Grants,
    pub server: String,
    /// Whether the server is a standby of PostgreSQL, or a MySQL or MariaDB that is read-only, as a replica is.
    pub standby: bool,
    /// The dump tool and its version.
    pub tool: String,
    /// The database's name as resolved in the container.
    pub database: String,
    /// The compressor with its options, such as `gzip -1 --rsyncable`.
    pub compressor: String,
    /// How many CPUs the container may use, at most 4.
    pub cpus: u32,
    /// Those of `pigz` and `zstd` that the container has.
    pub packers: Vec<String>,
    /// The server's roles, in double quotes, or its accounts, in backquotes, as a load asks for them.
    pub roles: BTreeSet<String>,
    /// Whether the container has the tool that writes the server's roles.
    pub has_globals_tool: bool,
    /// The dump file of the same name with the suffix of the other format: its bytes and its path.
    pub other_format: Option<(u64, String)>,
    /// Identifies this run of the container: boot, process namespace, start of its first process.
    pub identity: String,
}

impl PreflightReport {
    /// Takes one line of the report. Unknown keys are ignored.
    pub fn note(&mut self, key: &str, value: &str) {
        match key {
            "missing" => self.missing = value.into(),
            "directory" => self.directory = value.into(),
            "mount-at" => self.mounts.push((value.into(), String::new())),
            "mount-is" => {
                if let Some(last) = self.mounts.last_mut() {
                    last.1 = value.into();
                }
            }
            "mountinfo" => self.mountinfo.push(value.into()),
            "df" => self.df = value.into(),
            "inodes" => self.inodes = value.into(),
            "old-bytes" => self.old_bytes = value.trim().parse().ok(),
            "writable" => self.writable = value == "yes",
            "occupied" => self.occupied = value == "yes",
            "answers" => self.answers = value == "yes",
            "unset" => self.unset = value.into(),
            "tables" => self.tables = value.trim().parse().ok(),
            "unsteady" => self.unsteady.push(value.into()),
            "unshown" => self.unshown.push(value.into()),
            "calling" => self.calling.push(value.into()),
            "unreadable" => self.unreadable.push(value.into()),
            "unreadable-object" => self.unreadable_objects.push(value.into()),
            "left-out" => {
                let (kind, name) = value.split_once(' ').unwrap_or((value, ""));
                self.caveats.push((kind.into(), name.into()));
            }
            "account" => self.account = value.into(),
            "grant" => self.grants.granted.push(value.into()),
            "revoke" => self.grants.revoked.push(value.into()),
            "server" => self.server = value.into(),
            "standby" => self.standby = value == "yes",
            "tool" => self.tool = value.into(),
            "database" => self.database = value.into(),
            "compressor" => self.compressor = value.into(),
            "cpus" => self.cpus = value.trim().parse().unwrap_or_default(),
            "role" => {
                self.roles.insert(value.into());
            }
            "globals-tool" => self.has_globals_tool = true,
            "packer" => self.packers.push(value.into()),
            "other-format" => {
                let parts = value.split_once(' ');
                self.other_format = parts.and_then(|(bytes, path)| Some((bytes.parse().ok()?, path.into())));
            }
            "identity" => self.identity = value.into(),
            _ => {}
        }
    }

    /// What kind of server it is, if it only follows another one.
    pub fn follower(&self, engine: Engine) -> Option<&'static str> {
        let word = match engine {
            Engine::Postgres => "a standby",
            Engine::MySql => "read-only, as a replica is",
        };
        self.standby.then_some(word)
    }

    /// The warning that the database has no tables, which is rarely intended.
    pub fn empty(&self, engine: Engine) -> Option<Problem> {
        let (setting, flag) = (engine.setting(), engine.setting().trim_start_matches("BAK_").replace('_', "-"));
        let problem = Problem::new(
            Aspect::Database,
            format!("the database {} holds no table", self.database),
            format!("check that it is the one to back up: {setting}_DB (--{}-db) names it", flag.to_ascii_lowercase()),
        );
        (self.tables == Some(0) && !self.is_listed).then_some(problem)
    }

    /// The warning that the user of MySQL or MariaDB sees no routines, so that it is unknown whether there are any.
    pub fn unseen(&self) -> Option<Problem> {
        let (grants, database) = (&self.grants, &self.database);
        // A user with any of these sees the names of routines, and so the report shows whether their text can be read.
        let listing = ["EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "SHOW CREATE ROUTINE", "SHOW_ROUTINE"];
        let seen =
            grants.on_database(&listing, database) || grants.on("SELECT", &["*.*", "`mysql`.*", "`mysql`.`proc`"]);
        let problem = Problem::new(
            Aspect::Database,
            format!(
                "{} may not see stored procedures and functions: if the database {database} has any, they are missing from the dump",
                self.user(Engine::MySql)
            ),
            self.grant_of_routines(),
        );
        (!grants.is_empty() && !seen).then_some(problem)
    }

    /// The warning that a dump file of the other format lies beside this one, as after a change of the suffix.
    pub fn other_format(&self) -> Option<Problem> {
        let (bytes, path) = self.other_format.as_ref()?;
        Some(Problem::new(
            Aspect::Path,
            format!("an older dump of the other format is still on the volume: {path}, {} KiB", bytes.div_ceil(1024)),
            format!(
                "once a backup of the new file is verified, remove it in the container: rm -- {}",
                escape::word(path)
            ),
        ))
    }

    /// What would make the dump faster, by about how much; measured figures are in docs/performance.md.
    pub fn faster(&self) -> Option<String> {
        let has = |tool: &str| self.packers.iter().any(|packer| packer == tool);
        let uses = |tool: &str| self.compressor.split(' ').next() == Some(tool);
        let suffix = "a dump file that ends in .zst";
        match self.cpus {
            _ if uses("zstd") || self.compressor.is_empty() => None,
            _ if has("zstd") && uses("pigz") => Some(format!("{suffix} would be made in about two thirds of the time")),
            _ if has("zstd") => Some(format!("{suffix} would be made in about half of the time")),
            2.. if uses("gzip") => Some(format!(
                "with pigz in the image the dump would take about two thirds of the time, with zstd and {suffix} half"
            )),
            _ => Some(format!("with zstd in the image, {suffix} would be made in about half of the time")),
        }
    }

    /// Warnings about what the dump lacks, or what it or its load may fail on, although the server refuses nothing.
    pub fn caveat_warnings(&self) -> Vec<Problem> {
        let all = |kind: &str| {
            let names = self.caveats.iter().filter(|(of, _)| of == kind).map(|(_, name)| name.clone());
            Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
        };
        let named = |kind: &str| all(kind).map(|names| first_three(&names));
        let (user, account) = (self.user(Engine::Postgres), quoted(&self.account));
        let superuser = "set BAK_DB_POSTGRES_USER to a superuser";
        let found = [
            named("subscription").map(|names| {
                (format!("{user} is no superuser, so these subscriptions are missing from the dump: {names}"), superuser.into())
            }),
            named("mapping").map(|names| {
                let what =
                    format!("{user} is no superuser, so user mappings are dumped without their options, such as passwords: {names}");
                (what, superuser.into())
            }),
            named("unlogged").map(|names| {
                let what = format!("the server is a standby, which has no rows of unlogged tables: {names}");
                (what, "dump from the primary".into())
            }),
            named("encoding").map(|name| {
                let what = format!(
                    "the dump is written in the encoding {name}, because {user} has that client_encoding, and fails at the first \
                     character that is not in it"
                );
                (what, format!("ALTER ROLE {account} SET client_encoding = 'UTF8'"))
            }),
            named("tablespace").map(|names| {
                let what = format!("tables or indexes lie in tablespaces, which the dump names but does not hold: {names}");
                let remedy = "a load needs them on its server: CREATE TABLESPACE there first, as in the file of roles beside the \
                              dump (docs/databases.md)";
                (what, remedy.into())
            }),
            named("place").map(|name| {
                let what = format!("the database itself lies in the tablespace {name}, which the dump does not name");
                (what, "a load puts its objects where the new database lies: CREATE DATABASE with TABLESPACE if that matters".into())
            }),
            named("locks").as_deref().and_then(too_many_locks),
            all("history").map(|names| {
                let what = format!(
                    "the history of system-versioned tables is NOT in the dump: {}; the tools of MariaDB dump it from version 10.11 \
                     on, if no table tells its versions apart by transactions",
                    first(20, &names)
                );
                (what, "use a newer image of MariaDB, or restore a snapshot where the history is wanted".into())
            }),
            all("float").map(|names| {
                let names = first(20, &names);
                let what =
                    format!("not exact in the dump, because a FLOAT is written with six significant digits: {names}");
                (what, "make such a column a DOUBLE if its values may have more digits".into())
            }),
        ];
        found.into_iter().flatten().map(|(what, remedy)| Problem::new(Aspect::Database, what, remedy)).collect()
    }

    /// Names the variables that settings name and the container lacks. That alone is no fault: the default of the official
    /// image is used then.
    fn unset_variables(&self) -> String {
        let unset = |(_, name): &&(String, String)| self.is_unset(name);
        let text = |(setting, name): &(String, String)| {
            format!("; {setting} names {name}, and the container has neither that nor {name}_FILE")
        };
        self.named.iter().filter(unset).map(text).collect()
    }

    fn is_unset(&self, name: &str) -> bool {
        self.unset.split_whitespace().any(|other| other == name)
    }

    /// Whether the server refused the login because no password was sent: no setting names one, and the container has none.
    fn wants_password(&self, engine: Engine) -> bool {
        ToolError::NoPassword.is_in(&self.said) && engine.password_variables().iter().all(|name| self.is_unset(name))
    }

    fn user(&self, engine: Engine) -> String {
        let name = match engine {
            Engine::MySql => grants::account(&self.account),
            Engine::Postgres => self.account.clone(),
        };
        format!("the database's user {name}")
    }

    /// The statement that lets the user read the text of routines.
    fn grant_of_routines(&self) -> String {
        let major = self.server.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
        let privilege = match !self.server.contains("MariaDB") && major >= 8 {
            true => "SHOW_ROUTINE ON *.*",
            false => "SELECT ON mysql.proc",
        };
        format!("GRANT {privilege} TO {}", grants::account(&self.account))
    }
}

fn first_three(names: &[String]) -> String {
    first(3, names)
}

fn first(number: usize, names: &[String]) -> String {
    let (first, more) = names.split_at(names.len().min(number));
    format!("{}{}", first.join(", "), if more.is_empty() { "" } else { " and more" })
}

/// Warns that a load of the dump needs more locks than the server has room for. `numbers` are the locks needed, the room, and
/// the value of the setting that makes enough room.
fn too_many_locks(numbers: &str) -> Option<(String, String)> {
    let numbers: Vec<u64> = numbers.split(' ').map_while(|number| number.parse().ok()).collect();
    let [needed, room, setting] = numbers[..] else { return None };
    let what = format!(
        "the dump may not load over this database: with all its objects in one transaction that takes about {needed} locks, and \
         the server is sure to have room for {room}"
    );
    Some((
        what,
        format!(
            "ALTER SYSTEM SET max_locks_per_transaction = {setting}, and restart the server before a load is needed"
        ),
    ))
}

/// Quotes an identifier of PostgreSQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The first number in the text: a major version.
fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

/// Where a dump may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The dump's path within the volume, without a leading slash.
    pub path_in_volume: String,
    pub used_percent: u8,
    pub available_bytes: u64,
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// The programs in the container.
    Tools,
    /// The database and its credentials.
    Database,
    /// Where the dump is written.
    Path,
    /// Free space and inodes.
    Space,
}

/// A reason why no dump may start, or a warning about one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub aspect: Aspect,
    pub what: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl Problem {
    fn new(aspect: Aspect, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { aspect, what: what.into(), remedy: remedy.into() }
    }
}

/// What the report is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Requirements<'a> {
    pub engine: Engine,
    /// Where the pod mounts the PVC.
    pub mounts: &'a [VolumeMount],
    /// The PVC that must hold the dump.
    pub pvc: &'a str,
    pub file: &'a str,
    /// From which percentage of used space on a dump is refused; more than 100 for work that needs no space.
    pub threshold_percent: u8,
    /// Whether the server's roles must be written beside the dump.
    pub globals: GlobalsMode,
}

impl Requirements<'_> {
    fn setting(&self) -> String {
        format!("{}_DUMP_FILE", self.engine.setting())
    }

    fn mount_paths(&self) -> String {
        self.mounts.iter().map(|mount| mount.mount_path.as_str()).collect::<Vec<_>>().join(" or ")
    }
}

/// Runs all eight checks, so that every problem is reported at once.
///
/// # Errors
/// The problems, at least one.
pub fn assess(report: &PreflightReport, required: &Requirements<'_>) -> Result<Site, Vec<Problem>> {
    let mut problems = Vec::new();
    problems.extend(check_tools(report, required));
    problems.extend(check_version(report, required.engine));
    problems.extend(check_connection(report, required.engine));
    problems.extend(check_rights(report, required.engine));
    let path = check_location(report, required).map_err(|problem| problems.push(problem));
    problems.extend(check_file(report, required));
    let space = check_space(report, required.threshold_percent).map_err(|found| problems.extend(found));
    problems.extend(check_inodes(report));
    match (path, space) {
        (Ok(path_in_volume), Ok((used_percent, available_bytes))) if problems.is_empty() => {
            Ok(Site { path_in_volume, used_percent, available_bytes })
        }
        _ => Err(problems),
    }
}

fn check_tools(report: &PreflightReport, required: &Requirements<'_>) -> Option<Problem> {
    let needs_globals_tool = required.engine == Engine::Postgres && required.globals == GlobalsMode::Required;
    if report.missing.is_empty() && needs_globals_tool && !report.has_globals_tool {
        return Some(Problem::new(
            Aspect::Tools,
            "the container lacks pg_dumpall, which writes the server's roles beside the dump",
            format!(
                "name another container that has it, or set {}_GLOBALS=auto to back up without the roles",
                required.engine.setting()
            ),
        ));
    }
    let mut remedy = "name another container that has these tools, or add them to its image".to_string();
    if report.missing.split_whitespace().any(|tool| tool == Compression::Zstandard.tool()) {
        remedy += &format!(", or choose a dump file that ends in .gz with {}", required.setting());
    }
    let problem = Problem::new(Aspect::Tools, format!("the container lacks: {}", report.missing), remedy);
    (!report.missing.is_empty()).then_some(problem)
}

/// `pg_dump` refuses a server that is newer than itself.
fn check_version(report: &PreflightReport, engine: Engine) -> Option<Problem> {
    let (tool, server) = (major(&report.tool)?, major(&report.server)?);
    let problem = Problem::new(
        Aspect::Tools,
        format!("pg_dump of version {tool} does not dump a server of version {server}"),
        "name a container whose pg_dump is of that version or a later one",
    );
    (engine == Engine::Postgres && tool < server).then_some(problem)
}

/// Without the tools no query was sent, so an answer is missing for a reason that is reported already.
fn check_connection(report: &PreflightReport, engine: Engine) -> Option<Problem> {
    if report.answers || !report.missing.is_empty() {
        return None;
    }
    let mut what = format!("the database does not answer with these settings{}", report.unset_variables());
    let mut remedy = "see the message above; check the host, port, user, password and database settings".into();
    if report.wants_password(engine) {
        let names = engine.password_variables().iter().map(|name| format!("{name} nor {name}_FILE"));
        what += &format!("; the container has neither {}", names.collect::<Vec<_>>().join(" nor "));
        remedy = format!(
            "set {}_PASSWORD to the password (in the chart: existingSecret), or to ${{NAME}} where another variable of the \
             container holds it",
            engine.setting()
        );
    }
    if ToolError::NoDatabase.is_in(&report.said) {
        what = format!("the server has no database {}{}", report.database, report.unset_variables());
        remedy = format!("create it there with CREATE DATABASE, or correct {}_DB", engine.setting());
    }
    // Both MySQL and MariaDB refuse a login over TCP so if the account may use only the socket.
    if engine == Engine::MySql && ToolError::SocketOnly.is_in(&report.said) {
        what += "; this account may log in through the server's socket alone";
        remedy = format!(
            "set {0}_HOST to localhost, for which the client takes the socket, or to the path of the socket where it is not \
             at its usual place, and {0}_USER to the account that is named as the user that the container runs as; or set \
             {0}_USER and {0}_PASSWORD to an account with a password",
            engine.setting()
        );
    }
    Some(Problem::new(Aspect::Database, what, remedy))
}

/// What the user may not read: the dump would fail on it, or would lack it without an error.
fn check_rights(report: &PreflightReport, engine: Engine) -> Vec<Problem> {
    let PreflightReport { grants, database, unshown, calling, unreadable, unreadable_objects, .. } = report;
    let (user, account) = (report.user(engine), quoted(&report.account));
    let mut problems = Vec::new();
    let mut deny = |what: String, remedy: String| problems.push(Problem::new(Aspect::Database, what, remedy));
    let lacks = |privilege: &&str| !grants.is_empty() && !grants.on_database(&[*privilege], database);
    let grant = |privileges: &str| {
        format!("GRANT {privileges} ON `{}`.* TO {}", database.replace('`', "``"), grants::account(&report.account))
    };
    let missing = ["SELECT", "TRIGGER", "EVENT"].into_iter().filter(lacks).collect::<Vec<_>>().join(", ");
    if !missing.is_empty() {
        deny(format!("{user} lacks {missing}: what it may not see would be missing from the dump"), grant(&missing));
    }
    if !unshown.is_empty() {
        deny(format!("{user} may not see the text of the views {}", first_three(unshown)), grant("SHOW VIEW"));
    }
    // MariaDB describes such a view only to a user that may call the function.
    if report.server.contains("MariaDB") && !calling.is_empty() && lacks(&"EXECUTE") {
        let views = first_three(calling);
        deny(format!("{user} may not call the functions of the views {views}, which end the dump"), grant("EXECUTE"));
    }
    let names = first_three(unreadable);
    match engine {
        _ if unreadable.is_empty() => {}
        Engine::MySql => deny(format!("{user} may not see the text of {names}"), report.grant_of_routines()),
        Engine::Postgres => deny(
            format!("{user} may not read {names}"),
            format!(
                "GRANT pg_read_all_data TO {account} (before PostgreSQL 14: SELECT on each), and ALTER ROLE with BYPASSRLS \
                 where row-level security holds rows back; or set BAK_DB_POSTGRES_USER to a user who may"
            ),
        ),
    }
    if !unreadable_objects.is_empty() {
        deny(
            format!("{user} may not read the large objects {}", first_three(unreadable_objects)),
            format!(
                "as a superuser, ALTER ROLE {account} SET lo_compat_privileges = on, which lets it read and write all of \
                 them, or GRANT SELECT ON LARGE OBJECT for each TO {account}; pg_read_all_data does not include them"
            ),
        );
    }
    problems
}

/// The dump's path in the volume, if the dump file is on the PVC: a snapshot holds nothing else.
fn check_location(report: &PreflightReport, required: &Requirements<'_>) -> Result<String, Problem> {
    let Requirements { mounts, pvc, file, .. } = required;
    let (setting, mount_paths) = (required.setting(), required.mount_paths());
    let elsewhere = format!("set {setting} to a path under {mount_paths}, where the PVC is mounted");
    let (directory, base) = file.rsplit_once('/').unwrap_or(("", file));
    if report.directory.is_empty() {
        let remedy = match mounts.iter().any(|mount| holds(&mount.mount_path, directory)) {
            true => format!(
                "make the directory, or choose one under {mount_paths}, where the PVC is mounted, with {setting}"
            ),
            false => elsewhere,
        };
        let what = format!("the dump's directory {directory}/ does not exist in the container");
        return Err(Problem::new(Aspect::Path, what, remedy));
    }
    match volume_path(report, mounts) {
        Ok(path) if path.is_empty() => Ok(base.to_string()),
        Ok(path) => Ok(format!("{path}/{base}")),
        Err(instead) => {
            let what = format!(
                "the dump file {file} does not lie on the PVC '{pvc}' but on {instead}; the snapshot would not hold it"
            );
            Err(Problem::new(Aspect::Path, what, elsewhere))
        }
    }
}

fn check_file(report: &PreflightReport, required: &Requirements<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if report.occupied {
        let remedy = format!("set {} to the path of a file", required.setting());
        problems.push(Problem::new(Aspect::Path, format!("{} is a directory", required.file), remedy));
    }
    if !report.directory.is_empty() && !report.writable {
        problems.push(Problem::new(
            Aspect::Path,
            format!("no file can be created in {}", report.directory),
            "check whether the volume is mounted read-only and which user the container runs as",
        ));
    }
    problems
}

/// The used percentage and the free bytes of the volume, if it has space for another dump.
fn check_space(report: &PreflightReport, threshold_percent: u8) -> Result<(u8, u64), Vec<Problem>> {
    let Some((used_percent, available_bytes)) = parse_df(&report.df) else {
        let problem = Problem::new(Aspect::Space, format!("the output of df is not understood: '{}'", report.df), "");
        // Without a directory there is no output, and the directory is reported already.
        return Err(if report.directory.is_empty() { Vec::new() } else { vec![problem] });
    };
    let mut problems = Vec::new();
    if used_percent >= threshold_percent {
        problems.push(Problem::new(
            Aspect::Space,
            format!("the volume is {used_percent} % full, the threshold is {threshold_percent} %"),
            "free space, enlarge the PVC, or raise BAK_THRESHOLD_SPACE_USED_PERCENTAGE",
        ));
    }
    // The next dump is assumed to be a tenth larger than the last one. A threshold above 100 means that no dump is made.
    if threshold_percent <= 100
        && let Some(old) = report.old_bytes
        && available_bytes < old.saturating_add(old / 10)
    {
        problems.push(Problem::new(
            Aspect::Space,
            format!(
                "there is no room for a second dump beside the first: {available_bytes} bytes are free, the last dump has {old}"
            ),
            "free space or enlarge the PVC: the last good dump stays until the new one is proven",
        ));
    }
    if problems.is_empty() { Ok((used_percent, available_bytes)) } else { Err(problems) }
}

/// Checks whether the volume has room for several dumps, each of which lies beside the last one until all of them are whole.
///
/// # Errors
/// There is no room for all of them.
pub fn check_room(last_bytes: &[u64], available_bytes: u64) -> Result<(), Problem> {
    let needed = last_bytes.iter().fold(0u64, |sum, last| sum.saturating_add(*last).saturating_add(last / 10));
    if last_bytes.len() < 2 || needed <= available_bytes {
        return Ok(());
    }
    Err(Problem::new(
        Aspect::Space,
        format!(
            "there is no room for {} dumps: {available_bytes} bytes are free, by the size of the last ones they need {needed}",
            last_bytes.len()
        ),
        "free space or enlarge the PVC: the last good dumps stay until all new ones are whole",
    ))
}

/// A file system that creates inodes on demand reports a total of 0 and no percentage, which is no problem.
fn check_inodes(report: &PreflightReport) -> Option<Problem> {
    let problem = Problem::new(
        Aspect::Space,
        "the volume has no inode left: no file can be made on it",
        "delete files that are no longer needed, or enlarge the PVC; df -i counts the inodes",
    );
    (parse_df(&report.inodes) == Some((100, 0))).then_some(problem)
}

/// The dump's directory within the volume, or, as an error, the other mount point that it is on.
fn volume_path(report: &PreflightReport, mounts: &[VolumeMount]) -> Result<String, String> {
    let lies_on = mount_point(&report.mountinfo, &report.directory).unwrap_or_else(|| "no known mount".into());
    // The kernel names the mount path with all symbolic links resolved.
    let ours = report.mounts.iter().find(|(_, physical)| *physical == lies_on).ok_or_else(|| lies_on.clone())?;
    let mount = mounts.iter().find(|mount| mount.mount_path == ours.0).ok_or(lies_on.clone())?;
    let below = report.directory.strip_prefix(&lies_on).unwrap_or_default();
    Ok(format!("{}/{below}", mount.sub_path).split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

/// The mount point on which `path` lies: the longest that holds it, and of several on one point the last, which hides the
/// others (proc_pid_mountinfo(5)). Finds mounts that the pod's spec does not name, such as a `VOLUME` of the image.
fn mount_point(mountinfo: &[String], path: &str) -> Option<String> {
    mountinfo
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|point| holds(point, path))
        .max_by_key(String::len)
}

/// Whether the directory `point` is `path` or above it.
pub fn holds(point: &str, path: &str) -> bool {
    match path.strip_prefix(point) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || point.ends_with('/'),
        None => false,
    }
}

/// Undoes the kernel's `\040`-style escapes of space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Used percent and available bytes from a line of `df -P -k`, or 1024 times the available inodes from one of `df -P -i`. The
/// device's name may hold spaces, so the numbers are found by the first `NN%` that follows three of them.
pub fn parse_df(line: &str) -> Option<(u8, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = (3..words.len()).find(|&i| {
        words[i].strip_suffix('%').is_some_and(|n| n.parse::<u8>().is_ok())
            && words[i - 3..i].iter().all(|word| word.parse::<u64>().is_ok())
    })?;
    let used = words[at].trim_end_matches('%').parse().ok()?;
    let available: u64 = words[at - 1].parse().ok()?;
    Some((used, available.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "/var/lib/postgresql/data/dump.sql.gz";
    const MOUNT: &str = "/var/lib/postgresql/data";

    fn mounted(path: &str, sub: &str) -> VolumeMount {
        VolumeMount { name: "v".into(), mount_path: path.into(), sub_path: sub.into(), read_only: false }
    }

    fn sound() -> PreflightReport {
        PreflightReport {
            directory: MOUNT.into(),
            mounts: vec![(MOUNT.into(), MOUNT.into())],
            mountinfo: vec![
                "1 0 0:30 / / rw - overlay overlay rw".into(),
                format!("2 1 7:1 / {MOUNT} rw - ext4 /dev/loop1 rw"),
                "3 1 0:31 / /var/lib/other rw - tmpfs tmpfs rw".into(),
            ],
            df: format!("/dev/loop1 1000000 100000 900000 10% {MOUNT}"),
            writable: true,
            answers: true,
            ..PreflightReport::default()
        }
    }

    fn changed(change: impl Fn(&mut PreflightReport)) -> PreflightReport {
        let mut report = sound();
        change(&mut report);
        report
    }

    fn assess_for(
        report: &PreflightReport,
        engine: Engine,
        mounts: &[VolumeMount],
        file: &str,
    ) -> Result<Site, String> {
        let globals = GlobalsMode::Auto;
        let required = Requirements { engine, mounts, pvc: "data", file, threshold_percent: 90, globals };
        assess(report, &required).map_err(|found| text(&found))
    }

    fn judge(report: &PreflightReport) -> Result<Site, String> {
        assess_for(report, Engine::Postgres, &[mounted(MOUNT, "")], FILE)
    }

    fn text<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> String {
        problems.into_iter().map(|problem| format!("{}; {}\n", problem.what, problem.remedy)).collect()
    }

    #[test]
    fn a_sound_place() {
        let site = Site { path_in_volume: "dump.sql.gz".into(), used_percent: 10, available_bytes: 900_000 * 1024 };
        assert_eq!(judge(&sound()), Ok(site));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = judge(&changed(|report| {
            report.missing = "gzip pg_dump".into();
            report.note("unreadable", "public.t");
            report.directory.clear();
            report.occupied = true;
            report.df = "/dev/x 100 100 0 100% /".into();
            report.inodes = report.df.clone();
        }))
        .unwrap_err();
        let words = [
            "the container lacks: gzip pg_dump",
            "may not read public.t",
            "/var/lib/postgresql/data/ does not exist",
            "is a directory",
            "100 % full",
            "no inode left",
        ];
        let lines: Vec<&str> = problems.lines().collect();
        assert_eq!(lines.len(), words.len(), "{problems}");
        assert!(lines.iter().zip(words).all(|(line, words)| line.contains(words)), "{problems}");
    }

    #[test]
    fn missing_tools() {
        let required = |globals| {
            let engine = Engine::Postgres;
            Requirements { engine, mounts: &[], pvc: "data", file: FILE, threshold_percent: 90, globals }
        };
        let check = |missing: &str| {
            check_tools(&changed(|report| report.missing = missing.into()), &required(GlobalsMode::Auto))
        };
        let wanted =
            |has: bool| check_tools(&changed(|report| report.has_globals_tool = has), &required(GlobalsMode::Required));
        assert_eq!(wanted(true), None);
        assert!(
            wanted(false).unwrap().remedy.ends_with("set BAK_DB_POSTGRES_GLOBALS=auto to back up without the roles")
        );
        assert_eq!(check(""), None);
        let problem = check("gzip").unwrap();
        assert_eq!((problem.aspect, problem.what.as_str()), (Aspect::Tools, "the container lacks: gzip"));
        assert!(!problem.remedy.contains("BAK_"), "{problem:?}");
        let remedy = check("pg_dump zstd").unwrap().remedy;
        assert!(remedy.ends_with("choose a dump file that ends in .gz with BAK_DB_POSTGRES_DUMP_FILE"), "{remedy}");
    }

    #[test]
    fn what_would_be_faster_and_what_a_new_suffix_leaves_behind() {
        let faster = |compressor: &str, cpus: &str, packers: &[&str]| {
            let mut report = sound();
            report.note("compressor", compressor);
            report.note("cpus", cpus);
            packers.iter().for_each(|tool| report.note("packer", tool));
            report.faster().unwrap_or_default()
        };
        for (compressor, cpus, packers, hint) in [
            ("zstd -q -3 -T2 -B4M --rsyncable", "2", &["zstd"][..], ""),
            ("pigz -1 -p2 --rsyncable", "2", &["pigz", "zstd"], "two thirds of the time"),
            ("gzip -1 --rsyncable", "2", &["zstd"], "in about half of the time"),
            ("gzip -1", "2", &[], "with pigz in the image"),
            ("gzip -1", "1", &[], "with zstd in the image"),
            ("", "", &[], ""),
        ] {
            let found = faster(compressor, cpus, packers);
            assert!(found.contains(hint) && found.is_empty() == hint.is_empty(), "{compressor}: {found}");
        }
        assert_eq!(sound().other_format(), None);
        let left = changed(|report| report.note("other-format", "2049 /d/it's.sql.gz")).other_format().unwrap();
        assert_eq!(left.what, "an older dump of the other format is still on the volume: /d/it's.sql.gz, 3 KiB");
        assert!(left.remedy.ends_with(r"rm -- '/d/it'\''s.sql.gz'"), "{}", left.remedy);
        assert_eq!(changed(|report| report.note("other-format", "x")).other_format(), None);
    }

    #[test]
    fn pg_dump_is_not_older_than_its_server() {
        let check = |tool: &str, server: &str, engine| {
            let report = PreflightReport { tool: tool.into(), server: server.into(), ..sound() };
            check_version(&report, engine).map(|problem| problem.what)
        };
        let pg_dump = "pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)";
        let older = "pg_dump of version 15 does not dump a server of version 17";
        for (tool, server, engine, problem) in [
            (pg_dump, "17.2", Engine::Postgres, Some(older)),
            (pg_dump, "15.21", Engine::Postgres, None),
            (pg_dump, "9.6.24", Engine::Postgres, None),
            (pg_dump, "15devel", Engine::Postgres, None),
            (pg_dump, "", Engine::Postgres, None),
            ("", "17.2", Engine::Postgres, None),
            ("mariadb-dump 10.19", "11.8.3-MariaDB", Engine::MySql, None),
        ] {
            assert_eq!(check(tool, server, engine).as_deref(), problem, "{tool} {server}");
        }
    }

    #[test]
    fn a_database_that_does_not_answer() {
        let no_password = "psql: error: fe_sendauth: no password supplied";
        let root = "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: NO)";
        let socket = "ERROR 1698 (28000): Access denied for user 'root'@'localhost'";
        let gone = "psql: error: connection to server at \"::1\" failed: FATAL:  database \"app\" does not exist";
        let unknown = "ERROR 1049 (42000): Unknown database 'app'";
        let (settings, host) = ("does not answer with these settings; ", "check the host, port");
        for (engine, said, unset, words) in [
            (Engine::Postgres, "connection refused", "POSTGRES_PASSWORD", [settings, host]),
            (Engine::Postgres, no_password, "POSTGRES_USER", [settings, host]),
            (
                Engine::Postgres,
                no_password,
                "POSTGRES_USER POSTGRES_PASSWORD",
                [
                    "neither POSTGRES_PASSWORD nor POSTGRES_PASSWORD_FILE; ",
                    "set BAK_DB_POSTGRES_PASSWORD to the password",
                ],
            ),
            (
                Engine::MySql,
                root,
                "MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD",
                [
                    "neither MYSQL_ROOT_PASSWORD nor MYSQL_ROOT_PASSWORD_FILE nor MARIADB_ROOT_PASSWORD nor MARIADB_ROOT",
                    "set BAK_DB_MYSQL_PASSWORD",
                ],
            ),
            (Engine::MySql, socket, "", ["through the server's socket alone; ", "set BAK_DB_MYSQL_HOST to localhost"]),
            (Engine::Postgres, gone, "", ["the server has no database ", "or correct BAK_DB_POSTGRES_DB"]),
            (Engine::Postgres, "FATAL:  role \"x\" does not exist", "", [settings, host]),
            (Engine::MySql, unknown, "", ["the server has no database ", "create it there with CREATE DATABASE"]),
            (Engine::Postgres, socket, "", [settings, host]),
        ] {
            let report = PreflightReport {
                answers: false,
                said: said.into(),
                unset: unset.into(),
                ..PreflightReport::default()
            };
            let problems = text(&check_connection(&report, engine));
            assert!(words.iter().all(|words| problems.contains(words)), "{said} {unset}: {problems}");
        }
        assert_eq!(check_connection(&sound(), Engine::MySql), None);
        let without_tools = changed(|report| (report.answers, report.missing) = (false, "psql".into()));
        assert_eq!(check_connection(&without_tools, Engine::Postgres), None);
    }

    #[test]
    fn a_variable_that_a_setting_names_and_the_container_lacks() {
        let problems = text(&check_connection(
            &changed(|report| {
                report.answers = false;
                report.unset = "PW POSTGRES_DB".into();
                report.named =
                    vec![("BAK_DB_POSTGRES_PASSWORD".into(), "PW".into()), ("BAK_DB_POSTGRES_USER".into(), "U".into())];
            }),
            Engine::Postgres,
        ));
        let words = "settings; BAK_DB_POSTGRES_PASSWORD names PW, and the container has neither that nor PW_FILE; ";
        assert!(problems.contains(words), "{problems}");
        assert!(!problems.contains("POSTGRES_DB") && !problems.contains("names U"), "{problems}");
    }

    #[test]
    fn what_a_user_of_mysql_may_not_dump() {
        let judge = |notes: &[(&str, &str)]| {
            let mut report = PreflightReport { database: "app".into(), account: "u@%".into(), ..sound() };
            notes.iter().for_each(|(key, value)| report.note(key, value));
            let denied: Vec<String> =
                check_rights(&report, Engine::MySql).into_iter().map(|problem| problem.remedy).collect();
            (denied.join("; "), report.unseen().map(|problem| problem.remedy).unwrap_or_default())
        };
        let (maria, mysql) = (("server", "11.8.3-MariaDB-ubu2404"), ("server", "8.4.6"));
        let base = ("grant", "SELECT, TRIGGER, EVENT ON `app`.*");
        let of_mariadb = "GRANT SELECT ON mysql.proc TO 'u'@'%'";
        let of_mysql = "GRANT SHOW_ROUTINE ON *.* TO 'u'@'%'";
        let trigger = "GRANT TRIGGER ON `app`.* TO 'u'@'%'";
        for (notes, denied, unseen) in [
            (&[maria, ("grant", "ALL PRIVILEGES ON *.*")][..], "", ""),
            (&[maria, ("grant", "USAGE ON *.*"), ("grant", "ALL PRIVILEGES ON `app`.*")], "", ""),
            (&[maria, ("grant", "SELECT, LOCK TABLES, SHOW VIEW, EVENT ON *.*")], trigger, ""),
            (
                &[mysql, ("grant", "USAGE ON *.*"), ("grant", "SELECT ON `app`.*")],
                "GRANT TRIGGER, EVENT ON `app`.* TO 'u'@'%'",
                of_mysql,
            ),
            (&[maria, base], "", of_mariadb),
            (&[("server", "5.7.44-log"), base], "", of_mariadb),
            (&[mysql, base], "", of_mysql),
            (&[maria, base, ("grant", "SELECT ON `mysql`.`proc`")], "", ""),
            (&[maria, ("grant", "SELECT, TRIGGER, EVENT, SHOW CREATE ROUTINE ON `app`.*")], "", ""),
            (&[mysql, base, ("grant", "SHOW_ROUTINE ON *.*")], "", ""),
            (&[mysql, base, ("grant", "AUDIT_ADMIN,SHOW_ROUTINE,XA_RECOVER_ADMIN ON *.*")], "", ""),
            (
                &[mysql, ("grant", "SELECT, TRIGGER, EVENT, EXECUTE ON *.*"), ("revoke", "TRIGGER ON `app`.*")],
                trigger,
                "",
            ),
            // A server with --skip-grant-tables reports no grants.
            (&[maria], "", ""),
            (&[mysql, base, ("unreadable", "f")], of_mysql, of_mysql),
        ] {
            assert_eq!(judge(notes), (denied.into(), unseen.into()), "{notes:?}");
        }
    }

    #[test]
    fn views_that_cannot_be_dumped_are_named_with_the_grant() {
        let check = |notes: &[(&str, &str)]| {
            let mut report = PreflightReport { database: "app".into(), account: "u@%".into(), ..sound() };
            notes.iter().for_each(|(key, value)| report.note(key, value));
            text(&check_rights(&report, Engine::MySql))
        };
        let base = ("grant", "SELECT, TRIGGER, EVENT ON `app`.*");
        let maria = ("server", "10.11.19-MariaDB");
        for (notes, expected) in [
            (
                &[base, ("unshown", "v"), ("unshown", "w")][..],
                "the database's user 'u'@'%' may not see the text of the views v, w; GRANT SHOW VIEW ON `app`.* TO 'u'@'%'\n",
            ),
            (
                &[base, maria, ("calling", "v")],
                "the database's user 'u'@'%' may not call the functions of the views v, which end the dump; GRANT EXECUTE \
                 ON `app`.* TO 'u'@'%'\n",
            ),
            (&[base, ("server", "9.7.4"), ("calling", "v")], ""),
            (&[("grant", "ALL PRIVILEGES ON *.*"), maria, ("calling", "v")], ""),
            (&[maria, ("calling", "v")], ""),
        ] {
            assert_eq!(check(notes), expected, "{notes:?}");
        }
    }

    #[test]
    fn what_a_user_of_postgres_may_not_dump() {
        let check = |notes: &[(&str, &str)]| {
            let report = changed(|report| notes.iter().for_each(|(key, value)| report.note(key, value)));
            text(&check_rights(&report, Engine::Postgres))
        };
        let tables = check(&[
            ("account", "r"),
            ("unreadable", "a"),
            ("unreadable", "b"),
            ("unreadable", "c"),
            ("unreadable", "d"),
        ]);
        assert!(
            tables.contains("the database's user r may not read a, b, c and more; GRANT pg_read_all_data"),
            "{tables}"
        );
        assert_eq!(
            check(&[("account", "a\"b"), ("unreadable-object", "4711"), ("unreadable-object", "4712")]),
            "the database's user a\"b may not read the large objects 4711, 4712; as a superuser, ALTER ROLE \"a\"\"b\" SET \
             lo_compat_privileges = on, which lets it read and write all of them, or GRANT SELECT ON LARGE OBJECT for each TO \
             \"a\"\"b\"; pg_read_all_data does not include them\n"
        );
    }

    #[test]
    fn what_a_dump_of_postgres_lacks_is_a_warning() {
        let mut report = PreflightReport { account: "backup".into(), ..sound() };
        assert_eq!(report.caveat_warnings(), []);
        for fact in [
            "mapping app on s",
            "mapping b on s",
            "mapping c on s",
            "mapping d on s",
            "subscription s",
            "new x",
            "encoding LATIN1",
            "unlogged public.u",
            "locks 55000 7808 512",
            "place own",
            "tablespace \"else where\"",
            "tablespace fast",
        ] {
            report.note("left-out", fact);
        }
        let [subscription, mapping, unlogged, encoding, tablespaces, place, locks] = &report.caveat_warnings()[..]
        else {
            panic!()
        };
        let superuser = "set BAK_DB_POSTGRES_USER to a superuser";
        for (problem, what, remedy) in [
            (subscription, "these subscriptions are missing from the dump: s", superuser),
            (mapping, "such as passwords: app on s, b on s, c on s and more", superuser),
            (unlogged, "no rows of unlogged tables: public.u", "dump from the primary"),
            (encoding, "in the encoding LATIN1", "ALTER ROLE \"backup\" SET client_encoding = 'UTF8'"),
            (tablespaces, "but does not hold: \"else where\", fast", "a load needs them on its server"),
            (place, "in the tablespace own, which the dump does not name", "a load puts its objects"),
            (locks, "about 55000 locks", "ALTER SYSTEM SET max_locks_per_transaction = 512, and restart"),
        ] {
            assert!(problem.what.contains(what) && problem.remedy.starts_with(remedy), "{problem:?}");
        }
        assert!(locks.what.ends_with("room for 7808"), "{locks:?}");
        assert!(judge(&report).is_ok(), "a warning does not prevent the dump");
    }

    #[test]
    fn what_a_dump_of_mysql_lacks_is_a_warning() {
        let mut report = sound();
        (0..22).for_each(|number| report.note("left-out", &format!("float t.f{number}")));
        report.note("left-out", "history prices");
        let [history, float] = &report.caveat_warnings()[..] else { panic!() };
        assert!(history.what.contains("NOT in the dump: prices; the tools of MariaDB"), "{history:?}");
        assert!(
            float.what.contains("six significant digits: t.f0, ") && float.what.contains("t.f19 and more"),
            "{float:?}"
        );
        assert!(judge(&report).is_ok());
    }

    #[test]
    fn the_dump_file_must_lie_on_the_pvc() {
        for (report, words) in [
            (
                changed(|report| report.mounts = vec![("/var/lib".into(), "/var/lib".into())]),
                format!("does not lie on the PVC 'data' but on {MOUNT};"),
            ),
            (changed(|report| report.directory = "/tmp".into()), "but on /;".into()),
            (changed(|report| report.mountinfo.clear()), "no known mount".into()),
        ] {
            let problem = judge(&report).unwrap_err();
            assert!(problem.contains(&words), "{problem}");
        }
    }

    #[test]
    fn a_mount_over_the_directory_hides_the_pvc() {
        let mut report = sound();
        report.mountinfo.push(format!("4 2 7:2 / {MOUNT}/pgdata rw - ext4 x rw"));
        assert!(judge(&report).is_ok(), "a mount below the directory does not matter");
        // A VOLUME of the image does this where the PVC is mounted one level above.
        report.mounts = vec![("/var/lib/postgresql".into(), "/var/lib/postgresql".into())];
        report.mountinfo.insert(1, "5 1 7:3 / /var/lib/postgresql rw - ext4 y rw".into());
        let problem = assess_for(&report, Engine::Postgres, &[mounted("/var/lib/postgresql", "")], FILE).unwrap_err();
        assert!(problem.contains("does not lie on the PVC"), "{problem}");
    }

    #[test]
    fn links_and_sub_paths_lead_into_the_volume() {
        let mut report = sound();
        report.directory = "/srv/pg data/backups".into();
        report.mounts = vec![("/link".into(), "/srv/pg data".into())];
        report.mountinfo.push("9 1 7:1 /x /srv/pg\\040data rw - ext4 /dev/loop1 rw".into());
        let mounts = [mounted("/link", "tenant/db")];
        let site = assess_for(&report, Engine::Postgres, &mounts, "/link/backups/d.gz").unwrap();
        assert_eq!(site.path_in_volume, "tenant/db/backups/d.gz");
    }

    #[test]
    fn a_missing_directory_is_made_or_another_is_chosen() {
        let report = PreflightReport { directory: String::new(), ..sound() };
        for (engine, file, remedy) in [
            (
                Engine::MySql,
                "/pg/dumps/d.gz",
                "make the directory, or choose one under /pg, where the PVC is mounted, with BAK_DB_MYSQL_DUMP_FILE",
            ),
            (
                Engine::Postgres,
                "/pgx/d.gz",
                "set BAK_DB_POSTGRES_DUMP_FILE to a path under /pg, where the PVC is mounted",
            ),
        ] {
            let problem = assess_for(&report, engine, &[mounted("/pg", "")], file).unwrap_err();
            assert!(problem.contains(&format!("/ does not exist in the container; {remedy}\n")), "{problem}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written() {
        for (report, words) in [
            (
                changed(|report| report.writable = false),
                "no file can be created in /var/lib/postgresql/data; check whether",
            ),
            (
                changed(|report| report.occupied = true),
                "is a directory; set BAK_DB_POSTGRES_DUMP_FILE to the path of a file",
            ),
        ] {
            let problem = judge(&report).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn space_is_needed_for_two_dumps() {
        let check = |df: &str, old_bytes: Option<u64>, threshold_percent: u8| {
            check_space(&PreflightReport { df: df.into(), old_bytes, ..sound() }, threshold_percent)
                .map_err(|problems| text(&problems))
        };
        let (free, full) = ("/dev/x 100 10 90 10% /", "/dev/x 100 95 5 95% /");
        assert_eq!(check(free, Some(80 * 1024), 90), Ok((10, 90 * 1024)));
        assert_eq!(check(full, Some(80 * 1024), 101), Ok((95, 5 * 1024)), "no dump is made");
        for (df, old_bytes, words) in [
            (full, None, "95 % full, the threshold is 90 %"),
            ("/dev/x 100 90 10 90% /", None, "90 % full"),
            (free, Some(90 * 1024), "no room for a second dump"),
            ("nonsense", None, "the output of df is not understood: 'nonsense'"),
        ] {
            let problem = check(df, old_bytes, 90).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn several_dumps_need_room_on_one_volume() {
        for (last, free, fits) in [
            (&[][..], 0, true),
            (&[100], 0, true),
            (&[100, 100], 220, true),
            (&[100, 100], 219, false),
            (&[10, 10, 1000], 1121, false),
            (&[10, 10, 1000], 1122, true),
            (&[u64::MAX, u64::MAX], u64::MAX, true),
            (&[0, 0, 0], 0, true),
        ] {
            assert_eq!(check_room(last, free).is_ok(), fits, "{last:?} {free}");
        }
        assert!(check_room(&[100, 100], 9).unwrap_err().what.contains("9 bytes are free"));
    }

    #[test]
    fn a_volume_without_inodes() {
        let check = |line: &str| check_inodes(&PreflightReport { inodes: line.into(), ..sound() });
        assert!(check("/dev/x 65536 65536 0 100% /").unwrap().what.contains("no inode left"));
        for line in ["/dev/x 65536 65535 1 100% /", "/dev/x 0 0 0 - /", "/dev/x 0 0 0 0% /", ""] {
            assert_eq!(check(line), None, "{line}");
        }
    }

    #[test]
    fn a_device_name_may_hold_spaces() {
        assert_eq!(parse_df("my share 7 5% 1000 250 750 25% /mnt/x y"), Some((25, 750 * 1024)));
        assert_eq!(parse_df(""), None);
    }

    proptest! {
        #[test]
        fn no_report_panics(lines in prop::collection::vec("[ -~]{0,60}", 0..8), df in "[ -~]{0,60}", dir in "[ -~]{0,20}") {
            let report = PreflightReport { mountinfo: lines, df, directory: dir, ..sound() };
            let _ = judge(&report);
        }
    }
}
