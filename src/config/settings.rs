//! The table of settings: every variable with its flag, default and meaning. Flags, help, the configuration and its
//! errors are made from it. Must not know what was set.

#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub var: &'static str,
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// The default; empty if there is none, or if `help` explains it.
    pub default: &'static str,
    /// The name of the value in help.
    pub value: &'static str,
    pub help: &'static str,
    /// The values that shells complete; empty if any text is allowed.
    pub choices: &'static [&'static str],
}

impl Setting {
    const fn of(mut self, choices: &'static [&'static str]) -> Setting {
        self.choices = choices;
        self
    }

    /// Whether its value is hidden wherever settings are shown.
    pub fn is_secret(&self) -> bool {
        const HIDDEN: [&str; 7] = [
            "BAK_HOOK_PRE",
            "BAK_HOOK_POST",
            "BAK_EXPORT_COMMAND",
            "BAK_EXPORT_CHECK",
            "BAK_NOTIFY_URL",
            "BAK_NOTIFY_HEADERS",
            "BAK_PING_URL",
        ];
        self.var.ends_with("_PASSWORD") || HIDDEN.contains(&self.var)
    }

    /// Whether `--from-cronjob` takes this setting from the CronJob: those that say what is backed up and how, but not who does it,
    /// where, and when.
    pub fn is_shared(&self) -> bool {
        const OWN: [&str; 5] = ["BAK_LABEL_VS_TYPE", "BAK_LABEL_VS_POD", "BAK_RUN_ID", "BAK_VS_RAND", "BAK_EVENTS"];
        let locks = self.var.starts_with("BAK_LOCK") || self.var.starts_with("BAK_FLOCK");
        let is_in = |table: &[Setting]| table.iter().any(|setting| setting.var == self.var);
        let is_own = is_in(GLOBAL) || is_in(NOTIFICATIONS) || locks || OWN.contains(&self.var);
        self.var == "TZ" || self.var.starts_with("BAK_") && !is_own
    }

    pub fn is_switch(&self) -> bool {
        self.value == BOOL
    }
}

/// The value name of settings that are yes or no. Their flag needs no value.
pub const BOOL: &str = "BOOL";

const fn setting(
    var: &'static str,
    flag: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { var, flag, default, value, help, choices: &[] }
}

/// The settings of every command.
pub const GLOBAL: &[Setting] = &[
    setting(
        "BAK_NAMESPACE",
        "namespace",
        "NS",
        "",
        "namespace [default: the context's, in a pod its own; to prune: all that you may see]",
    ),
    setting("BAK_DRY_RUN", "dry-run", BOOL, "false", "print the plan, change nothing"),
    setting("BAK_REQUEST_TIMEOUT", "request-timeout", "TIME", "30s", "how long one request to the API may take"),
    setting(
        "BAK_RETRY_TIMEOUT",
        "retry-timeout",
        "TIME",
        "45s",
        "how long requests are repeated while the API is down or busy",
    ),
    setting("BAK_LOG_FORMAT", "log-format", "FORMAT", "auto", "auto, live, plain or json; auto is live on a terminal")
        .of(&["auto", "live", "plain", "json"]),
    setting("BAK_TIMEOUT", "timeout", "TIME", "0s", "limit of the whole run; 0s for no limit"),
    setting("TZ", "tz", "ZONE", "", "time zone of every date, such as Europe/Vienna [default: the system's]"),
];

const PVC_NAME: Setting = setting(
    "BAK_PVC_NAME",
    "pvc-name",
    "PVC",
    "data",
    "the PersistentVolumeClaim that holds the dump; after commas, more that create snapshots with it",
);

const CLASS_NAME: Setting = setting(
    "BAK_VS_CLASS_NAME",
    "vs-class-name",
    "CLASS",
    "",
    "VolumeSnapshotClass [default: the cluster's for the driver]",
);

const READY_TIMEOUT: Setting = setting(
    "BAK_VS_WAIT_UNTIL_READY_TIMEOUT",
    "vs-wait-until-ready-timeout",
    "TIME",
    "15m",
    "how long a snapshot may take to become ready",
);

const RETAIN_DRY_RUN: Setting =
    setting("RETAIN_DRY_RUN", "retain-dry-run", BOOL, "false", "the same as --dry-run, for pruning alone");

const LAST_DAILY: Setting =
    setting("RETAIN_LAST_DAILY", "retain-last-daily", "NUMBER", "7", "how many days keep their snapshot");

const LAST_WEEKLY: Setting =
    setting("RETAIN_LAST_WEEKLY", "retain-last-weekly", "NUMBER", "4", "how many ISO weeks keep their snapshot");

const LAST_MONTHLY: Setting =
    setting("RETAIN_LAST_MONTHLY", "retain-last-monthly", "NUMBER", "12", "how many months keep their snapshot");

const ALLOW_EMPTY_POLICY: Setting = setting(
    "BAK_ALLOW_EMPTY_POLICY",
    "allow-empty-policy",
    BOOL,
    "false",
    "allow 0 days, 0 weeks and 0 months, which keep nothing but the newest",
);

const REQUIRE_EXPORTED: Setting = setting(
    "BAK_REQUIRE_EXPORTED",
    "require-exported",
    BOOL,
    "false",
    "pruning keeps every good backup whose copy outside the cluster is not proven",
);

const CHANGE_CONCURRENCY: Setting = setting(
    "BAK_CHANGE_CONCURRENCY",
    "change-concurrency",
    "NUMBER",
    "4",
    "how many kubectl change objects at once, 1 to 16; of 50 MB memory each",
);

pub const RETAIN: &[Setting] =
    &[RETAIN_DRY_RUN, LAST_DAILY, LAST_WEEKLY, LAST_MONTHLY, ALLOW_EMPTY_POLICY, CHANGE_CONCURRENCY, READY_TIMEOUT];

pub const MARK_AND_DELETE: &[Setting] = &[
    RETAIN_DRY_RUN,
    setting("BAK_RETAIN_FIRST", "retain-first", BOOL, "false", "apply the retention policy first, as retain does"),
    LAST_DAILY,
    LAST_WEEKLY,
    LAST_MONTHLY,
    ALLOW_EMPTY_POLICY,
    REQUIRE_EXPORTED,
    CHANGE_CONCURRENCY,
    setting(
        "BAK_DELETE_INTERVAL",
        "delete-interval",
        "TIME",
        "5s",
        "pause between two deletions, so that the storage is not flooded",
    ),
    READY_TIMEOUT,
];

/// Of every command that a CronJob runs.
pub const NOTIFICATIONS: &[Setting] = &[
    setting(
        "BAK_NOTIFY_URL",
        "notify-url",
        "URL",
        "",
        "webhook that gets a POST about the outcome; a secret, so not accepted as a flag",
    ),
    setting("BAK_NOTIFY_ON", "notify-on", "OUTCOME", "failure", "when: failure, success or both")
        .of(&["failure", "success", "both"]),
    setting(
        "BAK_NOTIFY_FORMAT",
        "notify-format",
        "FORMAT",
        "json",
        "json, or slack for webhooks that take Slack's text",
    )
    .of(&["json", "slack"]),
    setting(
        "BAK_NOTIFY_HEADERS",
        "notify-headers",
        "HEADERS",
        "",
        "lines of NAME: VALUE that the POST has as well; a secret, so not accepted as a flag",
    ),
    setting(
        "BAK_PING_URL",
        "ping-url",
        "URL",
        "",
        "check that gets URL/start, then URL or URL/fail, as healthchecks.io; a secret, so not accepted as a flag",
    ),
];

pub const SYNC_METADATA: &[Setting] = &[CHANGE_CONCURRENCY];

pub const RESTORE: &[Setting] = &[
    setting(
        "BAK_RESTORE_TIMEOUT",
        "restore-timeout",
        "TIME",
        "15m",
        "how long a claim may take to be bound, a pod to end, a workload to become ready",
    ),
    CLASS_NAME,
    READY_TIMEOUT,
];

pub const VERIFY: &[Setting] = &[
    PVC_NAME,
    setting("BAK_VERIFY_SQL", "verify-sql", "QUERY", "", "a query that must return true once the dump is loaded"),
    setting(
        "BAK_VERIFY_PHYSICAL",
        "verify-physical",
        BOOL,
        "false",
        "start the server on the snapshotted data directory, too",
    ),
    setting(
        "BAK_VERIFY_IMAGE",
        "verify-image",
        "IMAGE",
        "",
        "image with the database's server [default: that of the container that was dumped in]",
    ),
    setting(
        "BAK_VERIFY_FROM_EXPORT",
        "verify-from-export",
        BOOL,
        "false",
        "test the copy outside the cluster instead, with the settings of export",
    ),
    setting("BAK_VERIFY_TIMEOUT", "verify-timeout", "TIME", "1h", "limit of the whole restore test"),
];

pub const EXPORT: &[Setting] = &[
    PVC_NAME,
    setting("BAK_EXPORT_TOOL", "export-tool", "TOOL", "restic", "restic, rclone or command")
        .of(&["restic", "rclone", "command"]),
    setting(
        "BAK_EXPORT_IMAGE",
        "export-image",
        "IMAGE",
        "",
        "image with the tool, sh, awk, gzip and sha256sum, such as restic/restic or rclone/rclone; zstd for .zst dumps",
    ),
    setting(
        "BAK_EXPORT_SECRET",
        "export-secret",
        "NAME",
        "",
        "Secret with the tool's own variables, such as RESTIC_REPOSITORY; only the pod reads it",
    ),
    setting("BAK_EXPORT_WHAT", "export-what", "WHAT", "dump", "dump, the proven dumps, or volume, all files")
        .of(&["dump", "volume"]),
    setting("BAK_EXPORT_REMOTE", "export-remote", "REMOTE:PATH", "", "with rclone: where to"),
    setting(
        "BAK_EXPORT_COMMAND",
        "export-command",
        "COMMAND",
        "",
        "with command: gets a file on stdin, to be stored as $EXPORT_NAME",
    ),
    setting("BAK_EXPORT_CHECK", "export-check", "COMMAND", "", "with command: prints what is stored as $EXPORT_NAME"),
    setting("BAK_EXPORT_TIMEOUT", "export-timeout", "TIME", "6h", "limit of the whole export"),
    setting(
        "BAK_EXPORT_SERVICE_ACCOUNT",
        "export-service-account",
        "NAME",
        "",
        "service account of the pod, for storage that trusts it; no token of the cluster is mounted",
    ),
    setting("BAK_EXPORT_CPU_REQUEST", "export-cpu-request", "CPU", "", "CPU request [default: the database's]"),
    setting("BAK_EXPORT_CPU_LIMIT", "export-cpu-limit", "CPU", "", "CPU limit [default: the database's]"),
    setting(
        "BAK_EXPORT_MEMORY_REQUEST",
        "export-memory-request",
        "MEMORY",
        "",
        "memory request [default: the database's]",
    ),
    setting("BAK_EXPORT_MEMORY_LIMIT", "export-memory-limit", "MEMORY", "", "memory limit [default: the database's]"),
];

/// The settings of [`EXPORT`] by which its repository is read.
pub fn repository() -> impl Iterator<Item = &'static Setting> {
    const SENDS: [&str; 2] = ["BAK_EXPORT_WHAT", "BAK_EXPORT_COMMAND"];
    EXPORT.iter().filter(|setting| !SENDS.contains(&setting.var))
}

pub const ALL: [&[Setting]; 9] =
    [GLOBAL, CREATE, RETAIN, MARK_AND_DELETE, SYNC_METADATA, RESTORE, VERIFY, EXPORT, NOTIFICATIONS];

/// The setting of this name, for [`var!`].
#[expect(clippy::panic, reason = "at compile time")]
pub const fn named(var: &str) -> &'static Setting {
    let mut table = 0;
    while table < ALL.len() {
        let mut at = 0;
        while at < ALL[table].len() {
            if is_same(ALL[table][at].var.as_bytes(), var.as_bytes()) {
                return &ALL[table][at];
            }
            at += 1;
        }
        table += 1;
    }
    panic!("there is no such setting")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// A setting by its name. A name that is in no table does not compile.
macro_rules! var {
    ($var:literal) => {{
        const SETTING: &$crate::config::settings::Setting = $crate::config::settings::named($var);
        SETTING
    }};
}
pub(crate) use var;

/// Every setting once, in the order of the tables.
pub fn each() -> impl Iterator<Item = &'static Setting> {
    let all = || ALL.into_iter().flatten();
    all()
        .enumerate()
        .filter(move |(at, setting)| all().take(*at).all(|other| other.var != setting.var))
        .map(|(_, setting)| setting)
}

/// Whether a variable looks like a setting and is not. Settings that only the older tool had may still be in ConfigMaps; they
/// count as known.
pub fn is_unknown(var: &str) -> bool {
    const OLDER: [&str; 2] = ["BAK_DEBUG", "BAK_COLORS_ENABLED"];
    (var.starts_with("BAK_") || var.starts_with("RETAIN_"))
        && !OLDER.contains(&var)
        && each().all(|setting| setting.var != var)
}

/// The setting that an unknown variable probably means: at most one of eight letters differs.
pub fn meant_by(var: &str) -> Option<&'static str> {
    let near = each().map(|setting| (distance(var, setting.var), setting.var));
    near.min().filter(|(distance, _)| distance * 8 <= var.len()).map(|(_, var)| var)
}

/// The Levenshtein distance: how many letters must be inserted, deleted or changed to turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], number + 1);
        for (at, with) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != with);
            before = row[at + 1];
            row[at + 1] = changed.min(before + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

/// The settings of a command such as `postgres dump`. The database's settings begin with `engine`.
pub fn by_hand(engine: &'static str, piece: &'static str) -> impl Iterator<Item = &'static Setting> {
    let more: &[&str] = match piece {
        "dump" => &[
            "BAK_THRESHOLD_SPACE_USED_PERCENTAGE",
            "BAK_DUMP_COMPRESSION_LEVEL",
            "BAK_DUMP_TIMEOUT",
            "BAK_BUSY_TIMEOUT",
        ],
        "restore" => &["BAK_BUSY_TIMEOUT"],
        _ => &[],
    };
    let is_own = move |var: &str| var.strip_prefix(engine).is_some_and(|rest| rest.starts_with('_'));
    let is_meant = move |var: &str| var == "BAK_PVC_NAME" || more.contains(&var) || is_own(var);
    let is_idle = move |var: &str| {
        piece == "shell" && var.ends_with("_DUMP_FILE") || piece != "dump" && var.ends_with("_GLOBALS")
    };
    CREATE.iter().filter(move |setting| is_meant(setting.var) && !is_idle(setting.var))
}

pub const CREATE: &[Setting] = &[
    PVC_NAME,
    setting("BAK_VS_RAND", "vs-rand", "TEXT", "", "the name template's .rand [default: six random letters]"),
    setting(
        "BAK_VS_NAME_TEMPLATE",
        "vs-name-template",
        "TEMPLATE",
        "{{ .pvcName }}-{{ .timestamp }}-{{ .rand }}",
        "name of the VolumeSnapshot",
    ),
    CLASS_NAME,
    setting(
        "BAK_VS_WAIT_UNTIL_READY",
        "vs-wait-until-ready",
        BOOL,
        "true",
        "wait until the snapshot is ready, not only cut",
    ),
    READY_TIMEOUT,
    setting("BAK_LABEL_VS_TYPE", "label-vs-type", "LABEL", "adhoc", "value of the type label; CronJobs use cronjob"),
    setting("BAK_LABEL_VS_POD", "label-vs-pod", "LABEL", "", "value of the pod label [default: no label]"),
    setting("BAK_LABEL_VS_RETAIN", "label-vs-retain", "POLICY", "days", "days or daily_weekly_monthly")
        .of(&["days", "daily_weekly_monthly"]),
    setting("BAK_LABEL_VS_RETAIN_DAYS", "label-vs-retain-days", "DAYS", "30", "with days: how many"),
    setting(
        "BAK_THRESHOLD_SPACE_USED_PERCENTAGE",
        "threshold-space-used-percentage",
        "PERCENT",
        "90",
        "fail when the volume is this full or fuller",
    ),
    setting("BAK_DB_SKIP", "db-skip", BOOL, "false", "snapshot without a dump, whatever databases are chosen"),
    setting("BAK_DB_POSTGRES", "db-postgres", BOOL, "false", "dump PostgreSQL"),
    setting(
        "BAK_DB_POSTGRES_EXEC_RESOURCE",
        "db-postgres-exec-resource",
        "KIND/NAME",
        "deployment/app-base",
        "deployment, statefulset, daemonset or pod of the database",
    ),
    setting("BAK_DB_POSTGRES_EXEC_CONTAINER", "db-postgres-exec-container", "NAME", "postgres", "its container"),
    setting(
        "BAK_DB_POSTGRES_DUMP_FILE",
        "db-postgres-dump-file",
        "PATH",
        "/var/lib/postgresql/data/dump.sql.gz",
        "where the dump goes; must lie on the PVC; .zst compresses with zstd, .gz with gzip",
    ),
    setting("BAK_DB_POSTGRES_HOST", "db-postgres-host", "HOST", "127.0.0.1", "host, as seen in the container"),
    setting("BAK_DB_POSTGRES_PORT", "db-postgres-port", "PORT", "5432", "port"),
    setting(
        "BAK_DB_POSTGRES_USER",
        "db-postgres-user",
        "VALUE",
        "${POSTGRES_USER}",
        "user; ${NAME} is the container's variable",
    ),
    // Other users can read the argument list, so a literal password is only taken from the environment.
    setting(
        "BAK_DB_POSTGRES_PASSWORD",
        "db-postgres-password",
        "VALUE",
        "${POSTGRES_PASSWORD}",
        "password, as ${NAME} only; a literal one goes into the variable",
    ),
    setting(
        "BAK_DB_POSTGRES_DB",
        "db-postgres-db",
        "VALUE",
        "${POSTGRES_DB}",
        "database, several with commas between them, or * for all",
    ),
    setting(
        "BAK_DB_POSTGRES_GLOBALS",
        "db-postgres-globals",
        "WHEN",
        "auto",
        "write the server's roles beside the dump: auto (if it can be done), true (or fail) or false",
    )
    .of(&["auto", "true", "false"]),
    setting("BAK_DB_MYSQL", "db-mysql", BOOL, "false", "dump MySQL or MariaDB"),
    setting(
        "BAK_DB_MYSQL_EXEC_RESOURCE",
        "db-mysql-exec-resource",
        "KIND/NAME",
        "deployment/app-base",
        "deployment, statefulset, daemonset or pod of the database",
    ),
    setting("BAK_DB_MYSQL_EXEC_CONTAINER", "db-mysql-exec-container", "NAME", "mysql", "its container"),
    setting(
        "BAK_DB_MYSQL_DUMP_FILE",
        "db-mysql-dump-file",
        "PATH",
        "/var/lib/mysql/dump.sql.gz",
        "where the dump goes; must lie on the PVC; .zst compresses with zstd, .gz with gzip",
    ),
    setting(
        "BAK_DB_MYSQL_HOST",
        "db-mysql-host",
        "HOST",
        "127.0.0.1",
        "host, as seen in the container; localhost, or a path, is the server's socket",
    ),
    setting("BAK_DB_MYSQL_PORT", "db-mysql-port", "PORT", "3306", "port"),
    setting("BAK_DB_MYSQL_USER", "db-mysql-user", "VALUE", "root", "user; ${NAME} is the container's variable"),
    setting(
        "BAK_DB_MYSQL_PASSWORD",
        "db-mysql-password",
        "VALUE",
        "${MYSQL_ROOT_PASSWORD}",
        "password, as ${NAME} only; MARIADB_* is used instead of MYSQL_* where it is set",
    ),
    setting(
        "BAK_DB_MYSQL_DB",
        "db-mysql-db",
        "VALUE",
        "${MYSQL_DATABASE}",
        "database, several with commas between them, or * for all",
    ),
    setting(
        "BAK_DB_MYSQL_DEFAULT_CHARACTER_SET",
        "db-mysql-default-character-set",
        "NAME",
        "utf8mb4",
        "character set of the dump",
    ),
    setting(
        "BAK_DB_MYSQL_GLOBALS",
        "db-mysql-globals",
        "WHEN",
        "auto",
        "write the database's accounts beside the dump: auto (if it can be done), true (or fail) or false",
    )
    .of(&["auto", "true", "false"]),
    setting(
        "BAK_DUMP_COMPRESSION_LEVEL",
        "dump-compression-level",
        "LEVEL",
        "",
        "how hard a dump is compressed: 1 to 9 for .gz, 1 to 19 for .zst [default: 1 for .gz, 3 for .zst]",
    ),
    setting(
        "BAK_DUMP_TIMEOUT",
        "dump-timeout",
        "TIME",
        "0s",
        "limit of one dump, including waits for locks of the database; 0s for no limit",
    ),
    setting("BAK_HOOK_PRE", "hook-pre", "COMMAND", "", "run by sh -c in the database's container before the dump"),
    setting(
        "BAK_HOOK_POST",
        "hook-post",
        "COMMAND",
        "",
        "run by sh -c there once the snapshot is cut, also after a failure; must be safe to run twice",
    ),
    setting("BAK_HOOK_TIMEOUT", "hook-timeout", "TIME", "1m", "how long each of them may take"),
    setting("BAK_HOOK_ON_ERROR", "hook-on-error", "WHAT", "fail", "fail or continue, when one of them fails")
        .of(&["fail", "continue"]),
    setting(
        "BAK_RUN_ID",
        "run-id",
        "TEXT",
        "",
        "a run continues with a snapshot that has its id [default: the Job's, in a Job]",
    ),
    setting(
        "BAK_BUSY_TIMEOUT",
        "busy-timeout",
        "TIME",
        "0s",
        "how long to wait for another backup of the same dump file",
    ),
    setting("BAK_EVENTS", "events", BOOL, "true", "leave an Event on the PVC when the backup is done or failed"),
    setting("BAK_FLOCK", "flock", BOOL, "false", "take one of this node's locks first"),
    setting(
        "BAK_FLOCK_COUNT",
        "flock-count",
        "NUMBER",
        "",
        "how many locks there are, files or Leases [default: half the node's CPUs]",
    ),
    setting("BAK_FLOCK_DIR", "flock-dir", "DIR", "/mnt/host-backup-locks", "where the files are"),
    setting(
        "BAK_FLOCK_TIMEOUT_SEC",
        "flock-timeout-sec",
        "SECONDS",
        "3600",
        "how long to wait for one, a file or a Lease",
    ),
    setting(
        "BAK_LOCK",
        "lock",
        "KIND",
        "",
        "kind of the locks: flock (files), lease (Leases in the cluster) or none [default: flock with BAK_FLOCK, else none]",
    )
    .of(&["flock", "lease", "none"]),
    setting("BAK_LOCK_NAMESPACE", "lock-namespace", "NS", "backup-ns-locks", "where the Leases of all namespaces are"),
    setting(
        "BAK_LOCK_NODE",
        "lock-node",
        "NODE",
        "",
        "with Leases: the node whose locks they are; in a pod by the downward API, spec.nodeName",
    ),
    setting(
        "BAK_LOCK_LEASE_DURATION",
        "lock-lease-duration",
        "TIME",
        "60s",
        "how long a Lease outlives a holder that was killed",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_the_pattern() {
        for table in ALL {
            let all: Vec<&Setting> = GLOBAL.iter().chain(table.iter().filter(|_| table != GLOBAL)).collect();
            let vars: BTreeSet<_> = all.iter().map(|s| s.var).collect();
            let flags: BTreeSet<_> = all.iter().map(|s| s.flag).collect();
            assert_eq!((vars.len(), flags.len()), (all.len(), all.len()));
            for setting in all {
                let expected = setting.var.trim_start_matches("BAK_").to_lowercase().replace('_', "-");
                assert_eq!(setting.flag, expected);
                // A variable means the same in every table.
                assert!(ALL.iter().flat_map(|table| *table).filter(|s| s.var == setting.var).all(|s| s == setting));
            }
        }
    }

    #[test]
    fn misspelt_variables_are_recognized() {
        for (one, other, so_many) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "axc", 1), ("kitten", "sitting", 3)] {
            assert_eq!((distance(one, other), distance(other, one)), (so_many, so_many), "{one} {other}");
        }
        for (var, meant) in [
            ("BAK_VS_CLAS_NAME", Some("BAK_VS_CLASS_NAME")),
            ("BAK_DB_POSTGRE", Some("BAK_DB_POSTGRES")),
            ("RETAIN_LAST_DIALY", Some("RETAIN_LAST_DAILY")),
            ("BAK_LABEL_VS_RETAINDAYS", Some("BAK_LABEL_VS_RETAIN_DAYS")),
            ("BAK_DB_POSTGRES_DUMP_DIR", Some("BAK_DB_POSTGRES_DUMP_FILE")),
            ("BAK_VS_NAME", None),
            ("BAK_BUCKET", None),
            ("BAK_", None),
        ] {
            assert!(is_unknown(var), "{var}");
            assert_eq!(meant_by(var), meant, "{var}");
        }
        for var in ["BAK_DEBUG", "BACKUP_NAME", "PATH", "MY_BAK_X"].into_iter().chain(each().map(|setting| setting.var))
        {
            assert!(!is_unknown(var), "{var}");
        }
    }

    /// The chart has a value with the same words for each setting of a backup that it does not set itself.
    #[test]
    fn the_chart_knows_the_same_settings() {
        const OWN: [&str; 5] = ["BAK_NAMESPACE", "TZ", "BAK_LABEL_VS_POD", "BAK_LOCK_NODE", "BAK_RUN_ID"];
        let schema = include_str!("../../charts/backup-ns/values.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let values: BTreeSet<String> =
            schema["properties"]["config"]["properties"].as_object().unwrap().keys().cloned().collect();
        let value = |setting: &Setting| {
            let words = setting.var.trim_start_matches("BAK_").to_lowercase();
            let title = |(at, word): (usize, &str)| match at {
                0 => word.to_string(),
                _ => format!("{}{}", word[..1].to_uppercase(), &word[1..]),
            };
            words.split('_').enumerate().map(title).collect::<String>()
        };
        let settings = GLOBAL.iter().chain(CREATE).filter(|setting| !OWN.contains(&setting.var));
        assert_eq!(values, settings.map(value).collect());
    }
}
