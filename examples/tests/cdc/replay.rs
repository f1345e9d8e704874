//! Reads the lines that pg-cdc has written, and makes the same changes in a second database.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::{Map, Value};

use crate::database::Session;

/// Converts lines to SQL statements, and runs them in the second database.
#[derive(Debug)]
pub(crate) struct Replay<'s> {
    session: &'s mut Session,
    /// The SQL statements of the transaction whose lines are being read.
    sql: String,
    /// The statements of prepared transactions that are neither committed nor rolled back, by the name of the transaction.
    prepared: HashMap<String, String>,
    /// The columns of each table in the second database, by the name of the table.
    columns: HashMap<String, Vec<String>>,
    inside: bool,
    /// Position at which the last transaction ended.
    last: u64,
    pub(crate) transactions: u64,
    /// Number of transactions that were prepared and rolled back.
    pub(crate) rolled_back: u64,
}

impl<'s> Replay<'s> {
    pub(crate) fn new(session: &'s mut Session) -> Self {
        Self {
            session,
            sql: String::new(),
            prepared: HashMap::new(),
            columns: HashMap::new(),
            inside: false,
            last: 0,
            transactions: 0,
            rolled_back: 0,
        }
    }

    /// Replays the lines of a file, and returns their number.
    pub(crate) fn file(&mut self, file: File) -> u64 {
        let mut count = 0;
        for line in BufReader::new(file).lines() {
            self.line(&serde_json::from_str(&line.expect("UTF-8")).expect("JSON"));
            count += 1;
        }
        assert!(!self.inside && self.prepared.is_empty(), "every transaction has ended");
        count
    }

    fn line(&mut self, line: &Value) {
        match line["kind"].as_str().expect("a kind") {
            "begin" | "begin_prepare" => {
                assert!(!self.inside, "the transaction before has ended");
                self.inside = true;
            }
            "commit" => {
                self.end(line);
                let sql = std::mem::take(&mut self.sql);
                self.apply(&sql);
            }
            "prepare" => {
                self.end(line);
                let sql = std::mem::take(&mut self.sql);
                assert_eq!(self.prepared.insert(gid(line), sql), None, "prepared once");
            }
            "commit_prepared" => {
                self.advance(line);
                let sql = self.prepared.remove(&gid(line)).expect("prepared before");
                self.apply(&sql);
            }
            "rollback_prepared" => {
                self.advance(line);
                self.prepared.remove(&gid(line)).expect("prepared before");
                self.rolled_back += 1;
            }
            "relation" => self.relation(line),
            "row" | "insert" => {
                let (names, values) = columns(&line["new"]);
                self.sql += &format!("INSERT INTO {} ({names}) VALUES ({values}); ", table(line));
                if line["kind"] == "row" {
                    let sql = std::mem::take(&mut self.sql);
                    self.session.run(&sql);
                }
            }
            "update" => {
                let set = fields(&line["new"])
                    .map(|(name, value)| format!("{} = {}", identifier(name), literal(value)));
                let set = set.collect::<Vec<_>>().join(", ");
                self.sql += &format!("UPDATE {} SET {set} WHERE {}; ", table(line), condition(line));
            }
            "delete" => self.sql += &format!("DELETE FROM {} WHERE {}; ", table(line), condition(line)),
            "truncate" => {
                let tables = line["tables"].as_array().expect("tables").iter().map(table);
                self.sql += &format!("TRUNCATE {}; ", tables.collect::<Vec<_>>().join(", "));
            }
            "message" => assert_eq!(line["transactional"] == true, self.inside),
            "snapshot_begin" | "snapshot_end" | "origin" => {}
            kind => panic!("{kind}"),
        }
    }

    fn end(&mut self, line: &Value) {
        assert!(self.inside, "the transaction has begun");
        self.inside = false;
        self.advance(line);
    }

    /// Checks that this transaction ends at a later position than the previous transaction, and counts the transaction.
    fn advance(&mut self, line: &Value) {
        let end = line["end"].as_str().expect("a position");
        let end: pg_wire::replication::Lsn = end.parse().expect("a position");
        assert!(end.0 > self.last, "{end} follows {:X}", self.last);
        self.last = end.0;
        self.transactions += 1;
    }

    fn apply(&mut self, sql: &str) {
        // If a change was written two times, this statement fails because of a duplicate key. The comparison of the tables at the end of
        // the test finds every other difference.
        self.session.run(&format!("BEGIN; {sql} COMMIT"));
    }

    /// Adds statements that give the table in the second database the columns that the line describes.
    fn relation(&mut self, line: &Value) {
        let table = table(line);
        let session = &mut *self.session;
        let known = self.columns.entry(table.clone()).or_insert_with(|| {
            let sql = format!(
                "SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped",
                table.replace('\'', "''")
            );
            session.run(&sql).into_iter().filter_map(|mut row| row.pop().flatten()).collect()
        });
        let described = line["columns"].as_array().expect("columns");
        for column in described {
            let name = column["name"].as_str().expect("a name");
            if !known.iter().any(|known| known == name) {
                let type_name = column["type"].as_str().expect("a type");
                self.sql += &format!("ALTER TABLE {table} ADD COLUMN {} {type_name}; ", identifier(name));
                known.push(name.into());
            }
        }
        known.retain(|known| {
            let is_there = described.iter().any(|column| column["name"] == known.as_str());
            if !is_there {
                self.sql += &format!("ALTER TABLE {table} DROP COLUMN {}; ", identifier(known));
            }
            is_there
        });
    }
}

fn gid(line: &Value) -> String {
    line["gid"].as_str().expect("a name").into()
}

fn table(line: &Value) -> String {
    let name = |field: &str| identifier(line[field].as_str().expect("a name"));
    format!("{}.{}", name("schema"), name("table"))
}

fn fields(row: &Value) -> impl Iterator<Item = (&String, &Value)> {
    row.as_object().into_iter().flat_map(Map::iter)
}

fn columns(row: &Value) -> (String, String) {
    let names: Vec<_> = fields(row).map(|(name, _)| identifier(name)).collect();
    let values: Vec<_> = fields(row).map(|(_, value)| literal(value)).collect();
    (names.join(", "), values.join(", "))
}

/// Returns the SQL condition that selects the changed row. A table without a key may contain equal rows. Then the condition selects one of
/// the equal rows.
fn condition(line: &Value) -> String {
    let row = if line["old"].is_object() { &line["old"] } else { &line["key"] };
    let equal: Vec<_> = fields(row)
        .map(|(name, value)| match value {
            Value::Null => format!("{} IS NULL", identifier(name)),
            value => format!("{} = {}", identifier(name), literal(value)),
        })
        .collect();
    format!("ctid = (SELECT ctid FROM {} WHERE {} LIMIT 1)", table(line), equal.join(" AND "))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Formats a value as an SQL string. The server converts the string to the type of the column.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => format!("'{other}'"),
    }
}
