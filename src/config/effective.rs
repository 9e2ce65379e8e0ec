//! The effective value of every setting of every command, with its faults.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    DbValue, Get, Origin, Output, Plain, TABLE, Values, create, export_settings, global, lock_count, mark_and_delete,
    own_namespace, restore, retain, verify,
};
use crate::config::fault::{About, Fault};
use crate::config::settings::{self, Setting};
use crate::core::escape::MASK;
use crate::exit::Fail;

/// One setting and its effective value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    pub variable: String,
    /// The flag, without its dashes; empty for a variable that is not a setting.
    pub flag: &'static str,
    /// The value, masked if it is a secret.
    pub value: String,
    pub origin: Origin,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl Effective {
    /// A variable that looks like a setting and is not. Its value is not shown, because it may be a secret.
    pub fn unknown(variable: String) -> Effective {
        let faults = vec![super::about_unknown(&variable)];
        Effective { variable, flag: "", value: String::new(), origin: Origin::Environment, faults }
    }
}

/// The configuration of `env`.
#[derive(Debug)]
pub struct Settings {
    pub output: Output,
    /// Every setting once, in the order of the tables.
    pub all: Vec<Effective>,
    /// The failure of a command that would read all of them.
    pub verdict: Result<(), Fail>,
}

/// Reads every setting. Wrong values are faults of theirs; only a wrong `-o` is an error.
pub fn effective(plain: &Plain, values: &Values<'_>) -> Result<Settings, Fail> {
    let nothing = |_: &'static Setting| Ok(None);
    let output = output(plain, Values::new(&nothing))?;
    let faults = faults(values.get);
    let all = settings::each().map(|setting| {
        let (text, origin) = match (values.get)(setting) {
            Ok(Some(set)) => set,
            Ok(None) => (by_default(setting), Origin::Default),
            // Not UTF-8; there is a fault about it.
            Err(_) => (String::new(), Origin::Environment),
        };
        let faults = faults.iter().filter(|fault| fault.is_about(setting)).map(Fault::to_string).collect();
        Effective { variable: setting.var.to_string(), flag: setting.flag, value: shown(setting, text), origin, faults }
    });
    let all = all.collect();
    let verdict = Values { errors: faults, get: values.get }.finish();
    Ok(Settings { output, all, verdict })
}

/// The default of a setting, as far as this machine decides it and not the cluster.
fn by_default(setting: &Setting) -> String {
    let found = match setting.var {
        "BAK_NAMESPACE" => own_namespace(),
        "BAK_FLOCK_COUNT" => Some(lock_count().to_string()),
        "TZ" => iana_time_zone::get_timezone().ok(),
        _ => None,
    };
    found.unwrap_or_else(|| setting.default.to_string())
}

fn output(plain: &Plain, mut words: Values<'_>) -> Result<Output, Fail> {
    let output = global(plain, TABLE, &mut words).output;
    // A system without a named time zone is reported as a fault of TZ.
    words.errors.retain(|fault| fault.about != About::SystemZone);
    words.finish()?;
    Ok(output)
}

/// The faults that all commands find in the settings, each once.
pub(super) fn faults(get: &Get<'_>) -> Vec<Fault> {
    // Only a backup needs a database; that none is chosen is no fault here.
    let get = |setting: &'static Setting| match (setting.var, get(setting)) {
        ("BAK_DB_SKIP", Ok(None)) => Ok(Some(("true".into(), Origin::Default))),
        (_, found) => found,
    };
    let wrong = |command: &dyn Fn(&Plain, &mut Values<'_>)| {
        let mut values = Values::new(&get);
        command(&Plain::default(), &mut values);
        values.errors
    };
    let all = [
        wrong(&|plain, v| drop(create(plain, v))),
        wrong(&|plain, v| drop(retain(plain, v))),
        wrong(&|plain, v| drop(mark_and_delete(plain, v))),
        wrong(&|plain, v| drop(restore(plain, v))),
        wrong(&|plain, v| drop(verify(plain, v))),
        wrong(&|_, v| drop(export_settings(v))),
    ];
    let mut seen = BTreeSet::new();
    all.concat().into_iter().filter(|fault: &Fault| seen.insert(fault.text.clone())).collect()
}

/// The value as it may be shown. The name of the variable that holds a password is no secret.
fn shown(setting: &Setting, text: String) -> String {
    let password = setting.var.ends_with("_PASSWORD");
    let reference = password && matches!(DbValue::parse(&text), DbValue::Variable(_));
    if setting.is_secret() && !text.is_empty() && !reference { MASK.into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn of(set: &'static [(&str, &str)]) -> Settings {
        let get = move |setting: &'static Setting| {
            let found = set.iter().chain(&[("TZ", "UTC")]).find(|(var, _)| *var == setting.var);
            Ok(found.map(|(_, value)| (value.to_string(), Origin::Environment)))
        };
        effective(&Plain::default(), &Values::new(&get)).unwrap()
    }

    fn find(settings: &Settings, var: &str) -> Effective {
        settings.all.iter().find(|setting| setting.variable == var).unwrap().clone()
    }

    #[test]
    fn every_setting_is_listed_once_with_its_origin() {
        let settings = of(&[("BAK_PVC_NAME", "logs")]);
        assert_eq!(settings.verdict, Ok(()));
        let vars: std::collections::BTreeSet<_> =
            settings.all.iter().map(|setting| setting.variable.as_str()).collect();
        assert_eq!((vars.len(), settings.all.len()), (settings::each().count(), settings::each().count()));
        let pvc = find(&settings, "BAK_PVC_NAME");
        assert_eq!((pvc.value.as_str(), pvc.origin), ("logs", Origin::Environment));
        let days = find(&settings, "BAK_LABEL_VS_RETAIN_DAYS");
        assert_eq!((days.value.as_str(), days.origin), ("30", Origin::Default));
    }

    #[test]
    fn secrets_are_masked_and_references_are_not() {
        let settings = of(&[
            ("BAK_DB_POSTGRES_PASSWORD", "hunter2"),
            ("BAK_DB_MYSQL_PASSWORD", "${SECRET}"),
            ("BAK_HOOK_PRE", "curl -H hunter2"),
            ("BAK_DB_POSTGRES_USER", "app"),
        ]);
        assert_eq!(find(&settings, "BAK_DB_POSTGRES_PASSWORD").value, MASK);
        assert_eq!(find(&settings, "BAK_DB_MYSQL_PASSWORD").value, "${SECRET}");
        assert_eq!(find(&settings, "BAK_HOOK_PRE").value, MASK);
        assert_eq!(find(&settings, "BAK_HOOK_POST").value, "");
        assert_eq!(find(&settings, "BAK_DB_POSTGRES_USER").value, "app");
        assert_eq!(find(&of(&[]), "BAK_DB_POSTGRES_PASSWORD").value, "${POSTGRES_PASSWORD}");
        // This is not the name of a variable, so it is a literal.
        assert_eq!(find(&of(&[("BAK_DB_MYSQL_PASSWORD", "${hunter 2}")]), "BAK_DB_MYSQL_PASSWORD").value, MASK);
    }

    #[test]
    fn faults_of_every_command_are_listed_with_their_setting() {
        let settings = of(&[
            ("BAK_VS_WAIT_UNTIL_READY", "perhaps"),
            ("BAK_VS_WAIT_UNTIL_READY_TIMEOUT", "soon"),
            ("BAK_DELETE_INTERVAL", "5"),
            ("BAK_VERIFY_FROM_EXPORT", "perhaps"),
            ("BAK_VERIFY_TIMEOUT", "x"),
            ("BAK_EXPORT_TIMEOUT", "x"),
            ("BAK_RESTORE_TIMEOUT", "y"),
            ("RETAIN_LAST_DAILY", "-1"),
        ]);
        let faulty = settings.all.iter().filter(|setting| !setting.faults.is_empty());
        let faulty: Vec<_> = faulty.map(|setting| (setting.variable.as_str(), setting.faults.len())).collect();
        let expected = [
            "BAK_VS_WAIT_UNTIL_READY",
            "BAK_VS_WAIT_UNTIL_READY_TIMEOUT",
            "RETAIN_LAST_DAILY",
            "BAK_DELETE_INTERVAL",
            "BAK_RESTORE_TIMEOUT",
            "BAK_VERIFY_FROM_EXPORT",
            "BAK_VERIFY_TIMEOUT",
            "BAK_EXPORT_TIMEOUT",
        ];
        assert_eq!(faulty, expected.map(|var| (var, 1)));
        let fail = settings.verdict.unwrap_err();
        assert!(fail.exit == Exit::Usage && fail.what.contains("wrong in 8 places"), "{}", fail.what);

        // Values that do not fit each other.
        let none = of(&[("RETAIN_LAST_DAILY", "0"), ("RETAIN_LAST_WEEKLY", "0"), ("RETAIN_LAST_MONTHLY", "0")]);
        assert!(find(&none, "RETAIN_LAST_DAILY").faults[0].contains("all 0"));
        let name = of(&[("BAK_DB_POSTGRES_PORT", "0")]);
        assert_eq!(find(&name, "BAK_DB_POSTGRES").faults.len(), 0);
    }
}
