//! Makes an animated picture (SVG) of a recording of the demo, one light and one dark: kind/demo/cast.sh, which `make cast`
//! runs. Text, order and timing are those of the recording, but long waits are shortened, and there is time
//! to read each step.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for the repository's own documents: reads its arguments, and fails by panicking"
)]

use std::fmt::Write;
use std::fs;

/// Rows that are seen at once; more are scrolled.
const ROWS: usize = 26;
/// A wait for the next line that is longer is shown as one of so many seconds.
const LONGEST_WAIT: f64 = 1.2;
/// How long each step is seen to its end before the next one begins, whose row begins with these signs.
const READING: f64 = 2.5;
const STEP: &str = "== ";
/// A picture of one row that is replaced sooner is left out.
const SHORTEST_SIGHT: f64 = 0.25;
/// How long the end is seen before it begins anew.
const END: f64 = 8.0;
const CELL: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 16.0;
/// What would tell of the machine that the recording was made on.
const PRIVATE: [&str; 4] = ["/root", "/home/", "/tmp/", "localhost"];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Style {
    Plain,
    Bold,
    Green,
}

type Cells = Vec<(char, Style)>;

/// One row of the terminal, as it was from each of these times on.
#[derive(Default)]
struct Row {
    sights: Vec<(f64, Cells)>,
}

/// The rows that were ever written, of which only the last is changed, and when each line ended.
struct Transcript {
    rows: Vec<Row>,
    line_ends: Vec<f64>,
}

/// Splits what `script` logged into what was written at which time: each line of the timing is a delay and a number of bytes.
/// The log has a line of its own before that.
fn chunks<'a>(log: &'a str, timing: &str) -> Result<Vec<(f64, &'a str)>, String> {
    let (_, mut rest) = log.split_once('\n').ok_or("the log has no first line")?;
    let (mut now, mut pending, mut found) = (0.0, 0, Vec::new());
    for line in timing.lines() {
        let (delay, bytes) = line.split_once(' ').ok_or_else(|| format!("no timing: {line}"))?;
        now += delay.parse::<f64>().map_err(|why| format!("{line}: {why}"))?;
        pending += bytes.parse::<usize>().map_err(|why| format!("{line}: {why}"))?;
        // A character may be cut in two by a write; it is shown when it is whole.
        if let Some((chunk, after)) = rest.split_at_checked(pending) {
            found.push((now, chunk));
            (rest, pending) = (after, 0);
        }
    }
    Ok(found)
}

/// What a terminal shows. An escape sequence that is not known is an error, so that none is shown wrongly.
fn transcript(chunks: &[(f64, &str)], columns: usize) -> Result<Transcript, String> {
    let (mut rows, mut line_ends) = (vec![Row::default()], Vec::new());
    let (mut cells, mut column, mut style): (Cells, usize, Style) = (Vec::new(), 0, Style::Plain);
    for (now, chunk) in chunks {
        let mut rest = *chunk;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            let is_end_of_row = character == '\n' || (column == columns && !character.is_control());
            if is_end_of_row {
                see(&mut rows, *now, &cells);
                rows.push(Row::default());
                cells.clear();
            }
            match character {
                '\n' => line_ends.push(*now),
                '\r' => column = 0,
                '\u{1b}' => {
                    let end =
                        rest.find(|c: char| c.is_ascii_alphabetic()).ok_or("an escape sequence without an end")?;
                    let (sequence, after) = rest.split_at(end + 1);
                    rest = after;
                    match sequence {
                        "[2K" => cells.clear(),
                        "[0m" => style = Style::Plain,
                        "[1m" => style = Style::Bold,
                        "[32m" => style = Style::Green,
                        unknown => return Err(format!("an unknown escape sequence: {unknown}")),
                    }
                }
                control if control.is_control() => return Err(format!("an unknown control character: {control:?}")),
                printed => {
                    column = if is_end_of_row { 0 } else { column };
                    cells.resize(cells.len().max(column + 1), (' ', Style::Plain));
                    cells[column] = (printed, style);
                    column += 1;
                }
            }
        }
        see(&mut rows, *now, &cells);
    }
    Ok(Transcript { rows, line_ends })
}

/// Notes how the last row looks, without blanks at its end.
fn see(rows: &mut [Row], now: f64, cells: &[(char, Style)]) {
    let length = cells.iter().rposition(|(character, _)| *character != ' ').map_or(0, |last| last + 1);
    let sights = &mut rows.last_mut().unwrap().sights;
    if sights.last().map_or(&[][..], |(_, before)| before) != &cells[..length] {
        sights.push((now, cells[..length].to_vec()));
    }
}

fn text(row: &Row) -> String {
    row.sights.last().map(|(_, cells)| cells.iter().map(|(character, _)| character).collect()).unwrap_or_default()
}

/// The part from the row that begins with one text to the one before the row that begins with the other, in seconds from its
/// begin, with long waits shortened and time to read.
fn cut(transcript: Transcript, from: &str, to: &str) -> Result<Vec<Row>, String> {
    let Transcript { mut rows, line_ends } = transcript;
    let position = |start: &str| rows.iter().position(|row| text(row).starts_with(start));
    let first = position(from).ok_or_else(|| format!("no row begins with '{from}'"))?;
    let last = position(to).ok_or_else(|| format!("no row begins with '{to}'"))?;
    rows.truncate(last);
    let mut rows = rows.split_off(first);
    while rows.last().is_some_and(|row| text(row).is_empty()) {
        rows.pop();
    }
    let begin = rows.first().and_then(|row| row.sights.first()).map_or(0.0, |(start, _)| *start);
    let begins = rows.iter().skip(1).filter(|row| text(row).starts_with(STEP)).map(|row| row.sights[0].0);
    let steps: Vec<f64> = begins.collect();
    let shown = |real: f64| {
        let (mut shown, mut before) = (steps.iter().filter(|step| **step <= real).count() as f64 * READING, begin);
        for end in line_ends.iter().copied().filter(|end| *end > begin).chain([f64::INFINITY]) {
            let factor = (LONGEST_WAIT / (end - before)).min(1.0);
            if real <= end {
                return shown
                    + if end.is_finite() { (real - before) * factor } else { (real - before).min(LONGEST_WAIT) };
            }
            shown += (end - before) * factor;
            before = end;
        }
        shown
    };
    for row in &mut rows {
        let times: Vec<f64> = row.sights.iter().map(|(start, _)| shown(*start)).collect();
        let mut kept: Vec<(f64, Cells)> = Vec::new();
        for (time, (_, cells)) in times.into_iter().zip(row.sights.drain(..)) {
            // What is replaced too soon gives its begin to what follows.
            match kept.last_mut() {
                Some(before) if time - before.0 < SHORTEST_SIGHT => before.1 = cells,
                _ => kept.push((time, cells)),
            }
        }
        row.sights = kept;
    }
    Ok(rows)
}

struct Theme {
    name: &'static str,
    back: &'static str,
    border: &'static str,
    plain: &'static str,
    green: &'static str,
}

const THEMES: [Theme; 2] = [
    Theme { name: "light", back: "#f6f8fa", border: "#d1d9e0", plain: "#1f2328", green: "#1a7f37" },
    Theme { name: "dark", back: "#151b23", border: "#3d444d", plain: "#e6edf3", green: "#3fb950" },
];

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The texts of one row. Each has its place and its length, so that columns are right in every font; signs that another font
/// may have to lend stand alone.
fn texts(cells: &[(char, Style)], y: f64) -> String {
    let mut svg = String::new();
    let is_alone = |cell: &(char, Style)| !cell.0.is_ascii();
    let mut column = 0;
    for run in cells.chunk_by(|a, b| a.1 == b.1 && !is_alone(a) && !is_alone(b)) {
        let shown: String = run.iter().map(|(character, _)| character).collect();
        let skipped = shown.len() - shown.trim_start_matches(' ').len();
        let shown = shown.trim_matches(' ');
        if !shown.is_empty() {
            let x = (column + skipped) as f64 * CELL.0;
            let class = match run[0].1 {
                Style::Plain => "",
                Style::Bold => " class=\"b\"",
                Style::Green => " class=\"g\"",
            };
            let length = shown.chars().count() as f64 * CELL.0;
            let _ =
                write!(svg, "<text{class} x=\"{x:.1}\" y=\"{y}\" textLength=\"{length:.1}\">{}</text>", escape(shown));
        }
        column += run.len();
    }
    svg
}

/// The picture. Without animation, or where a reader does not want it, it shows the end.
fn picture(rows: &[Row], columns: usize, theme: &Theme) -> String {
    let end = rows.iter().flat_map(|row| row.sights.last()).map(|(start, _)| *start).fold(0.0, f64::max) + END;
    let percent = |time: f64| format!("{:.2}%", 100.0 * time / end);
    let (mut frames, mut body) = (String::new(), String::new());
    let mut count = 0;
    for (number, row) in rows.iter().enumerate() {
        let y = (number as f64 + 0.75) * CELL.1;
        for (index, (begin, cells)) in row.sights.iter().enumerate().filter(|(_, (_, cells))| !cells.is_empty()) {
            let until = row.sights.get(index + 1).map(|(start, _)| *start);
            let hidden = until.map(|until| format!("{}{{opacity:0}}", percent(until))).unwrap_or_default();
            let class = if until.is_some() { " class=\"t\"" } else { "" };
            let _ = write!(frames, "@keyframes a{count}{{0%{{opacity:0}}{}{{opacity:1}}{hidden}}}", percent(*begin));
            let _ = writeln!(body, "<g{class} style=\"animation-name:a{count}\">{}</g>", texts(cells, y));
            count += 1;
        }
    }
    frames.push_str("@keyframes s{0%{transform:none}");
    let mut now = 0.0;
    for (number, row) in rows.iter().enumerate() {
        // A blank row comes with the one before it.
        now = row.sights.first().map_or(now, |(start, _)| *start);
        if let Some(above @ 1..) = (number + 1).checked_sub(ROWS) {
            let _ = write!(frames, "{}{{transform:translateY({}px)}}", percent(now), -(above as f64) * CELL.1);
        }
    }
    frames.push('}');
    let (width, height) = (columns as f64 * CELL.0, rows.len().min(ROWS) as f64 * CELL.1 + 4.0);
    let (outer_width, outer_height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let scrolled = -(rows.len().saturating_sub(ROWS) as f64) * CELL.1;
    let Theme { back, border, plain, green, .. } = theme;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {outer_width} {outer_height}\" width=\"{outer_width}\" height=\"{outer_height}\">
<title>backup-ns: a backup, its restore test, a dropped table, and the restore</title>
<style>text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:{plain};white-space:pre}}
.b{{font-weight:bold}}.g{{fill:{green}}}.t{{opacity:0}}g{{animation:{end:.2}s step-end infinite}}
@media (prefers-reduced-motion:reduce){{g{{animation:none}}}}
{frames}</style>
<rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{back}\" stroke=\"{border}\"/>
<svg x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{width}\" height=\"{height}\">
<g style=\"animation-name:s;transform:translateY({scrolled}px)\">
{body}</g>
</svg>
</svg>
",
        outer_width - 1.0,
        outer_height - 1.0,
    )
}

/// cast LOG TIMING COLUMNS FROM TO PREFIX: writes PREFIX-light.svg and PREFIX-dark.svg.
fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, timing, columns, from, to, prefix] = &arguments[..] else {
        return Err("usage: cast LOG TIMING COLUMNS FROM TO PREFIX".into());
    };
    let read = |path: &str| fs::read_to_string(path).map_err(|why| format!("{path}: {why}"));
    let (log, timing) = (read(log)?, read(timing)?);
    let columns = columns.parse().map_err(|why| format!("{columns}: {why}"))?;
    let rows = cut(transcript(&chunks(&log, &timing)?, columns)?, from, to)?;
    for word in PRIVATE {
        if let Some(row) = rows.iter().map(text).find(|row| row.contains(word)) {
            return Err(format!("a row tells of this machine: {row}"));
        }
    }
    for theme in &THEMES {
        let path = format!("{prefix}-{}.svg", theme.name);
        let svg = picture(&rows, columns, theme);
        fs::write(&path, &svg).map_err(|why| format!("{path}: {why}"))?;
        println!("{path}: {} rows, {} bytes", rows.len(), svg.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of a row, each with when it was seen first.
    fn sights(row: &Row) -> Vec<(f64, String)> {
        row.sights.iter().map(|(start, cells)| (*start, cells.iter().map(|(c, _)| c).collect())).collect()
    }

    #[test]
    fn a_recording_is_split_by_its_timing_and_never_inside_a_character() {
        let log = "Script started\nab✓c\r\nScript done\n";
        let found = chunks(log, "0.5 2\n0.25 1\n0.25 2\n1 3\n").unwrap();
        assert_eq!(found, [(0.5, "ab"), (1.0, "✓"), (2.0, "c\r\n")]);
        assert!(chunks(log, "0.5\n").is_err() && chunks(log, "x 2\n").is_err());
    }

    #[test]
    fn a_terminal_overwrites_clears_wraps_and_refuses_what_it_does_not_know() {
        let long = "x".repeat(9);
        let wrapped = format!("{long}y\r\n");
        let given = [
            (1.0, "\u{1b}[32m⠁\u{1b}[0m wait  "),
            (2.0, "\r\u{1b}[2K\u{1b}[1mdone\u{1b}[0m\r\n"),
            (3.0, wrapped.as_str()),
        ];
        let found = transcript(&given, 9).unwrap();
        assert_eq!(sights(&found.rows[0]), [(1.0, "⠁ wait".into()), (2.0, "done".into())]);
        assert_eq!(found.rows[0].sights[0].1[0], ('⠁', Style::Green));
        assert_eq!(found.rows[0].sights[1].1[3], ('e', Style::Bold));
        assert_eq!(found.rows[1..].iter().map(text).collect::<Vec<_>>(), [long, "y".into(), String::new()]);
        assert_eq!(found.line_ends, [2.0, 3.0]);
        // A row that is full is not wrapped before more comes.
        let full = transcript(&[(1.0, &format!("{}\rz", "x".repeat(9)))], 9).unwrap();
        assert_eq!(full.rows.len(), 1);
        for unknown in ["\u{1b}[5A", "\u{1b}[31m", "\u{7}", "\u{1b}["] {
            assert!(transcript(&[(1.0, unknown)], 9).is_err(), "{unknown:?}");
        }
    }

    #[test]
    fn a_part_is_cut_out_and_its_long_waits_are_shortened() {
        let given = [
            (1.0, "== 1\r\n"),
            (5.0, "== 2\r\n"),
            (6.0, "a"),
            (16.0, "\rb\r\n"),
            (16.5, "c\r\n"),
            (17.0, "== 3\r\nd\r\n\r\n== 4\r\n"),
        ];
        let rows = cut(transcript(&given, 9).unwrap(), "== 2", "== 4").unwrap();
        let found: Vec<_> = rows.iter().flat_map(sights).map(|(at, row)| ((at * 100.0).round() / 100.0, row)).collect();
        // The second line took 11 s, and the first of them was before 'a'.
        let expected = [(0.0, "== 2"), (0.11, "a"), (1.2, "b"), (1.7, "c"), (4.7, "== 3"), (4.7, "d")];
        assert_eq!(found, expected.map(|(at, row)| (at, row.to_string())));
        assert!(cut(transcript(&given, 9).unwrap(), "== 2", "== 5").is_err());
    }
}
