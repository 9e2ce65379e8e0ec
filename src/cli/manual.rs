//! Generates the manual pages from the command line. Must not know where they are written.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

#[derive(Debug)]
pub struct ManualPage {
    /// Its file's name, such as `backup-ns-create.1`.
    pub file: String,
    /// The text, in troff.
    pub text: String,
}

/// The pages of a command and its subcommands.
pub fn pages(command: Command) -> Vec<ManualPage> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    all(&command).into_iter().map(page).collect()
}

/// A built command and its subcommands, without hidden ones.
pub fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    std::iter::once(command).chain(below.flat_map(all)).collect()
}

/// The sections after a command's help, by heading: `Examples`, `Exit codes`.
pub fn after(command: &Command) -> Vec<(String, String)> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_suffix(':').filter(|line| !line.starts_with(' ')), sections.last_mut()) {
            (Some(heading), _) => sections.push((heading.into(), String::new())),
            (None, Some((_, body))) => body.push_str(&format!("{}\n", line.strip_prefix("  ").unwrap_or(line))),
            (None, None) => {}
        }
    }
    sections.into_iter().map(|(heading, body)| (heading, body.trim_end().to_string())).collect()
}

fn page(command: &Command) -> ManualPage {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_string();
    let man = Man::new(command.clone().override_usage(usage));
    let mut text = Vec::new();
    // Writing to a vector cannot fail.
    let _ = render(&man, command, &mut text);
    ManualPage { file: man.get_filename(), text: String::from_utf8_lossy(&text).into_owned() }
}

fn render(man: &Man, command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(text)?;
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    man.render_options_section(text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(text)?;
    }
    let mut roff = Roff::new();
    for (heading, body) in after(command) {
        // Manual pages use this heading.
        let heading = if heading == "Exit codes" { "EXIT STATUS".into() } else { heading.to_uppercase() };
        roff.control("SH", [heading.as_str()]).control("nf", []);
        for line in body.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff.to_writer(text)
}
