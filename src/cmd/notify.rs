//! Sends the outcome of a command to a webhook, and its begin and end to a check that expects them. Must not know what the command
//! does. A notification never fails a command, and delays at most its end, by [`END_TIME`].

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::cmd::{Conclusion, now};
use crate::config::{Notifications, Webhook};
use crate::core::health::notification::{CommandEnd, ping_url};
use crate::exit::{Exit, Fail};
use crate::io::http_client::{self, Body, HttpClient, HttpFault, HttpRequest};
use crate::io::report;

/// How long one request may take.
const REQUEST_TIME: Duration = Duration::from_secs(8);

/// The pauses before the second and the third try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// How long the end of the program waits for what is still to be sent. A pod has 30 s for its end.
const END_TIME: Duration = Duration::from_secs(20);

/// The notifications of a running command.
pub struct Notifier {
    command: &'static str,
    settings: Notifications,
    began: (DateTime<Utc>, Instant),
    /// The thread that pings, which gets the last ping.
    pinger: Option<(Sender<HttpRequest>, Receiver<()>)>,
}

impl Notifier {
    /// Pings that the command begins, if that is wanted, on a thread of its own.
    pub fn start(command: &'static str, settings: Notifications) -> Notifier {
        let pinger = settings.ping_url.as_deref().map(|url| {
            let (requests, ended) = sender("ping", url);
            // The thread takes all that comes until its end.
            let _ = requests.send(ping(url, "/start", None));
            (requests, ended)
        });
        Notifier { command, settings, began: (now(), Instant::now()), pinger }
    }

    /// Sends the outcome, and waits a limited time for the answers, even after a signal.
    pub fn finish(self, outcome: &Result<Conclusion, Fail>) {
        let nothing = Conclusion::default();
        let (conclusion, fail) = match outcome {
            Ok(conclusion) => (conclusion, None),
            Err(fail) => (&nothing, Some(fail)),
        };
        let end = CommandEnd {
            command: self.command,
            namespace: self.settings.namespace.as_deref(),
            code: fail.map_or(Exit::Done, |fail| fail.exit).code(),
            message: fail.map_or(&conclusion.message, |fail| &fail.what),
            remedy: fail.map_or("", |fail| &fail.remedy),
            began: self.began.0,
            seconds: report::rounded(self.began.1.elapsed()),
            report: &conclusion.report,
            version: env!("CARGO_PKG_VERSION"),
        };
        let mut ends = Vec::new();
        if let (Some(url), Some((requests, ended))) = (&self.settings.ping_url, self.pinger) {
            let suffix = if end.succeeded() { "" } else { "/fail" };
            let _ = requests.send(ping(url, suffix, Some(end.text())));
            ends.push(("ping", ended));
        }
        if let Some(webhook) = self.settings.webhook.as_ref().filter(|it| it.occasion.includes(end.succeeded())) {
            let (requests, ended) = sender("notification", &webhook.url);
            let _ = requests.send(post(webhook, &end));
            ends.push(("notification", ended));
        }
        let deadline = Instant::now() + END_TIME;
        for (what, ended) in ends {
            if ended.recv_timeout(deadline.saturating_duration_since(Instant::now()))
                == Err(mpsc::RecvTimeoutError::Timeout)
            {
                tracing::warn!("no {what} was sent within {} s", END_TIME.as_secs());
            }
        }
    }
}

fn ping(url: &str, suffix: &str, text: Option<String>) -> HttpRequest {
    let body = text.map(|text| Body { media_type: "text/plain; charset=utf-8", text });
    HttpRequest { url: ping_url(url, suffix), headers: Vec::new(), body }
}

fn post(webhook: &Webhook, end: &CommandEnd<'_>) -> HttpRequest {
    let body = Body { media_type: "application/json", text: end.body(webhook.format) };
    HttpRequest { url: webhook.url.clone(), headers: webhook.headers.clone(), body: Some(body) }
}

/// Starts a thread that sends the requests one after the other. The second channel is closed once all are sent.
fn sender(what: &'static str, url: &str) -> (Sender<HttpRequest>, Receiver<()>) {
    let (requests, queue) = mpsc::channel::<HttpRequest>();
    let (ending, ended) = mpsc::channel();
    let to = http_client::origin(url);
    thread::spawn(move || {
        let client = HttpClient::new(REQUEST_TIME);
        for request in queue {
            match send_with_retries(&client, &request) {
                Ok(()) => tracing::debug!("a {what} was sent to {to}"),
                Err(fault) => tracing::warn!("no {what} was sent to {to}: {}", fault.why),
            }
        }
        drop(ending);
    });
    (requests, ended)
}

/// Tries again after failures that may be temporary.
fn send_with_retries(client: &HttpClient, request: &HttpRequest) -> Result<(), HttpFault> {
    let mut pauses = PAUSES.iter();
    loop {
        match client.send(request) {
            Err(fault) if fault.is_temporary => match pauses.next() {
                Some(pause) => thread::sleep(*pause),
                None => return Err(fault),
            },
            outcome => return outcome,
        }
    }
}
