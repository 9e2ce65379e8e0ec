//! `man`: the manual's main page to stdout, or all pages into a directory.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::cli;
use crate::cli::manual::{ManualPage, pages};
use crate::cmd::show::print;
use crate::config::Plain;
use crate::exit::{Exit, Fail};
use crate::io::report::Reporter;

/// Prints the main page, or writes all pages and prints where they are.
///
/// # Errors
/// The directory cannot be written to, or stdout is closed.
pub fn run(plain: &Plain, reporter: &Reporter) -> Result<()> {
    let pages = pages(cli::shown());
    let Some(directory) = plain.word("DIRECTORY") else {
        return pages.first().map_or(Ok(()), |main| print(reporter, &main.text));
    };
    let directory = Path::new(&directory);
    let write = |ManualPage { file, text }: &ManualPage| fs::write(directory.join(file), text);
    fs::create_dir_all(directory).and_then(|()| pages.iter().try_for_each(write)).map_err(|error| {
        Fail::new(Exit::Failed, format!("{} cannot be written to: {error}", directory.display()))
            .remedy("name another directory, or let you write to this one")
    })?;
    let paths = pages.iter().map(|page| format!("{}\n", directory.join(&page.file).display()));
    print(reporter, &paths.collect::<String>())
}
