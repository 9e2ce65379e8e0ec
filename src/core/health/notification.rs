//! What a notification says about the end of a command. Must not know how it is sent, or to whom.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::core::escape;

/// The longest message, in characters.
const LONGEST: usize = 3000;

/// The longest report, in bytes of JSON. Services of webhooks take some hundred kilobytes.
const MOST: usize = 64 << 10;

/// The form of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationFormat {
    /// All that is known, as JSON.
    Json,
    /// `{"text": …}` as Slack's incoming webhooks take it (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>);
    /// Mattermost and Rocket.Chat take it, too.
    Slack,
}

/// Of which outcomes a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    Failure,
    Success,
    Both,
}

impl Occasion {
    pub fn includes(self, succeeded: bool) -> bool {
        match self {
            Occasion::Failure => !succeeded,
            Occasion::Success => succeeded,
            Occasion::Both => true,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandEnd<'a> {
    /// Its name, such as `create`.
    pub command: &'a str,
    /// The namespace, if it was named or is that of the pod.
    pub namespace: Option<&'a str>,
    /// The exit code.
    pub code: u8,
    /// What was done, or what failed.
    pub message: &'a str,
    /// What to do about a failure; else empty.
    pub remedy: &'a str,
    pub began: DateTime<Utc>,
    pub seconds: f64,
    /// The result, as `-o json` prints it; null if it has no result.
    pub report: &'a Value,
    /// The version of this program.
    pub version: &'a str,
}

impl CommandEnd<'_> {
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// The body of the POST.
    pub fn body(&self, format: NotificationFormat) -> String {
        match format {
            NotificationFormat::Json => self.json(),
            NotificationFormat::Slack => json!({"text": self.slack()}).to_string(),
        }
    }

    fn json(&self) -> String {
        let mut body = json!({
            "command": self.command,
            "namespace": self.namespace,
            "outcome": if self.succeeded() { "success" } else { "failure" },
            "exitCode": self.code,
            "message": escape::short(self.message, LONGEST),
            "remedy": escape::short(self.remedy, LONGEST),
            "began": self.began.to_rfc3339_opts(SecondsFormat::Secs, true),
            "seconds": self.seconds,
            "version": self.version,
        });
        if !self.report.is_null() {
            let fits = self.report.to_string().len() <= MOST;
            body["report"] = if fits { self.report.clone() } else { Value::Null };
        }
        escape::json(&body.to_string()).into_owned()
    }

    /// A line of plain text, and the remedy in another.
    pub fn text(&self) -> String {
        let place = self.namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        let outcome = match self.code {
            0 => "succeeded".to_string(),
            code => format!("FAILED (exit code {code})"),
        };
        let remedy = if self.remedy.is_empty() { String::new() } else { format!("\nremedy: {}", self.remedy) };
        let text = format!("backup-ns {}{place} {outcome}: {}{remedy}", self.command, self.message);
        escape::visible(&escape::short(&text, LONGEST)).into_owned()
    }

    /// The text, in which Slack finds no links, mentions or commands: it reads them between `<` and `>`.
    fn slack(&self) -> String {
        self.text().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }
}

/// The address of a ping, with `/start` or `/fail` at the end of its path.
pub fn ping_url(url: &str, suffix: &str) -> String {
    let at = url.find(['?', '#']).unwrap_or(url.len());
    let (path, rest) = url.split_at(at);
    format!("{}{suffix}{rest}", if suffix.is_empty() { path } else { path.trim_end_matches('/') })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end<'a>(code: u8, message: &'a str, remedy: &'a str, report: &'a Value) -> CommandEnd<'a> {
        CommandEnd {
            command: "create",
            namespace: Some("shop"),
            code,
            message,
            remedy,
            began: DateTime::UNIX_EPOCH,
            seconds: 1.5,
            report,
            version: "1.2.3",
        }
    }

    #[test]
    fn the_json_has_all_that_is_known() {
        let report = json!({"volumeSnapshot": "data-1"});
        let body: Value =
            serde_json::from_str(&end(0, "it is ready", "", &report).body(NotificationFormat::Json)).unwrap();
        assert_eq!(
            body,
            json!({
                "command": "create", "namespace": "shop", "outcome": "success", "exitCode": 0, "message": "it is ready", "remedy": "",
                "began": "1970-01-01T00:00:00Z", "seconds": 1.5, "version": "1.2.3", "report": {"volumeSnapshot": "data-1"},
            })
        );
        let none = end(6, "no", "mend it", &Value::Null).body(NotificationFormat::Json);
        let body: Value = serde_json::from_str(&none).unwrap();
        assert_eq!((&body["outcome"], &body["exitCode"], body.get("report")), (&json!("failure"), &json!(6), None));
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let (long, report) = ("x".repeat(100_000), json!("y".repeat(70_000)));
        let body = end(1, &long, &long, &report).body(NotificationFormat::Json);
        assert!(body.len() < 3 * LONGEST, "{}", body.len());
        assert!(serde_json::from_str::<Value>(&body).unwrap()["report"].is_null());
        assert!(end(1, &long, &long, &report).body(NotificationFormat::Slack).len() < 2 * LONGEST);
    }

    #[test]
    fn slack_finds_nothing_to_obey_in_the_text() {
        let body =
            end(4, "no <!channel> & \u{1b}[2J <https://x|y>", "look", &Value::Null).body(NotificationFormat::Slack);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body["text"],
            "backup-ns create in shop FAILED (exit code 4): no &lt;!channel&gt; &amp; \\u{1b}[2J &lt;https://x|y&gt;\nremedy: look"
        );
    }

    #[test]
    fn a_ping_names_its_event_at_the_end_of_the_path() {
        for (url, suffix, wanted) in [
            ("https://hc.example/uuid", "", "https://hc.example/uuid"),
            ("https://hc.example/uuid", "/start", "https://hc.example/uuid/start"),
            ("https://hc.example/uuid/", "/fail", "https://hc.example/uuid/fail"),
            ("https://hc.example/uuid?create=1", "/start", "https://hc.example/uuid/start?create=1"),
        ] {
            assert_eq!(ping_url(url, suffix), wanted);
        }
    }

    #[test]
    fn an_occasion_includes_its_outcome() {
        for (occasion, failure, success) in
            [(Occasion::Failure, true, false), (Occasion::Success, false, true), (Occasion::Both, true, true)]
        {
            assert_eq!((occasion.includes(false), occasion.includes(true)), (failure, success));
        }
    }
}
