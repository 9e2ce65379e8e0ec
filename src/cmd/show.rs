//! How results look: for machines as data, for people as text or as a table. Must not know what they are of.

use std::io::ErrorKind;

use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_yaml_ng::Value;

use crate::cluster::kubectl::Kubectl;
use crate::config::Output;
use crate::core::escape;
use crate::exit::{Exit, Fail};
use crate::io::process::Ending;
use crate::io::report::Reporter;

/// Prints a result as it is wanted: `value` for machines, `text` for people.
///
/// # Errors
/// It cannot be written.
pub fn show<T: Serialize + ?Sized>(
    reporter: &Reporter,
    output: Output,
    value: &T,
    text: impl FnOnce() -> String,
) -> Result<()> {
    print(reporter, &shown(output, value, text))
}

/// What [`show`] prints.
pub fn shown<T: Serialize + ?Sized>(output: Output, value: &T, text: impl FnOnce() -> String) -> String {
    match output {
        Output::Json => json(value),
        Output::Yaml => yaml(value),
        Output::Text | Output::Wide | Output::Name | Output::Prometheus | Output::Template => text(),
    }
}

/// A result as a template of kubectl prints it. A list is in `.items`, as kubectl has it.
///
/// # Errors
/// kubectl does not take the template.
pub fn by_template<T: Serialize + ?Sized>(kubectl: &Kubectl, template: &str, value: &T) -> Result<String> {
    let mut data = match serde_json::to_value(value)? {
        serde_json::Value::Object(data) => data,
        rows => serde_json::Map::from_iter([("rows".to_string(), rows)]),
    };
    let is_list = data.contains_key("rows");
    // kubectl prints only what says its kind.
    data.insert("apiVersion".into(), "backup-ns.sh/v1".into());
    data.insert("kind".into(), "Report".into());
    let (call, input) = (kubectl.target.print(template, is_list), serde_json::Value::Object(data).to_string());
    let printed = kubectl.once(call, &input, |stdout| {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    printed.map_err(|error| match error.ending {
        Ending::Status(_) => Fail::new(Exit::Usage, format!("kubectl cannot print -o {template}: {}", error.said()))
            .remedy("correct the template; it is applied to what -o json prints, with a list in .items")
            .into(),
        _ => error.into(),
    })
}

/// Prints text. A reader that has seen enough, as `head` has, is no failure.
///
/// # Errors
/// It cannot be written.
pub fn print(reporter: &Reporter, text: &str) -> Result<()> {
    written(reporter.result(text))
}

/// Prints text; false if its reader has seen enough.
///
/// # Errors
/// It cannot be written.
pub fn printed(reporter: &Reporter, text: &str) -> Result<bool> {
    let outcome = reporter.result(text);
    let has_reader = outcome.is_ok();
    written(outcome).map(|()| has_reader)
}

/// What became of writing a result: a reader that has seen enough, as `head` has, is no failure.
///
/// # Errors
/// It cannot be written.
pub fn written(outcome: std::io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            bail!(Fail::new(Exit::Failed, format!("the result cannot be written to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// JSON over several lines, which no terminal obeys.
pub fn json<T: Serialize + ?Sized>(value: &T) -> String {
    escape::json(&serde_json::to_string_pretty(value).unwrap_or_default()).into_owned() + "\n"
}

/// JSON in one line, which no terminal obeys.
pub fn json_line<T: Serialize + ?Sized>(value: &T) -> String {
    escape::json(&serde_json::to_string(value).unwrap_or_default()).into_owned() + "\n"
}

/// YAML that kubectl, which reads version 1.1 of it, takes for what it is: words that version has for switches and numbers
/// (<https://yaml.org/type/>), such as `no` and `1_000`, are quoted. Data with what a terminal would obey is printed in JSON,
/// which is YAML as well: it alone can write all of that as escapes.
pub fn yaml<T: Serialize + ?Sized>(value: &T) -> String {
    // A character of no text replaces the quotes until all is written.
    const QUOTE: char = '\u{e000}';
    fn quoted(value: Value) -> Value {
        match value {
            Value::String(text) if is_more_than_text(&text) => Value::String(format!("{QUOTE}{text}{QUOTE}")),
            Value::Sequence(all) => Value::Sequence(all.into_iter().map(quoted).collect()),
            Value::Mapping(all) => {
                Value::Mapping(all.into_iter().map(|(key, value)| (quoted(key), quoted(value))).collect())
            }
            other => other,
        }
    }
    let yaml = serde_yaml_ng::to_value(value).map(quoted);
    let yaml = yaml.and_then(|yaml| serde_yaml_ng::to_string(&yaml)).unwrap_or_default().replace(QUOTE, "\"");
    if escape::visible(&yaml) == yaml { yaml } else { json(value) }
}

/// Whether the older YAML may read a plain text as something else; those that the newer one would, too, get their quotes anyway.
fn is_more_than_text(text: &str) -> bool {
    let is_switch = ["y", "n", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let may_be_number = |c: char| c.is_ascii_hexdigit() || "+-.:_xob".contains(c);
    let mut chars = text.chars();
    let is_based = chars.next() == Some('0') && chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    is_switch
        || is_based
        || (text.contains(['_', ':', '-']) && text.chars().all(may_be_number))
            && text.contains(|c: char| c.is_ascii_digit())
}

/// A table as kubectl prints one: columns under their names, three spaces apart, numbers to the left like everything else.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| if cell.is_empty() { "-".into() } else { escape::one_line(cell) }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3)).set_cell_alignment(CellAlignment::Left);
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_columns_under_names() {
        let rows = [["data-1", "true", ""], ["x", "false", "two\nlines\u{1b}"]];
        let text = table(&["NAME", "READY", "WHY"], rows.map(|row| row.map(String::from).to_vec()));
        assert_eq!(text, "NAME     READY   WHY\ndata-1   true    -\nx        false   two lines\\u{1b}\n");
        assert_eq!(table(&["NAME"], []), "NAME\n");
    }

    #[test]
    fn hostile_data_is_exact_and_yet_nothing_a_terminal_obeys() {
        let data = serde_json::json!({"why": "\u{9b}2J \u{202e}\u{85}no \u{1b}", "n\u{2067}": ["no", 1]});
        for printed in [json(&data), yaml(&data)] {
            assert_eq!(escape::visible(&printed), printed);
            assert_eq!(serde_yaml_ng::from_str::<serde_json::Value>(&printed).unwrap(), data);
        }
        let data = serde_json::json!({"why": "\u{1b}[2J\r"});
        assert_eq!(serde_yaml_ng::from_str::<serde_json::Value>(&yaml(&data)).unwrap(), data);
    }

    #[test]
    fn yaml_means_the_same_to_those_who_read_its_older_version() {
        let texts =
            ["y", "No", "ON", "off", "1_000", "0b1_0", "1:30", "-1_0", "0X1F", "2026-11-22", "true", "~", "017", "1e3"];
        for text in texts {
            let printed = yaml(&serde_json::json!({text: [text]}));
            let bare = format!("\n- {text}\n");
            assert!(!printed.contains(&bare) && !printed.starts_with(&format!("{text}:")), "{printed}");
            let read: serde_json::Value = serde_yaml_ng::from_str(&printed).unwrap();
            assert_eq!(read, serde_json::json!({text: [text]}));
        }
        let plain =
            serde_json::json!({"a": ["yesterday", "1Gi", "shop", "fast-ssd", "abcdef", "a\nno\nb"], "b": 3, "t": true});
        assert_eq!(yaml(&plain), serde_yaml_ng::to_string(&plain).unwrap());
    }
}
