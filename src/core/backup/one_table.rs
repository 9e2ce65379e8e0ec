//! A restore of one table out of a dump: its name there, and the name that it gets. Must not know how it is loaded.

use std::fmt;

use crate::core::engine::Engine;

/// What a table is called if no other name is given: its own with this suffix.
const RESTORED: &str = "_restored";

/// The longest name, in bytes for PostgreSQL (NAMEDATALEN - 1), and in characters for MySQL
/// (<https://dev.mysql.com/doc/refman/8.4/en/identifier-length.html>).
const LONGEST_POSTGRES: usize = 63;
const LONGEST_MYSQL: usize = 64;

/// The name of a table. MySQL's has no schema, because a dump is of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema.is_empty() { f.write_str(&self.table) } else { write!(f, "{}.{}", self.schema, self.table) }
    }
}

/// One table to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTable {
    /// In the dump.
    pub from: TableName,
    /// In the database.
    pub to: TableName,
    /// Whether it may replace a table that has that name.
    pub replace: bool,
}

impl OneTable {
    /// Reads `--table`, `--table-as` and `--replace`. With `--replace` alone the table replaces itself.
    ///
    /// # Errors
    /// A name is not written as SQL does.
    pub fn parse(engine: Engine, table: &str, to: Option<&str>, replace: bool) -> Result<OneTable, String> {
        let from = TableName::parse(engine, table, "public")?;
        let to = match to {
            Some(to) => TableName::parse(engine, to, &from.schema)?,
            None if replace => from.clone(),
            None => {
                let to = TableName { table: format!("{}{RESTORED}", from.table), ..from.clone() };
                to.check_length(engine).map_err(|why| format!("{why}; give another name with --table-as"))?;
                to
            }
        };
        Ok(OneTable { from, to, replace })
    }

    /// The values for the scripts, in the order of `table.sh`.
    pub fn values(&self) -> Vec<String> {
        let replace = if self.replace { "yes" } else { "" };
        let names = [&self.from.schema, &self.from.table, &self.to.schema, &self.to.table];
        names.into_iter().cloned().chain([replace.to_string()]).collect()
    }
}

impl TableName {
    fn parse(engine: Engine, text: &str, schema: &str) -> Result<TableName, String> {
        let quote = match engine {
            Engine::Postgres => '"',
            Engine::MySql => '`',
        };
        let (first, rest) = word(engine, quote, text)?;
        let name = match (rest.strip_prefix('.'), engine) {
            (None, _) if rest.is_empty() => {
                let schema = if engine == Engine::Postgres { schema.to_string() } else { String::new() };
                TableName { schema, table: first }
            }
            (Some(second), Engine::Postgres) => {
                let (table, rest) = word(engine, quote, second)?;
                if !rest.is_empty() {
                    return Err(format!("'{text}' has more parts than a schema and a table"));
                }
                TableName { schema: first, table }
            }
            (Some(_), Engine::MySql) => {
                return Err(format!(
                    "'{text}' has a dot, and a dump is of one database: name the table alone, in backquotes if its name has a dot"
                ));
            }
            _ => return Err(format!("'{text}' has something behind a quoted name")),
        };
        name.check_length(engine)?;
        Ok(name)
    }

    fn check_length(&self, engine: Engine) -> Result<(), String> {
        let (long, most) = match engine {
            Engine::Postgres => (self.table.len().max(self.schema.len()), LONGEST_POSTGRES),
            Engine::MySql => (self.table.chars().count(), LONGEST_MYSQL),
        };
        if long > most { Err(format!("the name '{self}' is longer than {most}")) } else { Ok(()) }
    }
}

/// One name at the beginning of a text, and what is behind it. PostgreSQL reads a name without quotes in lower case.
fn word(engine: Engine, quote: char, text: &str) -> Result<(String, &str), String> {
    let (name, rest) = match text.strip_prefix(quote) {
        Some(quoted) => {
            let mut name = String::new();
            let mut rest = quoted;
            loop {
                let Some((part, behind)) = rest.split_once(quote) else {
                    return Err(format!("'{text}' lacks the closing {quote}"));
                };
                name.push_str(part);
                match behind.strip_prefix(quote) {
                    Some(behind) => {
                        name.push(quote);
                        rest = behind;
                    }
                    None => {
                        rest = behind;
                        break;
                    }
                }
            }
            (name, rest)
        }
        None => {
            let end = text.find(['.', quote]).unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            let name = if engine == Engine::Postgres { name.to_lowercase() } else { name.to_string() };
            (name, rest)
        }
    };
    if name.is_empty() || name.contains('\0') {
        return Err(format!("'{text}' is no name of a table"));
    }
    Ok((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Engine::{MySql, Postgres};

    #[test]
    fn names_are_read_as_sql_does() {
        let long = "x".repeat(64);
        for (engine, text, expected) in [
            (Postgres, "orders", Some(("public", "orders"))),
            (Postgres, "Shop.Orders", Some(("shop", "orders"))),
            (Postgres, r#""My.Schema"."Or""der's ""#, Some(("My.Schema", "Or\"der's "))),
            (Postgres, "my table", Some(("public", "my table"))),
            (Postgres, "a.b.c", None),
            (Postgres, r#""a"b"#, None),
            (Postgres, r#""a"#, None),
            (Postgres, "a.", None),
            (Postgres, "", None),
            (Postgres, &long, None),
            (MySql, "Orders", Some(("", "Orders"))),
            (MySql, "`a.b```", Some(("", "a.b`"))),
            (MySql, "a.b", None),
            (MySql, &long, Some(("", &long))),
        ] {
            let parsed = TableName::parse(engine, text, "public").ok();
            let expected =
                expected.map(|(schema, table)| TableName { schema: schema.to_string(), table: table.to_string() });
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn a_table_gets_another_name_unless_it_is_to_be_replaced() {
        let to = |to, replace| OneTable::parse(Postgres, "shop.orders", to, replace).unwrap().to.to_string();
        assert_eq!(to(None, false), "shop.orders_restored");
        assert_eq!(to(None, true), "shop.orders");
        assert_eq!(to(Some("old"), false), "shop.old");
        assert_eq!(to(Some("public.old"), true), "public.old");
        let long = "x".repeat(60);
        assert!(OneTable::parse(Postgres, &long, None, false).unwrap_err().contains("--table-as"));
        let mysql = OneTable::parse(MySql, "orders", None, false).unwrap();
        assert_eq!(mysql.values(), ["", "orders", "", "orders_restored", ""]);
    }
}
