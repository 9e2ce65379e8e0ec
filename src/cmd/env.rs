//! `env`: every setting as it takes effect, and where it comes from. Asks nothing of the cluster.

use anyhow::Result;

use crate::cmd::show::{show, table};
use crate::config::settings;
use crate::config::{self, Effective, Origin, Output, Plain, Settings, Values};
use crate::io::report::Reporter;

/// Shows the configuration.
///
/// # Errors
/// A value does not parse or does not fit the others; it is shown all the same.
pub fn run(plain: &Plain, values: &Values<'_>, reporter: &Reporter) -> Result<()> {
    let Settings { output, mut all, verdict } = config::effective(plain, values)?;
    all.extend(config::unknown_variables().into_iter().map(Effective::unknown));
    show(reporter, output, &all, || text(&all, output))?;
    Ok(verdict?)
}

fn text(all: &[Effective], output: Output) -> String {
    let wide = output == Output::Wide;
    let head: &[&str] =
        if wide { &["VARIABLE", "VALUE", "ORIGIN", "FLAG", "MEANING"] } else { &["VARIABLE", "VALUE", "ORIGIN"] };
    let meanings = settings::each().map(|setting| Some(setting.help)).chain(std::iter::repeat(None));
    let rows = all.iter().zip(meanings).map(|(effective, meaning)| {
        let origin = match effective.origin {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::CronJob => "cronjob",
            Origin::Default => "default",
        };
        let wrong = match meaning {
            None => ", not a setting",
            Some(_) if effective.faults.is_empty() => "",
            Some(_) => ", wrong",
        };
        let mut row = vec![effective.variable.clone(), effective.value.clone(), format!("{origin}{wrong}")];
        if wide {
            row.extend(match meaning {
                Some(help) => [format!("--{}", effective.flag), help.to_string()],
                None => [String::new(), effective.faults.join("; ")],
            });
        }
        row
    });
    table(head, rows)
}
