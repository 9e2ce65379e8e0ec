//! Speaks kubectl: makes its calls, tells its refusals apart, asks again where the API is only busy or away. Must not
//! know what a backup is.

use std::io::{self, BufRead, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::cluster::refusal::Refusal;
use crate::core::escape::Secrets;
use crate::core::kube::calls::{ClusterChoice, Kind, Next, Target};
use crate::core::kube::kubectl_env::{EnvChange, KUBERC, Shield};
use crate::core::kube::list_reader::{ListEnd, ListReader};
use crate::core::kube::objects::ObjectList;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, Job, ProcessError, RunningProcess};

/// kubectl for one target.
#[derive(Debug, Clone)]
pub struct Kubectl {
    /// Where it goes.
    pub target: Target,
    /// Masked wherever a call is shown.
    pub secrets: Secrets,
    /// How long a busy or absent API is asked again.
    pub retry_timeout: Duration,
    environment: Arc<Environment>,
}

/// Which kubectl is called, and what is different in its environment from this program's.
#[derive(Debug)]
pub struct Environment {
    /// The changes.
    pub changes: Vec<EnvChange>,
    /// kubectl's path, or its name in the PATH.
    program: String,
    /// The preferences that one of them names; they go with this.
    _preferences: Option<NamedTempFile>,
}

impl Environment {
    /// kubectl without preferences, but for a policy for credential plugins.
    ///
    /// # Errors
    /// That policy cannot be passed on.
    pub fn of(shield: &Shield) -> io::Result<Environment> {
        let policy = shield.preferences.as_ref().and_then(|preferences| preferences.policy.as_deref());
        let preferences = policy.map(|policy| {
            let mut file = tempfile::Builder::new().prefix("backup-ns-kuberc-").tempfile()?;
            file.write_all(policy.as_bytes()).map(|()| file)
        });
        let preferences = preferences.transpose()?;
        let path = preferences.as_ref().map(|file| file.path().display().to_string());
        let kuberc = (KUBERC.to_string(), Some(path.unwrap_or_else(|| "off".into())));
        let changes = shield.changes.iter().cloned().chain([kuberc]).collect();
        let program = shield.caller.clone().unwrap_or_else(|| "kubectl".into());
        Ok(Environment { changes, program, _preferences: preferences })
    }
}

/// What was read; None if it was not found.
pub fn if_found<T>(read: Result<T, ProcessError>) -> Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is(Refusal::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Kubectl {
    /// kubectl for what was asked, with its context and namespace pinned for the whole run.
    ///
    /// # Errors
    /// kubectl cannot be run, or has no cluster to talk to.
    pub fn connect(asked: &ClusterChoice, secrets: Secrets, retry_timeout: Duration) -> Result<Kubectl> {
        Kubectl::unpinned(asked, secrets, retry_timeout)?.pin(asked)
    }

    /// kubectl for what was asked, with whatever context is the current one at each call.
    ///
    /// # Errors
    /// What kubectl gets from its environment cannot be made.
    pub fn unpinned(asked: &ClusterChoice, secrets: Secrets, retry_timeout: Duration) -> Result<Kubectl> {
        let environment = Environment::of(&asked.shield).map_err(|error| {
            Fail::new(
                Exit::Precondition,
                format!("kubectl's policy for credential plugins cannot be passed on: {error}"),
            )
            .remedy(
                "make the directory for temporary files writable (TMPDIR), or set KUBERC=off to go without that policy",
            )
        })?;
        let environment = Arc::new(environment);
        Ok(Kubectl { target: Target::of(asked), secrets, retry_timeout, environment })
    }

    /// The same with its context and namespace pinned, as in [`Kubectl::connect`].
    ///
    /// # Errors
    /// kubectl cannot be run, or has no cluster to talk to.
    pub fn pin(&self, asked: &ClusterChoice) -> Result<Kubectl> {
        let view = self.json(&self.target.config_view())?;
        let mut target = Target::resolve(asked, &view).map_err(|what| {
            Fail::new(Exit::Precondition, what).remedy(
                "set KUBECONFIG (--kubeconfig), and choose a context with --context or kubectl config use-context",
            )
        })?;
        if !target.server_path.is_empty() {
            let version = self.json(&self.target.version()).unwrap_or_default();
            target = target.for_version(&version).map_err(|what| {
                Fail::new(Exit::Precondition, what)
                    .remedy("use kubectl 1.34 or newer; kubectl version --client tells its version")
            })?;
        }
        Ok(Kubectl { target, ..self.clone() })
    }

    fn job(&self, args: Vec<String>) -> Job<'_> {
        Job { program: &self.environment.program, args, environment: &self.environment.changes, secrets: &self.secrets }
    }

    /// Starts a call whose streams the caller works with.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, args: Vec<String>) -> Result<RunningProcess, ProcessError> {
        self.job(args).start()
    }

    /// Makes a call in the place of this program; returns only if that cannot be.
    pub fn replace(&self, args: Vec<String>) -> ProcessError {
        self.job(args).replace()
    }

    /// Makes a call once.
    ///
    /// # Errors
    /// As [`Job::run`].
    pub fn once<T: Send>(
        &self,
        args: Vec<String>,
        input: &str,
        read: impl FnOnce(&mut dyn BufRead) -> io::Result<T> + Send,
    ) -> Result<T, ProcessError> {
        // kubectl ends by its own --request-timeout; this is for one that hangs otherwise.
        self.job(args).run(input, self.target.request_timeout + Duration::from_secs(10), read)
    }

    /// Makes a call that reads JSON, again and again while the API is away and patience lasts.
    ///
    /// # Errors
    /// As [`Job::run`]; output that is not what was asked for among them.
    pub fn json<T: DeserializeOwned + Send>(&self, args: &[String]) -> Result<T, ProcessError> {
        self.patiently(|| {
            self.once(args.to_vec(), "", |stdout| serde_json::from_reader(stdout).map_err(io::Error::from))
        })
    }

    /// Reads an object of the namespace, or of the cluster.
    pub fn get<T: DeserializeOwned + Send>(&self, kind: Kind, name: &str) -> Result<T, ProcessError> {
        self.json(&self.target.get(kind, name))
    }

    /// Reads all objects of these kinds in the namespace.
    ///
    /// # Errors
    /// As [`Kubectl::json`]; an object of another namespace among them.
    pub fn all<I: DeserializeOwned + Send, T: From<ObjectList<I>>>(&self, kinds: &[Kind]) -> Result<T, ProcessError> {
        self.read_all(&self.target.get_all(kinds))
    }

    /// Makes a call that lists objects of the namespace.
    ///
    /// # Errors
    /// As [`Kubectl::all`].
    pub fn read_all<I: DeserializeOwned + Send, T: From<ObjectList<I>>>(
        &self,
        args: &[String],
    ) -> Result<T, ProcessError> {
        let ours = |object: Value| match object["metadata"]["namespace"].as_str() {
            Some(other) if other != self.target.namespace => {
                Err(format!("it answered with objects of the namespace '{other}', not of '{}'", self.target.namespace))
            }
            _ => serde_json::from_value(object).map(Some).map_err(|error| error.to_string()),
        };
        let (items, _) = self.patiently(|| self.each(args, ours))?;
        Ok(T::from(ObjectList { items }))
    }

    /// Makes a call that lists objects, and keeps of each what `keep` makes of it, if anything. One at a time is held whole.
    fn each<T: DeserializeOwned, S: Send>(
        &self,
        args: &[String],
        keep: impl Fn(T) -> Result<Option<S>, String> + Sync,
    ) -> Result<(Vec<S>, ListEnd), ProcessError> {
        self.once(args.to_vec(), "", |stdout| {
            let (mut kept, mut list) = (Vec::new(), ListReader::default());
            loop {
                let text = match stdout.fill_buf() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    text => text?,
                };
                let length = text.len();
                if length == 0 {
                    return Ok((kept, list.end().map_err(io::Error::other)?));
                }
                let read = list.read(text, |object| {
                    let object = serde_json::from_slice(object).map_err(|error| error.to_string())?;
                    kept.extend(keep(object)?);
                    Ok(())
                });
                read.map_err(io::Error::other)?;
                stdout.consume(length);
            }
        })
    }

    /// Reads an object; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find<T: DeserializeOwned + Send>(&self, kind: Kind, name: &str) -> Result<Option<T>> {
        if_found(self.get(kind, name))
    }

    /// Whether there is a Secret of this name. Its data is not read.
    ///
    /// # Errors
    /// As [`Job::run`].
    pub fn is_secret(&self, name: &str) -> Result<bool, ProcessError> {
        let row = self.target.secret_row(name);
        let skip = |stdout: &mut dyn BufRead| io::copy(stdout, &mut io::sink()).map(|_| ());
        match self.patiently(|| self.once(row.clone(), "", skip)) {
            Ok(()) => Ok(true),
            Err(error) if error.is(Refusal::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates the object of a manifest, or replaces it, as the call says; what it is now. Where the first answer was lost,
    /// the second is that it is there already, or in another version.
    ///
    /// # Errors
    /// As [`Job::run`].
    pub fn create<T: DeserializeOwned + Send>(&self, args: &[String], manifest: &Value) -> Result<T, ProcessError> {
        let text = manifest.to_string();
        let parse = |stdout: &mut dyn BufRead| serde_json::from_reader(stdout).map_err(io::Error::from);
        self.patiently(|| self.once(args.to_vec(), &text, parse))
    }

    /// Creates an object; one of its name that is there already is the answer.
    ///
    /// # Errors
    /// It is not there, and cannot be created.
    pub fn ensure<T: DeserializeOwned + Send>(&self, create: &[String], manifest: &Value, get: &[String]) -> Result<T> {
        let created = self.create(create, manifest).or_else(|error| match error.refusal() {
            Refusal::AlreadyExists => self.json(get),
            _ => Err(error),
        });
        Ok(created?)
    }

    /// Makes a call of which only the end counts. A call that was answered late is made again: it must be such that the second
    /// time does no harm.
    ///
    /// # Errors
    /// As [`Job::run`]; an end without an answer among them, because the API answers every change with something.
    pub fn act(&self, args: &[String], input: &str) -> Result<(), ProcessError> {
        self.patiently(|| match self.once(args.to_vec(), input, |stdout| Ok(stdout.fill_buf()?.is_empty()))? {
            true => Err(self.unanswered(args)),
            false => Ok(()),
        })
    }

    /// The error for a call that returned nothing.
    pub fn unanswered(&self, args: &[String]) -> ProcessError {
        let command = format!("kubectl {}", args.join(" "));
        ProcessError { command, ending: Ending::Early, stderr: String::new(), secrets: self.secrets.clone() }
    }

    /// Reads a list page by page, as `page` asks for them, and keeps of each object what `keep` makes of it, if anything. A list
    /// that changes too fast to be read to its end is begun again, some times.
    ///
    /// # Errors
    /// As [`Job::run`]. There is never a part of a list.
    pub fn pages<T: DeserializeOwned, S: Send>(
        &self,
        page: impl Fn(&Next) -> Vec<String>,
        keep: impl Fn(T) -> Option<S> + Sync,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<S>, ProcessError> {
        let mut all: Vec<S> = Vec::new();
        self.each_page(Next::default(), page, keep, |kept| {
            match kept {
                Some(kept) if all.is_empty() => all = kept,
                Some(kept) => all.extend(kept),
                None => all.clear(),
            }
            progress(all.len());
            Ok::<(), ProcessError>(())
        })?;
        Ok(all)
    }

    /// As [`Kubectl::pages`], but begins with the page `next`, and hands on what was kept of each page at once. Before a list is
    /// begun again, None is handed on. A page that is too big, or takes too long, is asked for in smaller parts.
    ///
    /// # Errors
    /// As [`Job::run`], and those of `hand_on`.
    pub fn each_page<T: DeserializeOwned, S: Send, E: From<ProcessError>>(
        &self,
        mut next: Next,
        page: impl Fn(&Next) -> Vec<String>,
        keep: impl Fn(T) -> Option<S> + Sync,
        mut hand_on: impl FnMut(Option<Vec<S>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tries = 5;
        loop {
            let read = self.patiently(|| {
                let read = self.each(&page(&next), |object| Ok(keep(object)));
                if matches!(&read, Err(error) if error.is(Refusal::Transient)) {
                    next.shrink();
                }
                read
            });
            match read {
                Ok((kept, end)) => {
                    if next.follow(&end) {
                        hand_on(Some(kept))?;
                        if next.token.is_empty() {
                            return Ok(());
                        }
                    }
                }
                Err(error) if error.is(Refusal::ListTokenExpired) && tries > 0 => {
                    tracing::warn!("the list changed too fast to be read to its end, beginning again");
                    tries -= 1;
                    next.token.clear();
                    hand_on(None)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The same kubectl for another namespace.
    pub fn in_namespace(&self, namespace: &str) -> Kubectl {
        let target = Target { namespace: namespace.into(), ..self.target.clone() };
        Kubectl { target, ..self.clone() }
    }

    /// Makes a call again and again while its refusal is a passing one and patience lasts.
    ///
    /// # Errors
    /// Those of the last try.
    pub fn patiently<T>(&self, mut call: impl FnMut() -> Result<T, ProcessError>) -> Result<T, ProcessError> {
        let end = Instant::now() + self.retry_timeout;
        let mut pause = Duration::from_millis(250);
        loop {
            let error = match call() {
                Err(error) if error.is(Refusal::Transient) => error,
                outcome => return outcome,
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error);
            }
            tracing::warn!(
                "the API does not answer, asking again for up to {}: {}",
                humantime::format_duration(Duration::from_secs(left.as_secs().max(1))),
                error.said().lines().last().unwrap_or("no answer in time"),
            );
            process::sleep(pause.min(left));
            if let Some(ending) = process::hurried() {
                return Err(ProcessError { ending, ..error });
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}
