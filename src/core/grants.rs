//! What a user of MySQL or MariaDB was granted, as `SHOW GRANTS` says it. Judges texts; must not know how they came here.

/// Whether one of these privileges was granted on the whole database, or on all of them. A grant is what stands between GRANT
/// and TO.
pub fn on_database(grants: &[String], privileges: &[&str], database: &str) -> bool {
    any(grants, privileges, |object| {
        object == "*.*" || object.strip_suffix(".*").is_some_and(|pattern| like(&unquoted(pattern), database))
    })
}

/// Whether a privilege was granted on one of these objects.
pub fn on(grants: &[String], privilege: &str, objects: &[&str]) -> bool {
    any(grants, &[privilege], |object| objects.contains(&object))
}

fn any(grants: &[String], privileges: &[&str], covers: impl Fn(&str) -> bool) -> bool {
    grants.iter().filter_map(|grant| grant.split_once(" ON ")).any(|(granted, object)| {
        let holds = |one: &str| one == "ALL PRIVILEGES" || privileges.contains(&one);
        granted.split(", ").any(holds) && covers(object)
    })
}

/// A name without its quotes, and without the escapes of the client's batch mode.
fn unquoted(name: &str) -> String {
    let bare = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
    bare.unwrap_or(name).replace("``", "`").replace("\\\\", "\\")
}

/// Whether the pattern of a grant is for this database: `%` is for anything, `_` for one character, `\` makes them mean
/// themselves (<https://dev.mysql.com/doc/refman/8.4/en/grant.html>).
fn like(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // Up to where in the name the pattern so far may reach.
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

    fn all(grants: &[&str]) -> Vec<String> {
        grants.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_grant_is_for_what_it_names() {
        for (grant, database, expected) in [
            ("ALL PRIVILEGES ON *.*", "app", true),
            ("SELECT, LOCK TABLES, TRIGGER ON *.*", "app", true),
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
            assert_eq!(on_database(&all(&[grant]), &["TRIGGER"], database), expected, "{grant} {database}");
        }
        let proc = ["*.*", "`mysql`.`proc`"];
        assert!(on(&all(&["USAGE ON *.*", "SELECT ON `mysql`.`proc`"]), "SELECT", &proc));
        assert!(!on(&all(&["SELECT ON `app`.*", "SELECT (`db`) ON `mysql`.`proc`"]), "SELECT", &proc));
    }

    #[test]
    fn an_account_is_quoted() {
        assert_eq!(account("o'd @x@%"), "'o''d @x'@'%'");
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[aé_%\\\\`]{0,6}", name in "[aé_%\\\\]{0,6}") {
            let grant = format!("TRIGGER ON `{pattern}`.*");
            let _ = on_database(&[grant], &["TRIGGER"], &name);
            prop_assert!(like("%", &name) && like(&name.replace('\\', "\\\\").replace('%', "\\%"), &name));
        }
    }
}
