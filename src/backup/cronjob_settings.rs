//! Reads the settings of a backup CronJob, so that a manual command can use them (`--from-cronjob`), and the ConfigMaps that
//! backup CronJobs refer to. Must not know which command needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::config::settings::{self, Setting};
use crate::config::{Global, Origin};
use crate::core::backup::job;
use crate::core::escape::Secrets;
use crate::core::health::cronjob::{ConfigMaps, NAMESPACE, Schedule, Wanted};
use crate::core::kube::calls::{CRON_JOBS, Next};
use crate::core::kube::json;
use crate::core::kube::objects::Meta;
use crate::exit::{Exit, Fail};
use crate::io::process::ProcessError;

/// How many ConfigMaps one kubectl reads.
const MAPS: usize = 500;

/// The settings, by the name of their variable; an error for one that cannot be read.
#[derive(Debug, Default)]
pub struct CronJobSettings(BTreeMap<&'static str, Result<String, String>>);

impl CronJobSettings {
    /// Reads the CronJob of this name, or the only one that makes backups. Secrets are not read.
    ///
    /// # Errors
    /// There is no such CronJob, or there are several, or they may not be read.
    pub fn ask(global: &Global, named: Option<&str>) -> Result<CronJobSettings> {
        let kubectl = Kubectl::connect(&global.asked, Secrets::default(), global.retry_timeout)?;
        let namespace = kubectl.target.namespace.as_str();
        let all = cronjobs(&kubectl)?;
        let missing = |why: String| {
            Fail::new(Exit::Precondition, format!("the namespace '{namespace}' {why}"))
                .remedy("name the CronJob with --from-cronjob=NAME, or leave that out and set what is not the default")
        };
        let cronjob: &Value = job::choose(&all, named).map_err(|(why, _)| missing(why))?;
        let name = json::name(cronjob).to_string();
        let Some(schedule) = Schedule::of(cronjob) else {
            bail!(missing(format!("has a CronJob '{name}', but that does not run backup-ns create")));
        };
        let maps = config_maps(&kubectl, std::slice::from_ref(&schedule))?;
        // A namespace that cannot be read from the CronJob is taken for this one.
        if let Ok(Some(other)) = schedule.value_of(NAMESPACE, maps.as_ref())
            && other != namespace
        {
            bail!(missing(format!("has a CronJob '{name}', but that makes backups of the namespace '{other}'")));
        }
        if !schedule.secrets().is_empty() {
            let secrets = schedule.secrets().join(", ");
            tracing::warn!(
                "the CronJob {name} also takes variables from the Secret {secrets}, which is not read; set the ones you \
                 need here, such as BAK_DB_POSTGRES_PASSWORD or BAK_DB_MYSQL_PASSWORD"
            );
        }
        let values = settings::each().filter(|setting| setting.is_shared()).filter_map(|setting| {
            let flag = format!("--{}", setting.flag);
            let wanted = Wanted { variable: setting.var, flags: &[&flag], switch: setting.is_switch() };
            let value = schedule.value_of(wanted, maps.as_ref()).transpose()?;
            Some((setting.var, value.map_err(|why| format!("{why} in the CronJob {name}: set it here"))))
        });
        Ok(CronJobSettings(values.collect()))
    }

    /// The text of a setting, if the CronJob has it.
    ///
    /// # Errors
    /// It has it, but in a Secret or another place that is not read.
    pub fn get(&self, setting: &Setting) -> Result<Option<(String, Origin)>, String> {
        let value = self.0.get(setting.var).cloned().transpose()?;
        Ok(value.map(|text| (text, Origin::CronJob)))
    }
}

/// All CronJobs of the namespace.
pub fn cronjobs(kubectl: &Kubectl) -> Result<Vec<Value>> {
    let page = |next: &Next| kubectl.target.page(CRON_JOBS, Some(&kubectl.target.namespace), "", next);
    Ok(kubectl.pages(page, Some, |_| ())?)
}

#[derive(Deserialize)]
struct ConfigMap {
    metadata: Meta,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// Reads the ConfigMaps that these CronJobs refer to; `None` if the caller may not read one of them.
pub fn config_maps(kubectl: &Kubectl, schedules: &[Schedule]) -> Result<Option<ConfigMaps>> {
    let wanted: BTreeSet<(String, String)> = schedules.iter().flat_map(Schedule::config_maps).collect();
    let mut maps = ConfigMaps::new();
    for some in Vec::from_iter(wanted).chunks(MAPS) {
        match named_maps(kubectl, some) {
            Ok(found) => maps.extend(found),
            Err(error) if error.is(Refusal::Forbidden) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(maps))
}

/// Reads these ConfigMaps in one process.
fn named_maps(kubectl: &Kubectl, wanted: &[(String, String)]) -> Result<ConfigMaps, ProcessError> {
    let name = |(namespace, name): &(String, String)| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}});
    let items: Vec<Value> = wanted.iter().map(name).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let found = kubectl.patiently(|| {
        kubectl.once(kubectl.target.get_named(), &list, |stdout| {
            // kubectl prints one object as itself, several as a List, and nothing if there are none.
            let mut text = String::new();
            io::Read::read_to_string(stdout, &mut text)?;
            if text.trim().is_empty() {
                return Ok(Vec::new());
            }
            let mut object: Value = serde_json::from_str(&text)?;
            match object["items"].take() {
                Value::Null => Ok(vec![serde_json::from_value::<ConfigMap>(object)?]),
                items => Ok(serde_json::from_value::<Vec<ConfigMap>>(items)?),
            }
        })
    })?;
    Ok(found.into_iter().map(|map| ((map.metadata.namespace, map.metadata.name), map.data)).collect())
}
