//! The report of `status` in the Prometheus text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Must not know how it is served.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::core::health::status::{Protection, Report, State};
use crate::core::kube::quantity;

/// A label's name and value.
type Label<'a> = (&'a str, &'a str);

/// The metrics, all of them gauges. An unknown value has no line; a claim without a CronJob and snapshots has no lines at all.
pub fn text(report: &Report) -> String {
    let meant: Vec<&Protection> = report.claims.iter().filter(|claim| claim.is_managed()).collect();
    let mut text = Text::default();

    text.gauge("scheduled", "Whether a CronJob makes backups of the claim, and is neither suspended nor a dry run.");
    text.claims(&meant, |claim| claim.scheduled.map(u8::from));
    text.gauge("suspended", "Whether every CronJob that would make backups of the claim is suspended or a dry run.");
    text.claims(&meant, |claim| claim.scheduled.map(|scheduled| u8::from(!scheduled && !claim.cron_jobs.is_empty())));
    text.gauge("claim_exists", "Whether the PersistentVolumeClaim is there.");
    text.claims(&meant, |claim| claim.exists.map(u8::from));
    text.gauge("snapshots", "How many VolumeSnapshots of the claim there are, by state.");
    for claim in &meant {
        for state in State::ALL {
            let count = claim.count(state);
            text.line(&[labels(claim).as_slice(), &[("state", state.word())]].concat(), count);
        }
    }
    text.gauge("newest_ready", "Whether the newest VolumeSnapshot of the claim, but for pending ones, is ready.");
    text.claims(&meant, |claim| claim.newest_decided.map(|state| u8::from(state == State::Ready)));
    text.gauge("last_success_timestamp_seconds", "When the newest good VolumeSnapshot of the claim was cut.");
    text.claims(&meant, |claim| claim.newest_ready.as_ref().map(|ready| ready.made.timestamp()));
    text.gauge("last_success_age_seconds", "How old it was when this was asked.");
    text.claims(&meant, |claim| claim.newest_ready.as_ref().map(|ready| ready.age_seconds));
    text.gauge("restore_size_bytes", "The smallest volume that it can be restored to.");
    text.claims(&meant, |claim| quantity::bytes(claim.newest_ready.as_ref()?.restore_size.as_deref()?));
    let dumps = || {
        let ready = meant.iter().filter_map(|claim| Some((claim, claim.newest_ready.as_ref()?)));
        ready.flat_map(|(claim, ready)| ready.dumps.iter().map(move |(engine, dump)| (claim, engine.command(), dump)))
    };
    text.gauge("dump_bytes", "Size of the dump that it holds.");
    for (claim, engine, dump) in dumps() {
        text.line(&[labels(claim).as_slice(), &[("engine", engine)]].concat(), dump.bytes);
    }
    text.gauge("dump_duration_seconds", "How long that dump took.");
    for (claim, engine, dump) in dumps() {
        if let Some(seconds) = dump.seconds {
            text.line(&[labels(claim).as_slice(), &[("engine", engine)]].concat(), seconds);
        }
    }
    text.gauge("last_verified_timestamp_seconds", "When a restore test found the newest tested VolumeSnapshot good.");
    text.claims(&meant, |claim| claim.newest_verified.as_ref().map(|verified| verified.at.timestamp()));
    text.gauge("last_verified_age_seconds", "How long ago that was when this was asked.");
    text.claims(&meant, |claim| claim.newest_verified.as_ref().map(|verified| verified.age_seconds));
    text.gauge("export_scheduled", "Whether a CronJob exports the claim, and is neither suspended nor a dry run.");
    text.claims(&meant, |claim| claim.export_scheduled.map(u8::from));
    text.gauge("last_exported_timestamp_seconds", "When the newest VolumeSnapshot with a proven copy was cut.");
    text.claims(&meant, |claim| claim.newest_exported.as_ref().map(|exported| exported.made.timestamp()));
    text.gauge("last_exported_age_seconds", "How old it was when this was asked.");
    text.claims(&meant, |claim| claim.newest_exported.as_ref().map(|exported| exported.age_seconds));
    leftovers(report, &meant, &mut text);
    text.gauge("unread", "What could not be read or understood, so that something is missing here.");
    text.line(&[], report.unread.len());
    text.gauge("status_timestamp_seconds", "When this was asked.");
    text.line(&[], report.asked.timestamp());
    text.0
}

fn leftovers(report: &Report, claims: &[&Protection], text: &mut Text) {
    text.gauge("overdue_snapshots", "VolumeSnapshots that a sweep should have deleted two days ago or earlier.");
    let mut overdue: BTreeMap<&str, usize> = claims.iter().map(|claim| (claim.namespace.as_str(), 0)).collect();
    for one in &report.overdue {
        *overdue.entry(&one.namespace).or_default() += 1;
    }
    for (namespace, count) in overdue {
        text.line(&[("namespace", namespace)], count);
    }
    text.gauge("orphaned_contents", "VolumeSnapshotContents of backup-ns without a VolumeSnapshot.");
    if let Some(orphans) = &report.orphaned_contents {
        text.line(&[], orphans.len());
    }
    text.gauge("superfluous_contents", "VolumeSnapshotContents without a VolumeSnapshot that share another's data.");
    if let Some(superfluous) = &report.superfluous_contents {
        text.line(&[], superfluous.len());
    }
}

fn labels(claim: &Protection) -> [Label<'_>; 2] {
    [("namespace", &claim.namespace), ("pvc", &claim.pvc)]
}

/// The text so far, and the name of the current metric.
#[derive(Default)]
struct Text(String, &'static str);

impl Text {
    fn gauge(&mut self, name: &'static str, help: &str) {
        self.1 = name;
        let _ = write!(self.0, "# HELP backup_ns_{name} {help}\n# TYPE backup_ns_{name} gauge\n");
    }

    fn line(&mut self, labels: &[Label<'_>], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "backup_ns_{}{labels} {value}", self.1);
    }

    fn claims<T: Display>(&mut self, claims: &[&Protection], value: impl Fn(&Protection) -> Option<T>) {
        for claim in claims {
            if let Some(value) = value(claim) {
                self.line(&labels(claim), value);
            }
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::engine::Engine;
    use crate::core::health::status::testing::protection;
    use crate::core::health::status::{self, Attempt, BackupCronJob, DumpStatus, Exported, Overdue, Ready, Verified};
    use crate::core::retention::history::testing::at;

    /// A claim without a schedule, with two good snapshots and a failed one.
    fn claim(pvc: &str) -> Protection {
        Protection {
            scheduled: Some(false),
            snapshots: [(State::Ready, 2), (State::Failed, 1)].into(),
            newest: None,
            newest_decided: None,
            newest_ready: None,
            ..protection(pvc, State::Ready)
        }
    }

    fn report(claims: Vec<Protection>) -> Report {
        let late =
            Overdue { namespace: "zoo".into(), volume_snapshot: "late".into(), delete_after: "2026-11-20".into() };
        Report { overdue: vec![late], ..status::testing::report(claims) }
    }

    #[test]
    fn every_known_value_has_a_line() {
        let made = at("2026-11-22T02:00");
        let full = Protection {
            newest: Some(Attempt { name: "c".into(), state: State::Pending, created: made }),
            newest_decided: Some(State::Ready),
            newest_ready: Some(Ready {
                name: "b".into(),
                made,
                age_seconds: 36000,
                restore_size: Some("1Gi".into()),
                dumps: [(
                    Engine::Postgres,
                    DumpStatus { bytes: 1234, tool: "pg_dump".into(), server_version: None, seconds: Some(60) },
                )]
                .into(),
            }),
            newest_verified: Some(Verified { name: "b".into(), at: made, age_seconds: 36000 }),
            export_scheduled: Some(true),
            newest_exported: Some(Exported { name: "b".into(), made, age_seconds: 36000, at: at("2026-11-22T05:00") }),
            ..claim("data")
        };
        let text = text(&report(vec![full]));
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            r#"backup_ns_scheduled{namespace="shop",pvc="data"} 0"#,
            r#"backup_ns_suspended{namespace="shop",pvc="data"} 0"#,
            r#"backup_ns_claim_exists{namespace="shop",pvc="data"} 1"#,
            r#"backup_ns_snapshots{namespace="shop",pvc="data",state="ready"} 2"#,
            r#"backup_ns_snapshots{namespace="shop",pvc="data",state="pending"} 0"#,
            r#"backup_ns_snapshots{namespace="shop",pvc="data",state="failed"} 1"#,
            r#"backup_ns_snapshots{namespace="shop",pvc="data",state="distrusted"} 0"#,
            r#"backup_ns_newest_ready{namespace="shop",pvc="data"} 1"#,
            r#"backup_ns_last_success_timestamp_seconds{namespace="shop",pvc="data"} 1795312800"#,
            r#"backup_ns_last_success_age_seconds{namespace="shop",pvc="data"} 36000"#,
            r#"backup_ns_restore_size_bytes{namespace="shop",pvc="data"} 1073741824"#,
            r#"backup_ns_dump_bytes{namespace="shop",pvc="data",engine="postgres"} 1234"#,
            r#"backup_ns_dump_duration_seconds{namespace="shop",pvc="data",engine="postgres"} 60"#,
            r#"backup_ns_last_verified_timestamp_seconds{namespace="shop",pvc="data"} 1795312800"#,
            r#"backup_ns_last_verified_age_seconds{namespace="shop",pvc="data"} 36000"#,
            r#"backup_ns_export_scheduled{namespace="shop",pvc="data"} 1"#,
            r#"backup_ns_last_exported_timestamp_seconds{namespace="shop",pvc="data"} 1795312800"#,
            r#"backup_ns_last_exported_age_seconds{namespace="shop",pvc="data"} 36000"#,
            r#"backup_ns_overdue_snapshots{namespace="shop"} 0"#,
            r#"backup_ns_overdue_snapshots{namespace="zoo"} 1"#,
            "backup_ns_orphaned_contents 0",
            "backup_ns_superfluous_contents 0",
            "backup_ns_unread 0",
            "backup_ns_status_timestamp_seconds 1795348800",
        ];
        assert_eq!(lines, expected);
        // One HELP and one TYPE for each, before its lines.
        let mut known = "";
        for line in text.lines() {
            let mut words = line.split([' ', '{']);
            match words.next() {
                Some("#") if words.next() == Some("TYPE") => known = words.next().unwrap(),
                Some("#") => {}
                name => assert_eq!(name, Some(known)),
            }
        }
        let kinds = |kind: &str| text.lines().filter(|line| line.starts_with(&format!("# {kind} "))).count();
        assert_eq!((kinds("HELP"), kinds("TYPE")), (20, 20));
    }

    #[test]
    fn an_unknown_value_has_no_line() {
        let suspended = BackupCronJob {
            namespace: "shop".into(),
            name: "b".into(),
            schedule: String::new(),
            suspended: true,
            dry_run: false,
            last_schedule: None,
            last_success: None,
        };
        let unknown = Protection {
            exists: None,
            scheduled: None,
            export_scheduled: None,
            cron_jobs: vec![suspended],
            ..claim("a")
        };
        let mut report = report(vec![unknown, claim("unmanaged")]);
        report.orphaned_contents = None;
        let text = text(&report);
        for absent in
            ["scheduled{", "suspended{", "claim_exists{", "newest_ready{", "last_", "orphaned_contents ", "unmanaged"]
        {
            let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains(absent));
            assert_eq!(lines.count(), 0, "{absent}: {text}");
        }
        assert!(text.contains(r#"backup_ns_snapshots{namespace="shop",pvc="a",state="ready"} 2"#));
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escaped("a\\b\"c\nd"), r#"a\\b\"c\nd"#);
    }
}
