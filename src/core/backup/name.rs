//! Names of VolumeSnapshots: the template, and which names Kubernetes accepts. Must not know where names are used.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::core::kube::labels;
use crate::core::time_zone::Zone;

/// The longest name of an object, in bytes.
const LONGEST: usize = 253;

/// A parsed name template such as `{{ .pvcName }}-{{ .timestamp }}-{{ .rand }}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(Vec<NamePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePart {
    Text(String),
    PvcName,
    Timestamp,
    Rand,
}

impl Template {
    /// Parses a template. Spaces inside the braces do not matter.
    ///
    /// # Errors
    /// An unclosed `{{` or an unknown name, as a phrase.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("a '{{' is not closed by '}}'")?;
            if !before.is_empty() {
                parts.push(NamePart::Text(before.to_string()));
            }
            parts.push(match name.trim() {
                ".pvcName" => NamePart::PvcName,
                ".timestamp" => NamePart::Timestamp,
                ".rand" => NamePart::Rand,
                other => return Err(format!("'{other}' is not one of .pvcName, .timestamp and .rand")),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(NamePart::Text(rest.to_string()));
        }
        Ok(Template(parts))
    }

    /// The name for one backup. The timestamp is `YYYY-MM-DD-HHMMSS` in `zone`.
    ///
    /// # Errors
    /// The result is not a name that Kubernetes accepts.
    pub fn render(&self, pvc: &str, now: DateTime<Utc>, zone: Zone, rand: &str) -> Result<String, String> {
        let name: String = self
            .0
            .iter()
            .map(|part| match part {
                NamePart::Text(text) => text.clone(),
                NamePart::PvcName => pvc.to_string(),
                NamePart::Timestamp => zone.local(now).format("%Y-%m-%d-%H%M%S").to_string(),
                NamePart::Rand => rand.to_string(),
            })
            .collect();
        check_name(&name).map_err(|why| format!("the name '{name}' is not valid: {why}"))?;
        Ok(name)
    }
}

/// Whether `name` may name an object: an RFC 1123 subdomain
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>).
///
/// # Errors
/// What is accepted, as a phrase.
pub fn check_name(name: &str) -> Result<(), String> {
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        bytes.first().is_some_and(plain)
            && bytes.last().is_some_and(plain)
            && bytes.iter().all(|b| plain(b) || *b == b'-')
    };
    if name.len() <= LONGEST && name.split('.').all(part) {
        Ok(())
    } else {
        Err("at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at either end".to_string())
    }
}

/// A name with an ending. If that is too long, a hash replaces the end of the name, so that two long names stay different.
pub fn with_ending(name: &str, ending: &str) -> String {
    if name.len() + ending.len() <= LONGEST {
        return format!("{name}{ending}");
    }
    let hash = format!("-{:016x}", labels::fnv1a(name.as_bytes()));
    let keep: String = name.chars().take(LONGEST.saturating_sub(hash.len() + ending.len())).collect();
    format!("{}{hash}{ending}", keep.trim_end_matches(['-', '.']))
}

/// The names of claims, with commas in between.
///
/// # Errors
/// What is accepted, as a phrase.
pub fn claims(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_string()).collect();
    names.iter().try_for_each(|name| check_name(name))?;
    let distinct = names.iter().collect::<BTreeSet<_>>().len() == names.len();
    if distinct { Ok(names) } else { Err("names of claims with commas in between, each once".into()) }
}

/// Whether a VolumeSnapshot of this name was named by the default template, as that of the older tool, too:
/// `…-YYYY-MM-DD-HHMMSS-` and letters.
pub fn is_by_default(name: &str) -> bool {
    let Some((before, rand)) = name.rsplit_once('-') else { return false };
    let start = before.len().checked_sub("YYYY-MM-DD-HHMMSS".len());
    let timestamp = start.and_then(|start| Some((before.get(..start)?, before.get(start..)?)));
    timestamp.is_some_and(|(pvc, timestamp)| {
        pvc.len() > 1 && pvc.ends_with('-') && NaiveDateTime::parse_from_str(timestamp, "%Y-%m-%d-%H%M%S").is_ok()
    }) && !rand.is_empty()
        && rand.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: &str = "{{ .pvcName }}-{{ .timestamp }}-{{ .rand }}";

    fn instant() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_305_600, 0).unwrap()
    }

    fn render(template: &str, zone: &str) -> Result<String, String> {
        Template::parse(template)?.render("data", instant(), Zone::parse(zone).unwrap(), "abcdef")
    }

    #[test]
    fn the_default_template() {
        assert_eq!(render(DEFAULT, "UTC").unwrap(), "data-2026-11-22-000000-abcdef");
        assert_eq!(render(DEFAULT, "America/New_York").unwrap(), "data-2026-11-21-190000-abcdef");
        assert_eq!(render("{{.rand}}.x", "UTC").unwrap(), "abcdef.x");
    }

    #[test]
    fn a_name_by_the_default_template_is_recognized() {
        assert!(is_by_default(&render(DEFAULT, "UTC").unwrap()));
        assert!(is_by_default("my-data-2026-02-28-235959-a"));
        for other in [
            "",
            "data",
            "-2026-11-22-000000-abcdef",
            "data-2026-11-22-000000",
            "data-2026-11-22-000000-",
            "data-2026-11-22-000000-ab1",
            "data-2026-13-22-000000-abcdef",
            "data2026-11-22-000000-abcdef",
            "data-2026-11-22-0000-abcdef",
            "daté-026-11-22-000000-abcdef",
        ] {
            assert!(!is_by_default(other), "{other}");
        }
    }

    #[test]
    fn a_wrong_template_or_name_is_an_error() {
        assert!(render("{{ .pvcname }}", "UTC").unwrap_err().contains(".pvcname"));
        assert!(render("{{ .rand", "UTC").unwrap_err().contains("not closed"));
        assert!(render("Upper-{{ .rand }}", "UTC").unwrap_err().contains("Upper-abcdef"));
        assert!(render("", "UTC").is_err());
        assert!(render("a..{{.rand}}", "UTC").is_err());
    }

    #[test]
    fn long_names_with_the_same_beginning_stay_different() {
        let long = "p".repeat(252);
        let ended = |last: &str| with_ending(&format!("{long}{last}"), "-x");
        assert_eq!(ended("a").len(), 253);
        assert_ne!(ended("a"), ended("b"));
        assert_eq!(with_ending("data", "-x"), "data-x");
    }

    proptest! {
        #[test]
        fn no_template_panics(text in "[{}. a-zA-Z-]{0,40}") {
            let _ = render(&text, "UTC");
            let _ = is_by_default(&text);
        }

        #[test]
        fn a_name_with_an_ending_is_valid(name in "[a-z0-9]([a-z0-9-]{0,100}[a-z0-9][.][a-z0-9]){0,3}") {
            prop_assume!(check_name(&name).is_ok());
            let ended = with_ending(&name, "-before-restore-2026-11-22-000000");
            prop_assert!(check_name(&ended).is_ok(), "{}", ended);
            prop_assert!(ended.ends_with("-before-restore-2026-11-22-000000"));
        }

        #[test]
        fn a_rendered_name_is_valid(text in "[a-z0-9-]{0,20}(\\{\\{ ?\\.rand ?\\}\\}[a-z0-9.-]{0,9}){0,3}") {
            if let Ok(name) = render(&text, "UTC") {
                prop_assert!(check_name(&name).is_ok());
            }
        }
    }
}
