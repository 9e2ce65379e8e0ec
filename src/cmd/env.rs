//! `env`: every setting as it takes effect, and where it comes from. Asks nothing of the cluster.

use crate::cmd::show::{show, table};
use crate::config::{self, Effective, Origin, Output, Plain, Settings, Values};
use crate::exit::Fail;
use crate::report::Reporter;
use crate::settings;

/// Shows the configuration.
///
/// # Errors
/// A value does not parse or does not fit the others; it is shown all the same.
pub fn run(plain: &Plain, values: Values<'_>, reporter: &Reporter) -> Result<(), Fail> {
    let Settings { output, all, verdict } = config::effective(plain, values)?;
    show(reporter, output, &all, || text(&all, output))?;
    verdict
}

fn text(all: &[Effective], output: Output) -> String {
    let wide = output == Output::Wide;
    let head: &[&str] =
        if wide { &["VARIABLE", "VALUE", "ORIGIN", "FLAG", "MEANING"] } else { &["VARIABLE", "VALUE", "ORIGIN"] };
    let rows = all.iter().zip(settings::each()).map(|(effective, setting)| {
        let origin = match effective.origin {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::CronJob => "cronjob",
            Origin::Default => "default",
        };
        let wrong = if effective.faults.is_empty() { "" } else { ", wrong" };
        let mut row = vec![effective.variable.to_string(), effective.value.clone(), format!("{origin}{wrong}")];
        if wide {
            row.extend([format!("--{}", effective.flag), setting.help.to_string()]);
        }
        row
    });
    table(head, rows)
}
