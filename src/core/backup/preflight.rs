//! What the container reported before a dump, and whether a dump may start there. Judges a report; how the report
//! came here is none of its business.

use crate::core::backup::grants::{self, Grants};
use crate::core::engine::Engine;
use crate::core::kube::objects::VolumeMount;

/// The container's report, line by line.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Tools that are not there, separated by spaces.
    pub missing: String,
    /// The dump's directory without symbolic links; empty if it is not there.
    pub directory: String,
    /// Mount paths of the PVC as the pod names them, each with what they are without symbolic links.
    pub mounts: Vec<(String, String)>,
    /// The container's `/proc/self/mountinfo`.
    pub mountinfo: Vec<String>,
    /// The line of `df -P -k` for the dump's directory.
    pub df: String,
    /// The line of `df -P -i`, as far as that is known there.
    pub inodes: String,
    /// Size of the dump that is there, in bytes.
    pub old_bytes: Option<u64>,
    /// Whether a file can be made in the dump's directory.
    pub writable: bool,
    /// Whether the dump file's own path is a directory.
    pub occupied: bool,
    /// Whether the database answered a query with these settings.
    pub answers: bool,
    /// What the client said where it did not.
    pub said: String,
    /// Variables that were asked for and that the container has not, nor a file for them, separated by spaces.
    pub unset: String,
    /// The container's variables that somebody named, each behind the setting that names it.
    pub named: Vec<(String, String)>,
    /// How many tables there are to dump, where that was asked.
    pub tables: Option<u64>,
    /// Tables whose rows are not dumped as of one moment.
    pub unsteady: Vec<String>,
    /// The first views whose text the user may not see.
    pub unshown: Vec<String>,
    /// The first views that call a function.
    pub calling: Vec<String>,
    /// The first of what a dump reads and the user may not: tables and sequences, or routines.
    pub unreadable: Vec<String>,
    /// The first large objects that a dump reads and the user may not.
    pub unreadable_objects: Vec<String>,
    /// What the dump lacks or may fail at although nothing is refused: a kind, and the first names of it.
    pub left_out: Vec<(String, String)>,
    /// The user as the server knows it.
    pub account: String,
    /// What MySQL or MariaDB granted that user.
    pub grants: Grants,
    /// The server's version.
    pub server: String,
    /// The dump tool and its version.
    pub tool: String,
    /// The database's name as it was resolved in the container.
    pub database: String,
    /// The compressor, `gzip` or `pigz`.
    pub compressor: String,
    /// What tells this run of the container from any other: boot, process namespace, start of its first process.
    pub identity: String,
}

impl Look {
    /// Takes one line of the report; unknown keys are of no interest here.
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
                self.left_out.push((kind.into(), name.into()));
            }
            "account" => self.account = value.into(),
            "grant" => self.grants.granted.push(value.into()),
            "revoke" => self.grants.revoked.push(value.into()),
            "server" => self.server = value.into(),
            "tool" => self.tool = value.into(),
            "database" => self.database = value.into(),
            "compressor" => self.compressor = value.into(),
            "identity" => self.identity = value.into(),
            _ => {}
        }
    }
}

impl Look {
    /// What to say of the variables that somebody named and that the container has not. That is no fault by itself: what the
    /// official image would use is used then.
    fn lacks(&self) -> String {
        let lacking = |(_, name): &&(String, String)| self.is_unset(name);
        let said = |(setting, name): &(String, String)| {
            format!("; {setting} names {name}, and the container has neither that nor {name}_FILE")
        };
        self.named.iter().filter(lacking).map(said).collect()
    }

    fn is_unset(&self, name: &str) -> bool {
        self.unset.split_whitespace().any(|other| other == name)
    }

    /// Whether the server wanted a password, and nobody gave one: none was named, and the container has none. Where a server
    /// wants none, that is as it should be.
    fn wants_password(&self, engine: Engine) -> bool {
        ["no password supplied", "using password: NO"].iter().any(|words| self.said.contains(words))
            && engine.password_variables().iter().all(|name| self.is_unset(name))
    }

    /// That there is nothing to dump, which is rarely meant.
    pub fn empty(&self, engine: Engine) -> Option<Problem> {
        let (setting, flag) = (engine.setting(), engine.setting().trim_start_matches("BAK_").replace('_', "-"));
        let problem = Problem {
            aspect: Aspect::Database,
            what: format!("the database {} holds no table", self.database),
            remedy: format!(
                "look whether it is the one to back up: {setting}_DB (--{}-db) names it",
                flag.to_ascii_lowercase()
            ),
        };
        (self.tables == Some(0)).then_some(problem)
    }

    /// That MySQL's or MariaDB's user sees no routine at all: whether there are any, nobody can tell.
    pub fn unseen(&self) -> Option<Problem> {
        let (grants, database) = (&self.grants, &self.database);
        // Who may run or make routines sees their names, and so whether the bodies can be read.
        let listing = ["EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "SHOW CREATE ROUTINE", "SHOW_ROUTINE"];
        let seen =
            grants.on_database(&listing, database) || grants.on("SELECT", &["*.*", "`mysql`.*", "`mysql`.`proc`"]);
        let problem = Problem {
            aspect: Aspect::Database,
            what: format!(
                "{} may not see stored procedures and functions: if the database {database} has any, they are missing from the dump",
                self.user(Engine::MySql)
            ),
            remedy: self.routines_granted(),
        };
        (!grants.is_empty() && !seen).then_some(problem)
    }

    /// What a dump lacks, or may fail at, although the server refuses nothing; and whether its load may.
    pub fn left_out(&self) -> Vec<Problem> {
        let all = |kind: &str| {
            let names = self.left_out.iter().filter(|(of, _)| of == kind).map(|(_, name)| name.clone());
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
        let problem = |(what, remedy)| Problem { aspect: Aspect::Database, what, remedy };
        found.into_iter().flatten().map(problem).collect()
    }

    /// The database's user.
    fn user(&self, engine: Engine) -> String {
        let name = match engine {
            Engine::MySql => grants::account(&self.account),
            Engine::Postgres => self.account.clone(),
        };
        format!("the database's user {name}")
    }

    /// What lets a user see routines with their bodies.
    fn routines_granted(&self) -> String {
        let major = self.server.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
        let privilege = match !self.server.contains("MariaDB") && major >= 8 {
            true => "SHOW_ROUTINE ON *.*",
            false => "SELECT ON mysql.proc",
        };
        format!("GRANT {privilege} TO {}", grants::account(&self.account))
    }

    /// What a dump needs and the user may not: left out of it without a word, or the end of it.
    fn denied(&self, engine: Engine) -> Vec<Problem> {
        let mut all = Vec::new();
        let mut deny = |what: String, remedy: String| all.push(Problem { aspect: Aspect::Database, what, remedy });
        let lacks = |privilege: &&str| !self.grants.on_database(&[*privilege], &self.database);
        let grant = |privileges: &str| {
            let named = self.database.replace('`', "``");
            format!("GRANT {privileges} ON `{named}`.* TO {}", grants::account(&self.account))
        };
        let missing = ["SELECT", "TRIGGER", "EVENT"].into_iter().filter(lacks).collect::<Vec<_>>().join(", ");
        if !self.grants.is_empty() && !missing.is_empty() {
            deny(
                format!("{} lacks {missing}: what it may not see would be missing from the dump", self.user(engine)),
                grant(&missing),
            );
        }
        if !self.unshown.is_empty() {
            let views = first_three(&self.unshown);
            deny(format!("{} may not see the text of the views {views}", self.user(engine)), grant("SHOW VIEW"));
        }
        // MariaDB describes such a view only to who may call the function.
        if self.server.contains("MariaDB") && !self.calling.is_empty() && !self.grants.is_empty() && lacks(&"EXECUTE") {
            let views = first_three(&self.calling);
            deny(
                format!("{} may not call the functions of the views {views}, which end the dump", self.user(engine)),
                grant("EXECUTE"),
            );
        }
        if !self.unreadable.is_empty() {
            let names = first_three(&self.unreadable);
            match engine {
                Engine::MySql => {
                    deny(format!("{} may not see the text of {names}", self.user(engine)), self.routines_granted());
                }
                Engine::Postgres => deny(
                    format!("{} may not read {names}", self.user(engine)),
                    format!(
                        "GRANT pg_read_all_data TO {} (before PostgreSQL 14: SELECT on each), and ALTER ROLE with \
                         BYPASSRLS where row-level security holds rows back; or set BAK_DB_POSTGRES_USER to a user who may",
                        quoted(&self.account)
                    ),
                ),
            }
        }
        if !self.unreadable_objects.is_empty() {
            let account = quoted(&self.account);
            deny(
                format!(
                    "{} may not read the large objects {}",
                    self.user(engine),
                    first_three(&self.unreadable_objects)
                ),
                format!(
                    "as a superuser, ALTER ROLE {account} SET lo_compat_privileges = on, which lets it read and write all of \
                     them, or GRANT SELECT ON LARGE OBJECT for each TO {account}; pg_read_all_data does not include them"
                ),
            );
        }
        all
    }
}

/// The first names, and whether there are more.
fn first_three(names: &[String]) -> String {
    first(3, names)
}

fn first(number: usize, names: &[String]) -> String {
    let (first, more) = names.split_at(names.len().min(number));
    format!("{}{}", first.join(", "), if more.is_empty() { "" } else { " and more" })
}

/// That a load of the dump takes more locks than the server has room for, from the number needed, the room, and the setting that
/// makes enough of it.
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

/// A name as an identifier of PostgreSQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The first number in the text: a major version.
fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

/// A place where a dump may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The dump's path within the volume, without a leading slash.
    pub path_in_volume: String,
    /// How full the volume is, in percent.
    pub used_percent: u8,
    /// How much room is left, in bytes.
    pub available_bytes: u64,
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// The programs in the container.
    Tools,
    /// The database and its credentials.
    Database,
    /// Where the dump goes.
    Path,
    /// The room for it.
    Space,
}

/// Why no dump may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about.
    pub aspect: Aspect,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty where nothing can be said.
    pub remedy: String,
}

/// Judges the report: every problem at once. Work that needs no room has a threshold of more than 100.
///
/// # Errors
/// The problems, at least one.
pub fn assess(
    look: &Look,
    engine: Engine,
    mounts: &[VolumeMount],
    pvc: &str,
    file: &str,
    threshold_percent: u8,
) -> Result<Site, Vec<Problem>> {
    let setting = format!("{}_DUMP_FILE", engine.setting());
    let at = mounts.iter().map(|mount| mount.mount_path.as_str()).collect::<Vec<_>>().join(" or ");
    let mut problems = Vec::new();
    let mut problem =
        |aspect, what: String, remedy: &str| problems.push(Problem { aspect, what, remedy: remedy.to_string() });
    let (directory, base) = file.rsplit_once('/').unwrap_or(("", file));

    if !look.missing.is_empty() {
        problem(
            Aspect::Tools,
            format!("the container lacks: {}", look.missing),
            "name another container that has these tools, or add them to its image",
        );
    }
    if engine == Engine::Postgres
        && let (Some(tool), Some(server)) = (major(&look.tool), major(&look.server))
        && tool < server
    {
        problem(
            Aspect::Tools,
            format!("pg_dump of version {tool} does not dump a server of version {server}"),
            "name a container whose pg_dump is of that version or a later one",
        );
    }
    if !look.answers && look.missing.is_empty() {
        let mut what = format!("the database does not answer with these settings{}", look.lacks());
        let mut remedy = "look at the message above; check the host, port, user, password and database settings".into();
        if look.wants_password(engine) {
            let names = engine.password_variables().iter().map(|name| format!("{name} nor {name}_FILE"));
            what += &format!("; the container has neither {}", names.collect::<Vec<_>>().join(" nor "));
            remedy = format!(
                "set {}_PASSWORD to the password (in the chart: existingSecret), or to ${{NAME}} where another variable of the \
                 container holds it",
                engine.setting()
            );
        }
        // What a server of either kind says of an account that its socket alone lets in.
        if engine == Engine::MySql && look.said.contains("ERROR 1698") {
            what += "; this account may log in through the server's socket alone";
            remedy = format!(
                "set {0}_HOST to localhost, for which the client takes the socket, or to the path of the socket where it is not \
                 at its usual place, and {0}_USER to the account that is named as the user that the container runs as; or set \
                 {0}_USER and {0}_PASSWORD to an account with a password",
                engine.setting()
            );
        }
        problem(Aspect::Database, what, &remedy);
    }
    problems.extend(look.denied(engine));
    let mut problem =
        |aspect, what: String, remedy: &str| problems.push(Problem { aspect, what, remedy: remedy.to_string() });
    let path_in_volume = if look.directory.is_empty() {
        problem(
            Aspect::Path,
            format!("the dump's directory {directory}/ does not exist in the container"),
            &match mounts.iter().any(|mount| holds(&mount.mount_path, directory)) {
                true => {
                    format!("make the directory, or choose one under {at}, where the PVC is mounted, with {setting}")
                }
                false => format!("set {setting} to a path under {at}, where the PVC is mounted"),
            },
        );
        String::new()
    } else {
        match volume_path(look, mounts) {
            Ok(path) if path.is_empty() => base.to_string(),
            Ok(path) => format!("{path}/{base}"),
            Err(instead) => {
                problem(
                    Aspect::Path,
                    format!(
                        "the dump file {file} does not lie on the PVC '{pvc}' but on {instead}; the snapshot would not hold it"
                    ),
                    &format!("set {setting} to a path under {at}, where the PVC is mounted"),
                );
                String::new()
            }
        }
    };
    if look.occupied {
        problem(Aspect::Path, format!("{file} is a directory"), &format!("set {setting} to the path of a file"));
    }
    if !look.directory.is_empty() && !look.writable {
        problem(
            Aspect::Path,
            format!("nothing can be written in {}", look.directory),
            "check whether the volume is mounted read-only and which user the container runs as",
        );
    }
    let space = parse_df(&look.df);
    if let Some((used_percent, available_bytes)) = space {
        if used_percent >= threshold_percent {
            problem(
                Aspect::Space,
                format!("the volume is {used_percent} % full, the threshold is {threshold_percent} %"),
                "free space, enlarge the PVC, or raise BAK_THRESHOLD_SPACE_USED_PERCENTAGE",
            );
        }
        // The next dump is taken to be a tenth larger than the last one. What bears a full volume makes none.
        if threshold_percent <= 100
            && let Some(old) = look.old_bytes
            && available_bytes < old.saturating_add(old / 10)
        {
            problem(
                Aspect::Space,
                format!(
                    "there is no room for a second dump beside the first: {available_bytes} bytes are free, the last dump has {old}"
                ),
                "free space or enlarge the PVC: the last good dump stays until the new one is proven",
            );
        }
    } else if !look.directory.is_empty() {
        problem(Aspect::Space, format!("df says nothing that can be read: '{}'", look.df), "");
    }

    // A file system that makes inodes as it needs them tells of none at all.
    if let Some((100, 0)) = parse_df(&look.inodes) {
        problem(
            Aspect::Space,
            "the volume has no inode left: no file can be made on it".into(),
            "delete files that nobody needs, of which there are very many, or enlarge the PVC; see df -i",
        );
    }

    match space {
        Some((used_percent, available_bytes)) if problems.is_empty() => {
            Ok(Site { path_in_volume, used_percent, available_bytes })
        }
        _ => Err(problems),
    }
}

/// The dump's directory within the volume, or the mount point on which it lies instead.
fn volume_path(look: &Look, mounts: &[VolumeMount]) -> Result<String, String> {
    let lies_on = mount_point(&look.mountinfo, &look.directory).unwrap_or_else(|| "no known mount".into());
    // The mount path with the most symbolic links resolved is what the kernel names.
    let ours = look.mounts.iter().find(|(_, physical)| *physical == lies_on).ok_or_else(|| lies_on.clone())?;
    let mount = mounts.iter().find(|mount| mount.mount_path == ours.0).ok_or(lies_on.clone())?;
    let below = look.directory.strip_prefix(&lies_on).unwrap_or_default();
    Ok(format!("{}/{below}", mount.sub_path).split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

/// The mount point on which `path` lies: the longest that holds it, and among several on one point the last, which
/// hides the others (proc_pid_mountinfo(5)). Catches what a pod's spec does not tell, such as a `VOLUME` of the image.
fn mount_point(mountinfo: &[String], path: &str) -> Option<String> {
    mountinfo
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|point| holds(point, path))
        .max_by_key(String::len)
}

/// Whether the directory `point` is `path` or above it.
fn holds(point: &str, path: &str) -> bool {
    match path.strip_prefix(point) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || point.ends_with('/'),
        None => false,
    }
}

/// Undoes the kernel's `\040`-style escapes of space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Used percent and available bytes from a line of `df -P -k`, or a thousandfold inodes of `df -P -i`: the device may hold spaces, so the numbers are found
/// by the first `NN%` that follows three of them.
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

    fn sound() -> Look {
        Look {
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
            ..Look::default()
        }
    }

    fn judge(look: &Look) -> Result<Site, Vec<Problem>> {
        assess(look, Engine::Postgres, &[mounted(MOUNT, "")], "data", FILE, 90)
    }

    fn problems(change: impl Fn(&mut Look)) -> String {
        let mut look = sound();
        change(&mut look);
        judge(&look).unwrap_err().into_iter().map(|it| format!("{}; {}\n", it.what, it.remedy)).collect()
    }

    #[test]
    fn a_sound_place() {
        let site = judge(&sound()).unwrap();
        assert_eq!(
            site,
            Site { path_in_volume: "dump.sql.gz".into(), used_percent: 10, available_bytes: 900_000 * 1024 }
        );
    }

    #[test]
    fn a_mount_over_the_directory_is_seen() {
        let mut look = sound();
        look.mountinfo.push(format!("4 2 7:2 / {MOUNT}/pgdata rw - ext4 x rw"));
        assert!(judge(&look).is_ok(), "a mount below the directory does not matter");
        // What a VOLUME of the image does where the PVC is mounted one level above.
        look.mounts = vec![("/var/lib/postgresql".into(), "/var/lib/postgresql".into())];
        look.mountinfo.insert(1, "5 1 7:3 / /var/lib/postgresql rw - ext4 y rw".into());
        let on = [mounted("/var/lib/postgresql", "")];
        let said = assess(&look, Engine::Postgres, &on, "data", FILE, 90).unwrap_err();
        assert!(said[0].what.contains("does not lie on the PVC"), "{said:?}");
    }

    #[test]
    fn the_path_must_lie_on_the_pvc() {
        let said = problems(|look| {
            look.mounts = vec![("/var/lib".into(), "/var/lib".into())];
        });
        assert!(said.contains("does not lie on the PVC 'data'") && said.contains(MOUNT), "{said}");
        let said = problems(|look| look.directory = "/tmp".into());
        assert!(said.contains("but on /;"), "{said}");
        let said = problems(|look| look.mountinfo.clear());
        assert!(said.contains("no known mount"), "{said}");
    }

    #[test]
    fn a_directory_that_is_missing_is_made_or_another_is_chosen() {
        let look = Look { directory: String::new(), ..sound() };
        let remedy = |engine, file: &str| {
            let said = assess(&look, engine, &[mounted("/pg", "")], "data", file, 90).unwrap_err();
            assert!(said[0].what.contains("does not exist in the container"), "{said:?}");
            said[0].remedy.clone()
        };
        let on = "make the directory, or choose one under /pg, where the PVC is mounted, with BAK_DB_MYSQL_DUMP_FILE";
        assert_eq!(remedy(Engine::MySql, "/pg/dumps/d.gz"), on);
        let beside = "set BAK_DB_POSTGRES_DUMP_FILE to a path under /pg, where the PVC is mounted";
        assert_eq!(remedy(Engine::Postgres, "/pgx/d.gz"), beside);
    }

    #[test]
    fn links_and_sub_paths_lead_into_the_volume() {
        let mut look = sound();
        look.directory = "/srv/pg data/backups".into();
        look.mounts = vec![("/link".into(), "/srv/pg data".into())];
        look.mountinfo.push("9 1 7:1 /x /srv/pg\\040data rw - ext4 /dev/loop1 rw".into());
        let site = assess(&look, Engine::Postgres, &[mounted("/link", "tenant/db")], "data", "/link/backups/d.gz", 90)
            .unwrap();
        assert_eq!(site.path_in_volume, "tenant/db/backups/d.gz");
    }

    #[test]
    fn space_is_needed_for_two() {
        assert!(problems(|look| look.df = "/dev/x 100 95 5 95% /".into()).contains("95 % full, the threshold is 90 %"));
        assert!(problems(|look| look.df = "/dev/x 100 90 10 90% /".into()).contains("90 % full"));
        let said = problems(|look| look.old_bytes = Some(900_000 * 1024));
        assert!(said.contains("no room for a second dump"), "{said}");
        assert!(problems(|look| look.df = "nonsense".into()).contains("nonsense"));
        let inodes = |line: &str| judge(&Look { inodes: line.into(), ..sound() }).map(|_| ());
        assert!(inodes("/dev/x 65536 65536 0 100% /").unwrap_err()[0].what.contains("no inode left"));
        for line in ["/dev/x 65536 65535 1 100% /", "/dev/x 0 0 0 - /", "/dev/x 0 0 0 0% /", ""] {
            assert_eq!(inodes(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let said = problems(|look| {
            look.missing = "gzip pg_dump".into();
            look.directory.clear();
        });
        assert!(said.contains("gzip pg_dump") && said.contains("/var/lib/postgresql/data/ does not exist"), "{said}");
        assert!(problems(|look| look.answers = false).contains("does not answer"));
        let said = problems(|look| {
            look.answers = false;
            look.unset = "PW POSTGRES_DB".into();
            look.named =
                vec![("BAK_DB_POSTGRES_PASSWORD".into(), "PW".into()), ("BAK_DB_POSTGRES_USER".into(), "U".into())];
        });
        let words = "settings; BAK_DB_POSTGRES_PASSWORD names PW, and the container has neither that nor PW_FILE; ";
        assert!(said.contains(words) && !said.contains("POSTGRES_DB") && !said.contains("names U"), "{said}");
        let without = |engine, said: &str, unset: &str| {
            let look = Look { answers: false, said: said.into(), unset: unset.into(), ..sound() };
            let said = assess(&look, engine, &[mounted(MOUNT, "")], "data", FILE, 90).unwrap_err();
            format!("{}; {}", said[0].what, said[0].remedy)
        };
        let postgres = "psql: error: fe_sendauth: no password supplied";
        let said = without(Engine::Postgres, postgres, "POSTGRES_USER POSTGRES_PASSWORD");
        let words =
            "neither POSTGRES_PASSWORD nor POSTGRES_PASSWORD_FILE; set BAK_DB_POSTGRES_PASSWORD to the password";
        assert!(said.contains(words), "{said}");
        for (said, unset) in [("connection refused", "POSTGRES_PASSWORD"), (postgres, "POSTGRES_USER")] {
            let said = without(Engine::Postgres, said, unset);
            assert!(!said.contains("has neither") && said.contains("check the host, port"), "{said}");
        }
        let root = "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: NO)";
        let said = without(Engine::MySql, root, "MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD");
        let words =
            "neither MYSQL_ROOT_PASSWORD nor MYSQL_ROOT_PASSWORD_FILE nor MARIADB_ROOT_PASSWORD nor MARIADB_ROOT";
        assert!(said.contains(words) && said.contains("set BAK_DB_MYSQL_PASSWORD"), "{said}");
        assert!(problems(|look| look.writable = false).contains("read-only"));
        assert!(problems(|look| look.occupied = true).contains("is a directory"));
    }

    #[test]
    fn a_user_of_mysql_sees_all_that_is_to_be_dumped() {
        let told = |grants: &[&str], server: &str| {
            let mut look = Look { database: "app".into(), account: "u@%".into(), server: server.into(), ..sound() };
            for grant in grants {
                match grant.strip_prefix("REVOKE ") {
                    Some(revoked) => look.note("revoke", revoked),
                    None => look.note("grant", grant),
                }
            }
            let judged = assess(&look, Engine::MySql, &[mounted(MOUNT, "")], "data", FILE, 90);
            let denied =
                judged.err().unwrap_or_default().into_iter().map(|it| it.remedy).collect::<Vec<_>>().join("; ");
            (denied, look.unseen().map(|it| it.remedy).unwrap_or_default())
        };
        let (maria, mysql) = ("11.8.3-MariaDB-ubu2404", "8.4.6");
        let proc = "GRANT SELECT ON mysql.proc TO 'u'@'%'";
        for (grants, server, denied, unseen) in [
            (&["ALL PRIVILEGES ON *.*"][..], maria, "", ""),
            (&["USAGE ON *.*", "ALL PRIVILEGES ON `app`.*"], maria, "", ""),
            (&["SELECT, LOCK TABLES, SHOW VIEW, EVENT ON *.*"], maria, "GRANT TRIGGER ON `app`.* TO 'u'@'%'", ""),
            (&["USAGE ON *.*", "SELECT ON `app`.*"], mysql, "GRANT TRIGGER, EVENT ON `app`.* TO 'u'@'%'", "all"),
            (&["SELECT, TRIGGER, EVENT ON `app`.*"], maria, "", proc),
            (&["SELECT, TRIGGER, EVENT ON `app`.*"], "5.7.44-log", "", proc),
            (&["SELECT, TRIGGER, EVENT ON `app`.*"], mysql, "", "GRANT SHOW_ROUTINE ON *.* TO 'u'@'%'"),
            (&["SELECT, TRIGGER, EVENT ON `app`.*", "SELECT ON `mysql`.`proc`"], maria, "", ""),
            (&["SELECT, TRIGGER, EVENT, SHOW CREATE ROUTINE ON `app`.*"], maria, "", ""),
            (&["SELECT, TRIGGER, EVENT ON `app`.*", "SHOW_ROUTINE ON *.*"], mysql, "", ""),
            (&["SELECT, TRIGGER, EVENT ON `app`.*", "AUDIT_ADMIN,SHOW_ROUTINE,XA_RECOVER_ADMIN ON *.*"], mysql, "", ""),
            (
                &["SELECT, TRIGGER, EVENT, EXECUTE ON *.*", "REVOKE TRIGGER ON `app`.*"],
                mysql,
                "GRANT TRIGGER ON `app`.* TO 'u'@'%'",
                "",
            ),
            // A server that asks nobody for rights.
            (&[], maria, "", ""),
        ] {
            let (lacks, blind) = told(grants, server);
            assert_eq!((lacks.as_str(), unseen == "all" || blind == unseen), (denied, true), "{grants:?}: {blind}");
        }
        let hidden = |look: &mut Look| look.unreadable = vec!["a".into(), "b".into(), "c".into(), "d".into()];
        let said = problems(|look| {
            hidden(look);
            look.account = "reader".into();
        });
        assert!(
            said.contains("the database's user reader may not read a, b, c and more; GRANT pg_read_all_data"),
            "{said}"
        );
        let mut look = Look { account: "u@%".into(), server: mysql.into(), ..sound() };
        hidden(&mut look);
        let said = &assess(&look, Engine::MySql, &[mounted(MOUNT, "")], "data", FILE, 90).unwrap_err()[0];
        assert!(
            said.what.contains("'u'@'%' may not see the text of a, b") && said.remedy.contains("SHOW_ROUTINE"),
            "{said:?}"
        );
    }

    #[test]
    fn what_a_user_of_postgres_cannot_dump_is_said_with_what_mends_it() {
        let said = problems(|look| {
            look.account = "a\"b".into();
            look.note("unreadable-object", "4711");
            look.note("unreadable-object", "4712");
        });
        assert_eq!(
            said,
            "the database's user a\"b may not read the large objects 4711, 4712; as a superuser, ALTER ROLE \"a\"\"b\" SET \
             lo_compat_privileges = on, which lets it read and write all of them, or GRANT SELECT ON LARGE OBJECT for each TO \
             \"a\"\"b\"; pg_read_all_data does not include them\n"
        );
        let mut look = Look { account: "backup".into(), ..sound() };
        assert_eq!(look.left_out(), []);
        for fact in
            ["mapping app on s", "mapping b on s", "mapping c on s", "mapping d on s", "subscription s", "new x"]
        {
            look.note("left-out", fact);
        }
        look.note("left-out", "encoding LATIN1");
        look.note("left-out", "unlogged public.u");
        look.note("left-out", "locks 55000 7808 512");
        let said: Vec<_> = look.left_out().into_iter().map(|it| (it.what, it.remedy)).collect();
        let superuser = "set BAK_DB_POSTGRES_USER to a superuser";
        assert_eq!(said.len(), 5);
        assert!(said[4].0.contains("about 55000 locks") && said[4].0.ends_with("room for 7808"), "{said:?}");
        assert!(said[4].1.starts_with("ALTER SYSTEM SET max_locks_per_transaction = 512, and restart"), "{said:?}");
        assert!(said[0].0.ends_with("these subscriptions are missing from the dump: s") && said[0].1 == superuser);
        assert!(said[1].0.ends_with("such as passwords: app on s, b on s, c on s and more") && said[1].1 == superuser);
        assert!(said[2].0.ends_with("no rows of unlogged tables: public.u"), "{said:?}");
        assert!(said[3].0.contains("LATIN1") && said[3].1 == "ALTER ROLE \"backup\" SET client_encoding = 'UTF8'");
        assert!(judge(&look).is_ok(), "a dump is made all the same");
    }

    #[test]
    fn pg_dump_is_not_older_than_its_server() {
        let tools = |tool: &str, server: &str| {
            let look = Look { tool: tool.into(), server: server.into(), ..sound() };
            judge(&look).map_err(|said| said[0].what.clone()).map(|_| ())
        };
        let pg_dump = "pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)";
        assert_eq!(tools(pg_dump, "17.2"), Err("pg_dump of version 15 does not dump a server of version 17".into()));
        for (tool, server) in
            [(pg_dump, "15.21"), (pg_dump, "9.6.24"), (pg_dump, ""), ("", "17.2"), (pg_dump, "15devel")]
        {
            assert_eq!(tools(tool, server), Ok(()), "{tool} {server}");
        }
    }

    #[test]
    fn views_that_cannot_be_dumped_are_named_with_the_grant() {
        let remedies = |notes: &[(&str, &str)]| {
            let mut look = Look { database: "app".into(), account: "u@%".into(), ..sound() };
            notes.iter().for_each(|(key, value)| look.note(key, value));
            let judged = assess(&look, Engine::MySql, &[mounted(MOUNT, "")], "data", FILE, 90);
            judged.err().unwrap_or_default().into_iter().map(|it| (it.what, it.remedy)).collect::<Vec<_>>()
        };
        let base = ("grant", "SELECT, TRIGGER, EVENT ON `app`.*");
        let maria = ("server", "10.11.19-MariaDB");
        let [(what, remedy)] = &remedies(&[base, ("unshown", "v"), ("unshown", "w")])[..] else { panic!() };
        assert!(what.contains("may not see the text of the views v, w"), "{what}");
        assert_eq!(remedy, "GRANT SHOW VIEW ON `app`.* TO 'u'@'%'");
        let [(what, remedy)] = &remedies(&[base, maria, ("calling", "v")])[..] else { panic!() };
        assert!(what.contains("may not call the functions of the views v"), "{what}");
        assert_eq!(remedy, "GRANT EXECUTE ON `app`.* TO 'u'@'%'");
        for fine in [
            &[base, ("server", "9.7.4"), ("calling", "v")][..],
            &[("grant", "ALL PRIVILEGES ON *.*"), maria, ("calling", "v")],
            &[maria, ("calling", "v")],
        ] {
            assert_eq!(remedies(fine), [], "{fine:?}");
        }
    }

    #[test]
    fn what_a_dump_of_mysql_does_not_hold_is_named_and_no_fault() {
        let mut look = sound();
        (0..22).for_each(|number| look.note("left-out", &format!("float t.f{number}")));
        look.note("left-out", "history prices");
        let [history, float] = &look.left_out()[..] else { panic!() };
        assert!(history.what.contains("NOT in the dump: prices; the tools of MariaDB"), "{history:?}");
        assert!(
            float.what.contains("six significant digits: t.f0, ") && float.what.contains("t.f19 and more"),
            "{float:?}"
        );
        assert!(judge(&look).is_ok());
    }

    #[test]
    fn an_account_of_the_socket_alone_is_told_of_it() {
        let look = Look {
            answers: false,
            said: "ERROR 1698 (28000): Access denied for user 'root'@'localhost'".into(),
            ..sound()
        };
        let said = &assess(&look, Engine::MySql, &[mounted(MOUNT, "")], "data", FILE, 90).unwrap_err()[0];
        assert!(said.what.contains("through the server's socket alone"), "{said:?}");
        assert!(said.remedy.contains("set BAK_DB_MYSQL_HOST to localhost"), "{said:?}");
    }

    #[test]
    fn a_device_name_may_hold_spaces() {
        assert_eq!(parse_df("my share 7 5% 1000 250 750 25% /mnt/x y"), Some((25, 750 * 1024)));
        assert_eq!(parse_df(""), None);
    }

    proptest! {
        #[test]
        fn no_report_panics(lines in prop::collection::vec("[ -~]{0,60}", 0..8), df in "[ -~]{0,60}", dir in "[ -~]{0,20}") {
            let look = Look { mountinfo: lines, df, directory: dir, ..sound() };
            let _ = judge(&look);
        }
    }
}
