//! How results look: for machines as data, for people as text or as a table. Must not know what they are of.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::config::Output;
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

/// Prints a result as it is wanted: `value` for machines, `text` for people.
///
/// # Errors
/// Nobody reads it.
pub fn show<T: Serialize + ?Sized>(
    reporter: &Reporter,
    output: Output,
    value: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Fail> {
    let text = match output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()),
        Output::Yaml => serde_yaml_ng::to_string(value).unwrap_or_default(),
        Output::Text | Output::Wide | Output::Name | Output::Prometheus => text(),
    };
    print(reporter, &text)
}

/// Prints text as it is.
///
/// # Errors
/// Nobody reads it.
pub fn print(reporter: &Reporter, text: &str) -> Result<(), Fail> {
    reporter
        .result(text)
        .map_err(|error| Fail::new(Exit::Failed, format!("the result cannot be written to stdout: {error}")))
}

/// A table as kubectl prints one: columns under their names, three spaces apart, numbers to the left like everything else.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| if cell.is_empty() { "-".into() } else { line(cell) }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3)).set_cell_alignment(CellAlignment::Left);
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A text as one line of a terminal: a driver's words may have several, and anybody's may have what moves the cursor.
pub fn line(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => " ".to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
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
}
