//! `export`: a copy of one snapshot's dumps, or of its volume, in a repository outside the cluster. A scratch pod sends it with
//! the user's tool and reads it back, and the snapshot is stamped once the copy is proven.

use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::cluster::kubectl::Kubectl;
use crate::cluster::scratch_pod::{self, ScratchPod};
use crate::cmd::copies;
use crate::cmd::proven_snapshot::{self, ProvenSnapshot, ScratchSession};
use crate::cmd::{Conclusion, Context, now};
use crate::config::{Export, ExportSettings, Global};
use crate::container;
use crate::container::session::{Line, Session};
use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::escape;
use crate::core::export::files::{self, ProvenFile};
use crate::core::export::job::{self, ExportJobRequest};
use crate::core::export::manifest::{self, Described, ExportedVolume, Layout, SentCopy};
use crate::core::export::record::{self, ExportRecord};
use crate::core::export::{ExportContent, ExportTool};
use crate::core::kube::calls::{JOBS, NETWORK_POLICIES, SCRIPT, SNAPSHOTS};
use crate::core::kube::objects::{Meta, Snapshot};
use crate::core::plan::{self, PlanStep};
use crate::core::restore::verify::{self, EXPORT, JobRequest, PodVolume, ScratchPodTemplate, ScratchVolume};
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::process;
use crate::io::random;
use crate::io::report::{self, Reporter};

/// Exports a snapshot.
///
/// # Errors
/// As the exit codes say: [`Exit::BackupBad`] if a dump is not the proven one, or its copy is not what was sent.
pub fn run(global: &Global, config: &Export, reporter: &Reporter) -> Result<Conclusion> {
    let context = Context::connect(global, config, reporter)?;
    let subject = reporter.step("observe", |_| {
        let subject = observe(&context.kubectl, config)?;
        let what = format!("VolumeSnapshot {}, {}", subject.snapshot.metadata.name, subject.content(config));
        Ok((subject, what))
    })?;
    let mut run = ExportRun { context, subject, nonce: random::nonce(), upload: Upload::default() };
    if let Some(done) = run.already_exported()? {
        return Ok(done);
    }
    if global.dry_run {
        return run.show_plan().map(Into::into);
    }
    run.export()
}

/// What is exported.
struct ExportSubject {
    snapshot: Snapshot,
    /// The name of its claim.
    claim: String,
    volume: ScratchVolume,
    proofs: Vec<(Engine, Vec<Proof>)>,
    files: Vec<ProvenFile>,
    template: ScratchPodTemplate,
    job: String,
}

impl ExportSubject {
    fn content(&self, config: &Export) -> String {
        match config.settings.what {
            ExportContent::Dump => {
                let names: Vec<&str> = self.files.iter().map(|file| file.path_in_volume.as_str()).collect();
                names.join(", ")
            }
            ExportContent::Volume => "all files of its volume".into(),
        }
    }

    fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// What the container reported.
#[derive(Default)]
struct Upload {
    tool: String,
    repository: String,
    sent: Vec<SentCopy>,
    volume: Option<ExportedVolume>,
    manifest: Option<SentCopy>,
}

/// Finds the snapshot, and what an export of it needs.
fn observe(kubectl: &Kubectl, config: &Export) -> Result<ExportSubject> {
    let settings = &config.settings;
    let found = proven_snapshot::find(kubectl, config.snapshot.as_deref(), &settings.pvc, "export")?;
    let ProvenSnapshot { snapshot, proofs, claim, template, pods } = found;
    let missing = |what: String| proven_snapshot::missing(&snapshot, what);
    let files = files::of_proofs(&proofs).map_err(|why| missing(why).remedy("export another snapshot"))?;
    if files.is_empty() && settings.what == ExportContent::Dump {
        bail!(missing("it holds no proven dump".into()).remedy(
            "export a snapshot of a backup with a dump, or all files with --export-what=volume (BAK_EXPORT_WHAT)"
        ));
    }
    let claim = claim.filter(|name| !name.is_empty() && !name.contains('/')).unwrap_or_else(|| settings.pvc.clone());
    let volume = verify::volume(&snapshot, template).map_err(|why| missing(why).remedy("export another snapshot"))?;
    let first = proofs.first().and_then(|(_, proofs)| proofs.first());
    Ok(ExportSubject {
        template: verify::pod_template(&pods, first, &claim),
        job: job::name(&snapshot.metadata.name, &snapshot.metadata.uid),
        snapshot,
        claim,
        volume,
        proofs,
        files,
    })
}

struct ExportRun<'a> {
    context: Context<'a, Export>,
    subject: ExportSubject,
    nonce: String,
    upload: Upload,
}

impl ExportRun<'_> {
    fn settings(&self) -> &ExportSettings {
        &self.context.config.settings
    }

    fn namespace(&self) -> &str {
        &self.context.kubectl.target.namespace
    }

    fn end(&self) -> Instant {
        self.context.began + self.settings().timeout
    }

    fn layout(&self) -> Layout {
        Layout::of(self.settings().tool, self.namespace(), &self.subject.claim, &self.subject.snapshot.metadata.name)
    }

    /// The conclusion for a snapshot whose copy was proven before, by the same tool and of the same content.
    fn already_exported(&self) -> Result<Option<Conclusion>> {
        let settings = self.settings();
        let record = ExportRecord::of(&self.subject.snapshot.metadata);
        let record = record.filter(|record| record.tool == settings.tool && record.what == settings.what);
        let Some(record) = record.filter(|_| !self.context.config.again) else { return Ok(None) };
        let name = &self.subject.snapshot.metadata.name;
        let message = format!("already exported: VolumeSnapshot {name}, on {}; --again does it again", record.at);
        tracing::info!("{message}");
        let report = self.show(&record, true)?;
        Ok(Some(Conclusion { message, report }))
    }

    fn export(&mut self) -> Result<Conclusion> {
        let kubectl = self.context.kubectl.clone();
        let mut pod = ScratchPod::of(&kubectl, &EXPORT, &self.subject.job.clone());
        let waited = copies::make_job(&mut pod, &self.job(), self.end(), "export of it")?;
        let outcome = self.upload_unless_done(waited, &mut pod);
        // It goes whatever came of it, a signal included.
        process::unhurried(|| {
            self.context.reporter.step("clear", |_| {
                pod.clear();
                Ok(((), format!("Job {} with its pod and volume", self.subject.job)))
            })
        })?;
        if let Some(done) = outcome? {
            return Ok(done);
        }
        let record = self.record();
        self.stamp(&record)?;
        let report = self.show(&record, false)?;
        let message = format!(
            "VolumeSnapshot {} is exported: {} in {}, read back from {}",
            self.subject.snapshot.metadata.name,
            report::bytes(record.bytes),
            counted(record.files, "file"),
            record.repository
        );
        Ok(Conclusion { message, report })
    }

    /// Uploads the snapshot, unless the run that this one waited for did that.
    fn upload_unless_done(&mut self, waited: bool, pod: &mut ScratchPod<'_>) -> Result<Option<Conclusion>> {
        if waited {
            let before = &self.subject.snapshot.metadata;
            let there: Snapshot = self.context.kubectl.get(SNAPSHOTS, &before.name)?;
            if there.metadata.uid != before.uid {
                let what = format!("the VolumeSnapshot {} is another one now", before.name);
                bail!(Fail::new(Exit::Failed, what).remedy("run it again"));
            }
            self.subject.snapshot = there;
            if let Some(done) = self.already_exported()? {
                return Ok(Some(done));
            }
        }
        self.upload(pod).map(|()| None)
    }

    fn job(&self) -> Value {
        let settings = self.settings();
        job::job(&ExportJobRequest {
            base: JobRequest {
                purpose: &EXPORT,
                name: &self.subject.job,
                namespace: self.namespace(),
                volume: PodVolume::Snapshot(&self.subject.snapshot.metadata.name, &self.subject.volume),
                image: &settings.image,
                template: &self.subject.template,
                keepalive: container::KEEPALIVE,
                // Its own limit ends it only if this program was killed.
                seconds: settings.timeout.as_secs() + 30,
            },
            secret: settings.secret.as_deref(),
            service_account: settings.service_account.as_deref(),
            resources: &settings.resources,
            run: &self.nonce,
        })
    }

    /// What `export.sh` reads behind the nonce.
    fn values(&self) -> Vec<String> {
        let (settings, snapshot, layout) = (self.settings(), &self.subject.snapshot, self.layout());
        let mut values: Vec<String> = job::FOLDERS.map(str::to_string).to_vec();
        values.extend([
            settings.what.word().into(),
            self.namespace().into(),
            manifest::made(snapshot).format("%Y-%m-%d %H:%M:%S").to_string(),
            manifest::tags(&self.subject.claim, snapshot).join("\n"),
            settings.remote.clone(),
            settings.command.clone(),
            settings.check.clone(),
            layout.name(manifest::NAME),
            layout.name(manifest::WHOLE),
            self.subject.files.len().to_string(),
        ]);
        for file in &self.subject.files {
            values.extend([
                file.path_in_volume.clone(),
                file.bytes.to_string(),
                file.sha256.clone(),
                file.form.into(),
                layout.name(&file.plain_name),
                layout.name(&file.stored_name),
            ]);
        }
        values
    }

    /// One pod with one session, to its end.
    fn upload(&mut self, pod: &mut ScratchPod<'_>) -> Result<()> {
        let chosen = self.context.reporter.step("volume", |step| {
            let chosen = pod.run(&self.settings().image, step, self.end())?;
            let what = format!("made from the snapshot, mounted by pod {}, image {}", chosen.pod, chosen.image);
            Ok((chosen, what))
        })?;
        let (values, script) = (self.values(), container::export(self.settings().tool));
        let limits = (self.end(), self.settings().timeout);
        let (mut session, mut line) =
            ScratchSession::start(&self.context.kubectl, (pod, &chosen), (script, &self.nonce, &values), limits)?;
        let reporter = self.context.reporter;
        loop {
            line = match line.key.as_str() {
                "step" => {
                    let name =
                        ["open", "check", "send", "compare", "manifest"].into_iter().find(|it| *it == line.value);
                    let name = name.unwrap_or("export");
                    reporter.step(name, |step| self.stage(name, step, &mut session))?
                }
                "end" => return self.check_complete(),
                _ => {
                    self.note(&line, &mut session.session)?;
                    session.next()?
                }
            };
        }
    }

    /// One step of the session; the line with which the next one begins.
    fn stage(&mut self, name: &str, step: &report::Step, session: &mut ScratchSession<'_>) -> Result<(Line, String)> {
        loop {
            let line = session.next()?;
            match line.key.as_str() {
                "beat" => {
                    if let Some(done) = line.bytes_done() {
                        step.progress(&report::bytes(done));
                    }
                }
                "step" | "end" => return Ok((line, self.said(name))),
                _ => self.note(&line, &mut session.session)?,
            }
        }
    }

    /// Takes one line of the report.
    fn note(&mut self, line: &Line, session: &mut Session) -> Result<()> {
        let odd = || {
            let what = format!("the container reported '{} {}'", line.key, line.value);
            Fail::new(Exit::Failed, what).remedy(scratch_pod::AGAIN)
        };
        match line.key.as_str() {
            "tool" => self.upload.tool = record::address(&line.value),
            "repository" => self.upload.repository = record::address(&line.value),
            "sent" => {
                let sent = SentCopy::parse(&line.value).filter(|(number, _)| *number == self.upload.sent.len());
                self.upload.sent.push(sent.ok_or_else(odd)?.1);
            }
            "volume" => {
                let volume = ExportedVolume::parse(&self.layout().name(manifest::WHOLE), &line.value);
                self.upload.volume = Some(volume.ok_or_else(odd)?);
            }
            "described" => session.tell(&format!("manifest {}", escape::line(&self.manifest()?))),
            "manifest" => self.upload.manifest = Some(SentCopy::parse_manifest(&line.value).ok_or_else(odd)?),
            "bad" => bail!(self.bad(&line.value, session)),
            "copy-bad" => bail!(self.copy_bad(&line.value, session)),
            "lost" => bail!(copies::lost(&line.value, session, EXPORT.unchanged)),
            _ => {}
        }
        Ok(())
    }

    /// What a step found, in words.
    fn said(&self, step: &str) -> String {
        let sent = self.upload.sent.last();
        match step {
            "open" => format!("{}, {}", self.upload.repository, self.upload.tool),
            "check" => "size and SHA-256 are those of the proof".into(),
            "send" => match self.subject.files.get(self.upload.sent.len()) {
                Some(file) if self.settings().what == ExportContent::Dump => file.path_in_volume.clone(),
                _ => "all files".into(),
            },
            "compare" => match (sent, &self.upload.volume) {
                (_, Some(volume)) => format!("{}, as on the volume", counted(volume.files, "file")),
                (Some(sent), _) => {
                    let form = if sent.is_plain { "" } else { ", compressed as it was" };
                    format!("{}{form}, the SHA-256 is the same", report::bytes(sent.bytes))
                }
                _ => String::new(),
            },
            _ => "sent and read back".into(),
        }
    }

    /// The manifest, once everything else was sent.
    fn manifest(&self) -> Result<String> {
        self.check_files()?;
        let files: Vec<(ProvenFile, SentCopy)> =
            self.subject.files.iter().cloned().zip(self.upload.sent.iter().cloned()).collect();
        let manifest = manifest::of(Described {
            namespace: self.namespace(),
            claim: &self.subject.claim,
            snapshot: &self.subject.snapshot,
            proofs: &self.subject.proofs,
            tool: self.settings().tool,
            tool_version: &self.upload.tool,
            what: self.settings().what,
            files: &files,
            volume: self.upload.volume.clone(),
        });
        Ok(manifest.text())
    }

    /// Checks that the container reported all that was to be sent.
    fn check_files(&self) -> Result<()> {
        let complete = match self.settings().what {
            ExportContent::Dump => self.upload.sent.len() == self.subject.files.len(),
            ExportContent::Volume => self.upload.volume.is_some(),
        };
        let has_ids = self.settings().tool != ExportTool::Restic
            || self
                .upload
                .sent
                .iter()
                .map(|sent| &sent.id)
                .chain(self.upload.volume.iter().map(|it| &it.id))
                .all(Option::is_some);
        // What is stored as it was has the hash of its proof.
        let mut pairs = self.subject.files.iter().zip(&self.upload.sent);
        let as_proven =
            pairs.all(|(file, sent)| sent.is_plain || (sent.bytes, &sent.sha256) == (file.bytes, &file.sha256));
        if !(complete && has_ids && as_proven) {
            bail!(Fail::new(Exit::Failed, "the container did not report each copy").remedy(scratch_pod::AGAIN));
        }
        Ok(())
    }

    fn check_complete(&self) -> Result<()> {
        self.check_files()?;
        if self.upload.manifest.is_none() || self.upload.repository.is_empty() {
            bail!(Fail::new(Exit::Failed, "the container did not report the manifest").remedy(scratch_pod::AGAIN));
        }
        Ok(())
    }

    fn record(&self) -> ExportRecord {
        let upload = &self.upload;
        let copies = upload.sent.iter().chain(&upload.manifest);
        let bytes = copies.clone().map(|sent| sent.bytes).chain(upload.volume.iter().map(|volume| volume.bytes));
        let ids = upload.sent.iter().map(|sent| &sent.id).chain(upload.volume.iter().map(|volume| &volume.id));
        let files = upload.volume.as_ref().map_or(upload.sent.len() as u64, |volume| volume.files);
        ExportRecord {
            tool: self.settings().tool,
            what: self.settings().what,
            repository: upload.repository.clone(),
            ids: ids.chain(upload.manifest.iter().map(|sent| &sent.id)).flatten().cloned().collect(),
            manifest: self.layout().name(manifest::NAME),
            manifest_sha256: upload.manifest.as_ref().map(|sent| sent.sha256.clone()),
            bytes: bytes.fold(0, u64::saturating_add),
            files,
            at: record::time_text(now(), self.context.global.zone),
            seconds: self.context.began.elapsed().as_secs(),
            verified: None,
            bad: None,
        }
    }

    /// The failure for a dump that is not the proven one.
    fn bad(&self, why: &str, session: &mut Session) -> Fail {
        let said = session.last_words();
        if !said.is_empty() {
            tracing::warn!("the container says: {said}");
        }
        let (namespace, name) = (self.namespace(), &self.subject.snapshot.metadata.name);
        Fail::new(Exit::BackupBad, format!("the backup in VolumeSnapshot {name} is bad: {why}")).remedy(format!(
            "nothing was stamped: test it with backup-ns verify {name} -n {namespace}, which marks it, and export another"
        ))
    }

    /// The failure for a copy that is not what was sent.
    fn copy_bad(&self, why: &str, session: &mut Session) -> Fail {
        let said = session.last_words();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Fail::new(Exit::BackupBad, format!("{why}{said}")).remedy(match self.settings().tool {
            ExportTool::Restic => {
                "the snapshot is good and was not stamped, but its copy is not: run restic check --read-data on the repository, \
                 and repair it or begin another one, because restic does not send again what its index lists"
            }
            ExportTool::Rclone | ExportTool::Command => {
                "the snapshot is good and was not stamped, but its copy is not: check the storage, then run it again"
            }
        })
    }

    /// Stamps the very object that was exported, whatever else changes on it meanwhile.
    fn stamp(&self, record: &ExportRecord) -> Result<()> {
        self.context.reporter.step("stamp", |_| {
            let at = now();
            let patch = |meta: &Meta| record::stamp(meta, record, at, self.context.global.zone);
            let before = &self.subject.snapshot.metadata;
            let done = "the copy itself is proven";
            proven_snapshot::stamp(&self.context.kubectl, before, patch, done, ("export", "exported"))?;
            Ok(((), format!("exported, {}", record.at)))
        })
    }

    fn show(&self, record: &ExportRecord, already: bool) -> Result<Value> {
        let name = &self.subject.snapshot.metadata.name;
        let value = json!({
            "volumeSnapshot": name, "namespace": self.namespace(), "alreadyExported": already, "export": record,
            "seconds": report::rounded(self.context.began.elapsed()),
        });
        self.context.show(&value, || {
            let ids = if record.ids.is_empty() { String::new() } else { format!("ids        {}\n", record.ids.join(", ")) };
            format!(
                "snapshot   {name} in {}\ntool       {}, {}\nrepository {}\nmanifest   {}\n{ids}sent       {} in {}, and read \
                 back\nexported   {}{}\n",
                self.namespace(),
                record.tool.word(),
                record.what.word(),
                record.repository,
                record.manifest,
                report::bytes(record.bytes),
                counted(record.files, "file"),
                record.at,
                if already { ", not done again" } else { "" },
            )
        })?;
        Ok(value)
    }

    /// The plan: the very calls and the very Job that a run would make.
    fn show_plan(&self) -> Result<()> {
        let (target, settings) = (&self.context.kubectl.target, self.settings());
        let (job, layout) = (&self.subject.job, self.layout());
        let names: Vec<String> = match settings.what {
            ExportContent::Dump => self.subject.files.iter().map(|file| layout.name(&file.plain_name)).collect(),
            ExportContent::Volume => vec![layout.name(manifest::WHOLE)],
        };
        let meta = &self.subject.snapshot.metadata;
        let steps = vec![
            PlanStep::new(format!(
                "Make the Job {job}, whose pod gets a volume made from the snapshot, and image {}",
                settings.image
            ))
            .kubectl(&target.create(JOBS))
            .manifest(self.job()),
            PlanStep::new("Let its pod connect to others, but not the other way round")
                .kubectl(&target.create(NETWORK_POLICIES))
                .manifest(verify::network_policy(&EXPORT, job, &target.namespace, "the Job's")),
            PlanStep::new(format!(
                "In the pod: check {} by the proofs, {} in all, send it with {} as {} and {}, read everything back and compare",
                counted(self.subject.files.len() as u64, "dump file"),
                report::bytes(self.subject.bytes()),
                settings.tool.word(),
                names.join(", "),
                layout.name(manifest::NAME)
            ))
            .kubectl(&target.exec("POD", EXPORT.word, SCRIPT)),
            PlanStep::new("Delete the Job, and wait until its pod and volume are gone")
                .kubectl(&target.delete(JOBS, job)),
            PlanStep::new("Stamp the snapshot, if everything came back").kubectl(&target.patch(
                SNAPSHOTS,
                &meta.name,
                &record::stamp(meta, &self.record(), now(), self.context.global.zone),
            )),
        ];
        self.context.show(&json!({"dryRun": true, "steps": steps}), || plan::text(&steps))
    }
}
