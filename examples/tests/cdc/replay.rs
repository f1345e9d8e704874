//! Reads the lines that pg-cdc has written, and makes the same changes in a second database.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::database::Session;

/// Names and types of the columns of a table.
type Columns = Vec<(String, String)>;

/// An SQL statement that changes a table.
#[derive(Debug)]
struct Statement {
    sql: String,
    /// The table that the statement changes, and the columns that the table must have before the statement runs. `None` if the columns do
    /// not matter.
    table: Option<(String, Rc<Columns>)>,
}

/// Converts lines to SQL statements, and runs them in the second database.
#[derive(Debug)]
pub(crate) struct Replay<'s> {
    session: &'s mut Session,
    /// The transaction whose lines are being read.
    transaction: Vec<Statement>,
    /// The SQL statements of complete transactions that have not run yet.
    waiting: String,
    /// The prepared transactions that have been neither committed nor rolled back. The key is the name of the transaction.
    prepared: HashMap<String, Vec<Statement>>,
    /// The columns of each table, as the last line of kind `relation` for the table describes them. The key is the name of the table.
    described: HashMap<String, Rc<Columns>>,
    /// The names of the columns that each table will have in the second database when the SQL in `waiting` has run. The key is the name of
    /// the table.
    present: HashMap<String, Vec<String>>,
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
            transaction: Vec::new(),
            waiting: String::new(),
            prepared: HashMap::new(),
            described: HashMap::new(),
            present: HashMap::new(),
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
        self.flush();
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
                let transaction = std::mem::take(&mut self.transaction);
                self.apply(transaction);
            }
            "prepare" => {
                self.end(line);
                let transaction = std::mem::take(&mut self.transaction);
                assert!(self.prepared.insert(gid(line), transaction).is_none(), "prepared once");
            }
            "commit_prepared" => {
                self.advance(line);
                let transaction = self.prepared.remove(&gid(line)).expect("prepared before");
                self.apply(transaction);
            }
            "rollback_prepared" => {
                self.advance(line);
                self.prepared.remove(&gid(line)).expect("prepared before");
                self.rolled_back += 1;
            }
            "relation" => self.relation(line),
            "row" | "insert" => {
                let (names, values) = columns(&line["new"]);
                self.add(line, &format!("INSERT INTO {} ({names}) VALUES ({values})", table(line)));
                if line["kind"] == "row" {
                    let row = std::mem::take(&mut self.transaction);
                    self.apply(row);
                }
            }
            "update" => {
                let set = fields(&line["new"])
                    .map(|(name, value)| format!("{} = {}", identifier(name), literal(value)));
                let set = set.collect::<Vec<_>>().join(", ");
                self.add(line, &format!("UPDATE {} SET {set} WHERE {}", table(line), condition(line)));
            }
            "delete" => self.add(line, &format!("DELETE FROM {} WHERE {}", table(line), condition(line))),
            "truncate" => {
                let tables = line["tables"].as_array().expect("tables").iter().map(table);
                let sql = format!("TRUNCATE {}; ", tables.collect::<Vec<_>>().join(", "));
                self.transaction.push(Statement { sql, table: None });
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

    /// Adds an SQL statement to the current transaction. The statement changes the table that is named in the line.
    fn add(&mut self, line: &Value, sql: &str) {
        let table = table(line);
        let columns = self.described.get(&table).map(Rc::clone);
        let table = columns.map(|columns| (table, columns));
        self.transaction.push(Statement { sql: format!("{sql}; "), table });
    }

    /// Makes the changes of a transaction in the second database.
    fn apply(&mut self, transaction: Vec<Statement>) {
        // If the program has written an insertion twice, the test must fail. In a table with a key, the second INSERT fails. In other
        // tables, both INSERTs succeed, and the comparison at the end of the test finds the additional row.
        self.waiting += "BEGIN; ";
        for Statement { sql, table } in transaction {
            if let Some((table, columns)) = table {
                self.alter(&table, &columns);
            }
            self.waiting += &sql;
        }
        self.waiting += "COMMIT; ";
        // The statements of several transactions are sent together, because one round trip for each transaction would be slow.
        if self.waiting.len() > 100_000 {
            self.flush();
        }
    }

    /// Runs the waiting statements.
    fn flush(&mut self) {
        self.session.run(&std::mem::take(&mut self.waiting));
    }

    /// Stores the columns that a line of kind `relation` describes. Does not yet alter the table in the second database: the columns may
    /// come from a prepared transaction that is rolled back later. The table is altered when a statement needs the columns.
    fn relation(&mut self, line: &Value) {
        let column = |column: &Value| {
            let field = |name: &str| column[name].as_str().expect("a text").to_owned();
            (field("name"), field("type"))
        };
        let columns = line["columns"].as_array().expect("columns").iter().map(column);
        self.described.insert(table(line), Rc::new(columns.collect()));
    }

    /// Adds statements that give the table in the second database these columns.
    fn alter(&mut self, table: &str, columns: &Columns) {
        let Self { session, waiting, present, .. } = self;
        let present = present.entry(table.to_owned()).or_insert_with(|| {
            let sql = format!(
                "SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped",
                table.replace('\'', "''")
            );
            session.run(&sql).into_iter().filter_map(|mut row| row.pop().flatten()).collect()
        });
        for (name, type_name) in columns {
            if !present.contains(name) {
                *waiting += &format!("ALTER TABLE {table} ADD COLUMN {} {type_name}; ", identifier(name));
                present.push(name.clone());
            }
        }
        present.retain(|present| {
            let is_described = columns.iter().any(|(name, _)| name == present);
            if !is_described {
                *waiting += &format!("ALTER TABLE {table} DROP COLUMN {}; ", identifier(present));
            }
            is_described
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

/// Returns the SQL condition that selects the changed row. In a table without a key, several rows may be equal; the condition then selects
/// only one of them.
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
