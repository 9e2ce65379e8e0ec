//! The Event that a backup leaves on its claim, for `kubectl describe` and for tools that watch Events. Must not know how it is
//! written, or whether it may be.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::core::escape;

const CONTROLLER: &str = "backup-ns.sh";

/// The longest message, in characters, that `events.k8s.io/v1` accepts.
const LONGEST: usize = 1000;

/// What the Event says about a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News<'a> {
    pub reason: Reason,
    /// Whether something failed, even if the snapshot is good.
    pub failed: bool,
    pub message: &'a str,
}

/// The outcome of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Ready,
    /// The snapshot is cut, and the backup does not wait until it is ready.
    Cut,
    Failed,
}

/// The claim that an Event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventSubject {
    pub name: String,
    /// Its uid; empty if unknown. `kubectl describe` shows only Events that name it.
    pub uid: String,
}

/// The list of Events, one for each claim. `nonce` makes their names differ from those of other runs, `holder` names the process.
pub fn manifest(
    namespace: &str,
    claims: &[EventSubject],
    news: News<'_>,
    (nonce, holder): (&str, &str),
    now: DateTime<Utc>,
) -> Value {
    let reason = match news.reason {
        Reason::Ready => "BackupReady",
        Reason::Cut => "BackupCut",
        Reason::Failed => "BackupFailed",
    };
    let kind = if news.failed { "Warning" } else { "Normal" };
    let at = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let event = |claim: &EventSubject| {
        let mut object =
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim.name});
        if !claim.uid.is_empty() {
            object["uid"] = json!(claim.uid);
        }
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"namespace": namespace, "name": format!("{}.{nonce}", short(&claim.name, 200).trim_end_matches(['.', '-']))},
            "involvedObject": object, "type": kind, "reason": reason, "message": short(&escape::visible(news.message), LONGEST), "count": 1,
            "firstTimestamp": at, "lastTimestamp": at, "source": {"component": CONTROLLER},
            "reportingComponent": CONTROLLER, "reportingInstance": short(holder, 128),
        })
    };
    let items: Vec<Value> = claims.iter().map(event).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::retention::history::testing::at;

    #[test]
    fn control_characters_of_a_message_are_escaped() {
        let news = News { reason: Reason::Failed, failed: true, message: "psql: \u{1b}[2J" };
        let about = [EventSubject { name: "data".into(), uid: String::new() }];
        let list = manifest("shop", &about, news, ("n", "h"), at("2026-11-22T12:00"));
        assert_eq!(list["items"][0]["message"], r"psql: \u{1b}[2J");
    }

    #[test]
    fn each_claim_has_its_event() {
        let claims = [
            EventSubject { name: "data".into(), uid: "u-1".into() },
            EventSubject { name: "uploads".into(), uid: String::new() },
        ];
        let list = manifest(
            "shop",
            &claims,
            News { reason: Reason::Ready, failed: false, message: "data-1 is ready" },
            ("abc", "me (process 7)"),
            at("2026-11-22T03:00"),
        );
        let expected = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"namespace": "shop", "name": "data.abc"},
            "involvedObject": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data", "uid": "u-1"},
            "type": "Normal", "reason": "BackupReady", "message": "data-1 is ready", "count": 1,
            "firstTimestamp": "2026-11-22T03:00:00Z", "lastTimestamp": "2026-11-22T03:00:00Z",
            "source": {"component": "backup-ns.sh"}, "reportingComponent": "backup-ns.sh", "reportingInstance": "me (process 7)",
        });
        assert_eq!(list["items"][0], expected);
        assert_eq!(
            (&list["items"][1]["metadata"]["name"], &list["items"][1]["involvedObject"]["uid"]),
            (&json!("uploads.abc"), &Value::Null)
        );
    }

    #[test]
    fn a_long_message_is_cut_to_what_an_event_takes() {
        let claims = [EventSubject { name: "p".repeat(253), uid: String::new() }];
        let long = "é".repeat(3000);
        for (reason, failed, kind, word) in [
            (Reason::Failed, true, "Warning", "BackupFailed"),
            (Reason::Cut, false, "Normal", "BackupCut"),
            // The snapshot is ready, but the post hook failed.
            (Reason::Ready, true, "Warning", "BackupReady"),
        ] {
            let news = News { reason, failed, message: &long };
            let event = manifest("shop", &claims, news, ("0123456789", &long), at("2026-11-22"))["items"][0].clone();
            assert_eq!((&event["type"], &event["reason"]), (&json!(kind), &json!(word)));
            assert_eq!(event["message"].as_str().unwrap().chars().count(), LONGEST);
            assert!(event["metadata"]["name"].as_str().unwrap().len() <= 253);
            assert_eq!(event["reportingInstance"].as_str().unwrap().chars().count(), 128);
        }
    }
}
