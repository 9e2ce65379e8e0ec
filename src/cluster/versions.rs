//! Reads the versions of kubectl, of the API server and of its snapshot API. Must not know what they are compared with.

use serde_json::Value;

use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::io::process::ProcessError;

/// The versions of kubectl and of the API server.
pub struct Versions {
    pub kubectl: Result<Value, ProcessError>,
    pub api: Result<Value, ProcessError>,
}

impl Versions {
    /// Asks for both in one call. That fails where the version of the server is not a release, although both are known; then each is asked
    /// by itself, but an API that is away only once.
    pub fn ask(kubectl: &Kubectl) -> Versions {
        match read_once(kubectl, kubectl.target.versions()) {
            Ok(mut both) => {
                Versions { kubectl: Ok(both["clientVersion"].take()), api: Ok(both["serverVersion"].take()) }
            }
            Err(error) if error.is(Refusal::Transient) => Versions { kubectl: of_kubectl(kubectl), api: Err(error) },
            Err(_) => {
                Versions { kubectl: of_kubectl(kubectl), api: read_once(kubectl, kubectl.target.server_version()) }
            }
        }
    }
}

/// The version of kubectl, without a request.
pub fn of_kubectl(kubectl: &Kubectl) -> Result<Value, ProcessError> {
    read_once(kubectl, kubectl.target.version()).map(|mut both| both["clientVersion"].take())
}

/// The versions in which the snapshot API is served; none if it is not installed.
pub fn of_snapshot_api(kubectl: &Kubectl) -> Result<Vec<String>, ProcessError> {
    match read_once(kubectl, kubectl.target.snapshot_kinds("")) {
        Ok(group) => {
            let all = group["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(all.iter().filter_map(|one| Some(one["version"].as_str()?.to_string())).collect())
        }
        Err(error) if [Refusal::NotFound, Refusal::UnknownKind].contains(&error.refusal()) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The version in an answer.
pub fn git_version(answer: &Value) -> Option<&str> {
    answer["gitVersion"].as_str()
}

/// Makes a call that reads JSON, once.
fn read_once(kubectl: &Kubectl, args: Vec<String>) -> Result<Value, ProcessError> {
    kubectl.once(args, "", |stdout| serde_json::from_reader(stdout).map_err(std::io::Error::from))
}
