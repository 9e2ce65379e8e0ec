//! The command line: commands and flags, made from the table of settings. Parses nothing but words; what the words
//! mean is the configuration's.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{self, Origin, Plain};
use crate::exit;
use crate::settings::{CREATE, GLOBAL, RETAIN, SWEEP, Setting};

const CREATE_HELP: &str = "\
Examples:
  # Back up the database of deployment/app-base in the namespace shop, volume `data`
  backup-ns create -n shop --db-postgres

  # See what would be done, and the VolumeSnapshot that would be made
  backup-ns create -n shop --db-postgres --dry-run

  # A StatefulSet's database, kept by daily, weekly and monthly slots
  backup-ns create -n shop --db-postgres --db-postgres-exec-resource=statefulset/db --pvc-name=data-db-0 \\
    --label-vs-retain=daily_weekly_monthly";

const RETAIN_HELP: &str = "\
Examples:
  # What would be taken off, and why, in every namespace that you may see
  backup-ns retain --dry-run

  # One namespace, two weeks of days
  backup-ns retain -n shop --retain-last-daily=14";

const SWEEP_HELP: &str = "\
Examples:
  # What would be marked and deleted, and why
  backup-ns mark-and-delete --dry-run

  # One namespace, and a slow storage
  backup-ns mark-and-delete -n shop --delete-interval=30s";

/// The whole command line.
pub fn command() -> Command {
    Command::new("backup-ns")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Application-consistent backups of a Kubernetes namespace: dump, prove, flush, snapshot")
        .after_help(exit::HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(120)
        .args(GLOBAL.iter().map(|setting| flag(setting).global(true).help_heading("Global options")))
        .args(
            [
                Arg::new("context")
                    .long("context")
                    .value_name("NAME")
                    .help("kubeconfig context [default: the current one]"),
                Arg::new("kubeconfig")
                    .long("kubeconfig")
                    .value_name("FILE")
                    .help("kubeconfig file [default: as kubectl's]"),
                Arg::new("output")
                    .short('o')
                    .long("output")
                    .value_name("FORMAT")
                    .help("result as text or json [default: text]"),
                Arg::new("verbose")
                    .short('v')
                    .long("verbose")
                    .action(ArgAction::SetTrue)
                    .help("log every kubectl call"),
            ]
            .map(|arg| arg.global(true).help_heading("Global options")),
        )
        .subcommand(
            Command::new("create")
                .about("Make one backup: lock, check, dump, prove, flush, snapshot, wait until it is ready")
                .long_about(
                    "Make one backup: lock, check, dump, prove, flush, snapshot, wait until it is ready.\n\n\
                     The dump is made inside the database's own container, into a temporary file beside the last one, \
                     which it replaces only when it is proven. Every option is also an environment variable, shown in \
                     brackets; a flag wins.",
                )
                .after_help(format!("{CREATE_HELP}\n\n{}", exit::HELP))
                .args(CREATE.iter().map(flag)),
        )
        .subcommand(
            Command::new("retain")
                .about("Take the daily, weekly and monthly labels off snapshots that outlived the policy")
                .long_about(
                    "Take the daily, weekly and monthly labels off snapshots that outlived the policy.\n\n\
                     In every namespace that you may see, or in one with -n, PVC by PVC, the newest days, weeks and months \
                     keep their snapshot. Only snapshots that are ready count, and the newest of them always stays. Nothing \
                     is deleted: that is what mark-and-delete does with those that hold no label any more.",
                )
                .after_help(format!("{RETAIN_HELP}\n\n{}", exit::HELP))
                .args(RETAIN.iter().map(flag)),
        )
        .subcommand(
            Command::new("mark-and-delete")
                .about("Mark snapshots that lost every label, delete those whose date has passed")
                .long_about(
                    "Mark snapshots that lost every label, delete those whose date has passed.\n\n\
                     In every namespace that you may see, or in one with -n. A snapshot that lost every label gets \
                     delete-after=today, and a later run, from tomorrow on, deletes it with its stored data. Until then \
                     taking the delete-after label off keeps it. The newest ready snapshot of a PVC is never deleted.",
                )
                .after_help(format!("{SWEEP_HELP}\n\n{}", exit::HELP))
                .args(SWEEP.iter().map(flag)),
        )
}

fn flag(setting: &'static Setting) -> Arg {
    let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
    let arg = Arg::new(setting.var)
        .long(setting.flag)
        .value_name(setting.value)
        .help(format!("{}{default} [{}]", setting.help, setting.var));
    let arg = if setting.var == "BAK_NAMESPACE" { arg.short('n') } else { arg };
    if setting.is_switch() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg.allow_hyphen_values(true)
    }
}

/// What the command line says besides settings.
pub fn plain(matches: &ArgMatches) -> Plain {
    let word = |name: &str| matches.get_one::<String>(name).cloned();
    Plain {
        context: word("context"),
        kubeconfig: word("kubeconfig"),
        verbose: matches.get_flag("verbose"),
        output: word("output"),
    }
}

/// The text that was set for a setting: by its flag, else by its variable.
///
/// # Errors
/// The variable is no Unicode.
pub fn value(matches: &ArgMatches, setting: &Setting) -> Result<Option<(String, Origin)>, String> {
    if let Ok(Some(text)) = matches.try_get_one::<String>(setting.var) {
        return Ok(Some((text.clone(), Origin::Flag)));
    }
    Ok(config::environment(setting.var)?.map(|text| (text, Origin::Environment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
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
