//! Generates docs/reference.md from the command line and the table of settings. `make docs` writes the file; a test compares it.

use std::fmt::Write;

use clap::{Arg, Command};

use crate::cli;
use crate::cli::manual::{after, all, pages};
use crate::config::settings::{self, Setting};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");

const HEAD: &str = "\
# Reference

Every command, flag and variable. `make docs` generates this file from the definitions of `backup-ns --help` and of the manual pages (`backup-ns man`), and a test
compares it: change the definitions, not this file.

A flag overrides its variable. A value that does not parse is an error, and never replaced by the default; all errors are reported at once. An empty variable is not set. A switch
needs no value, but may have one, as in `--dry-run=false`; its variable needs one: `true` or `false`. Times have a unit: `90s`, `15m`, `1h30m`. A variable that begins with
`BAK_` or `RETAIN_` and is no setting has no effect; every command warns of it, and suggests the setting that was probably meant.

`${NAME}` as a database value means the variable NAME of the database's container; anything else is a literal. A literal password is taken from the environment only, never from a flag.
";

fn reference() -> String {
    let mut root = cli::shown().disable_help_subcommand(true);
    root.build();
    let commands = all(&root);
    let mut text = format!("{HEAD}\n## Commands\n\n| command | |\n|---|---|\n");
    for command in leaves(&commands) {
        let (name, about) = (name(command), command.get_about().map(ToString::to_string).unwrap_or_default());
        line(&mut text, &[format!("[`{name}`](#{})", name.replace(' ', "-")), cell(&about)]);
    }
    text.push_str("\n## Variables\n\n| variable | flag | default | | of |\n|---|---|---|---|---|\n");
    for setting in settings::each() {
        let of =
            |command: &&Command| command.get_arguments().any(|arg| arg.get_id() == setting.var && !arg.is_global_set());
        let of: Vec<String> = leaves(&commands).filter(of).map(words).filter(|words| words != "env").collect();
        let of = if of.is_empty() { "all".into() } else { format!("`{}`", of.join("`, `")) };
        let flag = format!("`--{}`", setting.flag);
        line(&mut text, &[format!("`{}`", setting.var), flag, default(setting), meaning(setting.help), of]);
    }
    text.push_str("\n## Global options\n\nOf every command.\n\n");
    options(&mut text, root.get_arguments());
    for command in leaves(&commands) {
        let long = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        let usage = command.clone().render_usage().to_string().replace("Usage: ", "");
        let _ = write!(text, "\n## {}\n\n{}\n\n```\n{usage}\n```\n", name(command), long.trim());
        if command.get_arguments().any(is_own) {
            text.push('\n');
            options(&mut text, command.get_arguments().filter(|arg| is_own(arg)));
        }
        for (heading, body) in after(command).iter().filter(|(heading, _)| heading == "Examples") {
            let _ = write!(text, "\n{heading}:\n\n```sh\n{body}\n```\n");
        }
    }
    text.push_str("\n## Exit codes\n\nOf every command.\n\n| code | meaning |\n|---|---|\n");
    for (_, body) in after(&root).iter().filter(|(heading, _)| heading == "Exit codes") {
        for (code, meaning) in body.lines().filter_map(|line| line.split_once(' ')) {
            line(&mut text, &[code.into(), meaning.trim().into()]);
        }
    }
    text
}

/// The commands without subcommands.
fn leaves<'a>(commands: &'a [&'a Command]) -> impl Iterator<Item = &'a Command> {
    commands.iter().copied().filter(|command| !command.has_subcommands())
}

/// The command with the program's name, such as `backup-ns postgres dump`.
fn name(command: &Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).to_string()
}

/// The command without the program's name.
fn words(command: &Command) -> String {
    name(command).split_once(' ').map(|(_, words)| words.to_string()).unwrap_or_default()
}

fn is_own(arg: &Arg) -> bool {
    !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    text.push_str("| option | variable | default | |\n|---|---|---|---|\n");
    for arg in args.filter(|arg| arg.get_id() != "version" && !arg.is_hide_set()) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let setting = settings::each().find(|setting| arg.get_id() == setting.var);
        let row = match setting {
            Some(setting) => {
                let own = help.trim_end_matches(&format!(" [{}]", setting.var));
                let default = if within(own) == cell(setting.default) { default(setting) } else { within(own) };
                [format!("`{}`", setting.var), default, meaning(own)]
            }
            None => [String::new(), within(&help), meaning(&help)],
        };
        line(text, &[vec![format!("`{}`", written(arg))], row.to_vec()].concat());
    }
}

/// The flag as it is typed: `-n`, `--namespace NS`.
fn written(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
    let takes = arg.get_num_args().is_some_and(|number| number.takes_values());
    match arg.get_long() {
        None => value,
        Some(long) => {
            let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
            let value = match (takes, arg.is_require_equals_set()) {
                (false, _) => String::new(),
                (true, true) => format!("[={value}]"),
                (true, false) => format!(" {value}"),
            };
            format!("{short}--{long}{value}")
        }
    }
}

fn default(setting: &Setting) -> String {
    if setting.default.is_empty() { within(setting.help) } else { format!("`{}`", cell(setting.default)) }
}

/// The default in the text of a help, `[default: …]`.
fn within(help: &str) -> String {
    let found = help.split_once("[default: ").and_then(|(_, rest)| rest.rsplit_once(']'));
    cell(found.map_or("", |(default, _)| default))
}

/// The help without its default.
fn meaning(help: &str) -> String {
    cell(help.split_once(" [default: ").map_or(help, |(meaning, _)| meaning))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn line(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable tells the test to write the file")]
fn the_file_is_what_the_definitions_say() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, reference()).unwrap();
    }
    let file = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(file == reference(), "docs/reference.md is not what the definitions say: make docs");
}

#[test]
fn help_manual_and_reference_have_every_flag_and_variable() {
    let mut root = cli::shown().disable_help_subcommand(true);
    root.build();
    let (pages, reference) = (pages(cli::shown()), reference());
    let mut seen = 0;
    for command in all(&root) {
        let file = format!("{}.1", name(command).replace(' ', "-"));
        let page = &pages.iter().find(|page| page.file == file).unwrap_or_else(|| panic!("no page {file}")).text;
        let help = command.clone().render_long_help().to_string();
        let chapter = format!("\n## {}\n", name(command));
        let chapter = reference.split_once(&chapter).map(|(_, rest)| rest.split("\n## ").next().unwrap_or_default());
        assert_eq!(chapter.is_some(), !command.has_subcommands(), "{file}");
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long().filter(|_| !arg.is_hide_set()) else { continue };
            seen += 1;
            assert!(help.contains(&format!("--{long}")), "{long} is not in the help of {file}");
            // In troff an unescaped `-` is a hyphen, not a minus.
            assert!(page.contains(&format!("\\-\\-{}", long.replace('-', "\\-"))), "{long} is not in {file}");
            let row =
                |text: &str| text.lines().any(|line| line.starts_with("| `") && line.contains(&format!("--{long}")));
            assert!(long == "version" || row(&reference), "{long} is not in the reference");
            assert!(!is_own(arg) || chapter.is_none_or(row), "{long} is not in the reference's chapter for {file}");
        }
        for setting in settings::each().filter(|setting| command.get_arguments().any(|arg| arg.get_id() == setting.var))
        {
            assert!(help.contains(setting.var) && page.contains(setting.var), "{} is not in {file}", setting.var);
        }
    }
    assert!(seen > 300, "{seen}");
}
