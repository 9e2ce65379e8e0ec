//! Of what a CronJob makes backups, and how its runs went. Objects are JSON here, because what a container is told stands in
//! many places. Must not know who reads them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::core::job::{self, list, text};

/// The variables that say of what a backup is, with their flags.
const PVC: (&str, &[&str]) = ("BAK_PVC_NAME", &["--pvc-name"]);
const NAMESPACE: (&str, &[&str]) = ("BAK_NAMESPACE", &["--namespace", "-n"]);

/// A CronJob that makes backups.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it runs, as `0 3 * * *`.
    pub cron: String,
    /// Whether it makes no Jobs for now.
    pub suspended: bool,
    /// Whether a Job of it is at work.
    pub active: bool,
    /// When it made a Job last.
    pub last: Option<DateTime<Utc>>,
    /// When a Job of it was complete last.
    pub succeeded: Option<DateTime<Utc>>,
    /// The container that makes the backup: its words and where its environment comes from.
    container: Value,
}

/// A CronJob; none that makes no backups.
#[derive(Debug)]
pub struct Maker(pub Option<Schedule>);

impl From<Value> for Maker {
    fn from(cronjob: Value) -> Maker {
        let time = |pointer: &str| Some(DateTime::parse_from_rfc3339(text(&cronjob, pointer)).ok()?.to_utc());
        Maker(job::maker(&cronjob).map(|container| Schedule {
            namespace: text(&cronjob, "/metadata/namespace").into(),
            name: job::name(&cronjob).into(),
            cron: text(&cronjob, "/spec/schedule").into(),
            suspended: cronjob["spec"]["suspend"] == true,
            active: !list(&cronjob, "/status/active").is_empty(),
            last: time("/status/lastScheduleTime"),
            succeeded: time("/status/lastSuccessfulTime"),
            container: json!({
                "command": container["command"], "args": container["args"], "env": container["env"],
                "envFrom": container["envFrom"],
            }),
        }))
    }
}

/// What ConfigMaps hold, by namespace and name. One that is not there is none.
pub type ConfigMaps = BTreeMap<(String, String), BTreeMap<String, String>>;

impl Schedule {
    /// The ConfigMaps, by namespace and name, that tell it anything.
    pub fn config_maps(&self) -> BTreeSet<(String, String)> {
        let all = list(&self.container, "/envFrom").iter().map(|from| text(from, "/configMapRef/name"));
        let one = list(&self.container, "/env").iter().map(|entry| text(entry, "/valueFrom/configMapKeyRef/name"));
        let names = all.chain(one).filter(|name| !name.is_empty());
        names.map(|name| (self.namespace.clone(), name.to_string())).collect()
    }

    /// The claims, by namespace and name, that it makes backups of; `maps` is none where ConfigMaps may not be read.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn claims(&self, maps: Option<&ConfigMaps>) -> Result<Vec<(String, String)>, String> {
        let namespace = self.told(NAMESPACE, maps)?.unwrap_or_else(|| self.namespace.clone());
        let claims = self.told(PVC, maps)?.unwrap_or_else(|| "data".into());
        Ok(claims.split(',').map(|claim| (namespace.clone(), claim.trim().to_string())).collect())
    }

    /// The Secrets whose keys are variables to it, and which nobody here reads.
    pub fn secrets(&self) -> Vec<&str> {
        let names = list(&self.container, "/envFrom").iter().map(|from| text(from, "/secretRef/name"));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Whether its last run, made before `now`, ended without success.
    pub fn failed(&self) -> bool {
        self.last.is_some_and(|last| !self.active && self.succeeded.is_none_or(|succeeded| succeeded < last))
    }

    /// What the container is told: by a flag, else by a variable of its own, else by one of a ConfigMap, the last of which counts
    /// (<https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables>).
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn told(
        &self,
        (variable, flags): (&str, &[&str]),
        maps: Option<&ConfigMaps>,
    ) -> Result<Option<String>, String> {
        let known = |value: &str| match value {
            _ if value.contains("$(") || value.contains("${") => Err(format!("{variable} is '{value}'")),
            "" => Ok(None),
            _ => Ok(Some(value.to_string())),
        };
        if let Some(value) = self.flag(flags) {
            return known(&value);
        }
        let map = |name: &str| match maps {
            Some(maps) => Ok(maps.get(&(self.namespace.clone(), name.to_string()))),
            None => Err(format!("the ConfigMap {name} may not be read")),
        };
        let env = list(&self.container, "/env");
        if let Some(entry) = env.iter().rev().find(|entry| text(entry, "/name") == variable) {
            return match text(entry, "/valueFrom/configMapKeyRef/name") {
                // What a pod is told of itself.
                "" if text(entry, "/valueFrom/fieldRef/fieldPath") == "metadata.namespace" => {
                    Ok(Some(self.namespace.clone()))
                }
                "" if entry["valueFrom"].is_object() => Err(format!("{variable} comes from a place that is not read")),
                "" => known(text(entry, "/value")),
                name => {
                    let value = map(name)?.and_then(|map| map.get(text(entry, "/valueFrom/configMapKeyRef/key")));
                    value.map_or(Ok(None), |value| known(value))
                }
            };
        }
        for from in list(&self.container, "/envFrom").iter().rev() {
            let (name, prefix) = (text(from, "/configMapRef/name"), text(from, "/prefix"));
            let Some(key) = variable.strip_prefix(prefix).filter(|_| !name.is_empty()) else { continue };
            if let Some(value) = map(name)?.and_then(|map| map.get(key)) {
                return known(value);
            }
        }
        Ok(None)
    }

    /// The value of a flag on the command line; a word of that may be a whole script.
    fn flag(&self, flags: &[&str]) -> Option<String> {
        let words = ["/command", "/args"].into_iter().flat_map(|part| list(&self.container, part));
        let words = words.filter_map(Value::as_str).flat_map(str::split_whitespace);
        let words: Vec<&str> = words.map(|word| word.trim_matches(['\'', '"'])).collect();
        words.iter().enumerate().rev().find_map(|(at, word)| {
            let flag = flags.iter().find(|flag| word.starts_with(**flag))?;
            match word.strip_prefix(*flag)? {
                "" => words.get(at + 1).map(ToString::to_string),
                rest => rest.strip_prefix('=').map(|value| value.trim_matches(['\'', '"']).to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(container: Value) -> Schedule {
        let mut container = container;
        container["image"] = json!("registry/backup-ns:1");
        let cronjob = json!({
            "metadata": {"namespace": "shop", "name": "backup"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}},
        });
        Maker::from(cronjob).0.unwrap()
    }

    fn maps(all: &[(&str, &[(&str, &str)])]) -> ConfigMaps {
        let data = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        all.iter().map(|(name, pairs)| (("shop".to_string(), name.to_string()), data(pairs))).collect()
    }

    #[test]
    fn the_claim_is_what_the_container_is_told() {
        let maps = maps(&[
            ("a", &[("BAK_PVC_NAME", "of-a"), ("PVC_NAME", "prefixed"), ("key", "by-key")]),
            ("b", &[("BAK_PVC_NAME", "of-b")]),
            ("other", &[("X", "y")]),
        ]);
        let from = |names: &[&str]| {
            let refs: Vec<Value> = names.iter().map(|name| json!({"configMapRef": {"name": name}})).collect();
            json!(refs)
        };
        let own = |value: &str| json!([{"name": "BAK_PVC_NAME", "value": value}]);
        for (container, claims) in [
            (json!({}), &[("shop", "data")][..]),
            (json!({"env": own("logs")}), &[("shop", "logs")]),
            (json!({"env": own("")}), &[("shop", "data")]),
            (json!({"env": own("data, uploads")}), &[("shop", "data"), ("shop", "uploads")]),
            (json!({"envFrom": from(&["a"])}), &[("shop", "of-a")]),
            (json!({"envFrom": from(&["a", "b"])}), &[("shop", "of-b")]),
            (json!({"envFrom": from(&["b", "other", "gone"])}), &[("shop", "of-b")]),
            (json!({"envFrom": [{"prefix": "BAK_", "configMapRef": {"name": "a"}}]}), &[("shop", "prefixed")]),
            (json!({"env": own("logs"), "envFrom": from(&["a"])}), &[("shop", "logs")]),
            (
                json!({"env": [{"name": "BAK_PVC_NAME", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "key"}}}]}),
                &[("shop", "by-key")],
            ),
            (json!({"env": own("logs"), "args": ["create", "--pvc-name=flag"]}), &[("shop", "flag")]),
            (json!({"command": ["sh", "-c", "exec backup-ns create --pvc-name 'x' -n bank"]}), &[("bank", "x")]),
            (json!({"env": [{"name": "BAK_NAMESPACE", "value": "bank"}]}), &[("bank", "data")]),
            (
                json!({"env": [{"name": "BAK_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]}),
                &[("shop", "data")],
            ),
        ] {
            let claims: Vec<_> = claims.iter().map(|(ns, name)| (ns.to_string(), name.to_string())).collect();
            assert_eq!(schedule(container.clone()).claims(Some(&maps)), Ok(claims), "{container}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_no_guess() {
        let secret = json!([{"name": "BAK_PVC_NAME", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        for container in [json!({"env": secret}), json!({"args": ["create", "--pvc-name=$(PVC)"]})] {
            assert!(schedule(container.clone()).claims(Some(&ConfigMaps::new())).is_err(), "{container}");
        }
        let from = schedule(json!({"envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "s"}}]}));
        assert_eq!(from.config_maps(), BTreeSet::from([("shop".into(), "a".into())]));
        assert!(from.claims(None).unwrap_err().contains("ConfigMap a may not be read"));
        // One that is told by its own words needs none.
        assert!(
            schedule(
                json!({"args": ["create", "--pvc-name=x", "-n=shop"], "envFrom": [{"configMapRef": {"name": "a"}}]})
            )
            .claims(None)
            .is_ok()
        );
    }

    #[test]
    fn a_run_without_success_failed_unless_it_is_at_work() {
        let at = |text: &str| Some(DateTime::parse_from_rfc3339(text).unwrap().to_utc());
        let (before, night, done) =
            (at("2026-11-21T03:00:40Z"), at("2026-11-22T03:00:00Z"), at("2026-11-22T03:01:00Z"));
        for (last, succeeded, active, failed) in [
            (None, None, false, false),
            (night, done, false, false),
            (night, before, false, true),
            (night, None, false, true),
            (night, before, true, false),
        ] {
            assert_eq!(Schedule { last, succeeded, active, ..schedule(json!({})) }.failed(), failed);
        }
    }
}
