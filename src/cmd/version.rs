//! `version`: that of this program, of kubectl, of the API server and of its snapshot API.

use anyhow::{Error, Result, bail};
use serde::Serialize;

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::versions::{self, Versions, git_version};
use crate::cmd::show::show;
use crate::config::{Global, VersionConfig};
use crate::core::escape::Secrets;
use crate::exit::Fail;
use crate::io::report::Reporter;

/// What is printed. Without the cluster's part if only the client's is wanted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionReport {
    backup_ns: OwnVersion,
    kubectl: KnownVersion,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<KnownVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_api: Option<SnapshotApi>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnVersion {
    version: &'static str,
    /// With `-modified` if the sources were not those of the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_date: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct KnownVersion {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct SnapshotApi {
    /// Empty if it is not installed.
    versions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Prints all versions that are known.
///
/// # Errors
/// kubectl or the cluster does not answer.
pub fn run(global: &Global, config: &VersionConfig, reporter: &Reporter) -> Result<()> {
    let mut fails = Vec::new();
    let report = gather(global, config, &mut fails);
    show(reporter, global.output, &report, || text(&report))?;
    match fails.into_iter().next() {
        Some(fail) => bail!(fail),
        None => Ok(()),
    }
}

fn gather(global: &Global, config: &VersionConfig, fails: &mut Vec<Fail>) -> VersionReport {
    let recorded = |text: Option<&'static str>| text.filter(|text| !text.is_empty());
    let backup_ns = OwnVersion {
        version: env!("CARGO_PKG_VERSION"),
        commit: recorded(option_env!("BACKUP_NS_COMMIT")),
        commit_date: recorded(option_env!("BACKUP_NS_COMMIT_DATE")),
    };
    let mut report = VersionReport { backup_ns, kubectl: KnownVersion::default(), server: None, snapshot_api: None };
    let mut failed = |error: &Error| {
        fails.push(error.fail());
        error.fail().what
    };
    let unpinned = match Kubectl::unpinned(&global.asked, Secrets::default(), global.retry_timeout) {
        Ok(unpinned) => unpinned,
        Err(error) => {
            report.kubectl.error = Some(failed(&error));
            return report;
        }
    };
    if config.client {
        report.kubectl = known(versions::of_kubectl(&unpinned), &mut failed);
        return report;
    }
    match unpinned.pin(&global.asked) {
        Ok(kubectl) => {
            let Versions { kubectl: client, api } = Versions::ask(&kubectl);
            report.kubectl = known(client, &mut failed);
            let answers = api.is_ok();
            report.server = Some(known(api, &mut failed));
            if answers {
                let found = versions::of_snapshot_api(&kubectl);
                report.snapshot_api = Some(match found {
                    Ok(versions) => SnapshotApi { versions, error: None },
                    Err(error) => SnapshotApi { versions: Vec::new(), error: Some(failed(&error.into())) },
                });
            }
        }
        Err(error) => {
            report.kubectl = known(versions::of_kubectl(&unpinned), &mut failed);
            report.server = Some(KnownVersion { version: None, error: Some(failed(&error)) });
        }
    }
    report
}

fn known<E: Into<Error>>(
    answer: Result<serde_json::Value, E>,
    failed: &mut impl FnMut(&Error) -> String,
) -> KnownVersion {
    match answer {
        Ok(answer) => KnownVersion { version: git_version(&answer).map(String::from), error: None },
        Err(error) => KnownVersion { version: None, error: Some(failed(&error.into())) },
    }
}

fn text(report: &VersionReport) -> String {
    let OwnVersion { version, commit, commit_date } = &report.backup_ns;
    let built = match (commit, commit_date) {
        (Some(commit), Some(date)) => format!("commit {commit} of {date}"),
        (Some(commit), None) => format!("commit {commit}"),
        (None, _) => "built without a record of its commit".into(),
    };
    let one = |known: &KnownVersion| known.version.clone().unwrap_or_else(|| "unknown".into());
    let mut text = format!("backup-ns: {version} ({built})\nkubectl: {}\n", one(&report.kubectl));
    if let Some(server) = &report.server {
        text.push_str(&format!("server: {}\n", one(server)));
    }
    if let Some(api) = &report.snapshot_api {
        let versions = match (&api.versions[..], &api.error) {
            (_, Some(_)) => "unknown".into(),
            ([], None) => "not installed".into(),
            (versions, None) => versions.join(", "),
        };
        text.push_str(&format!("snapshot API: {versions}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said() {
        let own = |commit, commit_date| OwnVersion { version: "1.2.3", commit, commit_date };
        let of = |backup_ns, version: Option<&str>, versions: &[&str], error: Option<&str>| {
            let known = || KnownVersion { version: version.map(String::from), error: error.map(String::from) };
            let versions = versions.iter().map(ToString::to_string).collect();
            let api = SnapshotApi { versions, error: error.map(String::from) };
            text(&VersionReport { backup_ns, kubectl: known(), server: Some(known()), snapshot_api: Some(api) })
        };
        assert_eq!(
            of(own(Some("ab12"), Some("2026-11-29T10:00:00Z")), Some("v1.36.3"), &["v1", "v1beta1"], None),
            "backup-ns: 1.2.3 (commit ab12 of 2026-11-29T10:00:00Z)\nkubectl: v1.36.3\nserver: v1.36.3\nsnapshot API: v1, v1beta1\n"
        );
        assert_eq!(
            of(own(Some("ab12-modified"), None), Some("v1"), &[], None),
            "backup-ns: 1.2.3 (commit ab12-modified)\nkubectl: v1\nserver: v1\nsnapshot API: not installed\n"
        );
        assert_eq!(
            of(own(None, None), None, &[], Some("away")),
            "backup-ns: 1.2.3 (built without a record of its commit)\nkubectl: unknown\nserver: unknown\nsnapshot API: unknown\n"
        );
    }
}
