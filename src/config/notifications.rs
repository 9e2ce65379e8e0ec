//! The settings of notifications, which are read apart from the rest: a command whose other settings are wrong sends them, too.

use super::settings::{Setting, var};
use super::{About, Get, Origin, Values, own_namespace, parse_dry_run};
use crate::core::health::notification::{NotificationFormat, Occasion};
use crate::io::http_client;

/// Where the outcome of a command is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifications {
    pub webhook: Option<Webhook>,
    /// The address of a check as healthchecks.io has them; a secret.
    pub ping_url: Option<String>,
    /// The namespace that was named, else that of the pod.
    pub namespace: Option<String>,
}

/// A webhook, and what it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// A secret.
    pub url: String,
    pub occasion: Occasion,
    pub format: NotificationFormat,
    /// Names and values, which are secrets.
    pub headers: Vec<(String, String)>,
}

/// Reads the settings. Wrong ones count as not set here; the command's own configuration reports them.
pub fn notifications(get: &Get<'_>) -> Notifications {
    let mut v = Values::new(get);
    if v.parse(var!("BAK_DRY_RUN"), parse_dry_run, false) || v.parse(var!("RETAIN_DRY_RUN"), parse_dry_run, false) {
        return Notifications { webhook: None, ping_url: None, namespace: None };
    }
    read(&mut v)
}

/// Reads the settings, and leaves their errors in `v`.
pub(super) fn read(v: &mut Values<'_>) -> Notifications {
    let url = secret(v, var!("BAK_NOTIFY_URL"), parse_url);
    let headers = secret(v, var!("BAK_NOTIFY_HEADERS"), parse_headers).unwrap_or_default();
    let occasion = v.parse(
        var!("BAK_NOTIFY_ON"),
        |text| match text {
            "failure" => Ok(Occasion::Failure),
            "success" => Ok(Occasion::Success),
            "both" => Ok(Occasion::Both),
            _ => Err("failure, success or both".into()),
        },
        Occasion::Failure,
    );
    let format = v.parse(
        var!("BAK_NOTIFY_FORMAT"),
        |text| match text {
            "json" => Ok(NotificationFormat::Json),
            "slack" => Ok(NotificationFormat::Slack),
            _ => Err("json or slack".into()),
        },
        NotificationFormat::Json,
    );
    Notifications {
        webhook: url.map(|url| Webhook { url, occasion, format, headers }),
        ping_url: secret(v, var!("BAK_PING_URL"), parse_url),
        namespace: Some(v.raw(var!("BAK_NAMESPACE")).0).filter(|name| !name.is_empty()).or_else(own_namespace),
    }
}

/// A value that is only taken from the environment.
fn secret<T>(v: &mut Values<'_>, setting: &'static Setting, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    if v.raw(setting).1 == Origin::Flag {
        let text = format!(
            "{} (--{}) is a flag; accepted: the environment variable, because all users of the machine can read argument lists",
            setting.var, setting.flag
        );
        v.error(About::Setting(setting), text);
        return None;
    }
    v.optional(setting, parse)
}

fn parse_url(text: &str) -> Result<String, String> {
    let accepted = "an address such as https://hooks.example.com/path";
    if http_client::is_url(text) { Ok(text.into()) } else { Err(accepted.into()) }
}

/// Lines of `NAME: VALUE`.
fn parse_headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let is_token = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let fine = is_token(name) && value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
        fine.then(|| (name.to_string(), value.to_string()))
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(header)
        .collect::<Option<_>>()
        .ok_or_else(|| "a header a line, such as Authorization: Bearer TOKEN".into())
}
