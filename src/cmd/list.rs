//! `list`: the snapshots of a namespace, or of all, oldest first.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::backup::observe::check_namespace;
use crate::cluster::survey::Survey;
use crate::cmd::show::{print, table};
use crate::cmd::watch::watch;
use crate::cmd::{Context, now};
use crate::config::{Global, List, Output};
use crate::core::health::listing::{self, Printed, Row};
use crate::core::words;
use crate::core::words::counted;
use crate::io::report::{self, Reporter};

/// Lists snapshots, those of others among them.
///
/// # Errors
/// They cannot be read, or the namespace is not there.
pub fn run(global: &Global, list: &List, reporter: &Reporter) -> Result<()> {
    let quiet = reporter.quietly();
    let context = Context::connect(global, list, if list.watch.is_some() { &quiet } else { reporter })?;
    let is_wanted = |row: &Row| row.matches(list.pvc.as_deref(), &list.kinds) && (!list.ready || row.is_good());
    let Some(every) = list.watch else {
        let (mut rows, named) = context.read_rows()?;
        let read = rows.len();
        rows.retain(is_wanted);
        print(
            reporter,
            &context.shown(&rows, || text(&rows, now(), global.output, list.all_namespaces, list.headers))?,
        )?;
        if rows.is_empty() {
            context.say_empty(read, named.as_deref());
        }
        return Ok(());
    };
    let (mut printed, mut is_first) = (Printed::default(), true);
    watch(every, reporter, || {
        let (mut rows, _) = context.read_rows()?;
        // What cannot be shown now is shown the next time.
        let mut next = printed.clone();
        let changes = next.changes(&rows, is_wanted);
        if changes.is_empty() && !is_first {
            return Ok(None);
        }
        let text = context.shown(&changes, || {
            rows.retain(is_wanted);
            changed(rows, &changes, global.output, list, list.headers && is_first)
        })?;
        let is_next = global.output == Output::Yaml && !is_first;
        (printed, is_first) = (next, false);
        Ok(Some(if is_next { format!("---\n{text}") } else { text }))
    })
}

/// The lines of the changes, in columns that are as wide as `rows` and the changes need.
fn changed(mut rows: Vec<Row>, changes: &[Row], output: Output, list: &List, has_head: bool) -> String {
    if output == Output::Name {
        return changes.iter().filter(|row| !row.deleted).map(name).collect();
    }
    rows.extend(changes.iter().filter(|row| row.deleted).cloned());
    let key = |row: &Row| (row.namespace.clone(), row.name.clone());
    let changed: BTreeSet<_> = changes.iter().map(key).collect();
    let text = text(&rows, now(), output, list.all_namespaces, true);
    let body = text.lines().skip(1).zip(&rows).filter(|(_, row)| changed.contains(&key(row)));
    let lines = text.lines().take(usize::from(has_head)).chain(body.map(|(line, _)| line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// An argument of kubectl.
fn name(row: &Row) -> String {
    format!("volumesnapshot.snapshot.storage.k8s.io/{}\n", row.name)
}

impl Context<'_, List> {
    /// Reads the rows that have the wanted labels, sorted, and the namespace that they are of, if it is one.
    fn read_rows(&self) -> Result<(Vec<Row>, Option<String>)> {
        let (kubectl, list) = (&self.kubectl, self.config);
        let named = Some(kubectl.target.namespace.as_str()).filter(|_| !list.all_namespaces);
        let mut rows = self.reporter.step("read", |step| {
            let survey = Survey::of(kubectl, named, &[&list.selector], |snapshot| Some(Row::from(snapshot)), step)?;
            let what = counted(survey.snapshots.len(), "snapshot");
            Ok((survey.snapshots, what))
        })?;
        if let Some(name) = named.filter(|_| rows.is_empty()) {
            check_namespace(kubectl, name)?;
        }
        match list.sort_by {
            Some(key) => key.sort(&mut rows, now()),
            None => listing::sort(&mut rows, now()),
        }
        Ok((rows, named.map(String::from)))
    }

    /// Says that no row is wanted, of so many that were read.
    fn say_empty(&self, read: usize, named: Option<&str>) {
        let place = named.map_or("any namespace that may be read".into(), |name| format!("namespace {name}"));
        match read {
            0 if self.config.selector.is_empty() => {
                tracing::warn!("no snapshots in {place}; backup-ns create makes one");
            }
            0 => tracing::warn!("no snapshots with these labels in {place}"),
            _ => tracing::warn!("{} in {place}, none of that kind", counted(read, "snapshot")),
        }
    }
}

fn text(rows: &[Row], now: DateTime<Utc>, output: Output, all_namespaces: bool, headers: bool) -> String {
    if output == Output::Name {
        return rows.iter().map(name).collect();
    }
    let wide = output == Output::Wide;
    let mut head = vec!["NAME", "PVC", "TYPE", "SLOTS", "DELETE-AFTER", "READY", "AGE", "SIZE", "VERIFIED"];
    if all_namespaces {
        head.insert(0, "NAMESPACE");
    }
    if wide {
        head.extend(["EXPORTED", "DUMP", "CONTENT", "RETAIN", "ERROR"]);
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
            let dumps: Vec<String> = dumps.map(|(_, proof)| report::bytes(proof.all_bytes())).collect();
            let days = row.retain_days.as_deref().map(|days| format!("={days}")).unwrap_or_default();
            let retain = row.retain.as_deref().map(|retain| format!("{retain}{days}")).unwrap_or_default();
            // What speaks against one that is ready outweighs the error of an attempt before.
            let error = row.distrusted.as_ref().or(row.error.as_ref()).cloned().unwrap_or_default();
            cells.extend([or_none(&row.exported), dumps.join(" + "), or_none(&row.content), retain, error]);
        }
        cells
    };
    let text = table(&head, rows.iter().map(cells));
    match text.split_once('\n') {
        Some((_, rows)) if !headers => rows.into(),
        _ => text,
    }
}
