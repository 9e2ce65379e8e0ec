//! The one place that writes: results to stdout, everything else to stderr. On a terminal a live line shows the current
//! step; elsewhere there are plain log lines, or JSON. Must not know what the steps are.
//!
//! The text may come from a container, an annotation or an API server. So control characters in it are made visible here,
//! before anything is written (see [`escape::visible`]).

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::core::escape;
use crate::exit::Fail;

/// The format of progress and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// [`LogFormat::Live`] on a terminal, else [`LogFormat::Plain`].
    Auto,
    /// A live line for the current step.
    Live,
    /// A line for each event, with its time.
    Plain,
    /// A JSON object for each event.
    Json,
}

/// The live line, if there is one. Log lines are written above it.
static LIVE: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The first members of every JSON line, each with a comma.
static MARKS: Mutex<String> = Mutex::new(String::new());

/// The longest text beside the spinner, in characters.
const LONGEST_PROGRESS: usize = 200;

/// Writes log lines to stderr, above the live line.
#[derive(Clone, Copy)]
struct Stderr {
    json: bool,
    live: bool,
    /// The level in colour, for a live line.
    prefix: &'static str,
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8_lossy(line);
        let text = if self.json { marked(&escape::json(&text)) } else { format!("{}{}", self.prefix, indented(&text)) };
        // A backup must not fail because its log cannot be written.
        let _ = match live {
            Some(bar) => bar.suspend(|| stderr().write_all(text.as_bytes())),
            None => stderr().write_all(text.as_bytes()),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A JSON line with the [`MARKS`].
fn marked(line: &str) -> String {
    let marks = MARKS.lock().unwrap_or_else(PoisonError::into_inner);
    match line.strip_prefix('{') {
        Some(rest) => format!("{{{marks}{rest}"),
        None => line.into(),
    }
}

/// Indents all lines but the first, so that text from outside cannot imitate a log line.
fn indented(text: &str) -> String {
    let (text, end) = text.strip_suffix('\n').map_or((text, ""), |text| (text, "\n"));
    format!("{}{end}", escape::visible(text).replace('\n', "\n  "))
}

impl MakeWriter<'_> for Stderr {
    type Writer = Stderr;

    fn make_writer(&self) -> Stderr {
        *self
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Stderr {
        let prefix = match *meta.level() {
            _ if !self.live => "",
            Level::ERROR => "\x1b[31mERROR\x1b[0m ",
            Level::WARN => "\x1b[33m WARN\x1b[0m ",
            Level::INFO => "\x1b[32m INFO\x1b[0m ",
            _ => "\x1b[34mDEBUG\x1b[0m ",
        };
        Stderr { prefix, ..*self }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn stderr() -> io::Stderr {
    io::stderr()
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn stdout() -> io::Stdout {
    io::stdout()
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Warnings and errors.
    Quiet,
    /// The result of each step, too.
    Usual,
    /// Every process, too.
    Verbose,
}

#[derive(Debug, Clone, Copy)]
pub struct Reporter {
    live: bool,
    json: bool,
    quiet: bool,
}

/// The current step.
#[derive(Debug)]
pub struct Step {
    bar: Option<ProgressBar>,
    name: &'static str,
}

impl Reporter {
    /// Sets up the log. If it is verbose, there is no live line unless asked for.
    pub fn new(format: LogFormat, how_much: LogLevel) -> Reporter {
        let live = match format {
            LogFormat::Auto => stderr().is_terminal() && how_much != LogLevel::Verbose,
            LogFormat::Live => true,
            LogFormat::Plain | LogFormat::Json => false,
        };
        let level = match (how_much, live) {
            (LogLevel::Verbose, _) => Level::DEBUG,
            // The live display shows the steps itself.
            (LogLevel::Quiet, _) | (LogLevel::Usual, true) => Level::WARN,
            (LogLevel::Usual, false) => Level::INFO,
        };
        let json = format == LogFormat::Json;
        let log = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_ansi(false);
        // The writer makes control characters visible.
        let log = log.with_ansi_sanitization(false).with_writer(Stderr { json, live, prefix: "" });
        if json {
            log.json().flatten_event(true).init();
        } else if live {
            log.without_time().with_level(false).init();
        } else {
            log.init();
        }
        Reporter { live, json, quiet: how_much == LogLevel::Quiet }
    }

    /// The same without the results of steps, for what is done again and again.
    pub fn quietly(&self) -> Reporter {
        Reporter { quiet: true, ..*self }
    }

    /// Adds a member to every further JSON line of any thread. A key that was added before keeps its value.
    pub fn mark(&self, key: &str, value: &str) {
        let mut marks = MARKS.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{}:", serde_json::json!(key));
        if self.json && !marks.contains(&key) {
            marks.push_str(&format!("{key}{},", serde_json::json!(value)));
        }
    }

    /// Runs one step and reports its result, in a line, and its duration.
    pub fn step<T>(&self, name: &'static str, work: impl FnOnce(&Step) -> Result<(T, String)>) -> Result<T> {
        let began = Instant::now();
        let step = Step { bar: (self.live && !self.quiet).then(|| spinner(name)), name };
        *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = step.bar.clone();
        tracing::debug!(step = name, "begins");
        let outcome = work(&step);
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bar) = &step.bar {
            bar.finish_and_clear();
        }
        let took = began.elapsed();
        match &outcome {
            _ if self.quiet => {}
            Ok((_, what)) if self.live => {
                self.line("\x1b[32m✓\x1b[0m", &format!("{name:<9} {what} ({})", seconds(took)));
            }
            Err(_) if self.live => self.line("\x1b[31m✗\x1b[0m", &format!("{name:<9} ({})", seconds(took))),
            Ok((_, what)) => tracing::info!(step = name, seconds = rounded(took), "{what}"),
            Err(_) => tracing::warn!(step = name, seconds = rounded(took), "failed"),
        }
        outcome.map(|(value, _)| value)
    }

    /// Writes a result to stdout, with control characters made visible.
    pub fn result(&self, text: &str) -> io::Result<()> {
        self.exactly(&escape::visible(text))
    }

    /// Writes text for a shell to stdout, unchanged.
    pub fn exactly(&self, text: &str) -> io::Result<()> {
        let mut stdout = stdout();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Writes a question. The caller reads the answer.
    pub fn ask(&self, question: &str) {
        // There is no other place to report that stderr cannot be written.
        let _ = write!(stderr(), "{}", escape::visible(question));
    }

    /// Passes on a line of the log of this program in a pod: unchanged, or as a member of a JSON line.
    pub fn pass_on(&self, from: &str, line: &str) {
        if self.quiet {
            // The levels look alike in both formats.
            if ["WARN", "ERROR"].iter().any(|level| line.contains(level)) {
                tracing::warn!(from, "{line}");
            }
        } else if self.json {
            tracing::info!(from, "{line}");
        } else {
            // There is no other place to report that stderr cannot be written.
            let _ = Stderr { json: false, live: self.live, prefix: "" }.write(format!("{line}\n").as_bytes());
        }
    }

    /// Reports the failure of the program, with its remedy, unless that was done.
    pub fn failure(&self, fail: &Fail) {
        if fail.is_reported {
            return;
        }
        let code = fail.exit.code();
        if self.live {
            self.line("\x1b[31merror:\x1b[0m", &fail.what);
            if !fail.remedy.is_empty() {
                self.line("\x1b[36mremedy:\x1b[0m", &fail.remedy);
            }
        } else if fail.remedy.is_empty() {
            tracing::error!(code, "failed: {}", fail.what);
        } else {
            tracing::error!(code, remedy = fail.remedy, "failed: {}", fail.what);
        }
    }

    fn line(self, mark: &str, text: &str) {
        // There is no other place to report that stderr cannot be written.
        let _ = writeln!(stderr(), "{mark} {}", indented(text));
    }
}

impl Step {
    /// Shows `done` of `all`.
    pub fn count(&self, done: usize, all: usize) {
        if let Some(bar) = &self.bar {
            if bar.length().is_none()
                && let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bar:30} {pos}/{len} ({elapsed})")
            {
                bar.set_style(style);
            }
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
    }

    /// Shows a text about the progress.
    pub fn progress(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{:<9} {}", self.name, escape::one_line(&escape::short(what, LONGEST_PROGRESS))));
        }
    }
}

/// Prints the message of the command line parser: help and version to stdout, usage errors to stderr.
pub fn usage(said: &clap::Error) {
    // There is no other place to report that stderr cannot be written.
    let _ = said.print();
}

pub fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

pub fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

/// Seconds, rounded to milliseconds.
pub fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

fn spinner(name: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
