//! Finds where the dump of a database goes in the container that was chosen for it. Must not know what is done with the dump.

use std::time::Duration;

use anyhow::Result;

use crate::cluster::kubectl::Kubectl;
use crate::config::Database;
use crate::container;
use crate::container::session::{self, Session};
use crate::core::backup::default_dump_file;
use crate::core::backup::pod::Chosen;
use crate::exit::Exit;

/// How long the container may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// The database with the path of its dump in the chosen container. If no setting names the path and the directory of the default
/// is missing there, that is at the top of the mount above it.
///
/// # Errors
/// The container cannot be asked.
pub fn with_dump_file(kubectl: &Kubectl, database: &Database, chosen: &Chosen, nonce: &str) -> Result<Database> {
    let file = default_dump_file::at_top_of_mount(&database.dump_file, &chosen.mounts);
    let Some(file) = file.filter(|_| database.has_default_dump_file) else { return Ok(database.clone()) };
    let directory = default_dump_file::directory(&database.dump_file);
    let ask = || {
        let mut session = Session::start(kubectl, chosen, container::DIRECTORY, nonce, &[directory.to_string()])?;
        let mut exists = true;
        session.until("end", ANSWER, |key, value| {
            if key == "exists" {
                exists = value == "yes";
            }
        })?;
        Ok(exists)
    };
    let exists =
        kubectl.patiently(ask).map_err(|error| session::fail(&error, Exit::Precondition, "nothing was changed"))?;
    if exists {
        return Ok(database.clone());
    }
    tracing::info!("the container has no {directory}, so the dump's path is {file}");
    Ok(Database { dump_file: file, ..database.clone() })
}
