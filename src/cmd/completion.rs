//! `completion`: the script by which a shell asks this program how its command line goes on, and the answers, to shells and to
//! kubectl for its plugin. Names of objects are asked of the cluster. Must not look at any setting: a shell that starts has none.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::builder::ValueHint;
use clap::{Arg, ArgAction, Command};
use clap_complete::CompletionCandidate;
use clap_complete::engine::{self, ArgValueCandidates};
use clap_complete::env::{EnvCompleter, Shells};

use crate::cli;
use crate::cluster::kubectl::Environment;
use crate::cmd::show::written;
use crate::config::Plain;
use crate::core::escape::{Secrets, visible};
use crate::core::kube::access;
use crate::exit::{Exit, Fail};
use crate::io::process::Job;
use crate::io::report::Reporter;

/// By this variable the script says which shell asks.
pub const ASKS: &str = "BACKUP_NS_COMPLETE";

/// How long completion may wait for names.
const PATIENCE: Duration = Duration::from_secs(3);

/// Prints the script of a shell.
///
/// # Errors
/// stdout is closed.
pub fn run(plain: &Plain, reporter: &Reporter) -> Result<()> {
    let name = cli::shown().get_name().to_string();
    let mut script = Vec::new();
    // As it is found in the PATH: a script may outlive the place of a program.
    shell(&plain.word("SHELL").unwrap_or_default())?
        .write_registration(ASKS, &name, &name, &name, &mut script)
        .map_err(|error| failed(&error))?;
    written(reporter.exactly(&String::from_utf8_lossy(&script)))
}

/// Answers the script of a shell, which passes on all words behind a `--`.
///
/// # Errors
/// stdout is closed.
pub fn answer_shell(name: &str, reporter: &Reporter) -> Result<()> {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    if words.is_empty() {
        return Ok(());
    }
    let here = std::env::current_dir().ok();
    let mut answer = Vec::new();
    let mut command = completed(&words);
    let outcome = shell(name)?.write_complete(&mut command, words, here.as_deref(), &mut answer);
    outcome.map_err(|error| failed(&error))?;
    written(reporter.exactly(&String::from_utf8_lossy(&answer)))
}

fn shell(name: &str) -> Result<&'static dyn EnvCompleter> {
    const ALL: Shells<'static> = Shells::builtins();
    let known = ALL.0.iter().copied().find(|shell| shell.is(name));
    known.with_context(|| Fail::new(Exit::Usage, format!("SHELL is not one of {}", cli::SHELLS.join(", "))))
}

fn failed(error: &std::io::Error) -> Fail {
    Fail::new(Exit::Failed, format!("nothing can be completed: {error}"))
}

/// Answers kubectl, which passes on the words behind the plugin's name up to the one that is to be completed: candidates, a
/// line each, their meaning behind a tab, and in the last line what a shell is to do with them
/// (<https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md>).
///
/// # Errors
/// stdout is closed.
pub fn answer_kubectl(reporter: &Reporter) -> Result<()> {
    /// The shell is not to put a space behind what it completed.
    const NO_SPACE: u8 = 2;
    /// It is not to look for files where there are no candidates.
    const NO_FILES: u8 = 4;
    let words: Vec<OsString> = std::env::args_os().collect();
    let last = words.len().saturating_sub(1);
    let wants_flags = words.last().is_some_and(|word| word.to_string_lossy().starts_with('-'));
    let here = std::env::current_dir().ok();
    let mut command = completed(&words);
    let found = engine::complete(&mut command, words, last, here.as_deref()).unwrap_or_default();
    let (mut text, mut goes_on) = (String::new(), true);
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        let value = candidate.get_value().to_string_lossy();
        if value.starts_with('-') == wants_flags {
            goes_on &= value.ends_with('/');
            let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("{value}\t{}\n", help.lines().next().unwrap_or_default()));
        }
    }
    let how = if goes_on && !text.is_empty() { NO_FILES + NO_SPACE } else { NO_FILES };
    written(reporter.exactly(&format!("{text}:{how}\n")))
}

/// The command line as it is completed, for these words.
fn completed(words: &[OsString]) -> Command {
    fn all(command: Command, words: &[OsString]) -> Command {
        command.mut_args(|arg| with_names(simple(arg), words)).mut_subcommands(|command| all(command, words))
    }
    all(cli::shown(), words)
}

/// A switch takes no word. It may have one behind a `=`, but what completes does not know of that, and takes the next word for
/// it.
fn simple(arg: Arg) -> Arg {
    if !arg.is_require_equals_set() {
        return arg;
    }
    let arg = arg.action(ArgAction::SetTrue).value_hint(ValueHint::Unknown);
    arg.num_args(0).require_equals(false).default_missing_value(None::<&str>)
}

/// An argument that is the name of an object knows which there are.
fn with_names(arg: Arg, words: &[OsString]) -> Arg {
    let value = arg.get_value_names().and_then(<[_]>::first).map(|name| name.as_str());
    let kind = match (arg.get_id().as_str(), value) {
        ("context", _) => "",
        (_, Some("NS")) => "namespaces",
        (_, Some("PVC")) | ("pvc", _) => "persistentvolumeclaims",
        (_, Some("VS")) => "volumesnapshots",
        (_, Some("VSC")) => "volumesnapshotcontents",
        (_, Some("CRONJOB")) => "cronjobs",
        ("storage-class", _) => "storageclasses",
        ("BAK_VS_CLASS_NAME", _) => "volumesnapshotclasses",
        _ => return arg,
    };
    let words = words.to_vec();
    arg.add(ArgValueCandidates::new(move || names(kind, &words)))
}

/// The names of a kind, or those of the kubeconfig's contexts; none if the cluster does not answer.
fn names(kind: &str, words: &[OsString]) -> Vec<CompletionCandidate> {
    let mut args: Vec<String> = match kind {
        "" => ["config", "get-contexts", "-o", "name"].map(String::from).to_vec(),
        // No limit by a flag: in a pod without a kubeconfig kubectl takes any for a configuration and looks for no other.
        kind => ["get", kind, "-o", "name"].map(String::from).to_vec(),
    };
    let access = access::FLAGS.map(|flag| (format!("--{}", flag.name), "", flag.value.is_empty()));
    let config = [("--kubeconfig", "", false), ("--context", "", false), ("--namespace", "-n", false)];
    for (flag, short, is_switch) in
        config.map(|(flag, short, is)| (flag.to_string(), short, is)).into_iter().chain(access)
    {
        let value = match is_switch {
            true => words.iter().any(|word| word.to_str() == Some(&flag)).then(|| "true".to_string()),
            false => said(words, &flag, short),
        };
        // A context that is to be completed is no flag yet.
        if let Some(value) = value.filter(|_| !kind.is_empty() || flag == "--kubeconfig") {
            args.push(format!("{flag}={value}"));
        }
    }
    // Without a policy for credential plugins that cannot be passed on, there are no names.
    let shield = crate::config::shield().ok();
    let Some(environment) = shield.and_then(|shield| Environment::of(&shield).ok()) else { return Vec::new() };
    let job = Job { program: "kubectl", args, environment: &environment.changes, secrets: &Secrets::default() };
    let text = job.run("", PATIENCE, |stdout| {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let text = text.unwrap_or_default();
    // What is no name of an object is nothing to type, and might be obeyed by the terminal.
    let names = text.lines().map(|line| line.rsplit('/').next().unwrap_or(line)).filter(|name| visible(name) == *name);
    names.map(CompletionCandidate::new).collect()
}

/// What these words say of a flag. The last one is completed.
fn said(words: &[OsString], flag: &str, short: &str) -> Option<String> {
    let words: Vec<&str> = words.iter().filter_map(|word| OsStr::to_str(word)).collect();
    let value = |at: usize| {
        let next = || words.get(at + 1).copied();
        match (words[at].strip_prefix(flag), words[at].strip_prefix(short)) {
            (Some(""), _) => next(),
            (Some(rest), _) => rest.strip_prefix('='),
            (None, Some(_)) if short.is_empty() => None,
            (None, Some("")) => next(),
            (None, Some(rest)) => Some(rest.strip_prefix('=').unwrap_or(rest)),
            (None, None) => None,
        }
    };
    (0..words.len()).rev().find_map(value).filter(|value| !value.is_empty()).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_however_it_is_written() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let find = |text: &str| said(&words(text), "--namespace", "-n");
        assert_eq!(find("backup-ns restore -n shop "), Some("shop".into()));
        assert_eq!(find("backup-ns --namespace=shop restore x"), Some("shop".into()));
        assert_eq!(find("backup-ns --namespace a -n b x"), Some("b".into()));
        assert_eq!(find("backup-ns delete -nshop "), Some("shop".into()));
        assert_eq!(find("backup-ns delete -n=shop "), Some("shop".into()));
        for none in ["backup-ns restore x", "backup-ns restore -n ", "backup-ns restore -n", "backup-ns --namespaces=x"]
        {
            assert_eq!(find(none), None, "{none}");
        }
    }
}
