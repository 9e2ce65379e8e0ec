//! The fault matrices of docs/reliability.md: a row a fault, a column a step, and in each cell what comes of it. The table is what
//! is expected; a cell without a run gives the letter of a reason.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Running, Scenario, each};

pub const DOC: &str = include_str!("../../../docs/reliability.md");

/// A row: the fault, its cells, and the tests that show it.
pub type Row = (&'static str, Vec<&'static str>, &'static str);

/// What is done to a run from outside.
#[derive(Clone, Copy)]
pub enum Act {
    Signal(&'static str),
    KillKubectl,
}

impl Act {
    /// Waits until the run stays where it is, and does it.
    pub fn on<'a>(self, scenario: &Scenario, running: Running<'a>) -> Running<'a> {
        thread::sleep(Duration::from_millis(300));
        match self {
            Act::Signal(name) => running.signal(name),
            Act::KillKubectl => {
                // The last call that still runs.
                let calls = scenario.lines("calls.jsonl");
                let mut pids =
                    calls.iter().rev().map(|line| serde_json::from_str::<Value>(line).unwrap()["pid"].to_string());
                let kill = |pid: String| Command::new("kill").args(["-KILL", &pid]).status().unwrap().success();
                assert!(pids.any(kill));
                running
            }
        }
    }
}

/// A table: the head of its first column, and its steps.
pub struct Matrix {
    pub head: &'static str,
    pub steps: &'static [&'static str],
}

impl Matrix {
    pub fn rows(&self) -> Vec<Row> {
        let lines: Vec<&str> =
            DOC.lines().skip_while(|line| !line.starts_with(&format!("| {} |", self.head))).collect();
        let split = |line: &'static str| -> Vec<&str> { line.trim_matches('|').split('|').map(str::trim).collect() };
        assert_eq!(split(lines[0]), [&[self.head], self.steps, &["shown by"]].concat());
        let rows = lines[2..].iter().take_while(|line| line.starts_with('|')).map(|line| {
            let cells = split(line);
            assert_eq!(cells.len(), self.steps.len() + 2, "{line}");
            (cells[0], cells[1..=self.steps.len()].to_vec(), cells[self.steps.len() + 1])
        });
        rows.collect()
    }

    /// Runs the cells of a row: `number` is how many runs the cell of a step has, `show` makes one of them and compares it with the
    /// cell. A cell without a run has a reason instead.
    pub fn row(
        &self,
        name: &str,
        number: impl Fn(&str) -> usize + Sync,
        show: impl Fn(&'static str, &'static str, usize) + Sync,
    ) {
        let rows = self.rows();
        let (_, cells, _) = rows.iter().find(|(row, ..)| *row == name).unwrap_or_else(|| panic!("no row '{name}'"));
        let cells: Vec<(&'static str, &'static str)> = self.steps.iter().copied().zip(cells.iter().copied()).collect();
        let wrong = Mutex::new(Vec::new());
        each(&cells, |(step, cell)| {
            let number = number(step);
            assert_eq!(number == 0, cell.starts_with('–'), "{name}, {step}: '{cell}' with {number} runs");
            for nth in 0..number {
                if catch_unwind(AssertUnwindSafe(|| show(step, cell, nth))).is_err() {
                    wrong.lock().unwrap().push(*step);
                }
            }
        });
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{name}: not as in the table at {wrong:?}");
    }

    /// Each row names a test, and the legend has each letter and reason of a cell. `also` is asked of each cell with a run: its row,
    /// what it says, its letters.
    pub fn is_explained(&self, also: impl Fn(&str, &str, &str)) {
        for (row, cells, shown) in self.rows() {
            assert!(shown.contains('`'), "{row} names no test");
            for cell in cells {
                match cell.strip_prefix("– ") {
                    Some(reason) => assert!(DOC.contains(&format!("\n- **{reason}**: ")), "{row}: no reason {reason}"),
                    None => {
                        let (told, letters) = cell.split_once(" · ").unwrap_or_else(|| panic!("{row}: '{cell}'"));
                        let known = |letter: char| DOC.contains(&format!("\n- **{letter}**: "));
                        assert!(!letters.is_empty() && letters.chars().all(known), "{row}: '{cell}'");
                        also(row, told, letters);
                    }
                }
            }
        }
    }
}

/// A test for each row, by `row`, and one that the table of `matrix` has these rows and names these tests.
macro_rules! rows {
    ($matrix:ident, $row:ident: $(fn $name:ident() = $fault:literal;)+) => {
        $(#[test]
        fn $name() {
            $row($fault);
        })+

        #[test]
        fn every_row_has_its_runs() {
            let rows = $matrix.rows();
            assert_eq!(rows.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), [$($fault),+]);
            for ((_, _, shown), name) in rows.iter().zip([$(stringify!($name)),+]) {
                assert!(shown.starts_with(&format!("`{name}`")), "{shown}");
            }
        }
    };
}
pub(crate) use rows;
