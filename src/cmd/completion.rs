//! `completion`: the script that makes a shell complete the command line, and the answer when kubectl asks how its plugin
//! goes on. Must not look at any setting: a shell that starts has none.

use std::ffi::OsString;

use clap::{ArgAction, Command};
use clap_complete::{Shell, engine, generate};

use crate::cli;
use crate::cmd::show::print;
use crate::config::Plain;
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

/// Prints the script of a shell.
///
/// # Errors
/// Nobody reads it.
pub fn run(plain: &Plain, reporter: &Reporter) -> Result<(), Fail> {
    let shell: Shell = plain
        .word("SHELL")
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| Fail::new(Exit::Usage, format!("SHELL is none of {}", cli::SHELLS.join(", "))))?;
    let mut command = simple(cli::shown());
    // bash's script completes nothing behind a subcommand where the program's name has a hyphen
    // (<https://github.com/clap-rs/clap/issues/6421>), so only its last lines, which say what is completed, have it.
    let name = command.get_name().to_string();
    let safe = name.replace('-', "_");
    let mut script = Vec::new();
    generate(shell, &mut command, if shell == Shell::Bash { &safe } else { &name }, &mut script);
    let script = String::from_utf8_lossy(&script);
    print(reporter, &script.replace(&format!(" {safe}\n"), &format!(" {name}\n")))
}

/// Answers kubectl, which passes on the words behind the plugin's name up to the one that is to be completed: candidates, a
/// line each, their meaning behind a tab, and in the last line what a shell is to do with them
/// (<https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md>).
///
/// # Errors
/// Nobody reads it.
pub fn answer(reporter: &Reporter) -> Result<(), Fail> {
    /// The shell is not to put a space behind what it completed.
    const NO_SPACE: u8 = 2;
    /// It is not to look for files where there are no candidates.
    const NO_FILES: u8 = 4;
    let words: Vec<OsString> = std::env::args_os().collect();
    let last = words.len().saturating_sub(1);
    let wants_flags = words.last().is_some_and(|word| word.to_string_lossy().starts_with('-'));
    let here = std::env::current_dir().ok();
    let found = engine::complete(&mut simple(cli::shown()), words, last, here.as_deref()).unwrap_or_default();
    let (mut text, mut goes_on) = (String::new(), true);
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        let value = candidate.get_value().to_string_lossy();
        if value.starts_with('-') == wants_flags {
            goes_on &= value.ends_with('/');
            let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("{value}\t{}\n", help.lines().next().unwrap_or_default()));
        }
    }
    print(reporter, &format!("{text}:{}\n", if goes_on && !text.is_empty() { NO_FILES + NO_SPACE } else { NO_FILES }))
}

/// The command line with switches that take no word. They may have one behind a `=`, but no shell's script knows of that, and
/// takes the next word for it.
fn simple(command: Command) -> Command {
    command
        .mut_args(|arg| {
            if arg.is_require_equals_set() {
                arg.action(ArgAction::SetTrue).num_args(0).require_equals(false).default_missing_value(None::<&str>)
            } else {
                arg
            }
        })
        .mut_subcommands(simple)
}
