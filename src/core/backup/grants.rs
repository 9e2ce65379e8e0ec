//! What a user of MySQL or MariaDB was granted, by the output of `SHOW GRANTS`. Must not know how that is queried.

/// The grants of a user, and MySQL's partial revokes, which take privileges on `*.*` away for single databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// For each grant the text between GRANT and TO.
    pub granted: Vec<String>,
    /// For each partial revoke the text between REVOKE and FROM.
    pub revoked: Vec<String>,
}

impl Grants {
    /// Whether one of these privileges was granted on the whole database, or on all of them and not revoked for this one.
    pub fn on_database(&self, privileges: &[&str], database: &str) -> bool {
        let here = |object: &str| object.strip_suffix(".*").is_some_and(|pattern| like(&unquoted(pattern), database));
        // With partial revokes a name is no pattern.
        let this = |object: &str| object.strip_suffix(".*").is_some_and(|name| unquoted(name) == database);
        let left = |privilege: &&str| !any(&self.revoked, privilege, this);
        let of_all: Vec<&str> = privileges.iter().copied().filter(left).collect();
        privileges.iter().any(|privilege| any(&self.granted, privilege, |object| object != "*.*" && here(object)))
            || of_all.iter().any(|privilege| any(&self.granted, privilege, |object| object == "*.*"))
    }

    /// Whether a privilege was granted on one of these objects.
    pub fn on(&self, privilege: &str, objects: &[&str]) -> bool {
        any(&self.granted, privilege, |object| objects.contains(&object))
    }

    /// Whether there are no grants: only a server without access control (`--skip-grant-tables`) reports none.
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }
}

/// Whether a line names the privilege for an object that is covered. Privileges are separated by a comma and a space, MySQL's
/// dynamic privileges by a comma alone.
fn any(lines: &[String], privilege: &str, covers: impl Fn(&str) -> bool) -> bool {
    lines.iter().filter_map(|line| line.split_once(" ON ")).any(|(privileges, object)| {
        privileges.split(',').map(str::trim_start).any(|one| one == "ALL PRIVILEGES" || one == privilege)
            && covers(object)
    })
}

/// A name without its quotes, and without the escapes of the client's batch mode.
fn unquoted(name: &str) -> String {
    let bare = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
    bare.unwrap_or(name).replace("``", "`").replace("\\\\", "\\")
}

/// Whether the pattern of a grant matches this database: `%` matches anything, `_` one character, `\` escapes both (<https://dev.mysql.com/doc/refman/8.4/en/grant.html>).
fn like(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // For each position in the name, whether the pattern so far can match up to there.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    let mut pattern = pattern.chars();
    while let Some(first) = pattern.next() {
        if first == '%' {
            let least = reached.iter().position(|at| *at).unwrap_or(reached.len());
            reached[least..].fill(true);
            continue;
        }
        let wanted = if first == '\\' { pattern.next() } else { Some(first).filter(|c| *c != '_') };
        let fits = |c: &char| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(c));
        let steps = name.iter().zip(&reached).map(|(c, at)| *at && fits(c));
        reached = std::iter::once(false).chain(steps).collect();
    }
    reached.ends_with(&[true])
}

/// `user@host` as a GRANT takes it.
pub fn account(user: &str) -> String {
    let (name, host) = user.rsplit_once('@').unwrap_or((user, "%"));
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    format!("{}@{}", quoted(name), quoted(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(grants: &[&str]) -> Grants {
        let of = |kind: &str| {
            grants.iter().filter_map(|line| line.strip_prefix(kind)).map(ToString::to_string).collect::<Vec<_>>()
        };
        Grants { granted: of("GRANT "), revoked: of("REVOKE ") }
    }

    #[test]
    fn a_grant_is_for_what_it_names() {
        for (grant, database, expected) in [
            ("ALL PRIVILEGES ON *.*", "app", true),
            ("SELECT, LOCK TABLES, TRIGGER ON *.*", "app", true),
            ("FLUSH_TABLES,TRIGGER,XA_RECOVER_ADMIN ON *.*", "app", true),
            ("SELECT, CREATE TRIGGERS ON *.*", "app", false),
            ("ALL PRIVILEGES ON `app`.*", "app", true),
            ("ALL PRIVILEGES ON `app`.*", "App", true),
            ("ALL PRIVILEGES ON `app`.*", "apps", false),
            ("TRIGGER ON `app%`.*", "apps", true),
            ("TRIGGER ON `%p`.*", "app", true),
            ("TRIGGER ON `a\\\\_b`.*", "a_b", true),
            ("TRIGGER ON `a\\\\_b`.*", "axb", false),
            ("TRIGGER ON `a_b`.*", "axb", true),
            ("TRIGGER ON `a``b`.*", "a`b", true),
            ("TRIGGER ON `app`.`t`", "app", false),
            ("SELECT (`TRIGGER, TRIGGER`) ON `app`.`t`", "app", false),
            ("PROXY ON ``@`%`", "app", false),
            ("`role`", "app", false),
        ] {
            let grants = all(&[&format!("GRANT {grant}")]);
            assert_eq!(grants.on_database(&["TRIGGER"], database), expected, "{grant} {database}");
        }
        let proc = ["*.*", "`mysql`.`proc`"];
        assert!(all(&["GRANT USAGE ON *.*", "GRANT SELECT ON `mysql`.`proc`"]).on("SELECT", &proc));
        assert!(!all(&["GRANT SELECT ON `app`.*", "GRANT SELECT (`db`) ON `mysql`.`proc`"]).on("SELECT", &proc));
    }

    #[test]
    fn what_was_revoked_for_a_database_is_missing_there() {
        for (grants, database, expected) in [
            (&["GRANT TRIGGER ON *.*", "REVOKE TRIGGER ON `app`.*"][..], "app", false),
            (&["GRANT TRIGGER ON *.*", "REVOKE SELECT, TRIGGER ON `app`.*"], "app", false),
            (&["GRANT TRIGGER ON *.*", "REVOKE TRIGGER ON `app`.*"], "apps", true),
            (&["GRANT TRIGGER ON *.*", "REVOKE TRIGGER ON `a_b`.*"], "axb", true),
            (&["GRANT TRIGGER ON *.*", "REVOKE SELECT ON `app`.*"], "app", true),
            // As SHOW GRANTS lists a role's grants beside the user's own.
            (&["GRANT TRIGGER ON *.*", "GRANT TRIGGER ON `app`.*", "REVOKE TRIGGER ON `app`.*"], "app", true),
        ] {
            assert_eq!(all(grants).on_database(&["TRIGGER"], database), expected, "{grants:?} {database}");
        }
        let either = all(&["GRANT TRIGGER, EVENT ON *.*", "REVOKE TRIGGER ON `app`.*"]);
        assert!(either.on_database(&["TRIGGER", "EVENT"], "app"));
    }

    #[test]
    fn an_account_is_quoted() {
        assert_eq!(account("o'd @x@%"), "'o''d @x'@'%'");
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[aé_%\\\\`]{0,6}", name in "[aé_%\\\\]{0,6}") {
            let _ = all(&[&format!("GRANT TRIGGER ON `{pattern}`.*")]).on_database(&["TRIGGER"], &name);
            prop_assert!(like("%", &name) && like(&name.replace('\\', "\\\\").replace('%', "\\%"), &name));
        }
    }
}
