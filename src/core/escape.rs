//! Values on their way out: into the container's stdin, onto a terminal as shell words, past the masks.

/// One line that `printf '%b'` of any POSIX shell turns back into `value`: every byte that is not plainly
/// harmless becomes `\0ooo`. No value can end the line or reach a shell as text.
pub fn line(value: &str) -> String {
    let mut line = String::with_capacity(value.len() + 1);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b" ._/:@,+=-".contains(&byte) {
            line.push(char::from(byte));
        } else {
            line.push_str(&format!("\\0{byte:03o}"));
        }
    }
    line
}

/// `value` as one word for a POSIX shell, for people to read and to paste.
pub fn word(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._/:@,+=-%".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) { value.to_string() } else { quoted(value) }
}

/// `value` in the query of a URL (RFC 3986, section 2).
pub fn query(value: &str) -> String {
    let mut query = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            query.push_str(&format!("%{byte:02X}"));
        }
    }
    query
}

/// `value` in single quotes, whatever it holds.
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// The values that must appear in no log, error or plan.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<String>);

/// What stands in place of a secret.
pub const MASK: &str = "****";

impl Secrets {
    /// Masks these values, longest first; empty ones mask nothing.
    pub fn new(values: impl IntoIterator<Item = String>) -> Secrets {
        let mut values: Vec<String> = values.into_iter().filter(|v| !v.is_empty()).collect();
        values.sort_by_key(|v| std::cmp::Reverse(v.len()));
        Secrets(values)
    }

    /// `text` with every secret replaced by [`MASK`].
    pub fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_string(), |text, secret| text.replace(secret.as_str(), MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words() {
        assert_eq!(word("a/b-c"), "a/b-c");
        assert_eq!(word(""), "''");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn secrets_are_masked_whole() {
        let secrets = Secrets::new(["pass".into(), "password1".into(), String::new()]);
        assert_eq!(secrets.mask("password1 pass word"), "**** **** word");
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_of_harmless_bytes(value in any::<String>()) {
            let line = line(&value);
            prop_assert!(line.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._/:@,+=-\\".contains(&b)));
            // Undo it as printf '%b' does.
            let mut bytes = Vec::new();
            let mut rest = line.as_bytes();
            while let [first, tail @ ..] = rest {
                if *first == b'\\' {
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[1..4]).unwrap(), 8).unwrap());
                    rest = &tail[4..];
                } else {
                    bytes.push(*first);
                    rest = tail;
                }
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), value);
        }
    }
}
