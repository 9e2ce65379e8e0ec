//! The objects of a database and the properties of its server at the time of a dump, as the container reported them: limited in
//! size, without possible secrets, and only what was the same before and after the dump. Must not know how they are queried.

use std::collections::BTreeMap;

/// How many entries a map of the proof has at most.
const ENTRIES: usize = 64;
/// The longest name and the longest value, in bytes.
const NAME: usize = 64;
const VALUE: usize = 512;
/// How many bytes all values have at most: all annotations of an object share 256 KiB.
const VALUES: usize = 4096;

/// What the container reported, before the dump or after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// By kind: the number of objects, and a mark that changes when one is added or removed.
    objects: BTreeMap<String, (u64, String)>,
    /// Properties and settings of the server, by name.
    properties: BTreeMap<String, String>,
    /// Counters of the server that change when an object is dropped.
    counters: BTreeMap<String, String>,
}

impl Inventory {
    /// Takes a fact: `object KIND NUMBER MARK`, `property NAME VALUE`, or a counter's name and value.
    pub fn note(&mut self, fact: &str) {
        let mut words = fact.splitn(2, [' ', '\t']);
        let (first, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match first {
            "object" => {
                let words: Vec<&str> = rest.split(' ').collect();
                if let [kind, number, mark] = words[..]
                    && let Ok(number) = number.parse()
                {
                    put(&mut self.objects, kind, (number, mark.chars().take(NAME).collect()));
                }
            }
            "property" => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                let plain = value.len() <= VALUE && !value.chars().any(char::is_control);
                let all: usize = self.properties.values().map(String::len).sum();
                if plain && all + value.len() <= VALUES && !may_be_secret(name, value) {
                    put(&mut self.properties, name, value.into());
                }
            }
            counter => put(&mut self.counters, counter, rest.chars().take(NAME).collect()),
        }
    }

    /// The number of objects of each kind that is the same in `after`.
    pub fn objects(&self, after: &Inventory) -> BTreeMap<String, u64> {
        if self.counters != after.counters {
            return BTreeMap::new();
        }
        let same = self.objects.iter().filter(|(kind, what)| after.objects.get(*kind) == Some(what));
        same.map(|(kind, (number, _))| (kind.clone(), *number)).collect()
    }

    /// The properties of the server that are the same in `after`.
    pub fn server(&self, after: &Inventory) -> BTreeMap<String, String> {
        let same = self.properties.iter().filter(|(name, value)| after.properties.get(*name) == Some(value));
        same.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Adds an entry if the name is valid and the map is not full.
fn put<V>(map: &mut BTreeMap<String, V>, name: &str, value: V) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=NAME).contains(&name.len()) && name.bytes().all(plain) && (map.len() < ENTRIES || map.contains_key(name)) {
        map.insert(name.into(), value);
    }
}

/// Whether a setting may hold a secret. Those of the server do not. One of an application, with a dot in its name, may: it is
/// kept only if no word of a secret is in its name, and its value is short and consists of plain words or numbers.
fn may_be_secret(name: &str, value: &str) -> bool {
    if !name.contains('.') {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let words = [
        "secret", "pass", "pwd", "token", "key", "jwt", "cred", "auth", "dsn", "url", "uri", "conn", "salt", "private",
        "cert", "sign", "hash", "pin", "cipher", "crypt", "pepper", "seed",
    ];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" _.,/:+-".contains(&byte);
    // A word that is long, or mixes letters and digits, may be random.
    let random = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        word.len() > 24 || (word.len() >= 8 && digits > 0 && digits < word.len())
    };
    words.iter().any(|word| name.contains(word))
        || value.len() > 64
        || !value.bytes().all(plain)
        || value.split(|c: char| !c.is_ascii_alphanumeric()).any(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(facts: &[&str]) -> Inventory {
        let mut inventory = Inventory::default();
        facts.iter().for_each(|fact| inventory.note(fact));
        inventory
    }

    #[test]
    fn only_what_did_not_change_during_the_dump_is_noted() {
        let before = of(&["object tables 3 aa", "object views 2 bb", "object triggers 1 cc", "property encoding UTF8"]);
        let after = of(&["object tables 3 aa", "object views 2 zz", "property encoding UTF8"]);
        let objects = BTreeMap::from([("tables".to_string(), 3)]);
        assert_eq!(before.objects(&after), objects, "a view that was replaced, a trigger that went");
        assert_eq!(before.server(&after), BTreeMap::from([("encoding".to_string(), "UTF8".to_string())]));
        assert_eq!(before.server(&of(&["property encoding LATIN1"])), BTreeMap::new());
        assert_eq!(before.objects(&of(&[])), BTreeMap::new(), "nothing was answered after the dump");
        let (before, after) =
            (of(&["object views 2 bb", "Com_drop_view\t7"]), of(&["object views 2 bb", "Com_drop_view\t8"]));
        assert_eq!(before.objects(&before).len(), 1);
        assert_eq!(before.objects(&after), BTreeMap::new(), "a view went and came back under its name");
    }

    #[test]
    fn what_a_container_says_is_bounded() {
        let mut inventory = Inventory::default();
        for number in 0..1000 {
            inventory.note(&format!("object kind{number} 1 {}", "m".repeat(100_000)));
            inventory.note(&format!("property p{number} {}", "v".repeat(500)));
            inventory.note(&format!("Com_{number}\t{}", "9".repeat(100_000)));
        }
        inventory.note(&format!("property long {}", "v".repeat(513)));
        inventory.note(&format!("property {} x", "n".repeat(65)));
        inventory.note("property escape \u{1b}[2J");
        inventory.note("property na\"me x");
        inventory.note("object tables many aa");
        inventory.note("object tables 1");
        inventory.note("");
        assert_eq!(inventory.objects.len(), ENTRIES);
        assert!(inventory.objects.values().all(|(_, mark)| mark.len() == NAME));
        assert!(inventory.properties.keys().all(|name| name.starts_with('p')), "{:?}", inventory.properties.keys());
        assert!(inventory.properties.values().map(String::len).sum::<usize>() <= VALUES);
        assert!(inventory.counters.values().all(|value| value.len() <= NAME));
    }

    #[test]
    fn a_setting_that_may_be_a_secret_is_not_noted() {
        let noted = |name: &str, value: &str| {
            let one = of(&[&format!("property {name} {value}")]);
            !one.server(&one).is_empty()
        };
        for (name, value) in [
            ("app.jwt_secret", "hush"),
            ("app.apiKey", "hush"),
            ("app.database_url", "hush"),
            ("app.db", "postgres://a:b@c/d"),
            ("app.x", "a8f5f167f44f4964e6c998dee827110c"),
            ("app.x", "Tr0ub4dor"),
            ("app.x", "correcthorsebatterystaple"),
            ("app.x", "hunter2!"),
        ] {
            assert!(!noted(name, value), "{name} {value}");
        }
        for (name, value) in [
            ("app.tenant", "12"),
            ("app.mode", "strict"),
            ("cron.database_name", "shop"),
            ("app.day", "2026-01-02"),
            ("TimeZone", "Europe/Vienna"),
            ("sql_mode", "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE"),
        ] {
            assert!(noted(name, value), "{name} {value}");
        }
    }
}
