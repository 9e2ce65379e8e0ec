//! `adhoc`: runs the namespace's backup CronJob once, now, and follows it. The Job is the cluster's: it goes on whatever
//! becomes of this program.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::{Value, json};

use crate::backup::cronjob_settings::cronjobs;
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cmd::Context;
use crate::config::settings;
use crate::config::{Adhoc, Global};
use crate::core::backup::job::{self, JobStage, Try};
use crate::core::kube::calls::JOBS;
use crate::core::kube::json;
use crate::core::kube::objects::ObjectList;
use crate::core::plan::{self, PlanStep};
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, Lines, ProcessError};
use crate::io::random;
use crate::io::report::{self, Reporter};
use crate::io::wait;

/// How often a Job is looked at that has no log to pass on: something is about to happen.
const SOON: Duration = Duration::from_secs(1);

/// How often one is looked at whose log is passed on. The log's end is noticed at once.
const LATER: Duration = Duration::from_secs(5);

/// How soon one is looked at whose log ended.
const AFTER_LOG: Duration = Duration::from_millis(500);

/// After how long a wait for a pod or its container is a matter to look at, whatever it is for.
const LONG: Duration = Duration::from_secs(60);

/// After how long without a pod it is asked why: the controller makes one at once, or says at once why it cannot.
const PODLESS: Duration = Duration::from_secs(3);

/// How often a log is asked for that cannot be had, before the Job is followed without it.
const LOG_TRIES: usize = 10;

/// What `adhoc` says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Followed<'a> {
    namespace: &'a str,
    cron_job: &'a str,
    job: &'a str,
    container: &'a str,
    /// The pod of the last try; null where none was seen.
    pod: Option<&'a str>,
    /// The status of the backup's container in the last try; null if it is unknown.
    exit_code: Option<i64>,
    /// Whether the Job is complete.
    complete: bool,
}

/// Makes a Job from the CronJob, and ends as it ends.
///
/// # Errors
/// There is no such CronJob, the Job cannot be made, it failed, or a signal came, which leaves it at work.
pub fn run(global: &Global, config: &Adhoc, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, config, reporter)?;
    let kubectl = &context.kubectl;
    let target = &kubectl.target;
    let cronjob = reporter.step("observe", |_| {
        let all = cronjobs(kubectl)?;
        let cronjob = job::choose(&all, config.cronjob.as_deref()).map_err(|(why, remedy)| {
            let namespace = &target.namespace;
            Fail::new(Exit::Precondition, format!("the namespace '{namespace}' {why}"))
                .remedy(remedy.replace("NAMESPACE", namespace))
        })?;
        let what = format!("CronJob {}, container {}", json::name(cronjob), job::container(cronjob));
        Ok((cronjob.clone(), what))
    })?;
    let rand = random::letters(6);
    let name = job::job_name(json::name(&cronjob), &rand);
    let manifest = job::manifest(&cronjob, &target.namespace, &name);
    if global.dry_run {
        let shown = job::masked(&manifest, is_secret);
        let create = PlanStep::new(format!("Create the Job {name}")).kubectl(&target.create(JOBS)).manifest(shown);
        let steps = [create, PlanStep::new("Follow it, and end with the exit code of its container")];
        let result = json!({"dryRun": true, "namespace": target.namespace, "job": name, "steps": steps});
        return context.show(&result, || {
            format!(
                "Dry run: nothing was changed. A Job of the CronJob {}:\n{}",
                json::name(&cronjob),
                plan::text(&steps)
            )
        });
    }
    let made = reporter.step("job", |_| Ok((create(kubectl, &name, &manifest)?, name.clone())))?;
    let container = job::container(&cronjob);
    let mut follow = Follow {
        kubectl,
        reporter,
        name: &name,
        uid: json::uid(&made),
        container,
        reported: String::new(),
        since: Instant::now(),
        warned: BTreeSet::new(),
        asked: false,
        last: None,
        heard: BTreeSet::new(),
        log: None,
    };
    let outcome = reporter.step("follow", |step| {
        let outcome = follow.until_it_ends(step)?;
        let what = if outcome.is_ok() { "complete" } else { "failed" };
        Ok((outcome, format!("{name} {what}")))
    })?;
    let last = follow.last.as_ref();
    let result = Followed {
        namespace: &target.namespace,
        cron_job: json::name(&cronjob),
        job: &name,
        container,
        pod: last.map(|one| one.pod.as_str()),
        exit_code: last.and_then(|one| one.code),
        complete: outcome.is_ok(),
    };
    context.show(&result, || result.text())?;
    let Err(why) = outcome else { return Ok(()) };
    // A status of 0 of a Job that failed is not what it failed of.
    let code = result.exit_code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    let said = code.map_or("an unknown exit code".into(), |code| format!("exit code {code}"));
    let what = format!("the Job {name} failed with {said} ({why})");
    bail!(
        Fail::new(code.map_or(Exit::Failed, Exit::As), what)
            .remedy(format!("see its log above, and kubectl describe job {name} -n {}", target.namespace))
    )
}

/// Whether the value of this variable is masked.
fn is_secret(variable: &str) -> bool {
    settings::each().any(|setting| setting.var == variable && setting.is_secret())
}

impl Followed<'_> {
    fn text(&self) -> String {
        let code = self.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
        let end = if self.complete { "is complete" } else { "failed" };
        format!("Job {} of the CronJob {} in {} {end}{code}\n", self.job, self.cron_job, self.namespace)
    }
}

/// Creates the Job. A request that got no answer is made again under the same name, and finds what the first one made.
fn create(kubectl: &Kubectl, name: &str, manifest: &Value) -> Result<Value> {
    let text = manifest.to_string();
    let mut calls = 0;
    let made = kubectl.patiently(|| {
        calls += 1;
        let parse = |stdout: &mut dyn io::BufRead| serde_json::from_reader(stdout).map_err(io::Error::from);
        kubectl.once::<Value>(kubectl.target.create(JOBS), &text, parse)
    });
    let made = made.or_else(|error| match error.refusal() {
        Refusal::AlreadyExists if calls > 1 => kubectl.get(JOBS, name),
        _ => Err(error),
    });
    let made = made.map_err(|error| {
        let fail = error.fail();
        let see =
            format!("see whether it is there all the same: kubectl get job {name} -n {}", kubectl.target.namespace);
        if fail.remedy.is_empty() { fail.remedy(see) } else { fail }
    })?;
    if json::name(&made) != name || json::uid(&made).is_empty() {
        bail!(
            Fail::new(Exit::Failed, format!("kubectl ended well but did not say that it made the Job {name}"))
                .remedy(format!("see whether it is there: kubectl get job {name} -n {}", kubectl.target.namespace))
        );
    }
    Ok(made)
}

/// A Job that is followed.
struct Follow<'a> {
    kubectl: &'a Kubectl,
    reporter: &'a Reporter,
    name: &'a str,
    uid: &'a str,
    container: &'a str,
    /// Its state as it was reported last, and since when.
    reported: String,
    since: Instant,
    /// What was warned of; each thing once.
    warned: BTreeSet<String>,
    /// Whether it was asked why there is no pod.
    asked: bool,
    /// The last try that was seen. The Job may have deleted its pod since.
    last: Option<Try>,
    /// The tries, by pod and restarts, whose log was passed on to its end.
    heard: BTreeSet<(String, u64)>,
    /// The log that is passed on.
    log: Option<Log>,
}

/// The log of one try.
struct Log {
    of: (String, u64),
    /// The stream, while there is one.
    lines: Option<Lines>,
    /// Whether the container has ended, and whether it had when the stream began, which then holds all of the log.
    ended: bool,
    whole: bool,
    /// How many lines of this stream came, and how many were passed on before it.
    at: usize,
    passed_on: usize,
    /// How often it could not be had.
    failed: usize,
}

impl Follow<'_> {
    /// Follows the Job until it is complete, or failed for the reason that is returned.
    fn until_it_ends(&mut self, step: &report::Step) -> Result<Result<(), String>> {
        loop {
            let list = self.kubectl.json(&self.kubectl.target.job_pods(self.uid));
            let list: ObjectList<Value> = list.map_err(|error| self.leave(&error))?;
            let tries = job::tries(&list.items, self.container);
            self.tell(&tries, step);
            self.choose_log(&tries);
            if let Some(last) = tries.into_iter().next_back() {
                self.last = Some(last);
            }
            if self.log.is_some() {
                self.pass_on()?;
                continue;
            }
            // Only when everything is said does it matter how it ended.
            let job: Value = match self.kubectl.get(JOBS, self.name) {
                Err(error) if error.is(Refusal::NotFound) => return Ok(self.gone()),
                answer => answer.map_err(|error| self.leave(&error))?,
            };
            match job::ended(&job) {
                _ if json::uid(&job) != self.uid => return Ok(self.gone()),
                Some(outcome) => return Ok(outcome),
                None => process::sleep(SOON),
            }
            if let Some(fail) = wait::interrupted() {
                bail!(self.goes_on(fail));
            }
        }
    }

    /// A Job that is gone may have been cleaned up the moment it ended.
    fn gone(&self) -> Result<(), String> {
        match &self.last {
            Some(Try { stage: JobStage::Ended, code: Some(0), .. }) => Ok(()),
            _ => Err("it is gone: it was deleted, or its history is cleaned up at once".into()),
        }
    }

    /// Reports its state, and warns once of what needs a person.
    fn tell(&mut self, tries: &[Try], step: &report::Step) {
        let (text, waits) = match tries.last() {
            None if self.last.is_some() => ("its pods are gone".to_string(), None),
            None => ("there is no pod yet".to_string(), Some(false)),
            Some(Try { pod, stage, .. }) => match stage {
                JobStage::Waiting { why, stuck } => (format!("{pod} waits: {why}"), Some(*stuck)),
                JobStage::Running => (format!("{pod} runs"), None),
                JobStage::Ended => (format!("{pod} ended"), None),
            },
        };
        step.progress(&text);
        if text != self.reported {
            tracing::info!(job = self.name, "{text}");
            self.reported = text;
            self.since = Instant::now();
        }
        let podless = tries.is_empty() && self.last.is_none() && self.since.elapsed() > PODLESS;
        if podless && !std::mem::replace(&mut self.asked, true) {
            self.say_why_there_is_no_pod();
        }
        // The reason stays while its words may change.
        let reason = self.reported.splitn(3, ':').take(2).collect();
        if waits.is_some_and(|stuck| stuck || self.since.elapsed() > LONG) && self.warned.insert(reason) {
            let describe = format!("kubectl describe job,pod -n {}", self.kubectl.target.namespace);
            tracing::warn!("the Job {} does not start: {}; see {describe}", self.name, self.reported);
        }
    }

    /// Says what the Events tell of that, where they may be read.
    fn say_why_there_is_no_pod(&self) {
        match self.kubectl.json::<ObjectList<Value>>(&self.kubectl.target.warnings()) {
            Ok(list) => {
                if let Some(why) = job::unmade(self.uid, &list.items) {
                    tracing::warn!(
                        "no pod can be made for the Job {}: {why}; remedy: {}",
                        self.name,
                        job::unmade_remedy(why)
                    );
                }
            }
            Err(error) => tracing::debug!("the Events cannot be read: {error}"),
        }
    }

    /// Takes up the log of the first try whose log was not heard to its end.
    fn choose_log(&mut self, tries: &[Try]) {
        let key = |one: &Try| (one.pod.clone(), one.restarts);
        if let Some(log) = &self.log {
            // A container that was started again, or a pod that is gone, has no such log any more.
            if !tries.iter().any(|one| key(one) == log.of) {
                self.heard.insert(log.of.clone());
                self.log = None;
            }
        }
        // One that is to be started again after it failed has a log, too.
        let started = |one: &&Try| one.stage == JobStage::Running || one.code.is_some();
        let next = tries.iter().filter(started).find(|one| !self.heard.contains(&key(one)));
        let Some(next) = next else { return };
        let log = self.log.get_or_insert_with(|| Log {
            of: key(next),
            lines: None,
            ended: false,
            whole: false,
            at: 0,
            passed_on: 0,
            failed: 0,
        });
        log.ended = next.stage != JobStage::Running;
        if log.lines.is_none() {
            log.whole = log.ended;
            log.at = 0;
            match self.kubectl.start(self.kubectl.target.logs(&next.pod, self.container)) {
                Ok(running) => log.lines = Some(Lines::of(running)),
                Err(error) => tracing::warn!("the log of {} cannot be read: {error}", next.pod),
            }
        }
    }

    /// Passes the log on, until its stream ends or it is time for a look.
    fn pass_on(&mut self) -> Result<()> {
        let end = Instant::now() + LATER;
        let Some(log) = &mut self.log else { return Ok(()) };
        let before = log.at;
        let error = loop {
            let left = end.saturating_duration_since(Instant::now());
            match log.lines.as_mut().map(|lines| lines.next(left)) {
                Some(Ok(Some(line))) => {
                    log.at += 1;
                    if log.at > log.passed_on {
                        self.reporter.pass_on(&log.of.0, &line);
                        log.passed_on = log.at;
                    }
                    if left.is_zero() {
                        return Ok(());
                    }
                }
                // The log of a container that ended is there, and one that nothing comes of is not at the other end.
                Some(Ok(None)) if log.ended && log.at == before => break None,
                Some(Ok(None)) => return Ok(()),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        log.lines = None;
        let heard = match error {
            Some(error) if matches!(error.ending, Ending::Signal(_) | Ending::OutOfTime(_)) => {
                bail!(self.leave(&error));
            }
            Some(ProcessError { ending: Ending::Early, .. }) => log.whole,
            error => {
                log.failed += 1;
                let forbidden = |error: &ProcessError| error.is(Refusal::Forbidden);
                let given_up = log.failed >= LOG_TRIES || error.as_ref().is_some_and(forbidden);
                if given_up {
                    let error = error.map_or("nothing comes".into(), |error| error.to_string());
                    tracing::warn!("the Job is followed without the rest of its log, which cannot be read: {error}");
                }
                given_up
            }
        };
        if heard {
            self.heard.insert(log.of.clone());
            self.log = None;
        } else {
            // The container's end shows in its pod a moment later than in its log.
            process::sleep(AFTER_LOG);
        }
        Ok(())
    }

    /// A failure to read the Job, which is not a failure of the Job.
    fn leave(&self, error: &ProcessError) -> Fail {
        self.goes_on(error.fail())
    }

    fn goes_on(&self, fail: Fail) -> Fail {
        let (name, namespace, container) = (self.name, &self.kubectl.target.namespace, self.container);
        let what = format!("{}; the Job {name} goes on ({})", fail.what, self.reported);
        let first = if fail.remedy.is_empty() { String::new() } else { format!("{}; ", fail.remedy) };
        Fail::new(fail.exit, what).remedy(format!(
            "{first}follow it with kubectl logs -f -n {namespace} job/{name} -c {container}, or end it with kubectl delete job {name} -n {namespace}"
        ))
    }
}
