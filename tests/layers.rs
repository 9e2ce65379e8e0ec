//! The layers of `src`: which folder may use which, and that the core touches nothing outside itself. docs/architecture.md has the
//! picture. And that no two types of `src` have one name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder or file of `src`, and what it may use beside itself; each may use only what comes before it.
const LAYERS: [(&str, &[&str]); 11] = [
    ("core", &[]),
    ("exit", &[]),
    ("io", &["core", "exit"]),
    ("cluster", &["core", "exit", "io"]),
    ("container", &["core", "exit", "io", "cluster"]),
    ("lock", &["core", "exit", "io", "cluster"]),
    ("config", &["core", "exit", "io", "lock"]),
    ("backup", &["core", "exit", "io", "cluster", "container", "config"]),
    ("cli", &["core", "exit", "config"]),
    ("cmd", &["core", "exit", "io", "cluster", "container", "lock", "config", "backup", "cli"]),
    ("main", &["exit", "io", "cluster", "config", "backup", "cli", "cmd"]),
];

/// The same within `src/core`.
const CORE: [(&str, &[&str]); 13] = [
    ("escape", &[]),
    ("time_zone", &[]),
    ("words", &[]),
    ("kube", &["escape"]),
    ("engine", &["kube"]),
    ("plan", &["escape", "kube"]),
    ("retention", &["escape", "time_zone", "kube"]),
    ("backup", &["escape", "time_zone", "kube", "engine", "retention"]),
    ("lease", &["kube", "backup"]),
    ("restore", &["words", "time_zone", "kube", "engine", "retention", "backup"]),
    ("export", &["escape", "time_zone", "kube", "engine", "backup", "restore"]),
    ("health", &["escape", "words", "kube", "engine", "retention", "backup", "restore", "export"]),
    ("hostile", &["words", "time_zone", "kube", "engine", "retention", "backup", "restore", "health"]),
];

/// What no module of the core may name: files, processes, the environment, the network, streams, clocks.
const OUTSIDE: [&str; 10] =
    ["fs", "process", "env", "net", "io", "os", "thread", "time::SystemTime", "time::Instant", "print"];

fn sources(at: &Path) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at.to_path_buf()];
    }
    let entries = fs::read_dir(at).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
    entries
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// The modules that follow `prefix` in the code of a file, comments left out; `prefix::{a, b}` counts as both.
fn used(file: &Path, prefix: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default(),
            None => rest,
        };
        let word = |text: &str| {
            text.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_string()
        };
        let all = if rest.starts_with('{') { names.split(',').map(word).collect() } else { vec![word(names)] };
        found.extend(all.into_iter().filter(|name| !name.is_empty()));
    }
    found
}

/// Compares what each layer uses with what it may; a permission that nothing uses is an error, too.
fn check(root: &Path, prefix: &str, layers: &[(&str, &[&str])]) {
    let mut faults = Vec::new();
    for (number, (layer, may)) in layers.iter().enumerate() {
        let before: Vec<&str> = layers[..number].iter().map(|(name, _)| *name).collect();
        faults.extend(
            may.iter().filter(|name| !before.contains(name)).map(|name| format!("{layer} comes before {name}")),
        );
        let at = root.join(layer);
        let files = sources(&if at.is_dir() { at } else { at.with_extension("rs") });
        let mut does = BTreeSet::new();
        for file in &files {
            for name in used(file, prefix) {
                if name != *layer && layers.iter().any(|(other, _)| *other == name) {
                    if !may.contains(&name.as_str()) {
                        faults.push(format!("{} uses {prefix}{name}", file.display()));
                    }
                    does.insert(name);
                }
            }
        }
        faults.extend(
            may.iter()
                .filter(|name| !does.contains(**name))
                .map(|name| format!("{layer} does not use {name} any more")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_folder_uses_only_the_layers_below_it() {
    check(Path::new("src"), "crate::", &LAYERS);
    let names: BTreeSet<String> = fs::read_dir("src")
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, LAYERS.iter().map(|(name, _)| (*name).to_string()).collect());
}

#[test]
fn the_core_is_pure() {
    check(Path::new("src/core"), "crate::core::", &CORE);
    for file in sources(Path::new("src/core")) {
        for name in used(&file, "std::") {
            assert!(!OUTSIDE.contains(&name.as_str()), "{} uses std::{name}", file.display());
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for name in ["SystemTime", "Instant", "Utc::now", "Local::now", "include_str!"] {
            assert!(!code.contains(name), "{} uses {name}", file.display());
        }
    }
}

#[test]
fn each_type_of_src_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources(Path::new("src")) {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let is_keyword = |word: &&str| ["struct", "enum", "trait", "type"].contains(word);
            let mut words = line.split(' ').filter(|word| !word.is_empty() && !word.starts_with("pub")).peekable();
            // An indented `type` is of a trait, whose names are given.
            let is_type = words.next_if(is_keyword).is_some_and(|word| word != "type" || !line.starts_with(' '));
            if let Some(name) = words.next().filter(|_| is_type) {
                let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                places.entry(name.into()).or_default().push(file.display().to_string());
            }
        }
    }
    assert!(places.len() > 100, "{places:?}");
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "{places:?}");
}
