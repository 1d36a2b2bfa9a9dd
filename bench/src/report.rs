//! What came out, as a table for people or as JSON.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Tables, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tables: Vec<Table>,
}

/// Rows with the same columns.
#[derive(Debug)]
pub(crate) struct Table {
    title: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn new(title: &'static str, columns: &'static [&'static str]) -> Self {
        Self { title, columns, rows: Vec::new() }
    }

    /// Adds a row: a value for each column.
    pub(crate) fn row(&mut self, values: Vec<Value>) {
        assert_eq!(values.len(), self.columns.len());
        self.rows.push(values);
    }
}

impl Report {
    pub(crate) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        for table in &self.tables {
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            let _ = writeln!(out, "### {}\n", table.title);
            out += &line(table.columns.iter().map(|&name| name.to_owned()).collect());
            out += &line(table.columns.iter().map(|_| "---".to_owned()).collect());
            for row in &table.rows {
                out += &line(row.iter().map(cell).collect());
            }
            out.push('\n');
        }
        out
    }

    pub(crate) fn json(&self) -> String {
        let rows = |table: &Table| -> Vec<Value> {
            let names = table.columns.iter().map(|&name| name.to_owned());
            let object = |row: &Vec<Value>| names.clone().zip(row.iter().cloned()).collect::<Map<_, _>>().into();
            table.rows.iter().map(object).collect()
        };
        let tables: Map<_, _> =
            self.tables.iter().map(|table| (table.title.to_owned(), Value::from(rows(table)))).collect();
        format!("{:#}\n", Value::from(tables))
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if number.abs() < 100.0 { format!("{number:.2}") } else { format!("{number:.0}") }
        }
        other => other.to_string(),
    }
}

/// The middle of the values; of an even number of them the upper one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
