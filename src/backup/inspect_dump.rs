//! Inspects an existing dump file through a session of its own, without changing it. Must not know why.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};

use crate::cluster::kubectl::Kubectl;
use crate::config::Database;
use crate::container;
use crate::container::session::{self, Session};
use crate::core::backup::globals::GlobalsFile;
use crate::core::backup::pod::Chosen;
use crate::core::backup::proof::is_sha256;
use crate::core::engine::Engine;
use crate::exit::{Exit, Fail};

/// How much of the file is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InspectDepth {
    /// Size, age and hash.
    Hash,
    /// Also whether it is whole.
    Whole,
    /// As `Whole`, and how many bytes it unpacks to.
    Count,
    /// As `Whole`, and which roles or accounts it names. Of MySQL also how many bytes it unpacks to.
    Roles,
}

/// What the container reported about a dump file.
#[derive(Debug, Clone, Default)]
pub struct DumpFile {
    pub bytes: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was last written to.
    pub modified: Option<DateTime<Utc>>,
    /// Why it is not whole, if it was tested.
    pub broken: Option<String>,
    /// What its text begins as, if it was tested.
    pub kind: String,
    /// The tool that reads it, if the container lacks that.
    pub lacks: Option<String>,
    /// How many bytes it unpacks to, if they were counted.
    pub plain: Option<u64>,
    /// The roles that the dump names, in double quotes, or the accounts, in backquotes, if it was read.
    pub needs: Vec<String>,
    /// The files of roles or accounts beside the dump.
    pub globals: Vec<GlobalsFile>,
}

/// Inspects the dump file of a database; `None` if it does not exist.
pub fn inspect(
    kubectl: &Kubectl,
    chosen: &Chosen,
    database: &Database,
    nonce: &str,
    test: InspectDepth,
) -> Result<Option<DumpFile>> {
    let file = inspect_file(kubectl, chosen, database.engine, &database.dump_file, nonce, test)?;
    if let Some(tool) = file.as_ref().and_then(|file| file.lacks.as_deref()) {
        bail!(
            Fail::new(
                Exit::Precondition,
                format!("the container lacks {tool}, without which {} cannot be read", database.dump_file)
            )
            .remedy(format!("add {tool} to the container's image, or restore the snapshot that holds the file"))
        );
    }
    Ok(file)
}

/// Inspects a file that should hold a dump; `None` if it does not exist.
pub fn inspect_file(
    kubectl: &Kubectl,
    chosen: &Chosen,
    engine: Engine,
    path: &str,
    nonce: &str,
    test: InspectDepth,
) -> Result<Option<DumpFile>> {
    let how = match test {
        InspectDepth::Hash => "",
        InspectDepth::Whole => "whole",
        InspectDepth::Count => "count",
        InspectDepth::Roles => "roles",
    };
    let values = [path.to_string(), how.to_string()];
    let inspect = || {
        let mut session = Session::start(kubectl, chosen, container::inspect(engine), nonce, &values)?;
        let (mut file, mut absent) = (DumpFile::default(), false);
        session.until("end", Duration::MAX, |key, value| match key {
            "bytes" => file.bytes = value.trim().parse().unwrap_or_default(),
            "sha256" => file.sha256 = value.into(),
            "modified" => file.modified = DateTime::parse_from_rfc3339(value).ok().map(|time| time.to_utc()),
            "broken" => file.broken = Some(value.into()),
            "kind" => file.kind = value.into(),
            "plain" => file.plain = value.trim().parse().ok(),
            "needs" => file.needs.push(value.into()),
            "globals-file" => file.globals.extend(GlobalsFile::parse(value)),
            "globals-role" => {
                if let Some(last) = file.globals.last_mut() {
                    last.roles.push(value.into());
                }
            }
            "absent" => absent = true,
            "lacks" => file.lacks = Some(value.into()),
            _ => {}
        })?;
        Ok((!absent).then_some(file))
    };
    let file = kubectl
        .patiently(inspect)
        .map_err(|error| session::fail(&error, Exit::Failed, "the dump file was only looked at"))?;
    match file {
        Some(file) if !is_sha256(&file.sha256) => {
            bail!(
                Fail::new(Exit::Failed, format!("{path} cannot be read in pod {}", chosen.pod))
                    .remedy("look at the pod's events, and at the file and its volume there")
            )
        }
        file => Ok(file),
    }
}
