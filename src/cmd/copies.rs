//! A repository of exports, read in a scratch pod with the user's tool: its copies, their manifests, and copies that are brought to a
//! folder. Must not know what becomes of them.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::scratch_pod::ScratchPod;
use crate::cmd::proven_snapshot::ScratchSession;
use crate::config::ExportSettings;
use crate::container;
use crate::container::session::{Line, Lost, Session};
use crate::core::backup::pod::Chosen;
use crate::core::export::ExportTool;
use crate::core::export::import::{self, CopiesOf, CopyEntry, LATEST, WantedCopy};
use crate::core::export::job::{self, ExportJobRequest};
use crate::core::export::manifest::ExportManifest;
use crate::core::export::record;
use crate::core::kube::calls::{CLAIMS, PODS, delete_options};
use crate::core::kube::objects::{ObjectList, Pvc};
use crate::core::restore::verify::{self, IMPORT, JobRequest, PodVolume, ScratchPodTemplate};
use crate::exit::{Exit, Fail};
use crate::io::process;
use crate::io::random;
use crate::io::report::{self, Reporter, Step};
use crate::io::wait;

/// How long a claim may take to go.
const GONE: Duration = Duration::from_secs(90);
/// The pause before a claim that is to go is read again.
const SOON: Duration = Duration::from_millis(500);

/// The pause before the Job of another run is read again.
const PAUSE: Duration = Duration::from_secs(2);

/// Makes a Job whose name is a lock: while it is that of another run, this one waits until `end`. Returns whether it had to wait.
/// `what` is what the other run does.
///
/// # Errors
/// It cannot be made, or not in time.
pub fn make_job(pod: &mut ScratchPod<'_>, manifest: &Value, end: Instant, what: &str) -> Result<bool> {
    let word = |field: &str| manifest["metadata"][field].as_str().unwrap_or_default();
    let (job, namespace) = (word("name"), word("namespace"));
    let mut waited = false;
    loop {
        if pod.make(manifest)? {
            return Ok(waited);
        }
        if !waited {
            tracing::info!("another {what} is at work, waiting for it: Job {job}");
        }
        waited = true;
        if Instant::now() >= end {
            bail!(
                Fail::new(Exit::Lock, format!("another {what} is at work: Job {job}"))
                    .remedy(format!("wait for it, or end it with kubectl delete job {job} -n {namespace}"))
            );
        }
        process::sleep(PAUSE);
        if let Some(fail) = wait::interrupted() {
            bail!(fail);
        }
    }
}

/// Refuses a claim that is there already.
///
/// # Errors
/// It is there.
pub fn check_free(kubectl: &Kubectl, pvc: &str) -> Result<()> {
    if kubectl.find::<Value>(CLAIMS, pvc)?.is_some() {
        let what = format!("{} has a claim {pvc} already", kubectl.target.namespace);
        bail!(
            Fail::new(Exit::Precondition, what)
                .remedy("name another with --pvc; a claim that is there is never changed")
        );
    }
    Ok(())
}

/// Makes the claim, and returns its uid.
///
/// # Errors
/// One of this name is there, or it cannot be made.
pub fn make_claim(kubectl: &Kubectl, pvc: &str, manifest: &Value) -> Result<String> {
    let owner = |claim: &Value| claim["metadata"]["ownerReferences"][0]["uid"].clone();
    let made = match kubectl.create::<Value>(&kubectl.target.create(CLAIMS), manifest) {
        // The first answer may have been lost.
        Err(error) if error.is(Refusal::AlreadyExists) => match kubectl.find::<Value>(CLAIMS, pvc)? {
            Some(there) if owner(&there) == owner(manifest) => there,
            _ => return check_free(kubectl, pvc).and_then(|()| Err(error.into())),
        },
        made => made?,
    };
    Ok(made["metadata"]["uid"].as_str().unwrap_or_default().into())
}

/// Deletes a claim that goes with a Job. Kubernetes does so, too, some time after that Job is gone.
pub fn remove_claim(kubectl: &Kubectl, pvc: &str, uid: &str) {
    let options = delete_options(&json!({"uid": uid}));
    match kubectl.act(&kubectl.target.delete(CLAIMS, pvc), &options) {
        Err(error) if !error.is(Refusal::NotFound) => {
            tracing::warn!(claim = pvc, "it cannot be deleted, but goes with its Job: {error}");
            return;
        }
        _ => {}
    }
    let end = Instant::now() + GONE;
    while let Ok(Some(there)) = kubectl.find::<Pvc>(CLAIMS, pvc) {
        if there.metadata.uid != uid {
            return;
        }
        if Instant::now() >= end {
            return tracing::warn!(claim = pvc, "it is deleted, but not gone yet");
        }
        process::sleep(SOON);
    }
}

/// What a pod that reads a repository has from the database's pod, as that of an export: its user, nodes and pull Secrets. Nothing if
/// no pod of the namespace mounts the claim of the settings.
///
/// # Errors
/// The pods cannot be read.
pub fn pod_template(kubectl: &Kubectl, settings: &ExportSettings) -> Result<ScratchPodTemplate> {
    let pods: ObjectList<Value> = kubectl.json(&kubectl.target.list(PODS, ""))?;
    Ok(verify::pod_template(&pods.items, None, &settings.pvc))
}

/// The way to a repository.
#[derive(Clone, Copy)]
pub struct Repository<'a> {
    pub kubectl: &'a Kubectl,
    pub reporter: &'a Reporter,
    pub settings: &'a ExportSettings,
    pub template: &'a ScratchPodTemplate,
    /// When all of it must be done.
    pub end: Instant,
}

/// A manifest, with its size and SHA-256.
#[derive(Debug, Clone)]
pub struct ReadManifest {
    pub manifest: ExportManifest,
    pub bytes: u64,
    pub sha256: String,
}

impl<'a> Repository<'a> {
    /// The Job of a pod that reads it.
    pub fn job(&self, name: &str, volume: PodVolume<'_>, run: &str) -> Value {
        job::job(&ExportJobRequest {
            base: JobRequest {
                purpose: &IMPORT,
                name,
                namespace: &self.kubectl.target.namespace,
                volume,
                image: &self.settings.image,
                template: self.template,
                keepalive: container::KEEPALIVE,
                // Its own limit ends it only if this program was killed.
                seconds: self.settings.timeout.as_secs() + 30,
            },
            secret: self.settings.secret.as_deref(),
            service_account: self.settings.service_account.as_deref(),
            resources: &self.settings.resources,
            run,
        })
    }

    /// Does `work` in a pod without a volume, which goes then whatever came of it.
    ///
    /// # Errors
    /// Those of `work`, or the pod does not run.
    pub fn in_pod<T>(&self, work: impl FnOnce(&RepositoryPod<'_>) -> Result<T>) -> Result<T> {
        let name = format!("backup-ns-{}-{}", IMPORT.word, random::letters(6));
        let mut pod = ScratchPod::of(self.kubectl, &IMPORT, &name);
        let run = random::nonce();
        let outcome = pod.ensure(&self.job(&name, PodVolume::Nothing, &run)).and_then(|()| self.run(&pod, work));
        self.clear(&pod, &name)?;
        outcome
    }

    /// Does `work` in a pod whose Job is made.
    ///
    /// # Errors
    /// As [`Repository::in_pod`].
    pub fn run<T>(&self, pod: &ScratchPod<'_>, work: impl FnOnce(&RepositoryPod<'_>) -> Result<T>) -> Result<T> {
        let chosen = self.reporter.step("pod", |step| {
            let chosen = pod.run(&self.settings.image, step, self.end)?;
            let what = format!("{}, image {}", chosen.pod, chosen.image);
            Ok((chosen, what))
        })?;
        let outcome = work(&RepositoryPod { repository: *self, pod, chosen: &chosen, address: RefCell::default() });
        // Otherwise it would end after its grace period.
        let call = self.kubectl.target.exec(&chosen.pod, &chosen.container, container::END_POD);
        if let Err(error) = self.kubectl.once(call, "", |_| Ok(())) {
            tracing::debug!(pod = chosen.pod, "it does not end by itself: {error}");
        }
        outcome
    }

    /// Deletes the Job with all that belongs to it, also after a signal.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn clear(&self, pod: &ScratchPod<'_>, name: &str) -> Result<()> {
        process::unhurried(|| {
            self.reporter.step("clear", |_| {
                pod.clear();
                Ok(((), format!("Job {name} with its pod")))
            })
        })
    }
}

/// A running pod that reads a repository.
pub struct RepositoryPod<'a> {
    repository: Repository<'a>,
    pod: &'a ScratchPod<'a>,
    chosen: &'a Chosen,
    /// The address that the last session reported.
    address: RefCell<String>,
}

impl<'a> RepositoryPod<'a> {
    /// The pod and container.
    pub fn place(&self) -> &'a Chosen {
        self.chosen
    }

    /// One session to its end. `note` takes its reports. The session is returned: as long as it is open, the pod stays.
    fn session(
        &self,
        mode: &str,
        (target, copies): (&str, &[WantedCopy]),
        mut note: impl FnMut(&Line) -> Result<()>,
    ) -> Result<ScratchSession<'a>> {
        let Repository { kubectl, reporter, settings, end, .. } = self.repository;
        let mut values = vec![target.to_string(), job::FOLDERS[1].into(), job::FOLDERS[2].into()];
        values.extend([settings.remote.clone(), settings.check.clone(), mode.into()]);
        values.push(copies.len().to_string());
        values.extend(copies.iter().flat_map(WantedCopy::values));
        let nonce = random::nonce();
        let script = (container::import(settings.tool), nonce.as_str(), &values[..]);
        let (mut session, mut line) =
            ScratchSession::start(kubectl, (self.pod, self.chosen), script, (end, settings.timeout))?;
        let mut opened = (String::new(), String::new());
        let mut hear = || {
            loop {
                line = match line.key.as_str() {
                    "step" => {
                        let name = ["open", "list", "read", "fetch"].into_iter().find(|it| *it == line.value);
                        let mut work = |step: &Step| stage(step, &mut session, &mut opened, &mut note);
                        reporter.step(name.unwrap_or("import"), &mut work)?
                    }
                    "end" => return Ok(()),
                    _ => {
                        take(&line, &mut session.session, &mut opened, &mut note)?;
                        session.next()?
                    }
                };
            }
        };
        let outcome: Result<()> = hear();
        self.address.replace(opened.1);
        outcome.map(|()| session)
    }

    /// The repository's address as the last session reported it, without user, password and parameters; empty before that.
    pub fn address(&self) -> String {
        self.address.borrow().clone()
    }

    /// All copies of the repository, in any order.
    ///
    /// # Errors
    /// As the exit codes say.
    pub fn list(&self) -> Result<Vec<CopyEntry>> {
        let mut entries = Vec::new();
        self.session("list", ("", &[]), |line| {
            if line.key == "copy" {
                entries.extend(CopyEntry::parse(self.repository.settings.tool, &line.value));
            }
            Ok(())
        })?;
        Ok(entries)
    }

    /// The copy that is called `id`, see [`import::choose`].
    ///
    /// # Errors
    /// As [`RepositoryPod::list`], or no copy has that name.
    pub fn find(&self, id: &str, of: &CopiesOf) -> Result<CopyEntry> {
        if self.repository.settings.tool == ExportTool::Command {
            return CopyEntry::named(id).ok_or_else(|| no_list().into());
        }
        let mut entries = self.list()?;
        if id == LATEST && self.repository.settings.tool == ExportTool::Rclone {
            entries = self.by_data(import::of(entries, Some(of)))?;
        }
        Ok(import::choose(entries, id, of).map_err(Fail::precondition)?)
    }

    /// The copies with the time of their data instead of that at which they were sent: an older snapshot may be sent after a newer
    /// one. Without those whose manifest cannot be used.
    fn by_data(&self, entries: Vec<CopyEntry>) -> Result<Vec<CopyEntry>> {
        if entries.is_empty() {
            return Ok(entries);
        }
        let made = self.manifests(&entries)?.into_iter().map(|read| Some(read.ok()?.manifest.made));
        Ok(import::by_data(entries, made))
    }

    /// The manifests of these copies, or why one cannot be used.
    ///
    /// # Errors
    /// None of them could be read because of the way to the repository.
    pub fn manifests(&self, entries: &[CopyEntry]) -> Result<Vec<Result<ReadManifest, String>>> {
        let wanted: Vec<WantedCopy> = entries.iter().map(WantedCopy::manifest).collect();
        let (mut found, mut text) = (Vec::new(), String::new());
        let tool = self.repository.settings.tool;
        self.session("read", ("", &wanted), |line| {
            match line.key.as_str() {
                "text" => {
                    text.push_str(&line.value);
                    text.push('\n');
                }
                "read" | "unread" => {
                    let (number, rest) = line.value.split_once(' ').unwrap_or_default();
                    let entry = entries.get(found.len()).filter(|_| number.parse() == Ok(found.len()));
                    let entry = entry.ok_or_else(|| odd(line))?;
                    let text = std::mem::take(&mut text);
                    found.push(match line.key.as_str() {
                        "read" => {
                            let (bytes, sha256) = rest.split_once(' ').ok_or_else(|| odd(line))?;
                            let bytes = bytes.parse().map_err(|_| odd(line))?;
                            let manifest = ExportManifest::parse(&text).map_err(|why| format!("its manifest: {why}"));
                            manifest.and_then(|manifest| {
                                import::check(&manifest, entry, tool)?;
                                Ok(ReadManifest { manifest, bytes, sha256: sha256.into() })
                            })
                        }
                        _ => Err(rest.to_string()),
                    });
                }
                _ => {}
            }
            Ok(())
        })?;
        if found.len() != entries.len() {
            bail!(Fail::new(Exit::Failed, "the container did not report each manifest").remedy("run it again"));
        }
        Ok(found)
    }

    /// The manifest of one copy.
    ///
    /// # Errors
    /// [`Exit::BackupBad`] if it cannot be used.
    pub fn manifest(&self, entry: &CopyEntry) -> Result<ReadManifest> {
        let found = self.manifests(std::slice::from_ref(entry))?.pop();
        let found = found.unwrap_or_else(|| Err("it was not read".into()));
        Ok(found.map_err(|why| copy_bad(&format!("the copy {} is bad: {why}", entry.id)))?)
    }

    /// Brings copies to the folder `target` of the pod, and compares each with its manifest. The pod stays as long as the session.
    ///
    /// # Errors
    /// [`Exit::BackupBad`] if one is not what its manifest says.
    pub fn fetch(&self, is_volume: bool, target: &str, copies: &[WantedCopy]) -> Result<ScratchSession<'a>> {
        let mut fetched = 0;
        let mode = if is_volume { "volume" } else { "fetch" };
        let session = self.session(mode, (target, copies), |line| {
            if line.key == "fetched" {
                fetched += 1;
            }
            Ok(())
        })?;
        if fetched != copies.len() {
            bail!(Fail::new(Exit::Failed, "the container did not report each copy").remedy("run it again"));
        }
        Ok(session)
    }
}

/// One step of a session; the line with which the next one begins.
fn stage(
    step: &Step,
    session: &mut ScratchSession<'_>,
    opened: &mut (String, String),
    note: &mut impl FnMut(&Line) -> Result<()>,
) -> Result<(Line, String)> {
    let (mut copies, mut fetched) = (0, 0);
    loop {
        let line = session.next()?;
        match line.key.as_str() {
            "beat" => {
                if let Some(done) = line.bytes_done() {
                    step.progress(&report::bytes(done));
                }
            }
            "step" | "end" => {
                let what = match (copies, fetched) {
                    (0, 0) => format!("{}, {}", opened.1, opened.0),
                    (copies, 0) => format!("{copies} found"),
                    _ => "as its manifest says".into(),
                };
                return Ok((line, what));
            }
            key => {
                copies += usize::from(["copy", "read", "unread"].contains(&key));
                fetched += usize::from(key == "fetched");
                take(&line, &mut session.session, opened, note)?;
            }
        }
    }
}

/// Takes one line of a session.
fn take(
    line: &Line,
    session: &mut Session,
    opened: &mut (String, String),
    note: &mut impl FnMut(&Line) -> Result<()>,
) -> Result<()> {
    match line.key.as_str() {
        "tool" => opened.0 = record::address(&line.value),
        "repository" => opened.1 = record::address(&line.value),
        "copy-bad" => {
            let said = session.last_words();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            bail!(copy_bad(&format!("{}{said}", line.value)));
        }
        "lost" => bail!(lost(&line.value, session, IMPORT.unchanged)),
        _ => note(line)?,
    }
    Ok(())
}

fn odd(line: &Line) -> Fail {
    Fail::new(Exit::Failed, format!("the container reported '{} {}'", line.key, line.value))
}

/// The failure for a tool that cannot list.
pub fn no_list() -> Fail {
    let what = "a command cannot list copies, so none can be found without its name";
    Fail::new(Exit::Precondition, what).remedy(format!(
        "name the copy as NAMESPACE/CLAIM/SNAPSHOT instead of {LATEST}; the names are where BAK_EXPORT_COMMAND puts them"
    ))
}

/// The failure for a copy that is not what its manifest says.
pub fn copy_bad(why: &str) -> Fail {
    Fail::new(Exit::BackupBad, why).remedy(format!(
        "{}: check the repository, with restic by restic check --read-data, and take another copy: backup-ns import lists them",
        IMPORT.unchanged
    ))
}

/// The failure for a report `KEY WHY` of `export.sh` or `import.sh`. `unchanged` is what it leaves as it was.
pub fn lost(report: &str, session: &mut Session, unchanged: &str) -> Fail {
    let said = session.last_words();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let Lost { key, why } = Lost::parse(report);
    let (exit, remedy) = hindrance(key);
    Fail::new(exit, format!("{why}{said}")).remedy(format!("{unchanged}: {remedy}"))
}

/// How an export or import that could not be done ends, and what to do.
fn hindrance(key: &str) -> (Exit, &'static str) {
    match key {
        "image" => (
            Exit::Precondition,
            "name an image that has what the message names, with --export-image (BAK_EXPORT_IMAGE)",
        ),
        "repository" => (
            Exit::Precondition,
            "name the repository in the Secret (BAK_EXPORT_SECRET): for restic as RESTIC_REPOSITORY, and make it once with restic \
             init; for rclone the remote of BAK_EXPORT_REMOTE as RCLONE_CONFIG_NAME_TYPE and so on",
        ),
        "password" => (
            Exit::Precondition,
            "correct RESTIC_PASSWORD in the Secret (BAK_EXPORT_SECRET): it must be a password of this repository",
        ),
        "key" => (
            Exit::Precondition,
            "correct the storage's credentials in the Secret (BAK_EXPORT_SECRET): they are wrong, expired, or lack a right",
        ),
        "locked" => (
            Exit::Lock,
            "wait until the restic that holds the lock has ended; if it was killed, restic unlock removes its lock",
        ),
        "target" => (Exit::Precondition, "give the claim more room: import into another one with --storage"),
        "full" => (Exit::Precondition, "make room in the repository, then run it again"),
        "space" => (
            Exit::Precondition,
            "give the node more room for the pod's scratch volume, or raise the ephemeral-storage limit of the database's \
             container, from which the pod has its own",
        ),
        "memory" => (Exit::Precondition, "raise the memory limit with --export-memory-limit (BAK_EXPORT_MEMORY_LIMIT)"),
        "user" => (
            Exit::Precondition,
            "run it while the database's pod is there, and name the user in that pod's securityContext (runAsUser): the pod of \
             the export runs as the same",
        ),
        "away" => (
            Exit::Failed,
            "see whether the repository can be reached from the namespace's pods (address, DNS, NetworkPolicies, proxy), then run \
             it again",
        ),
        _ => (Exit::Failed, "correct what the message names and run it again"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn whatever_the_script_calls_lost_has_a_remedy_of_its_own() {
        let mut kinds = BTreeSet::new();
        let scripts = ExportTool::ALL.into_iter().flat_map(|tool| [container::export(tool), container::import(tool)]);
        for script in scripts {
            for line in script.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
                let words: Vec<&str> = line.split([' ', ';']).collect();
                let after = |word: &str| words.windows(2).filter(|pair| pair[0] == word).map(|pair| pair[1]).collect();
                let (lost, echoed): (Vec<&str>, Vec<&str>) = (after("lost"), after("echo"));
                kinds.extend(lost.into_iter().filter(|_| !line.starts_with("say lost")));
                kinds.extend(echoed.into_iter().filter(|_| line.starts_with("echo ") && words.len() == 2));
                kinds.extend(words.iter().filter_map(|word| word.strip_prefix("kind=")));
            }
        }
        kinds.retain(|kind| kind.bytes().all(|byte| byte.is_ascii_lowercase()) && !kind.is_empty());
        let expected = [
            "away",
            "full",
            "image",
            "key",
            "locked",
            "memory",
            "other",
            "password",
            "repository",
            "space",
            "target",
            "user",
        ];
        assert_eq!(kinds, BTreeSet::from(expected));
        let usual = hindrance("other");
        for kind in kinds {
            assert_eq!(hindrance(kind) == usual, kind == "other", "{kind}");
        }
    }
}
