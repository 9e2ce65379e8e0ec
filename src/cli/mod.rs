//! The command line: commands and flags, made from the table of settings. Must not know what the values of flags mean:
//! `config` parses them.

pub mod manual;
#[cfg(test)]
mod reference;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::{PossibleValue, StringValueParser, StyledStr, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command, Id, ValueHint};

use crate::config::settings::{
    self, CREATE, EXPORT, GLOBAL, MARK_AND_DELETE, NOTIFICATIONS, RESTORE, RETAIN, SYNC_METADATA, Setting, VERIFY,
};
use crate::config::{self, Origin, Plain};
use crate::core::engine::Engine;
use crate::core::health::listing::SortKey;
use crate::core::kube::access::{self, AccessFlag};
use crate::exit;

/// The name of the program as a plugin of kubectl, and that of the program which kubectl asks to complete it
/// (<https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>).
const PLUGIN: &str = "kubectl-backup_ns";
const COMPLETES_PLUGIN: &str = "kubectl_complete-backup_ns";

/// The role in which the program was called.
#[derive(Debug, PartialEq, Eq)]
pub enum Called {
    /// As `backup-ns`, or under any other name.
    Itself,
    /// As a plugin of kubectl.
    Plugin,
    /// To complete the plugin's command line.
    ToComplete,
}

/// Reads the role from the first word of the command line.
pub fn called(program: Option<OsString>) -> Called {
    let name = program.as_deref().map(Path::new).and_then(Path::file_name).and_then(OsStr::to_str);
    match name {
        Some(PLUGIN) => Called::Plugin,
        Some(COMPLETES_PLUGIN) => Called::ToComplete,
        _ => Called::Itself,
    }
}

pub fn command() -> Command {
    let controller = Command::new("controller")
        .hide(true)
        .subcommand_required(true)
        .subcommand(sync("syncMetadataToVsc"))
        .after_help(after("  backup-ns sync-metadata-to-vsc"));
    unwrapped(shown().subcommand(controller))
}

/// Puts the text after each help into the template, where clap does not wrap it: a wrapped example could not be copied and run.
fn unwrapped(command: Command) -> Command {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let before = "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}";
    command.help_template(format!("{before}\n\n{after}")).mut_subcommands(unwrapped)
}

/// The command line of kubectl's plugin, which is called `kubectl backup-ns`.
pub fn plugin() -> Command {
    fn renamed(command: Command) -> Command {
        let line = |line: &str| match line.trim_start().starts_with('#') {
            true => line.to_string(),
            false => line.replace("backup-ns ", "kubectl backup-ns "),
        };
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let after: Vec<String> = after.lines().map(line).collect();
        command.after_help(after.join("\n")).mut_subcommands(renamed)
    }
    unwrapped(renamed(command())).bin_name("kubectl backup-ns")
}

/// The command line without the hidden names of the older tool.
pub fn shown() -> Command {
    let global = [
        word("output", "FORMAT", "text, json or yaml; for tables also wide; for list and status jsonpath= and go-template= as kubectl has them, for list name, for status prometheus")
            .short('o')
            .value_parser(Words(config::outputs().into_iter().collect()))
            .hide_possible_values(true),
        switch("verbose", "log every kubectl call").short('v'),
        switch("quiet", "log only warnings and errors").short('q').conflicts_with("verbose"),
    ];
    Command::new("backup-ns")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Application-consistent backups of a Kubernetes namespace: dump, prove, flush, snapshot")
        .after_help(after(
            "  # Back up the database of deployment/app-base in the namespace shop, volume `data`
  backup-ns create -n shop --db-postgres

  # What there is, and the proof that the newest can be restored
  backup-ns list -n shop
  backup-ns verify -n shop

  # What each setting is, and where it comes from
  backup-ns env",
        ))
        .subcommand_required(true)
        .arg_required_else_help(true)
        // As with kubectl, a flag may be repeated, because a shell alias may already contain it.
        .args_override_self(true)
        .max_term_width(120)
        .args(GLOBAL.iter().map(flag).chain(global).map(|arg| arg.global(true).help_heading("Global options")))
        .args(reaching().map(|arg| arg.global(true).help_heading("Access to the cluster, by kubectl's own flags")))
        .subcommands(backups())
        .subcommands(watchers())
        .subcommand(list())
        .subcommands(restores())
        .subcommands(repairs())
        .subcommands(Engine::ALL.map(by_hand))
        .subcommands(upkeep())
        .subcommands(comfort())
}

/// The flags that are passed on to each call of kubectl.
fn reaching() -> impl Iterator<Item = Arg> {
    let config = [
        word("kubeconfig", "FILE", "kubeconfig file [default: as kubectl's]"),
        word("context", "NAME", "kubeconfig context [default: the current one]"),
    ];
    let passed_on = access::FLAGS.iter().map(|AccessFlag { name, value, help }| match (*name, *value) {
        (_, "") => word(name, settings::BOOL, *help).num_args(0..=1).require_equals(true).default_missing_value("true"),
        (access::GROUP, value) => word(name, value, *help).action(ArgAction::Append),
        (_, value) => word(name, value, *help),
    });
    // Only for an error that says what to do instead.
    config.into_iter().chain(passed_on).chain([word("token", "TOKEN", "not accepted").hide(true)])
}

/// A command with its summary, description and examples.
fn described(name: &'static str, about: &'static str, more: &str, examples: &str) -> Command {
    Command::new(name).about(about).long_about(format!("{about}.\n\n{more}")).after_help(after(examples))
}

/// Where the documentation is.
const DOCUMENTATION: &str = concat!("Documentation:\n  ", env!("CARGO_PKG_REPOSITORY"), "#readme");

/// The text after every help.
fn after(examples: &str) -> String {
    format!("Examples:\n{examples}\n\n{}\n\n{DOCUMENTATION}", exit::HELP)
}

fn backups() -> [Command; 4] {
    [
        described(
            "create",
            "Make one backup: lock, check, dump, prove, flush, snapshot, wait until it is ready",
            "The dump is made inside the database's own container, into a temporary file beside the last one, which it \
             replaces only when it is proven. Every option is also an environment variable, shown in brackets; a flag wins.",
            "  # Back up the database of deployment/app-base in the namespace shop, volume `data`
  backup-ns create -n shop --db-postgres

  # See what would be done, and the VolumeSnapshot that would be made
  backup-ns create -n shop --db-postgres --dry-run

  # A StatefulSet's database, kept by daily, weekly and monthly slots
  backup-ns create -n shop --db-postgres --db-postgres-exec-resource=statefulset/db --pvc-name=data-db-0 \\
    --label-vs-retain=daily_weekly_monthly",
        )
        .arg(from_cronjob()).args(CREATE.iter().chain(NOTIFICATIONS).map(flag)),
        described(
            "adhoc",
            "Run the namespace's backup CronJob once, now, and follow it",
            "Ends with the exit code of the backup. Ctrl-C does not stop the Job.",
            "  # The only CronJob in the namespace shop that runs backup-ns create
  backup-ns adhoc -n shop",
        )
        .arg(position("CRONJOB", "the CronJob [default: the one that runs backup-ns create]")),
        described(
            "retain",
            "Take the daily, weekly and monthly labels off snapshots that outlived the policy",
            "In every namespace that you may see, or in one with -n, the newest days, weeks and months of each PVC keep their \
             snapshot. Only snapshots that are ready count, and the newest of them always stays. Nothing is deleted: that is \
             what mark-and-delete does with those that hold no label any more.",
            "  # What would be taken off, and why, in every namespace that you may see
  backup-ns retain --dry-run

  # One namespace, two weeks of days
  backup-ns retain -n shop --retain-last-daily=14",
        )
        .args(RETAIN.iter().chain(NOTIFICATIONS).map(flag)),
        described(
            "mark-and-delete",
            "Mark snapshots that lost every label, delete those whose date has passed",
            "In every namespace that you may see, or in one with -n. A snapshot that lost every label gets delete-after=today, \
             and a later run, from tomorrow on, deletes it with its stored data. Until then taking the delete-after label off \
             keeps it. The newest ready snapshot of a PVC is never deleted.",
            "  # What would be marked and deleted, and why
  backup-ns mark-and-delete --dry-run

  # One namespace, and a slow storage
  backup-ns mark-and-delete -n shop --delete-interval=30s

  # Nothing that is not copied outside the cluster
  backup-ns mark-and-delete --require-exported",
        )
        .args(MARK_AND_DELETE.iter().chain(NOTIFICATIONS).map(flag)),
    ]
}

/// The commands that check and report.
fn watchers() -> [Command; 2] {
    let doctor = described(
        "doctor",
        "Check everything that a backup needs, without changing anything",
        "Each check is a line: passed, failed with its remedy, or skipped with the reason. It takes the settings that create \
         takes, looks at configuration, kubectl, rights, snapshot API, claim, class, pod, container, database, space and \
         locks, and at what earlier backups and restores left behind; where an export is configured, at what that needs, too. All checks are made, even if one fails. \
         Ends with 0 when nothing failed, else with 4.",
        "  # Would a backup of the database in the namespace shop work?
  backup-ns doctor -n shop --db-postgres

  # With the settings of the CronJob that makes it
  backup-ns doctor -n shop --from-cronjob

  # And could it be exported?
  backup-ns doctor -n shop --from-cronjob --export-image=restic/restic:0.18.1 --export-secret=restic

  # Only what failed
  backup-ns doctor -n shop --db-postgres -o json | jq '.checks[] | select(.outcome == \"failed\")'",
    )
    .arg(from_cronjob())
    .args(CREATE.iter().chain(EXPORT.iter().filter(|setting| setting.var != "BAK_PVC_NAME")).map(flag));
    let status = described(
        "status",
        "Show how well each claim is protected",
        "A line for each claim: its newest good backup and how old that is, when one was last restored to test it, what makes \
         backups of it, how many snapshots it has, and problems. Claims without backups have a line, too. Below are stored data \
         without a VolumeSnapshot, and snapshots that mark-and-delete should have deleted days ago. What may not be read is \
         left out with a warning, and the exit code is 3.",
        "  # The namespace shop
  backup-ns status -n shop

  # All that you may see, with sizes and CronJobs
  backup-ns status -A -o wide

  # Again whenever it changes
  backup-ns status -n shop --watch

  # For Prometheus, by the textfile collector of the node exporter
  backup-ns status -A -o prometheus >backup_ns.prom.new && mv backup_ns.prom.new backup_ns.prom

  # For Prometheus to scrape, for as long as it runs
  backup-ns status -A -o prometheus --listen=:9469",
    )
    .arg(switch("all-namespaces", "in every namespace that you may see").short('A'))
    .arg(word("listen", "ADDRESS", "serve the metrics at http://ADDRESS/metrics until a signal comes; all addresses with :PORT"))
    .arg(watch())
    .arg(word("every", "TIME", format!("how often the status is read again [default: {}; with --watch {}]", config::EVERY, config::WATCH_EVERY)))
    .args(ready_timeout())
    .args(MARK_AND_DELETE.iter().filter(|setting| setting.var == "BAK_REQUIRE_EXPORTED").map(flag));
    [doctor, status]
}

/// Whether `locks` has this setting: it lists node locks, and neither waits for one nor holds one.
fn is_of_locks(var: &str) -> bool {
    (var.starts_with("BAK_LOCK") || var.starts_with("BAK_FLOCK"))
        && !["BAK_FLOCK_TIMEOUT_SEC", "BAK_LOCK_LEASE_DURATION"].contains(&var)
}

/// A setting of node locks, with the help that fits `locks`.
fn lock_flag(setting: &'static Setting) -> Arg {
    let arg = flag(setting);
    match setting.var {
        "BAK_FLOCK" => arg.help("the same as --lock=flock, as create has it [default: false] [BAK_FLOCK]"),
        "BAK_LOCK" => {
            arg.help("which are listed: flock (files) or lease (Leases in the cluster) [default: flock] [BAK_LOCK]")
        }
        _ => arg,
    }
}

fn ready_timeout() -> impl Iterator<Item = Arg> {
    RESTORE.iter().filter(|setting| setting.var == "BAK_VS_WAIT_UNTIL_READY_TIMEOUT").map(flag)
}

/// The flag of commands that can print what changed.
fn watch() -> Arg {
    switch("watch", "read again and again, and print what changed, until a signal comes").short('w')
}

fn list() -> Command {
    described(
        "list",
        "List the namespace's snapshots, or all with -A",
        "Oldest first. Several kinds select those that are any of them. With --watch the snapshots are read again and again, and \
         those that changed are printed; one that is gone, or no longer has the labels of -l, has `deleted` in the column READY.",
        "  # What there is to restore in the namespace shop
  backup-ns list -n shop

  # The newest good backup of the claim `data`
  backup-ns list -n shop --pvc data --ready -o name | tail -n 1

  # The largest of all namespaces
  backup-ns list -A --sort-by=size --no-headers | tail -n 3

  # The names of those that one run has made
  backup-ns list -n shop -l backup-ns.sh/run=nightly-29405000 -o jsonpath='{.items[*].name}'

  # Those without a proven copy outside the cluster
  backup-ns list -n shop -l '!backup-ns.sh/exported'

  # What becomes of them
  backup-ns list -n shop --watch",
    )
    .arg(switch("all-namespaces", "in every namespace that you may see").short('A'))
    .arg(word("pvc", "PVC", "only of this claim"))
    .arg(word("selector", "LABELS", "only with these labels, as kubectl get has it").short('l'))
    .arg(
        word("sort-by", "COLUMN", "by this column, and what is equal oldest first [default: by namespace]")
            .value_parser(Words(SortKey::NAMES.map(|(name, _)| name).to_vec()))
            .hide_possible_values(true),
    )
    .arg(switch("no-headers", "a table without the line of its columns"))
    .arg(watch())
    .arg(word("every", "TIME", format!("how often they are read again [default: {}]", config::WATCH_EVERY)).requires("watch"))
    .arg(switch("ready", "only snapshots that are ready and not distrusted; the last line is the one to restore"))
    .args(config::KINDS.map(|kind| {
        let help = match kind {
            "adhoc" | "cronjob" => format!("only of the type {kind}"),
            _ => format!("only those that hold a {kind} slot"),
        };
        switch(kind, help)
    }))
}

/// The commands that restore, test and copy backups.
fn restores() -> [Command; 4] {
    [
        described(
            "restore",
            "Make a PersistentVolumeClaim from a snapshot: beside the old one, in another namespace, or in its place",
            "Without --in-place nothing that is there is touched: there is one more claim then, made from the snapshot. With \
             --in-place a safety snapshot is made of what is there, the workloads that mount the claim are scaled down, the \
             claim is replaced, and the workloads come up again. A call that was interrupted is continued by the same call, or \
             taken back with --rollback.",
            "  # A claim beside the old one, to look into
  backup-ns restore data-2026-11-22-030000-abcdef -n shop --pvc look --wait

  # Production into staging
  backup-ns restore data-2026-11-22-030000-abcdef -n shop --to-namespace staging --pvc data --wait

  # Disaster: the volume as it was, under its own name
  backup-ns restore data-2026-11-22-030000-abcdef -n shop --in-place",
        )
        .arg(position("VS", "the VolumeSnapshot").required(true))
        .arg(word("pvc", "NAME", "name of the claim; required when the snapshot does not record its claim [default: its own where that is free, else the snapshot's]"))
        .arg(word("to-namespace", "NS", "clone into this namespace"))
        .arg(word("storage-class", "CLASS", "the claim's StorageClass [default: the original claim's class; if unknown, the cluster's default]"))
        .arg(switch("in-place", "replace the claim that the snapshot is of"))
        .arg(switch("rollback", "take back an in-place restore that was interrupted").conflicts_with("in-place"))
        .arg(switch("wait", "wait until the claim is bound"))
        .arg(switch("yes", "do not ask").short('y'))
        .args(RESTORE.iter().map(flag)),
        described(
            "verify",
            "Restore a snapshot into a throwaway volume and server, and stamp it with what came of it",
            "The dump's SHA-256 is compared with the proof, the file is tested, loaded into a scratch server that nothing else \
             can reach, and what was loaded is compared with what the file holds. Everything is thrown away again. A backup \
             that turns out bad is exit code 8.",
            "  # The newest ready snapshot of the claim `data`
  backup-ns verify -n shop

  # One of several databases
  backup-ns verify -n shop --database web

  # What comes back of its copy outside the cluster, instead of the snapshot itself
  backup-ns verify -n shop --from-export --export-image restic/restic:0.18.1 --export-secret restic

  # A certain one, with a question of your own
  backup-ns verify data-2026-11-22-030000-abcdef -n shop --verify-sql='SELECT count(*) > 1000 FROM orders'",
        )
        .arg(position("VS", "the VolumeSnapshot [default: the newest ready one of the claim]"))
        .arg(word("database", "NAME", "test only this database; if that is good, but others are not tested, the snapshot is not stamped"))
        .arg(switch("from-export", "test the copy outside the cluster instead of the snapshot, as --verify-from-export"))
        .arg(from_cronjob())
        .args(VERIFY.iter().chain(settings::repository().filter(|setting| setting.var != "BAK_PVC_NAME")).map(flag))
        .args(NOTIFICATIONS.iter().map(flag)),
        described(
            "export",
            "Copy a snapshot's dumps to a repository outside the cluster, and stamp it once the copy is proven",
            "A throwaway pod with restic, rclone or your own commands gets a volume made from the snapshot. Each dump is compared \
             with its proof, sent, and read back from the repository: only if its SHA-256 is that of what was sent, the snapshot \
             is stamped. A copy that does not come back is exit code 8. What the tool needs is in a Secret that only the pod reads.",
            "  # The newest ready snapshot of the claim `data`, to the repository that the Secret names
  backup-ns export -n shop --export-image restic/restic:0.18.1 --export-secret restic

  # A certain one once more, because its copy was lost
  backup-ns export data-2026-11-22-030000-abcdef -n shop --from-cronjob --again",
        )
        .arg(position("VS", "the VolumeSnapshot [default: the newest ready one of the claim]"))
        .arg(switch("again", "export it even if its copy was proven before"))
        .arg(from_cronjob()).args(EXPORT.iter().chain(NOTIFICATIONS).map(flag)),
        described(
            "import",
            "List the copies of a repository outside the cluster, or make a claim from one",
            "Needs the repository's Secret and nothing of the cluster that made the copies: no VolumeSnapshot, no namespace of that \
             name. A throwaway pod reads them with the settings of export. What comes back is compared with the copy's \
             manifest, each file by its SHA-256, a copy of all files by their number; what differs is exit code 8. `backup-ns postgres restore --from-export` and `backup-ns mysql restore \
             --from-export` load a copy's dump into a running database.",
            "  # What is there, as the Secret `restic` of the namespace opens it
  backup-ns import -n shop --export-image restic/restic:0.18.1 --export-secret restic

  # One copy, in detail
  backup-ns import 5f0c4d0e -n shop --from-cronjob -o yaml

  # A new claim with the newest copy of what was the claim `data` in the namespace `shop`
  backup-ns import latest -n look --of shop/data --pvc data-copy --export-image restic/restic:0.18.1 --export-secret restic",
        )
        .arg(position("ID", "the copy, as the list names it, or latest [default: list all]"))
        .arg(word("of", "NS[/PVC]", "only copies of this namespace, or claim; for latest [default: the namespace and BAK_PVC_NAME]"))
        .arg(word("last", "NUMBER", format!("list so many of the newest; 0 is all [default: {}]", config::LAST)))
        .arg(word("pvc", "NAME", "make a claim of this name, and fill it").requires("ID"))
        .arg(word("storage-class", "CLASS", "the claim's StorageClass [default: the original claim's]").requires("pvc"))
        .arg(word("storage", "SIZE", "the claim's size [default: the original claim's, or more if the copy needs it]").requires("pvc"))
        .arg(from_cronjob()).args(settings::repository().map(flag)),
    ]
}

/// The commands that make good what was lost, and delete.
fn repairs() -> [Command; 4] {
    [
        described(
            "rebind-vsc",
            "Make a VolumeSnapshot for stored data whose VolumeSnapshot or namespace is gone",
            "From a VolumeSnapshotContent, in its original namespace, which must exist, or in that of -n. The new \
             content replaces the old one; the stored data is not changed.",
            "  # All stored data that says whose it is, left over or not
  kubectl get volumesnapshotcontents -l backup-ns.sh/pvc

  # Its snapshot again
  backup-ns rebind-vsc snapcontent-1b0d8a4e-5f0c-4d0e-9a57-0d2d3f8ad1c5",
        )
        .alias("rebindVsc")
        .arg(position("VSC", "the VolumeSnapshotContent").required(true))
        .arg(word("name", "NAME", "name of the new VolumeSnapshot [default: that of the old one]"))
        .args(ready_timeout()),
        described(
            "trust",
            "Take back that a snapshot is distrusted",
            "A verify that finds a backup bad marks its snapshot as distrusted: it holds no retention slot any more and \
             should not be restored. The proof of the dump stays. If you know better, this removes the mark; another \
             verify that finds it good does so, too. Asks first. If the snapshot was changed meanwhile, it fails and changes nothing.",
            "  # Why it is distrusted, and what would be done
  backup-ns trust data-2026-11-22-030000-abcdef -n shop --dry-run

  # It is a backup again
  backup-ns trust data-2026-11-22-030000-abcdef -n shop",
        )
        .arg(position("VS", "the VolumeSnapshot").required(true))
        .arg(switch("yes", "do not ask").short('y')),
        described(
            "delete",
            "Delete one snapshot, with its stored data",
            "Asks first. The newest ready snapshot of a claim, and one that a volume is still to be made from, need --force.",
            "  backup-ns delete data-2026-11-22-030000-abcdef -n shop",
        )
        .arg(position("VS", "the VolumeSnapshot").required(true))
        .arg(switch("yes", "do not ask").short('y'))
        .arg(switch("force", "delete even the newest ready one, and one that is in use")),
        described(
            "delete-vsc",
            "Delete stored data whose VolumeSnapshot or namespace is gone",
            "By its VolumeSnapshotContent, which backup-ns status names. Asks first. Where another VolumeSnapshotContent names the \
             same data, only the object is deleted, and the data stays. One whose VolumeSnapshot is there is refused: that is \
             what delete is for.",
            "  # What it would do
  backup-ns delete-vsc snapcontent-1b0d8a4e-5f0c-4d0e-9a57-0d2d3f8ad1c5 --dry-run

  # The stored data of a snapshot that is gone
  backup-ns delete-vsc snapcontent-1b0d8a4e-5f0c-4d0e-9a57-0d2d3f8ad1c5

  # In a script: only an object whose data another one names
  backup-ns delete-vsc snapcontent-1b0d8a4e-5f0c-4d0e-9a57-0d2d3f8ad1c5 --keep-data --yes",
        )
        .arg(position("VSC", "the VolumeSnapshotContent").required(true))
        .arg(switch("yes", "do not ask").short('y'))
        .arg(switch("keep-data", "delete the object alone; refuse where no other one names the data"))
        .arg(switch("force", "delete the data of a clone, too, if no other one names it").conflicts_with("keep-data")),
    ]
}

/// The commands of a database: parts of a backup, run manually.
fn by_hand(engine: Engine) -> Command {
    let name = engine.command();
    let piece = |piece: &'static str, about: &'static str, more: &str, examples: &str| {
        described(piece, about, more, &examples.replace("ENGINE", &format!("backup-ns {name}")))
            .arg(word("database", "NAME", "the one of several databases that this is for"))
            .arg(from_cronjob())
            .args(settings::by_hand(engine.setting(), piece).map(flag))
    };
    Command::new(name)
        .about(format!("Parts of a backup of {engine}, run manually: dump, restore, download-dump, shell, info"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(after(&format!(
            "  # What is there, and how old the dump is
  backup-ns {name} info -n shop

  # A dump now, and a copy of it on this machine
  backup-ns {name} dump -n shop
  backup-ns {name} download-dump -n shop"
        )))
        .subcommands([
            piece(
                "dump",
                "Dump into the dump file, and prove it",
                "Like create, without a snapshot. The proof is stored in an annotation of the claim.",
                "  # Before a migration that may go wrong
  ENGINE dump -n shop

  # As the backup CronJob makes it
  ENGINE dump -n shop --from-cronjob

  # One of several databases
  ENGINE dump -n shop --database web

  # What would be run in the container
  ENGINE dump -n shop --dry-run",
            ),
            piece(
                "restore",
                "Load the dump file, or a file of this machine, into the database",
                "Only a proven dump is loaded, or with --from one that is whole. The load stops at the first error; what \
                 becomes of the database then is said beforehand.",
                "  # The dump that lies on the volume, into the database that runs
  ENGINE restore -n shop

  # In a script, without a question
  ENGINE restore -n shop --yes

  # One of several databases
  ENGINE restore -n shop --database web

  # A dump on this machine, compressed with gzip or zstd or not at all
  ENGINE restore -n shop --from shop.sql.gz

  # One table, as orders_restored beside orders
  ENGINE restore -n shop --table orders

  # What a pipe brings
  gzip -dc shop.sql.gz | ENGINE restore -n shop --from - --yes

  # The newest copy outside the cluster, with its roles or accounts
  ENGINE restore -n shop --from-export latest --globals --export-image restic/restic:0.18.1 --export-secret restic",
            )
            .args([
                word("table", "TABLE", "load only this table, written as in SQL, beside what is there"),
                word("table-as", "TABLE", "what it is called then [default: its name with _restored]").requires("table"),
                switch("replace", "replace the table that has this name; without --table-as, the table itself").requires("table"),
            ])
            .arg(word("from", "FILE", "load this file instead of the dump file, or what comes on stdin if it is -"))
            .arg(
                word("from-export", "ID", "load this copy of a repository outside the cluster, see import; latest for the newest")
                    .conflicts_with("from"),
            )
            .arg(
                word("of", "NS[/PVC]", "with --from-export latest: what it is a copy of [default: the namespace and BAK_PVC_NAME]")
                    .requires("from-export"),
            )
            .args(settings::repository().filter(|setting| setting.var != "BAK_PVC_NAME").map(flag))
            .arg(switch("yes", "do not ask").short('y'))
            .arg(switch(
                "force",
                "do not ask, load even what could not be tried first, and drop what is not in the dump but depends on what it \
                 replaces",
            ))
            .arg(
                switch(
                    "globals",
                    match engine {
                        Engine::Postgres => {
                            "make the roles that the server lacks from the file that was written beside the dump"
                        }
                        Engine::MySql => {
                            "make the accounts that the server lacks from the file that was written beside the dump; if the load \
                             fails, they stay"
                        }
                    },
                )
                .conflicts_with_all(["from", "table"]),
            ),
            piece(
                "download-dump",
                "Copy the dump file to this machine",
                "What was broken off is resumed by the same call. The file gets its name only when its size and SHA-256 are those \
                 of the dump.",
                "  # Under its own name, into this directory
  ENGINE download-dump -n shop

  # As another file, and a look into it
  ENGINE download-dump -n shop shop.sql.gz
  gzip -dc shop.sql.gz | head

  # With the roles or accounts of the server, for a new one
  ENGINE download-dump -n shop --globals",
            )
            .alias("downloadDump")
            .arg(position("FILE", "where to, a file or a directory [default: the dump file's own name, here]"))
            .arg(switch("force", "replace FILE even if it is another"))
            .arg(switch(
                "globals",
                match engine {
                    Engine::Postgres => "download the file of roles, too, to FILE.globals-HASH.sql",
                    Engine::MySql => "download the file of accounts, too, to FILE.globals-HASH.sql",
                },
            )),
            piece(
                "shell",
                "Open the database's own client",
                "In the database's container, with its credentials. Ends with its exit code.",
                "  # Look round
  ENGINE shell -n shop

  # One statement
  echo 'SELECT count(*) FROM orders;' | ENGINE shell -n shop",
            ),
            piece(
                "info",
                "Show version, sizes, biggest tables, and the age of the dump",
                "Nothing is changed.",
                "  ENGINE info -n shop

  # For a script
  ENGINE info -n shop -o json",
            ),
        ])
}

fn upkeep() -> [Command; 3] {
    [
        sync("sync-metadata-to-vsc"),
        described(
            "locks",
            "List the locks of this node and who holds them, or let everyone use its lock files",
            "Lock files are those of the machine that this runs on, Leases those of --lock-node. Listing takes no lock and delays no \
             backup. The name that a killed process left in a file does not count as a holder. --prepare creates the directory and \
             its files where they are missing, and opens them to every user of the node, so that backups need no rights of \
             their own there: run it as root, once per node; running it again changes nothing.",
            "  # Who is at work on this node, and who waits
  backup-ns locks

  # The Leases of a node
  backup-ns locks --lock=lease --lock-node=worker-1

  # Before a backup as any user, in a pod that mounts the node's directory there
  backup-ns locks --prepare",
        )
        .arg(switch("prepare", "make the files, and let everyone lock them"))
        .args(CREATE.iter().filter(|setting| is_of_locks(setting.var)).map(lock_flag)),
        described(
            "env",
            "Show the effective configuration, and where each value comes from",
            "Passwords and hooks are masked. Nothing is asked of the cluster.",
            "  backup-ns env

  # With the flag and the meaning of each
  backup-ns env -o wide

  # Whether a ConfigMap's values are sound
  BAK_LABEL_VS_RETAIN=daily_weekly_monthly BAK_FLOCK=true backup-ns env",
        )
        .arg(from_cronjob()).args(settings::each().filter(|setting| GLOBAL.iter().all(|global| global != *setting)).map(flag)),
    ]
}

fn sync(name: &'static str) -> Command {
    described(
        name,
        "Copy the labels and annotations of snapshots to their stored data",
        "In every namespace that you may see, or in one with -n: all labels and annotations of backup-ns, to the VolumeSnapshotContent, so that stored \
         data can be identified when the namespace is gone. Those that were removed are removed there, too.",
        "  backup-ns sync-metadata-to-vsc

  # One namespace, without changing anything
  backup-ns sync-metadata-to-vsc -n shop --dry-run",
    )
    .args(SYNC_METADATA.iter().map(flag))
}

fn comfort() -> [Command; 3] {
    [
        described(
            "version",
            "Print the versions of backup-ns, kubectl, the API server and its snapshot API",
            "What is known is printed even if the rest cannot be read: then the error says why, and the exit code is not 0.",
            "  backup-ns version

  # Without a request to the cluster
  backup-ns version --client

  # For a report of an error
  backup-ns version -o yaml",
        )
        .arg(switch("client", "only of backup-ns and kubectl, without a request to the cluster")),
        described(
            "completion",
            "Print the script that makes a shell complete commands, flags, values and names",
            "The script completes `backup-ns`, by asking the program itself; names of namespaces, snapshots, claims and the like are \
             asked of the cluster that --context and --namespace mean. To complete `kubectl backup-ns`, kubectl 1.26 and newer asks a program in the PATH \
             that is named kubectl_complete-backup_ns; a link of that name to this program is one.",
            "  # bash: put this into ~/.bashrc
  source <(backup-ns completion bash)

  # zsh: put this into ~/.zshrc, behind compinit
  source <(backup-ns completion zsh)

  # fish: once
  backup-ns completion fish >~/.config/fish/completions/backup-ns.fish

  # PowerShell: put this into $PROFILE
  backup-ns completion powershell | Out-String | Invoke-Expression

  # kubectl's plugin, in any shell that completes kubectl: once
  ln -s \"$(command -v kubectl-backup_ns)\" ~/.local/bin/kubectl_complete-backup_ns",
        )
        .arg(position("SHELL", "the shell").required(true).value_parser(SHELLS)),
        described(
            "man",
            "Print the manual page, or write the pages of all commands into a directory",
            "They have the text of --help.",
            "  # Read it
  backup-ns man | man -l -

  # For good: man backup-ns-create
  backup-ns man ~/.local/share/man/man1",
        )
        .arg(position("DIRECTORY", "where to; it is made if it is not there [default: only the main page, to stdout]")),
    ]
}

pub const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "powershell"];

/// Accepts any text, and offers words for a shell to complete. `config` checks the text.
#[derive(Clone)]
struct Words(Vec<&'static str>);

impl TypedValueParser for Words {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, text: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, text)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

fn hint(value: &str) -> ValueHint {
    match value {
        "FILE" => ValueHint::FilePath,
        "DIR" | "DIRECTORY" => ValueHint::DirPath,
        "COMMAND" => ValueHint::CommandString,
        // Without this, shells complete file names.
        _ => ValueHint::Other,
    }
}

fn word(name: &'static str, value: &'static str, help: impl Into<StyledStr>) -> Arg {
    Arg::new(name).long(name).value_name(value).value_hint(hint(value)).help(help)
}

fn switch(name: &'static str, help: impl Into<StyledStr>) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn from_cronjob() -> Arg {
    word(
        "from-cronjob",
        "NAME",
        "use the settings of the namespace's backup CronJob, or of the one with this name, unless they are set here",
    )
    .num_args(0..=1)
    .require_equals(true)
    .default_missing_value("")
}

fn position(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).value_hint(hint(name)).help(help)
}

fn flag(setting: &'static Setting) -> Arg {
    let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
    let arg = Arg::new(setting.var)
        .long(setting.flag)
        .value_name(setting.value)
        .help(format!("{}{default} [{}]", setting.help, setting.var));
    let arg = if setting.var == "BAK_NAMESPACE" { arg.short('n') } else { arg };
    let arg = if setting.choices.is_empty() {
        arg
    } else {
        arg.value_parser(Words(setting.choices.to_vec())).hide_possible_values(true)
    };
    if setting.is_switch() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg.allow_hyphen_values(true).value_hint(hint(setting.value))
    }
}

/// The arguments that are not settings.
pub fn plain(matches: &ArgMatches) -> Plain {
    let settings: BTreeSet<&str> = settings::each().map(|setting| setting.var).collect();
    let names = matches.ids().map(Id::as_str).filter(|name| !settings.contains(name));
    let said = |name: &str| match matches.try_get_many::<String>(name) {
        Ok(words) => words.map(|words| words.map(String::as_str).collect::<Vec<_>>().join("\n")),
        Err(_) => matches.get_flag(name).then(String::new),
    };
    Plain(names.filter_map(|name| Some((name.to_string(), said(name)?))).collect())
}

/// The command that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenCommand {
    Create,
    Adhoc,
    Retain,
    MarkAndDelete,
    Doctor,
    Status,
    List,
    Restore,
    Verify,
    Export,
    Import,
    RebindVsc,
    Trust,
    Delete,
    DeleteVsc,
    SyncMetadataToVsc,
    Locks,
    Env,
    Completion,
    Man,
    Version,
    Manual(Engine, Piece),
}

/// The parts of a backup that are commands of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Dump,
    Restore,
    DownloadDump,
    Shell,
    Info,
}

/// The name of the command in notifications, if it sends any: it is one that CronJobs run.
pub fn notifies(command: ChosenCommand) -> Option<&'static str> {
    use ChosenCommand::{Create, Export, MarkAndDelete, Retain, Verify};
    let notifies = matches!(command, Create | Retain | MarkAndDelete | Verify | Export);
    COMMANDS.iter().find(|(_, known)| notifies && *known == command).map(|(name, _)| *name)
}

const COMMANDS: [(&str, ChosenCommand); 22] = [
    ("create", ChosenCommand::Create),
    ("adhoc", ChosenCommand::Adhoc),
    ("retain", ChosenCommand::Retain),
    ("mark-and-delete", ChosenCommand::MarkAndDelete),
    ("doctor", ChosenCommand::Doctor),
    ("status", ChosenCommand::Status),
    ("list", ChosenCommand::List),
    ("restore", ChosenCommand::Restore),
    ("verify", ChosenCommand::Verify),
    ("export", ChosenCommand::Export),
    ("import", ChosenCommand::Import),
    ("rebind-vsc", ChosenCommand::RebindVsc),
    ("trust", ChosenCommand::Trust),
    ("delete", ChosenCommand::Delete),
    ("delete-vsc", ChosenCommand::DeleteVsc),
    ("sync-metadata-to-vsc", ChosenCommand::SyncMetadataToVsc),
    ("locks", ChosenCommand::Locks),
    ("env", ChosenCommand::Env),
    ("completion", ChosenCommand::Completion),
    ("man", ChosenCommand::Man),
    ("version", ChosenCommand::Version),
    // The older tool calls it `controller syncMetadataToVsc`.
    ("controller", ChosenCommand::SyncMetadataToVsc),
];

const PIECES: [(&str, Piece); 5] = [
    ("dump", Piece::Dump),
    ("restore", Piece::Restore),
    ("download-dump", Piece::DownloadDump),
    ("shell", Piece::Shell),
    ("info", Piece::Info),
];

fn by_name<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, found)| *found)
}

/// The command that was given, and its matches.
pub fn chosen(matches: &ArgMatches) -> (Option<ChosenCommand>, &ArgMatches) {
    let (mut words, mut matches) = (Vec::new(), matches);
    while let Some((word, below)) = matches.subcommand() {
        words.push(word);
        matches = below;
    }
    (command_of(&words), matches)
}

fn command_of(words: &[&str]) -> Option<ChosenCommand> {
    let [first, rest @ ..] = words else { return None };
    let engine = Engine::ALL.into_iter().find(|engine| engine.command() == *first);
    match (engine, rest) {
        (Some(engine), [piece]) => Some(ChosenCommand::Manual(engine, by_name(&PIECES, piece)?)),
        _ => by_name(&COMMANDS, first),
    }
}

/// The text that was set for a setting, by its flag or else by its variable.
pub fn value(matches: &ArgMatches, setting: &Setting) -> Result<Option<(String, Origin)>, String> {
    if let Ok(Some(text)) = matches.try_get_one::<String>(setting.var) {
        return Ok(Some((text.clone(), Origin::Flag)));
    }
    Ok(config::environment(setting.var)?.map(|text| (text, Origin::Environment)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::backup::job;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_core_knows_every_command_that_makes_no_backup() {
        for command in command().get_subcommands() {
            for name in [command.get_name()].into_iter().chain(command.get_all_aliases()) {
                assert!(name == "create" || job::OTHERS.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn every_command_can_be_chosen() {
        for top in command().get_subcommands() {
            let below: Vec<&str> = top.get_subcommands().map(Command::get_name).collect();
            if below.is_empty() {
                assert!(command_of(&[top.get_name()]).is_some(), "{}", top.get_name());
            }
            for piece in below {
                assert!(command_of(&[top.get_name(), piece]).is_some(), "{} {piece}", top.get_name());
            }
        }
    }

    fn walk(command: &Command) -> Vec<&Command> {
        std::iter::once(command).chain(command.get_subcommands().flat_map(walk)).collect()
    }

    #[test]
    fn every_help_has_examples_and_exit_codes() {
        for (mut command, is_plugin) in [(command(), false), (plugin(), true)] {
            command = command.disable_help_subcommand(true);
            command.build();
            let all = walk(&command);
            assert!(all.len() > 25 && all.iter().any(|command| command.get_name() == "syncMetadataToVsc"));
            for command in all {
                let help = command.clone().render_long_help().to_string();
                let (_, after) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("no examples: {help}"));
                let narrow = command.clone().term_width(60).render_long_help().to_string();
                let whole = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(narrow.trim_end().ends_with(&whole), "a narrow terminal breaks what is copied: {narrow}");
                let (examples, codes) = after.split_once("\n\nExit codes:\n").unwrap_or_else(|| panic!("{help}"));
                assert_eq!(format!("Exit codes:\n{}", codes.trim_end()), format!("{}\n\n{DOCUMENTATION}", exit::HELP));
                let calls = examples.lines().filter(|line| !line.starts_with("  #") && line.contains("backup-ns "));
                assert!(calls.clone().count() > 0, "{help}");
                for call in calls {
                    assert_eq!(call.contains("kubectl backup-ns "), is_plugin, "{call}");
                }
            }
        }
    }

    #[test]
    fn the_name_of_the_program_decides_whether_it_is_kubectls_plugin() {
        for (name, expected) in [
            ("backup-ns", Called::Itself),
            ("/usr/local/bin/backup-ns", Called::Itself),
            ("kubectl-backup_ns", Called::Plugin),
            ("/opt/krew/bin/kubectl-backup_ns", Called::Plugin),
            ("bin/kubectl_complete-backup_ns", Called::ToComplete),
            ("kubectl-backup_ns/", Called::Plugin),
            ("kubectl-backup_ns.old", Called::Itself),
        ] {
            assert_eq!(called(Some(name.into())), expected, "{name}");
        }
        assert_eq!(called(None), Called::Itself);
    }

    #[test]
    fn switches_may_stand_alone_and_others_take_words() {
        let matches = command()
            .try_get_matches_from(["backup-ns", "create", "--db-postgres", "--flock=no", "-n", "x", "--vs-rand", "abc"])
            .unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        let text = |var: &str| {
            let setting = GLOBAL.iter().chain(CREATE).find(|s| s.var == var).unwrap();
            matches.get_one::<String>(setting.var).cloned()
        };
        assert_eq!(text("BAK_DB_POSTGRES").as_deref(), Some("true"));
        assert_eq!(text("BAK_FLOCK").as_deref(), Some("no"));
        assert_eq!(text("BAK_NAMESPACE").as_deref(), Some("x"));
        assert_eq!(text("BAK_PVC_NAME"), None);
    }
}
