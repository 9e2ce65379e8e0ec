//! `import`: what a repository of exports holds, and a claim that is filled from a copy. Needs nothing of the cluster that made it.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::cluster::dry_run;
use crate::cluster::failure::Failure;
use crate::cluster::scratch_pod::ScratchPod;
use crate::cmd::copies::{self, ReadManifest, Repository};
use crate::cmd::show::table;
use crate::cmd::{Conclusion, Context, now};
use crate::config::{Global, Import, ImportWish, Output};
use crate::core::export::ExportTool;
use crate::core::export::import::{self, CopyEntry, CopyRow};
use crate::core::kube::calls::{CLAIMS, JOBS, NETWORK_POLICIES, SCRIPT};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::plan::{self, PlanStep};
use crate::core::restore::verify::{self, IMPORT, PodVolume, ScratchVolume};
use crate::core::words::{self, counted};
use crate::exit::{Exit, Fail};
use crate::io::process;
use crate::io::random;
use crate::io::report::{self, Reporter};

/// Lists copies, shows one, or fills a claim from it.
///
/// # Errors
/// As the exit codes say: [`Exit::BackupBad`] if a copy is not what its manifest says.
pub fn run(global: &Global, config: &Import, reporter: &Reporter) -> Result<Conclusion> {
    let context = Context::connect(global, config, reporter)?;
    let template = copies::pod_template(&context.kubectl, &config.settings)?;
    let repository = Repository {
        kubectl: &context.kubectl,
        reporter,
        settings: &config.settings,
        template: &template,
        end: context.began + config.settings.timeout,
    };
    match &config.wish {
        ImportWish::List { last } => context.list(repository, *last).map(Into::into),
        ImportWish::Show { id } => context.show_copy(&context.read(repository, id)?).map(Into::into),
        ImportWish::Claim { id, pvc, class, storage } => {
            copies::check_free(&context.kubectl, pvc)?;
            let copy = context.read(repository, id)?;
            context.fill(repository, &copy, (pvc, class.as_deref(), storage.as_deref()))
        }
    }
}

/// One copy, with its manifest.
struct Copy {
    entry: CopyEntry,
    read: ReadManifest,
}

impl Copy {
    /// As a claim names it.
    fn name(&self) -> String {
        let manifest = &self.read.manifest;
        format!("{}/{}/{}", manifest.namespace, manifest.claim, manifest.volume_snapshot)
    }
}

impl Context<'_, Import> {
    /// Reads one copy's manifest.
    fn read(&self, repository: Repository<'_>, id: &str) -> Result<Copy> {
        repository.in_pod(|pod| {
            let entry = pod.find(id, &self.config.of_or_own(&self.kubectl.target.namespace))?;
            let read = pod.manifest(&entry)?;
            Ok(Copy { entry, read })
        })
    }

    fn list(&self, repository: Repository<'_>, last: usize) -> Result<()> {
        if self.config.settings.tool == ExportTool::Command {
            bail!(copies::no_list());
        }
        let (rows, older) = repository.in_pod(|pod| {
            let mut entries = import::of(pod.list()?, self.config.of.as_ref());
            let older = if last == 0 { 0 } else { entries.len().saturating_sub(last) };
            entries.drain(..older);
            let manifests = if entries.is_empty() { Vec::new() } else { pod.manifests(&entries)? };
            let row = |(entry, read): (&CopyEntry, &Result<ReadManifest, String>)| {
                CopyRow::of(entry, read.as_ref().map(|read| &read.manifest).map_err(Clone::clone))
            };
            Ok((entries.iter().zip(&manifests).map(row).collect::<Vec<_>>(), older))
        })?;
        self.show(&rows, || text(&rows, self.global.output))?;
        if rows.is_empty() {
            tracing::warn!("the repository has no such copies");
        }
        if older > 0 {
            tracing::info!("not shown: {} that are older; --last 0 shows all", counted(older as u64, "copy"));
        }
        let bad: Vec<&str> = rows.iter().filter(|row| row.fault.is_some()).map(|row| row.id.as_str()).collect();
        if !bad.is_empty() {
            let what =
                format!("the manifest of {} cannot be used: {}", counted(bad.len() as u64, "copy"), bad.join(", "));
            bail!(Fail::new(Exit::Partial, what).remedy("check the repository; the other copies are in the list"));
        }
        Ok(())
    }

    fn show_copy(&self, copy: &Copy) -> Result<()> {
        let manifest = &copy.read.manifest;
        self.show(&json!({"id": copy.entry.id, "manifest": manifest}), || {
            let row = CopyRow::of(&copy.entry, Ok(manifest));
            let files: Vec<String> = manifest
                .files
                .iter()
                .map(|file| {
                    format!("file       {}, {}, SHA-256 {}\n", file.name, report::bytes(file.bytes), file.sha256)
                })
                .collect();
            format!(
                "copy       {}\nsnapshot   {}, cut {}\ncontent    {}, {} in {}\ndatabases  {}\n{}",
                copy.entry.id,
                copy.name(),
                self.global.zone.local(manifest.made).to_rfc3339(),
                manifest.what.word(),
                report::bytes(row.bytes),
                counted(row.files, "file"),
                row.databases.join(", "),
                files.concat()
            )
        })
    }

    /// Makes a claim and fills it. It belongs to the Job until it is complete, so that it goes with that if this program is killed.
    fn fill(
        &self,
        repository: Repository<'_>,
        copy: &Copy,
        (pvc, class, storage): (&str, Option<&str>, Option<&str>),
    ) -> Result<Conclusion> {
        let (kubectl, manifest) = (&self.kubectl, &copy.read.manifest);
        let missing = |why: String| {
            Fail::new(Exit::Precondition, format!("no claim can be made for the copy {}: {why}", copy.entry.id))
        };
        let volume = import::volume(manifest, class, storage).map_err(missing)?;
        let class = class.map(str::to_string).or_else(|| manifest.claim_template.as_ref()?.storage_class_name.clone());
        dry_run::check_class(kubectl, &ClaimTemplate { storage_class_name: class, ..ClaimTemplate::default() })
            .map_err(if_no_class)?;
        let wanted = import::for_claim(manifest, &copy.entry, (copy.read.bytes, &copy.read.sha256));
        let namespace = &kubectl.target.namespace;
        let job = verify::job_name(&IMPORT, pvc, &format!("{:016x}", labels::fnv1a(pvc.as_bytes()))[..8]);
        let run = random::nonce();
        let job_manifest = repository.job(&job, PodVolume::Claim(pvc, &volume), &run);
        let claim = |owner: &Value| {
            import::claim(pvc, namespace, &volume, &copy.name(), owner, &import::proofs_of_volume(manifest))
        };
        if self.global.dry_run {
            return self
                .show_plan(&job, &job_manifest, (pvc, &claim(&json!({"kind": "Job", "name": job}))))
                .map(Into::into);
        }
        let mut pod = ScratchPod::of(kubectl, &IMPORT, &job);
        copies::make_job(&mut pod, &job_manifest, repository.end, "import into this claim")?;
        let mut uid = None;
        let outcome = (|| {
            let made = self.reporter.step("claim", |_| {
                let made = copies::make_claim(kubectl, pvc, &claim(&pod.owner()))?;
                Ok((made, format!("{pvc}, {}", size(&volume))))
            })?;
            uid = Some(made.clone());
            repository.run(&pod, |pod| {
                // As long as the session is open, the Job is not done, and does not go by itself.
                let session = pod.fetch(manifest.volume.is_some(), verify::VOLUME, &wanted)?;
                let kept = self.reporter.step("keep", |_| {
                    let call = kubectl.target.patch(CLAIMS, pvc, &import::owned_by(&made, &[]));
                    let claim: Value = kubectl.json(&call)?;
                    if !claim["metadata"]["deletionTimestamp"].is_null() {
                        let what = format!("the claim {pvc} is being deleted");
                        bail!(Fail::new(Exit::Failed, what).remedy("run it again"));
                    }
                    Ok(((), format!("claim {pvc} is complete, and does not go with the Job")))
                });
                drop(session);
                kept
            })
        })();
        repository.clear(&pod, &job)?;
        if let (Err(_), Some(uid)) = (&outcome, &uid) {
            process::unhurried(|| copies::remove_claim(kubectl, pvc, uid));
        }
        outcome?;
        let report = json!({
            "namespace": namespace, "pvc": pvc, "id": copy.entry.id, "from": copy.name(), "what": manifest.what,
            "files": wanted.iter().map(|copy| &copy.place).filter(|place| !place.is_empty()).collect::<Vec<_>>(),
            "seconds": report::rounded(self.began.elapsed()),
        });
        self.show(&report, || {
            format!(
                "The claim {pvc} in {namespace} holds the copy {} of {}, cut {}\n",
                copy.entry.id,
                copy.name(),
                self.global.zone.local(manifest.made).to_rfc3339()
            )
        })?;
        Ok(Conclusion { message: format!("claim {pvc} is filled from the copy {}", copy.entry.id), report })
    }

    fn show_plan(&self, job: &str, manifest: &Value, (pvc, claim): (&str, &Value)) -> Result<()> {
        let target = &self.kubectl.target;
        let steps = [
            PlanStep::new(format!("Make the Job {job}, with image {}", self.config.settings.image))
                .kubectl(&target.create(JOBS))
                .manifest(manifest.clone()),
            PlanStep::new(format!("Make the claim {pvc}, which belongs to the Job until it is complete"))
                .kubectl(&target.create(CLAIMS))
                .manifest(claim.clone()),
            PlanStep::new("Let its pod connect to others, but not the other way round")
                .kubectl(&target.create(NETWORK_POLICIES))
                .manifest(verify::network_policy(&IMPORT, job, &target.namespace, "the Job's")),
            PlanStep::new("In the pod: bring the copies into the claim, and compare each with its manifest")
                .kubectl(&target.exec("POD", IMPORT.word, SCRIPT)),
            PlanStep::new("Keep the claim").kubectl(&target.patch(CLAIMS, pvc, &import::owned_by("its own", &[]))),
            PlanStep::new("Delete the Job").kubectl(&target.delete(JOBS, job)),
        ];
        self.context_show(&steps)
    }

    fn context_show(&self, steps: &[PlanStep]) -> Result<()> {
        self.show(&json!({"dryRun": true, "steps": steps}), || plan::text(steps))
    }
}

fn size(volume: &ScratchVolume) -> String {
    volume.claim_spec(None)["resources"]["requests"]["storage"].as_str().unwrap_or_default().to_string()
}

/// A class of the old cluster need not be in this one.
fn if_no_class(error: anyhow::Error) -> anyhow::Error {
    match error.exit() {
        Exit::Precondition => {
            error.fail().remedy("name one of this cluster with --storage-class: kubectl get storageclasses").into()
        }
        _ => error,
    }
}

fn text(rows: &[CopyRow], output: Output) -> String {
    let wide = output == Output::Wide;
    let mut head = vec!["ID", "NAMESPACE", "CLAIM", "AGE", "SIZE", "DATABASES", "FAULT"];
    if wide {
        head.extend(["SNAPSHOT", "RUN", "MADE"]);
    }
    let cells = |row: &CopyRow| {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut cells = vec![
            row.id.clone(),
            row.namespace.clone(),
            row.claim.clone(),
            words::age(now() - row.made),
            report::bytes(row.bytes),
            row.databases.join(" "),
            or_none(&row.fault),
        ];
        if wide {
            cells.extend([or_none(&row.volume_snapshot), or_none(&row.run), row.made.to_rfc3339()]);
        }
        cells
    };
    table(&head, rows.iter().map(cells))
}
