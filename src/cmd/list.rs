//! `list`: the snapshots of a namespace, or of all, oldest first.

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::backup::observe::check_namespace;
use crate::cluster::survey::Survey;
use crate::cmd::show::table;
use crate::cmd::{Context, now};
use crate::config::{Global, List, Output};
use crate::core::health::listing::{self, Row};
use crate::core::words;
use crate::core::words::counted;
use crate::io::report::{self, Reporter};

/// Lists snapshots, those of others among them.
///
/// # Errors
/// They cannot be read, or the namespace is not there.
pub fn run(global: &Global, list: &List, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, list, reporter)?;
    let kubectl = &context.kubectl;
    let named = Some(kubectl.target.namespace.as_str()).filter(|_| !list.all_namespaces);
    let mut rows = reporter.step("read", |step| {
        let survey = Survey::of(kubectl, named, &[""], |snapshot| Some(Row::from(snapshot)), step)?;
        let what = counted(survey.snapshots.len(), "snapshot");
        Ok((survey.snapshots, what))
    })?;
    if let Some(name) = named.filter(|_| rows.is_empty()) {
        check_namespace(kubectl, name)?;
    }
    let read = rows.len();
    rows.retain(|row| row.matches(list.pvc.as_deref(), &list.kinds) && (!list.ready || row.is_good()));
    let now = now();
    listing::sort(&mut rows, now);
    context.show(&rows, || text(&rows, now, global.output, list.all_namespaces))?;
    if rows.is_empty() {
        let place = named.map_or("any namespace that may be read".into(), |name| format!("namespace {name}"));
        match read {
            0 => tracing::warn!("no snapshots in {place}; backup-ns create makes one"),
            _ => tracing::warn!("{} in {place}, none of that kind", counted(read, "snapshot")),
        }
    }
    Ok(())
}

fn text(rows: &[Row], now: DateTime<Utc>, output: Output, all_namespaces: bool) -> String {
    if output == Output::Name {
        return rows.iter().map(|row| format!("volumesnapshot.snapshot.storage.k8s.io/{}\n", row.name)).collect();
    }
    let wide = output == Output::Wide;
    let mut head = vec!["NAME", "PVC", "TYPE", "SLOTS", "DELETE-AFTER", "READY", "AGE", "SIZE", "VERIFIED"];
    if all_namespaces {
        head.insert(0, "NAMESPACE");
    }
    if wide {
        head.extend(["DUMP", "CONTENT", "RETAIN", "ERROR"]);
    }
    let cells = |row: &Row| {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut cells = if all_namespaces { vec![row.namespace.clone()] } else { Vec::new() };
        cells.extend([
            row.name.clone(),
            or_none(&row.pvc),
            or_none(&row.kind),
            row.held(),
            or_none(&row.delete_after),
            row.readiness().into(),
            words::age(now - row.made(now)),
            or_none(&row.restore_size),
            or_none(&row.verified),
        ]);
        if wide {
            let dumps = row.dumps.iter().filter(|_| row.cut.is_some());
            let dumps: Vec<String> = dumps.map(|(_, proof)| report::bytes(proof.bytes)).collect();
            let days = row.retain_days.as_deref().map(|days| format!("={days}")).unwrap_or_default();
            let retain = row.retain.as_deref().map(|retain| format!("{retain}{days}")).unwrap_or_default();
            // What speaks against one that is ready outweighs the error of an attempt before.
            let error = row.distrusted.as_ref().or(row.error.as_ref()).cloned().unwrap_or_default();
            cells.extend([dumps.join(" + "), or_none(&row.content), retain, error]);
        }
        cells
    };
    table(&head, rows.iter().map(cells))
}
