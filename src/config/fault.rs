//! A fault of the configuration: what is wrong, and what it is about. Nothing decides by the words.

use std::fmt;

use crate::config::settings::{Setting, var};

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Setting(&'static Setting),
    /// `TZ` is not set, and the system's zone has no name.
    SystemZone,
    /// The word behind `-o`.
    Output,
    NoDatabase,
    /// Another argument of the command line, or a file that it names.
    Argument,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub about: About,
    pub text: String,
}

impl Fault {
    pub fn is_about(&self, setting: &Setting) -> bool {
        match self.about {
            About::Setting(about) => about.var == setting.var,
            About::SystemZone => setting.var == var!("TZ").var,
            _ => false,
        }
    }

    /// Whether the cluster cannot be looked at for a backup, because the namespace, the claim or the database is not known.
    pub fn hides_backup(&self) -> bool {
        match self.about {
            About::Setting(about) => {
                about.var.starts_with("BAK_DB_")
                    || [var!("BAK_NAMESPACE"), var!("BAK_PVC_NAME")].iter().any(|setting| self.is_about(setting))
            }
            about => about == About::NoDatabase,
        }
    }

    /// Whether it is not known what the snapshots would be named.
    pub fn hides_names(&self) -> bool {
        let of = [var!("BAK_VS_NAME_TEMPLATE"), var!("BAK_VS_RAND"), var!("BAK_PVC_NAME")];
        of.iter().any(|setting| self.is_about(setting))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fault_hides_depends_on_what_it_is_about() {
        let fault = |about| Fault { about, text: "BAK_PVC_NAME in words decides nothing".into() };
        let of = |setting| fault(About::Setting(setting));
        for (fault, hides_backup, hides_names) in [
            (of(var!("BAK_DB_POSTGRES_PORT")), true, false),
            (of(var!("TZ")), false, false),
            (fault(About::NoDatabase), true, false),
            (of(var!("BAK_NAMESPACE")), true, false),
            (of(var!("BAK_PVC_NAME")), true, true),
            (of(var!("BAK_VS_RAND")), false, true),
            (fault(About::SystemZone), false, false),
            (fault(About::Argument), false, false),
        ] {
            assert_eq!((fault.hides_backup(), fault.hides_names()), (hides_backup, hides_names), "{fault:?}");
        }
        assert!(fault(About::SystemZone).is_about(var!("TZ")) && of(var!("TZ")).is_about(var!("TZ")));
    }
}
