//! Escapes values for the container's stdin, for shells, URLs and terminals, and masks secrets.

use std::borrow::Cow;

/// One line that `printf '%b'` of any POSIX shell turns back into `value`: every byte but the few allowed ones becomes
/// `\0ooo`. So no value can end the line or become shell text.
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

/// `value` as one word for a POSIX shell, quoted only if needed.
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

/// `value` in single quotes.
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Whether a character controls the terminal: it moves the cursor, begins an escape sequence, or changes the direction in which
/// others are shown (Unicode's Bidi_Control). Line feeds and tabs are allowed.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn replace_controls(text: &str, shown: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return text.into();
    }
    text.chars().map(|c| if is_control(c) { shown(c) } else { c.into() }).collect::<String>().into()
}

/// `text` for a terminal, with control characters made visible: an escape character becomes `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    replace_controls(text, |c| c.escape_default().to_string())
}

/// Serialized JSON for a terminal. The data stays the same, because such characters occur only in strings.
pub fn json(text: &str) -> Cow<'_, str> {
    // All of them are in the Basic Multilingual Plane.
    replace_controls(text, |c| format!("\\u{:04x}", u32::from(c)))
}

/// `text` as one line, with control characters made visible.
pub fn one_line(text: &str) -> String {
    visible(text).replace('\n', " ")
}

/// The first `most` characters of `text`, with an ellipsis if there are more.
pub fn short(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Values that must not appear in logs, errors and plans.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<String>);

/// The text that replaces a secret.
pub const MASK: &str = "****";

impl Secrets {
    /// The longest values are masked first, because one secret may be part of another. Empty values mask nothing.
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

    #[test]
    fn control_characters_are_made_visible() {
        let hostile = "a\u{1b}[2J\r\u{7}\u{7f}\u{9b}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\nä\t👩\u{200d}👧";
        let shown = r"a\u{1b}[2J\r\u{7}\u{7f}\u{9b}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}";
        assert_eq!(visible(hostile), format!("{shown}\nä\t👩\u{200d}👧"));
        assert_eq!(one_line("a\nb\u{1b}"), r"a b\u{1b}");
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöü", 2), "äö…");
    }

    proptest! {
        #[test]
        fn no_control_character_is_left_and_json_stays_the_same_data(text in any::<String>()) {
            let has_controls = |text: &str| text.chars().any(is_control);
            prop_assert!(!has_controls(&visible(&text)));
            let data = serde_json::json!({text.as_str(): [text.as_str()]});
            for printed in [data.to_string(), serde_json::to_string_pretty(&data).unwrap()] {
                let printed = json(&printed);
                prop_assert!(!has_controls(&printed));
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&printed).unwrap(), &data);
            }
        }
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
