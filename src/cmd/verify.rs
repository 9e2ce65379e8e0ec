//! `verify`: a restore test of one snapshot. Its dump is checked and loaded into a scratch server in a pod of its own, and the
//! snapshot is stamped with what came of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::scratch_pod::ScratchPod;
use crate::cmd::copies::{self, Repository, RepositoryPod};
use crate::cmd::proven_snapshot::{self, ProvenSnapshot, ScratchSession};
use crate::cmd::{Conclusion, Context, now};
use crate::config::{ExportSettings, Global, Verify};
use crate::container;
use crate::container::session::{Line, Lost, Session};
use crate::core::backup::globals;
use crate::core::backup::job;
use crate::core::backup::pod::Chosen;
use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::escape;
use crate::core::export::ExportContent;
use crate::core::export::import::{self, CopyEntry, WantedCopy};
use crate::core::export::record::{self, ExportRecord};
use crate::core::kube::calls::{CLAIMS, JOBS, NETWORK_POLICIES, SCRIPT, SNAPSHOTS};
use crate::core::kube::objects::{Meta, Snapshot};
use crate::core::plan::{self, PlanStep};
use crate::core::restore::verify::{self, Facts, JobRequest, PodVolume, ScratchPodTemplate, ScratchVolume, Verdict};
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::process;
use crate::io::random;
use crate::io::report::{self, Reporter};

/// Tests a snapshot.
///
/// # Errors
/// As the exit codes say: [`Exit::Bad`] where the backup is bad, and nothing else says so.
pub fn run(global: &Global, config: &Verify, reporter: &Reporter) -> Result<Conclusion> {
    let context = Context::connect(global, config, reporter)?;
    let subject = reporter.step("observe", |_| {
        let subject = observe(&context.kubectl, config)?;
        let dumps = subject.tests.iter().flat_map(|test| &test.proofs);
        let dumps: Vec<&str> = dumps.map(|proof| proof.database.as_str()).collect();
        let what = format!("VolumeSnapshot {}, dumps of: {}", subject.snapshot.metadata.name, dumps.join(", "));
        Ok((subject, what))
    })?;
    let test = RestoreTest { context, subject };
    if global.dry_run {
        return test.show_plan().map(Into::into);
    }
    test.verify()
}

/// What is tested.
struct Subject {
    snapshot: Snapshot,
    /// Of its copy, if that is tested instead.
    copy: Option<TestedCopy>,
    volume: ScratchVolume,
    tests: Vec<PodTest>,
    /// Whether databases of the snapshot are left out.
    is_partial: bool,
}

/// The copy of a snapshot.
struct TestedCopy {
    record: ExportRecord,
    settings: ExportSettings,
}

/// One pod's worth of it.
#[derive(Clone)]
struct PodTest {
    engine: Engine,
    /// Of the databases to test; none if only the data directory is tested.
    proofs: Vec<Proof>,
    image: String,
    template: ScratchPodTemplate,
    job: String,
}

/// One session in the pod.
struct DatabaseTest<'a> {
    engine: Engine,
    image: &'a str,
    /// None if only the data directory is tested.
    proof: Option<&'a Proof>,
    is_first: bool,
    is_last: bool,
    /// The folder of its scratch server.
    scratch: String,
}

impl PodTest {
    /// One for each database, or one for the data directory.
    fn databases(&self) -> Vec<DatabaseTest<'_>> {
        let number = self.proofs.len().max(1);
        let of = |at: usize| DatabaseTest {
            engine: self.engine,
            image: &self.image,
            proof: self.proofs.get(at),
            is_first: at == 0,
            is_last: at + 1 == number,
            scratch: if number == 1 { verify::SCRATCH.into() } else { format!("{}/{at}", verify::SCRATCH) },
        };
        (0..number).map(of).collect()
    }
}

impl DatabaseTest<'_> {
    /// Whether the scratch server can be made like the original.
    fn is_alike(&self) -> bool {
        self.proof.is_some_and(|proof| !proof.server.is_empty())
    }

    /// What `verify.sh` reads behind the nonce.
    fn values(&self, config: &Verify) -> Vec<String> {
        let word = |of: fn(&Proof) -> String| self.proof.map(of).unwrap_or_default();
        let yes = |so: bool| if so { "yes".to_string() } else { String::new() };
        vec![
            verify::VOLUME.to_string(),
            self.scratch.clone(),
            word(|proof| proof.path_in_volume.clone()),
            word(|proof| proof.bytes.to_string()),
            word(|proof| proof.sha256.clone()),
            word(|proof| proof.database.clone()),
            // What it asks for is in the first database.
            if self.proof.is_some() && self.is_first { config.sql.clone() } else { String::new() },
            yes(config.physical && self.is_last),
            word(|proof| proof.objects.iter().map(|(kind, number)| format!("{kind} {number}\n")).collect()),
            word(|proof| proof.server.iter().map(|(name, value)| format!("{name} {value}\n")).collect()),
            word(|proof| {
                let file = proof.globals.as_ref().and_then(|globals| globals.file(&proof.path_in_volume));
                file.unwrap_or_default()
            }),
            word(|proof| proof.globals.as_ref().map_or_else(String::new, |globals| globals.bytes.to_string())),
            word(|proof| proof.globals.as_ref().map_or_else(String::new, |globals| globals.sha256.clone())),
            verify::SCRATCH.to_string(),
            yes(!self.is_last),
        ]
    }
}

/// Finds the snapshot, and what a test of it needs.
fn observe(kubectl: &Kubectl, config: &Verify) -> Result<Subject> {
    let namespace = &kubectl.target.namespace;
    let found = proven_snapshot::find(kubectl, config.snapshot.as_deref(), &config.pvc, "verify")?;
    let ProvenSnapshot { snapshot, proofs, claim, template, pods } = found;
    let name = &snapshot.metadata.name;
    let missing = |what: String| proven_snapshot::missing(&snapshot, what);
    let pvc = claim.unwrap_or_else(|| config.pvc.clone());
    let volume = verify::volume(&snapshot, template).map_err(|why| missing(why).remedy("verify another snapshot"))?;

    let copy =
        config.from_export.as_ref().map(|settings| tested_copy(&snapshot, settings, config.physical)).transpose()?;
    let found = verify::of_database(proofs, config.database.as_deref());
    let (proofs, is_partial) = found.map_err(|names| {
        let what = format!("it holds no proven dump of the database '{}'", config.database.clone().unwrap_or_default());
        missing(what).remedy(match &names[..] {
            [] => "verify a snapshot of a backup with a dump".into(),
            names => format!("name another with --database: {}", names.join(", ")),
        })
    })?;
    let mut wanted: Vec<(Option<Engine>, Vec<Proof>)> =
        proofs.into_iter().map(|(engine, proofs)| (Some(engine), proofs)).collect();
    if wanted.is_empty() {
        if !config.physical {
            bail!(missing("it holds no proven dump".into()).remedy(
                "say --verify-physical to have the server started on the data directory, or verify a snapshot of a backup with \
                 a dump",
            ));
        }
        wanted.push((None, Vec::new()));
    }
    let test = |(engine, proofs): (Option<Engine>, Vec<Proof>)| {
        // All databases of a server were dumped in one pod.
        let proof = proofs.first();
        let template = verify::pod_template(&pods, proof, &pvc);
        let image = image(config, proof, template.image.as_ref(), (namespace, &pods))
            .map_err(|(what, remedy)| missing(what).remedy(remedy))?;
        let rand = random::letters(6);
        let engine = engine.unwrap_or_else(|| verify::engine_of(&image));
        Ok(PodTest { engine, proofs, image, template, job: verify::job_name(&verify::RESTORE_TEST, name, &rand) })
    };
    let tests = wanted.into_iter().map(test).collect::<Result<_, Fail>>()?;
    Ok(Subject { snapshot, copy, volume, tests, is_partial })
}

/// The copy to test, by the record on its snapshot.
fn tested_copy(snapshot: &Snapshot, settings: &ExportSettings, physical: bool) -> Result<TestedCopy, Fail> {
    let name = &snapshot.metadata.name;
    let lacks = |what: &str, remedy: String| Err(proven_snapshot::missing(snapshot, what.into()).remedy(remedy));
    let Some(record) = ExportRecord::of(&snapshot.metadata) else {
        return lacks("it has no copy that was read back", format!("make one first: backup-ns export {name}"));
    };
    if record.tool != settings.tool {
        let what = format!("its copy was made with {}, not with {}", record.tool.word(), settings.tool.word());
        return lacks(&what, format!("say --export-tool={} (BAK_EXPORT_TOOL)", record.tool.word()));
    }
    if physical && record.what == ExportContent::Dump {
        let what = "its copy has only the dumps, and no data directory";
        return lacks(what, "leave out --verify-physical (BAK_VERIFY_PHYSICAL), or export all files".into());
    }
    Ok(TestedCopy { record, settings: settings.clone() })
}

/// The image to test a dump in: the one that was asked for, else the one of its proof if that may run here, else the pod's.
///
/// # Errors
/// Why it is missing, and what to do.
fn image(
    config: &Verify,
    proof: Option<&Proof>,
    of_pod: Option<&String>,
    (namespace, pods): (&str, &[Value]),
) -> Result<String, (String, String)> {
    if let Some(image) = &config.image {
        return Ok(image.clone());
    }
    match proof.filter(|proof| !proof.image.is_empty()) {
        Some(proof) if verify::may_run(proof, namespace, pods) => Ok(proof.image.clone()),
        Some(proof) => {
            let from = if proof.namespace.is_empty() { "nothing" } else { proof.namespace.as_str() };
            let what = format!(
                "its proof names the image {}, but was made in another namespace ({from}) or by an older version, and no pod here \
                 runs it",
                proof.image
            );
            let image = escape::word(&proof.image);
            Err((what, format!("if it is the one to test it with, say so: --verify-image {image} (BAK_VERIFY_IMAGE)")))
        }
        None => of_pod.cloned().ok_or_else(|| {
            let what = "nothing tells which image its database ran in".to_string();
            (what, "name one with --verify-image (BAK_VERIFY_IMAGE)".into())
        }),
    }
}

struct RestoreTest<'a> {
    context: Context<'a, Verify>,
    subject: Subject,
}

impl RestoreTest<'_> {
    fn verify(&self) -> Result<Conclusion> {
        let mut facts = BTreeMap::new();
        let mut bad = None;
        for test in &self.subject.tests {
            let mut trial = ScratchPod::of(&self.context.kubectl, &verify::RESTORE_TEST, &test.job);
            let mut claim = None;
            let outcome = match &self.subject.copy {
                None => self.test(test, &mut trial),
                Some(copy) => self.test_copy(copy, test, &mut trial, &mut claim),
            };
            // It goes whatever came of it, a signal included.
            process::unhurried(|| {
                self.context.reporter.step("clear", |_| {
                    trial.clear();
                    if let Some((name, uid)) = &claim {
                        copies::remove_claim(&self.context.kubectl, name, uid);
                    }
                    Ok(((), format!("Job {} with its pod and volume", test.job)))
                })
            })?;
            match outcome {
                Ok(found) => drop(facts.insert(test.engine, found)),
                Err(error) if error.exit() == Exit::BackupBad => {
                    bad = Some(error);
                    break;
                }
                Err(error) => {
                    if !error.is_signal() {
                        self.show(&Verdict::None(format!("{error:#}")))?;
                    }
                    return Err(error);
                }
            }
        }
        let verdict = match &bad {
            Some(error) => Verdict::Bad(format!("{error:#}")),
            None => Verdict::Good(facts),
        };
        if let Verdict::Good(facts) = &verdict {
            warn_of_contents(facts);
            self.warn_of_missing_accounts(facts);
        }
        // That one database is good says nothing of the others; that it is bad makes the backup bad.
        let stamped = match &verdict {
            Verdict::Good(_) if self.subject.is_partial => {
                tracing::warn!("the snapshot is not stamped, because not all of its databases were tested");
                Ok(())
            }
            _ => self.stamp(&verdict),
        };
        let report = self.show(&verdict)?;
        let name = &self.subject.snapshot.metadata.name;
        let Some(bad) = bad else {
            let what = if self.subject.is_partial { "the tested database" } else { self.noun() };
            let message = format!("{what} of VolumeSnapshot {name} is good");
            return stamped.map(|()| Conclusion { message, report });
        };
        // That it is bad is what counts, stamped or not.
        if let Err(error) = stamped {
            tracing::warn!("the snapshot could not be stamped: {error}");
        }
        Err(bad.context(format!("{} of VolumeSnapshot {name} is bad", self.noun())))
    }

    /// Only MySQL's and MariaDB's server is tested without some of them.
    fn warn_of_missing_accounts(&self, facts: &BTreeMap<Engine, Facts>) {
        let of_mysql = self.subject.tests.iter().filter(|test| test.engine == Engine::MySql);
        let found = facts.get(&Engine::MySql).into_iter().flat_map(Facts::all);
        for (proof, facts) in of_mysql.flat_map(|test| &test.proofs).zip(found) {
            let recorded = proof.globals.as_ref().map_or(0, |globals| globals.roles);
            let made = facts.roles.unwrap_or(recorded);
            if made < recorded {
                tracing::warn!(
                    "not made in the scratch server, for example because it lacks their plugin: {} of those recorded",
                    counted(recorded - made, "account")
                );
            }
        }
    }

    fn end(&self) -> Instant {
        self.context.began + self.context.config.timeout
    }

    /// What is tested, for people.
    fn noun(&self) -> &'static str {
        if self.subject.copy.is_some() { "the copy" } else { "the backup" }
    }

    fn job(&self, test: &PodTest, volume: PodVolume<'_>) -> Value {
        verify::job(&JobRequest {
            purpose: &verify::RESTORE_TEST,
            name: &test.job,
            namespace: &self.context.kubectl.target.namespace,
            volume,
            image: &test.image,
            template: &test.template,
            keepalive: container::KEEPALIVE,
            // Its own limit ends it only if this program was killed.
            seconds: self.context.config.timeout.as_secs() + 30,
        })
    }

    fn volume(&self) -> PodVolume<'_> {
        PodVolume::Snapshot(&self.subject.snapshot.metadata.name, &self.subject.volume)
    }

    /// One pod, in which one database after the other is tested.
    fn test(&self, test: &PodTest, trial: &mut ScratchPod<'_>) -> Result<Facts> {
        let chosen = self.context.reporter.step("volume", |step| {
            let chosen = trial.begin(&self.job(test, self.volume()), &test.image, step, self.end())?;
            let what = format!("made from the snapshot, mounted by pod {}, image {}", chosen.pod, chosen.image);
            Ok((chosen, what))
        })?;
        self.test_databases(test, &chosen, trial)
    }

    /// One pod fills an empty claim from the copy. In another, which has neither the Secret nor a way out, that is tested as if the
    /// volume were the snapshot's. The claim goes with the Job of the first pod, and then with that of the second.
    fn test_copy(
        &self,
        copy: &TestedCopy,
        test: &PodTest,
        trial: &mut ScratchPod<'_>,
        claim: &mut Option<(String, String)>,
    ) -> Result<Facts> {
        let (kubectl, reporter) = (&self.context.kubectl, self.context.reporter);
        let meta = &self.subject.snapshot.metadata;
        let settings = ExportSettings { timeout: self.context.config.timeout, ..copy.settings.clone() };
        let repository =
            Repository { kubectl, reporter, settings: &settings, template: &test.template, end: self.end() };
        let name = verify::job_name(&verify::IMPORT, &meta.name, &random::letters(6));
        let volume = self.subject.volume.clone().with_room(copy.record.bytes);
        let volume_of_pod = PodVolume::Claim(&name, &volume);
        let mut pod = ScratchPod::of(kubectl, &verify::IMPORT, &name);
        let outcome = (|| {
            pod.ensure(&repository.job(&name, volume_of_pod, &random::nonce()))?;
            let (from, none) = (format!("{}/{}", kubectl.target.namespace, meta.name), json!({}));
            let empty = import::claim(&name, &kubectl.target.namespace, &volume, &from, &pod.owner(), &none);
            let uid = copies::make_claim(kubectl, &name, &empty)?;
            *claim = Some((name.clone(), uid.clone()));
            repository.run(&pod, |pod| {
                let (test, wanted, is_volume) = self.copies(copy, test, pod)?;
                let session = pod.fetch(is_volume, verify::VOLUME, &wanted)?;
                trial.ensure(&self.job(&test, volume_of_pod))?;
                kubectl.json::<Value>(&kubectl.target.patch(
                    CLAIMS,
                    &name,
                    &import::owned_by(&uid, &[trial.owner()]),
                ))?;
                drop(session);
                Ok(test)
            })
        })();
        repository.clear(&pod, &name)?;
        let outcome: Result<PodTest> = outcome;
        let test = outcome.map_err(|error| match error.exit() {
            Exit::BackupBad => error.fail().remedy(self.copy_remedy()).into(),
            _ => error,
        })?;
        let chosen = reporter.step("volume", |step| {
            let chosen = trial.run(&test.image, step, self.end())?;
            let what = format!("filled from the copy, mounted by pod {}, image {}", chosen.pod, chosen.image);
            Ok((chosen, what))
        })?;
        self.test_databases(&test, &chosen, trial)
    }

    /// What of the copy is needed, and the test of it: its proofs are those of the files that come back.
    fn copies(
        &self,
        copy: &TestedCopy,
        test: &PodTest,
        pod: &RepositoryPod<'_>,
    ) -> Result<(PodTest, Vec<WantedCopy>, bool)> {
        let (record, meta) = (&copy.record, &self.subject.snapshot.metadata);
        let bad = |why: String| Fail::new(Exit::BackupBad, why).remedy(self.copy_remedy());
        let entry = CopyEntry::recorded(record).ok_or_else(|| {
            let what = "the record of its export does not say where the copy is".to_string();
            proven_snapshot::missing(&self.subject.snapshot, what).remedy("export it again, with --again")
        })?;
        let read = pod.manifest(&entry);
        let address = pod.address();
        if !address.is_empty() && address != record.repository {
            let what = format!("the copy is in the repository {}, and the Secret names {address}", record.repository);
            bail!(proven_snapshot::missing(&self.subject.snapshot, what).remedy(
                "name the Secret of that repository (BAK_EXPORT_SECRET, with rclone BAK_EXPORT_REMOTE), or export it again, with --again"
            ));
        }
        let read = read?;
        if !import::is_sent(record, (&read.sha256, &read.manifest.uid), &meta.uid) {
            bail!(bad("the manifest is not the one that was sent".into()));
        }
        if read.manifest.volume.is_some() {
            let wanted = import::for_claim(&read.manifest, &entry, (read.bytes, &read.sha256));
            return Ok((test.clone(), wanted, true));
        }
        let dumps = import::dumps(&read.manifest, test.engine, &test.proofs).map_err(bad)?;
        let wanted = dumps.iter().flat_map(|dump| std::iter::once(&dump.dump).chain(&dump.globals)).cloned().collect();
        let proofs = dumps.into_iter().map(|dump| dump.proof).collect();
        Ok((PodTest { proofs, ..test.clone() }, wanted, false))
    }

    /// What to do about a bad copy.
    fn copy_remedy(&self) -> String {
        let (namespace, name) = (&self.context.kubectl.target.namespace, &self.subject.snapshot.metadata.name);
        format!(
            "the snapshot may be good: backup-ns verify {name} -n {namespace} tests it; its copy does not count as one any more: \
             check the repository, and send it again with backup-ns export {name} -n {namespace}"
        )
    }

    fn test_databases(&self, test: &PodTest, chosen: &Chosen, trial: &ScratchPod<'_>) -> Result<Facts> {
        let databases = test.databases();
        let of = |database: &DatabaseTest<'_>| {
            let facts = self.test_database(database, chosen, trial);
            facts.map_err(|error| match database.proof.filter(|_| databases.len() > 1 && !error.is_signal()) {
                Some(proof) => error.context(format!("database {}", proof.database)),
                None => error,
            })
        };
        Ok(Facts::joined(databases.iter().map(of).collect::<Result<_>>()?))
    }

    /// One session, heard to its verdict.
    fn test_database(&self, test: &DatabaseTest<'_>, chosen: &Chosen, trial: &ScratchPod<'_>) -> Result<Facts> {
        let nonce = random::nonce();
        let values = test.values(self.context.config);
        let script = container::verify(test.engine);
        let mut facts = Facts {
            image: test.image.to_string(),
            database: test.proof.map(|proof| proof.database.clone()),
            bytes: test.proof.map(|proof| proof.bytes),
            ..Facts::default()
        };
        let limits = (self.end(), self.context.config.timeout);
        let (mut session, mut line) =
            ScratchSession::start(&self.context.kubectl, (trial, chosen), (script, &nonce, &values), limits)?;
        loop {
            line = match line.key.as_str() {
                "step" => self.stage(&line.value, test, &mut session, &mut facts)?,
                "end" => return Ok(facts),
                "bad" => bail!(self.bad(&line.value, &mut session.session)),
                "lost" => bail!(lost(&line.value, test.is_alike(), &mut session.session)),
                _ => {
                    facts.note(&line.key, &line.value);
                    session.next()?
                }
            };
        }
    }

    /// One step of the session; the line with which the next one begins.
    fn stage(
        &self,
        name: &str,
        test: &DatabaseTest<'_>,
        session: &mut ScratchSession<'_>,
        facts: &mut Facts,
    ) -> Result<Line> {
        // The words of verify.sh.
        let name = ["file", "read", "server", "load", "count", "compare", "replace", "query", "physical"]
            .into_iter()
            .find(|known| *known == name);
        self.context.reporter.step(name.unwrap_or("verify"), |step| {
            loop {
                let line = session.next()?;
                match line.key.as_str() {
                    "beat" => {
                        if let (Some(done), Some(all)) = (line.bytes_done(), facts.bytes) {
                            step.progress(&format!("{} of {}", report::bytes(done), report::bytes(all)));
                        }
                    }
                    "bad" => bail!(self.bad(&line.value, &mut session.session)),
                    "lost" => bail!(lost(&line.value, test.is_alike(), &mut session.session)),
                    "step" | "end" => return Ok((line, said(name, facts))),
                    key => facts.note(key, &line.value),
                }
            }
        })
    }

    fn bad(&self, why: &str, session: &mut Session) -> Fail {
        let said = session.last_words();
        if !said.is_empty() {
            tracing::warn!("the container says: {said}");
        }
        if self.subject.copy.is_some() {
            return Fail::new(Exit::BackupBad, why).remedy(self.copy_remedy());
        }
        let (namespace, name) = (&self.context.kubectl.target.namespace, &self.subject.snapshot.metadata.name);
        Fail::new(Exit::BackupBad, why).remedy(format!(
            "do not rely on this one: see backup-ns list -n {namespace} for others, verify the one before it, and make a new \
             backup now with {}; it is marked as distrusted until another verify of {name} finds it good, or backup-ns trust {name} -n \
             {namespace} takes that back",
            job::backup_now(namespace)
        ))
    }

    /// Stamps the very object that was tested, whatever else changes on it meanwhile.
    fn stamp(&self, verdict: &Verdict) -> Result<()> {
        self.context.reporter.step("stamp", |_| {
            let (at, seconds) = (now(), self.context.began.elapsed().as_secs());
            let is_replaced = Cell::new(false);
            let patch = |meta: &Meta| {
                let replaced = |copy: &TestedCopy| ExportRecord::of(meta).as_ref() != Some(&copy.record);
                is_replaced.set(self.subject.copy.as_ref().is_some_and(replaced));
                match is_replaced.get() {
                    true => json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}}),
                    false => self.patch(meta, verdict, at, seconds),
                }
            };
            let done = format!("the test itself is done: {}", in_words(verdict));
            let before = &self.subject.snapshot.metadata;
            proven_snapshot::stamp(&self.context.kubectl, before, patch, &done, ("verify", "tested"))?;
            if is_replaced.get() {
                let what = "another export replaced the record of the copy during the test, so there is no verdict on the new copy";
                bail!(Fail::new(Exit::Failed, what).remedy("run it again"));
            }
            Ok(((), in_words(verdict)))
        })
    }

    /// The stamp: on the snapshot itself, or in the record of its copy.
    fn patch(&self, meta: &Meta, verdict: &Verdict, at: DateTime<Utc>, seconds: u64) -> Value {
        let zone = self.context.global.zone;
        match (&self.subject.copy, verdict) {
            (Some(copy), Verdict::Bad(why)) => record::tested(meta, &copy.record, Err(why.clone())),
            (Some(copy), _) => record::tested(meta, &copy.record, Ok(record::time_text(at, zone))),
            (None, verdict) => verify::stamp(meta, verdict, at, zone, seconds),
        }
    }

    fn show(&self, verdict: &Verdict) -> Result<Value> {
        let name = &self.subject.snapshot.metadata.name;
        let seconds = report::rounded(self.context.began.elapsed());
        let (word, why, dumps) = match verdict {
            Verdict::Good(facts) => ("good", None, json!(facts)),
            Verdict::Bad(why) => ("bad", Some(why), json!({})),
            Verdict::None(why) => ("none", Some(why), json!({})),
        };
        let mut value = json!({
            "volumeSnapshot": name, "namespace": self.context.kubectl.target.namespace, "verdict": word, "databases": dumps,
            "seconds": seconds, "fromExport": self.subject.copy.is_some(),
        });
        if let Some(why) = why {
            value["why"] = json!(why);
        }
        self.context.show(&value, || {
            let mut text = format!("snapshot   {name} in {}\n", self.context.kubectl.target.namespace);
            if let Some(copy) = &self.subject.copy {
                text.push_str(&format!("copy       {}, {}\n", copy.record.repository, copy.record.manifest));
            }
            if let Verdict::Good(facts) = verdict {
                for (engine, facts) in facts.iter().flat_map(|(engine, facts)| facts.all().map(move |it| (engine, it)))
                {
                    text.push_str(&format!("server     {}\n", facts.server));
                    if let (Some(database), Some(bytes)) = (&facts.database, facts.bytes) {
                        let bytes = report::bytes(bytes);
                        text.push_str(&format!(
                            "dump       database {database}, {bytes}, as proven, whole and complete\n\
                             loaded     {} with {}, as in the dump\n",
                            counted(facts.tables, "table"),
                            counted(facts.rows, "row")
                        ));
                        if let Some(roles) = facts.roles {
                            let noun = globals::noun(*engine);
                            let head = format!("{noun}s");
                            text.push_str(&format!("{head:10} {}, as recorded\n", counted(roles, noun)));
                        }
                        if facts.objects > 0 {
                            let kinds = counted(facts.objects, "kind");
                            text.push_str(&format!("objects    {kinds}, of each as many as the database held\n"));
                        }
                    }
                    if facts.query {
                        text.push_str("query      true\n");
                    }
                    if facts.physical {
                        text.push_str("physical   the server runs on the data directory, which was read\n");
                    }
                }
            }
            text.push_str(&format!("verdict    {}, after {seconds:.1}s\n", in_words(verdict)));
            text
        })?;
        Ok(value)
    }

    /// The plan: the very calls and the very Job that a run would make.
    fn show_plan(&self) -> Result<()> {
        let (target, config) = (&self.context.kubectl.target, self.context.config);
        let mut steps = Vec::new();
        for test in &self.subject.tests {
            let job = &test.job;
            if let Some(copy) = &self.subject.copy {
                steps.push(PlanStep::new(format!(
                    "In a pod with {}: bring the copy {} into an empty claim, which takes the place of that volume",
                    copy.record.tool.word(),
                    copy.record.manifest
                )));
            }
            steps.push(
                PlanStep::new(format!(
                    "Make the Job {job}, whose pod gets a volume made from the snapshot, and image {}",
                    test.image
                ))
                .kubectl(&target.create(JOBS))
                .manifest(self.job(test, self.volume())),
            );
            steps.push(
                PlanStep::new("Shut its pod off from the network")
                    .kubectl(&target.create(NETWORK_POLICIES))
                    .manifest(verify::network_policy(&verify::RESTORE_TEST, job, &target.namespace, "the Job's")),
            );
            let mut what = Vec::new();
            for proof in &test.proofs {
                what.push(format!(
                    "check {} by its proof, load it into a scratch server, count its rows",
                    proof.path_in_volume
                ));
            }
            let asked = !config.sql.is_empty() && !test.proofs.is_empty();
            what.extend(asked.then_some("ask the query BAK_VERIFY_SQL".into()));
            what.extend(config.physical.then_some("start the server on the data directory and read all of it".into()));
            steps.push(PlanStep::new(format!("In the pod: {}", what.join(", "))).kubectl(&target.exec(
                "POD",
                verify::RESTORE_TEST.word,
                SCRIPT,
            )));
            steps.push(
                PlanStep::new("Delete the Job, and wait until its pod and volume are gone")
                    .kubectl(&target.delete(JOBS, job)),
            );
        }
        let meta = &self.subject.snapshot.metadata;
        let facts = self.subject.tests.iter().map(|test| (test.engine, Facts::default())).collect();
        let stamp = self.patch(meta, &Verdict::Good(facts), now(), 0);
        let when = if self.subject.is_partial { "bad: not all of its databases are tested" } else { "good" };
        steps.push(
            PlanStep::new(format!("Stamp the snapshot, if it is {when}"))
                .kubectl(&target.patch(SNAPSHOTS, &meta.name, &stamp)),
        );
        self.context.show(&json!({"dryRun": true, "steps": steps}), || plan::text(&steps))
    }
}

/// What is good, and yet may not be what was meant.
fn warn_of_contents(facts: &BTreeMap<Engine, Facts>) {
    for facts in facts.values().flat_map(Facts::all) {
        if facts.unfilled > 0 {
            tracing::warn!(
                "not filled in the scratch server, because what they read is not within its reach: {}",
                counted(facts.unfilled, "materialized view")
            );
        }
    }
    // Of several databases, one may be meant to be empty.
    for facts in facts.values().filter(|facts| facts.all().all(|facts| facts.tables == 0)) {
        if let Some(database) = &facts.database {
            tracing::warn!("the dump is good, but holds no table: is {database} the right database?");
        }
    }
}

/// What a step found, in words.
fn said(step: Option<&str>, facts: &Facts) -> String {
    match step {
        Some("file") => "size and SHA-256 are those of the proof".into(),
        Some("read") => "the dump is whole and complete".into(),
        Some("server") => facts.server.clone(),
        Some("load") => "no error".into(),
        Some("count") => {
            format!("{} with {}, as in the dump", counted(facts.tables, "table"), counted(facts.rows, "row"))
        }
        Some("compare") => {
            format!("{} of objects, of each as many as the database held", counted(facts.objects, "kind"))
        }
        Some("replace") => "it can be loaded over what is there, too".into(),
        Some("query") => "true".into(),
        Some("physical") => "the server runs on the data directory, and all of it was read".into(),
        _ => String::new(),
    }
}

fn in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Good(_) => "good".into(),
        Verdict::Bad(why) => format!("bad: {why}"),
        Verdict::None(why) => format!("none: {why}"),
    }
}

/// What kept the test from being made says nothing about the backup. `report` is `KEY WHY`, see `verify.sh`.
fn lost(report: &str, alike: bool, session: &mut Session) -> Fail {
    let said = session.last_words();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let Lost { key, why } = Lost::parse(report);
    let (exit, remedy) = hindrance(key, alike);
    Fail::new(exit, format!("{why}{said}")).remedy(format!("no verdict, and nothing was stamped: {remedy}"))
}

/// How a run without a verdict ends, and what to do. `alike` says whether the proof notes what the server was like.
fn hindrance(key: &str, alike: bool) -> (Exit, &'static str) {
    match key {
        "image" => (
            Exit::Precondition,
            "name an image that has what the message names, and is of the database's version, with --verify-image \
             (BAK_VERIFY_IMAGE)",
        ),
        "version" => (
            Exit::Precondition,
            "a server reads only a data directory of its own major version: have it read by an image of that version, which the \
             proof names if --verify-image (BAK_VERIFY_IMAGE) does not name another, or verify without --verify-physical, because \
             the dump can be loaded into a newer version, too",
        ),
        "space" => (
            Exit::Precondition,
            "give the node more room for the scratch server, or raise the ephemeral-storage limit of the database's container, \
             from which the pod has its own",
        ),
        "memory" => (
            Exit::Precondition,
            "raise the memory limit of the database's container, from which the pod has its own, or the namespace's default; or \
             look at the node if there is none",
        ),
        "user" => (
            Exit::Precondition,
            "run it while the database's pod is there, and name the user in that pod's securityContext (runAsUser): the pod of \
             the test runs as the same",
        ),
        "query" => (
            Exit::Failed,
            "correct the query (--verify-sql, BAK_VERIFY_SQL); if it is right, the backup lacks what it asks for",
        ),
        "load" if !alike => (
            Exit::Failed,
            "the scratch server may not be like the original, because this older proof does not note what that was like: make \
             a new backup and verify that one",
        ),
        "load" => (
            Exit::Failed,
            "the message need not be the backup's fault: see whether the scratch server lacks what it names, and try a restore \
             into a clone (backup-ns restore --to-namespace)",
        ),
        "data" => (
            Exit::Failed,
            "the message need not be the backup's fault: name the very image of the server that wrote the data directory with \
             --verify-image (BAK_VERIFY_IMAGE), or verify without --verify-physical",
        ),
        "place" => (
            Exit::Failed,
            "the snapshot is of one volume, so the data directory alone cannot be tested: rely on the dump, and verify without \
             --verify-physical",
        ),
        _ => (Exit::Failed, "correct what the message names and run it again"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_database_has_a_session_in_one_pod() {
        let proof = |name: &str| {
            serde_json::from_value(json!({
                "tool": "t", "database": name, "bytes": 100, "sha256": "0", "began": "", "ended": "", "file": "/x/d.gz",
                "pathInVolume": "d.gz", "pod": "db-1", "container": "db",
            }))
            .unwrap()
        };
        let config = Verify {
            snapshot: None,
            pvc: "data".into(),
            database: None,
            sql: "SELECT true".into(),
            physical: true,
            image: None,
            from_export: None,
            timeout: Duration::ZERO,
        };
        // Folder, database, query, whether the data directory is read, and whether another session follows.
        let values = |names: &[&str]| {
            let proofs = names.iter().map(|name| proof(name)).collect();
            let (image, job) = (String::new(), String::new());
            let test =
                PodTest { engine: Engine::Postgres, proofs, image, template: ScratchPodTemplate::default(), job };
            let of = |test: DatabaseTest<'_>| {
                let values = test.values(&config);
                assert_eq!(values.len(), 15);
                [1, 5, 6, 7, 14].map(|at| values[at].clone()).join(" ")
            };
            test.databases().into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(values(&["app"]), ["/backup-ns/scratch app SELECT true yes "]);
        assert_eq!(values(&[]), ["/backup-ns/scratch   yes "], "the data directory alone");
        let three =
            ["/backup-ns/scratch/0 a SELECT true  yes", "/backup-ns/scratch/1 b   yes", "/backup-ns/scratch/2 c  yes "];
        assert_eq!(values(&["a", "b", "c"]), three);
    }

    #[test]
    fn whatever_the_script_calls_lost_is_no_verdict_and_has_a_remedy() {
        let mut kinds = BTreeSet::new();
        for script in Engine::ALL.map(container::verify) {
            let code = script.lines().map(str::trim_start);
            let code = code.filter(|line| !line.starts_with('#') && !line.starts_with("say lost "));
            for line in code {
                let words: Vec<&str> = line.split(' ').collect();
                kinds.extend(words.windows(2).filter(|pair| pair[0] == "lost").map(|pair| pair[1]));
            }
        }
        assert!(kinds.len() > 5, "{kinds:?}");
        let usual = hindrance("other", true);
        for kind in kinds {
            let found = [true, false].map(|alike| hindrance(kind, alike));
            assert!(found.iter().all(|(exit, _)| [Exit::Failed, Exit::Precondition].contains(exit)), "{kind}");
            assert_eq!(found.contains(&usual), kind == "other", "{kind} has a remedy of its own");
        }
    }
}
