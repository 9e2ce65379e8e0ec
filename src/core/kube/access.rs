//! The flags of kubectl that say how and as whom it reaches the API. They are passed on to each of its calls. Must not know
//! what is asked for.

/// A flag of kubectl.
#[derive(Debug, PartialEq, Eq)]
pub struct AccessFlag {
    /// Without its dashes.
    pub name: &'static str,
    /// The name of its value in help; empty for a switch.
    pub value: &'static str,
    pub help: &'static str,
}

const fn flag(name: &'static str, value: &'static str, help: &'static str) -> AccessFlag {
    AccessFlag { name, value, help }
}

/// The flag that may be repeated.
pub const GROUP: &str = "as-group";

/// All of them (<https://kubernetes.io/docs/reference/kubectl/kubectl/>), but for those that have a type of their own, and
/// `--token`, `--username` and `--password`, which would put a secret into an argument list.
pub const FLAGS: [AccessFlag; 12] = [
    flag("as", "USER", "user or service account to impersonate"),
    flag(GROUP, "GROUP", "group to impersonate; may be repeated"),
    flag("as-uid", "UID", "uid to impersonate"),
    flag("cluster", "NAME", "cluster of the kubeconfig [default: the context's]"),
    flag("user", "NAME", "user of the kubeconfig [default: the context's]"),
    flag("server", "URL", "address of the API server [default: the cluster's]"),
    flag("tls-server-name", "NAME", "name that the server's certificate must have [default: that of its address]"),
    flag("insecure-skip-tls-verify", "", "do not check the server's certificate"),
    flag("certificate-authority", "FILE", "certificate of the authority that signed the server's"),
    flag("client-certificate", "FILE", "certificate for TLS"),
    flag("client-key", "FILE", "key for TLS"),
    flag("cache-dir", "DIR", "directory of kubectl's cache [default: ~/.kube/cache]"),
];

/// The value of a flag among these arguments.
pub fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    arguments.iter().find_map(|argument| argument.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('='))
}

/// Whether one of these arguments names the cluster, so that no context is needed.
pub fn names_cluster(arguments: &[String]) -> bool {
    ["server", "cluster"].iter().any(|name| value(arguments, name).is_some())
}

/// The path of a server's address, without a `/` at its end.
pub fn path(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.find('/').map_or("", |at| rest[at..].trim_end_matches('/'))
}
