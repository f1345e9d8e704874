//! Random transactions. They have a random size and contain subtransactions, rollbacks, prepared transactions, truncates, altered tables
//! and large values.

use pg_wire::backend::ServerError;

use crate::database::{Database, Rows, Session};

/// SQL that creates the tables. It runs in two databases: the database that the writers change, and the database in which the replay makes
/// the same changes.
pub(crate) const TABLES: &str = "
    CREATE TABLE keyed (id int8 PRIMARY KEY, n numeric, t text, big text);
    ALTER TABLE keyed ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE \"t\u{e4}ble \"\"\u{2713}\"\"\" (\"na\u{ef}ve\" int8, d date, b bytea, f float8, big text);
    ALTER TABLE \"t\u{e4}ble \"\"\u{2713}\"\"\" REPLICA IDENTITY FULL, ALTER big SET STORAGE EXTERNAL;
    CREATE INDEX ON \"t\u{e4}ble \"\"\u{2713}\"\"\" (\"na\u{ef}ve\");
    CREATE TABLE by_index (id int8 NOT NULL, u uuid NOT NULL, ok bool, i interval);
    CREATE UNIQUE INDEX by_index_u ON by_index (u);
    CREATE INDEX ON by_index (id);
    ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_u;
    CREATE TABLE changing (id int8 PRIMARY KEY);
    CREATE TABLE appended (id int8, x text[]);
    ALTER TABLE appended REPLICA IDENTITY NOTHING;
";

/// Names of the tables as SQL identifiers.
pub(crate) const NAMES: [&str; 5] =
    ["keyed", "\"t\u{e4}ble \"\"\u{2713}\"\"\"", "by_index", "changing", "appended"];

/// Generator of pseudo-random numbers (xorshift).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Creates the generator. Its numbers depend on `seed` and on the environment variable `CDC_SEED`.
    pub(crate) fn new(seed: u64) -> Self {
        let base: u64 =
            std::env::var("CDC_SEED").map_or(1, |seed| seed.parse().expect("CDC_SEED is a number"));
        Self((base.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xbf58_476d_1ce4_e5b9)) | 1)
    }

    /// Returns the next random number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }

    /// Returns true with the probability 1 / `count`.
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// One of several writers that run transactions at the same time. Each writer uses row numbers that no other writer uses, so that the
/// writers rarely wait for each other.
#[derive(Debug)]
pub(crate) struct Writer<'d> {
    database: &'d Database,
    session: Option<Session>,
    random: Random,
    number: u64,
    writers: u64,
    next: u64,
    /// Names of the prepared transactions that are neither committed nor rolled back.
    prepared: Vec<String>,
    /// Numbers of the columns that this writer has added to the table `changing`, or has tried to add.
    columns: Vec<u64>,
    pub(crate) committed: u64,
}

impl<'d> Writer<'d> {
    pub(crate) fn new(database: &'d Database, number: u64, writers: u64) -> Self {
        let random = Random::new(number + 100);
        Self {
            database,
            session: None,
            random,
            number,
            writers,
            next: 0,
            prepared: Vec::new(),
            columns: Vec::new(),
            committed: 0,
        }
    }

    /// Runs one transaction. The transaction may fail, and the server may crash: the test compares only committed data.
    pub(crate) fn transaction(&mut self) {
        let sql = self.statements();
        match self.ask(&sql) {
            Some(Ok(_)) => self.committed += 1,
            Some(Err(_)) => drop(self.ask("ROLLBACK")),
            None => self.session = None,
        }
        if !self.prepared.is_empty() && (self.random.one_in(3) || self.prepared.len() > 3) {
            let at = self.random.below(self.prepared.len() as u64);
            let gid = self.prepared.swap_remove(at as usize);
            let decision = if self.random.one_in(4) { "ROLLBACK" } else { "COMMIT" };
            self.decide(&gid, decision);
        }
    }

    fn decide(&mut self, gid: &str, decision: &str) {
        // Tries again after a crash. An error of the server is accepted: it means that the prepared transaction does not exist. Either the
        // server has crashed before PREPARE TRANSACTION, or an earlier try has already ended the transaction.
        while self.ask(&format!("{decision} PREPARED '{gid}'")).is_none() {
            self.session = None;
        }
    }

    /// Commits the transactions that are still prepared.
    pub(crate) fn finish(&mut self) {
        for gid in std::mem::take(&mut self.prepared) {
            self.decide(&gid, "COMMIT");
        }
    }

    /// Whether the end of the WAL is more than this number of bytes after the confirmed position of the slot.
    pub(crate) fn is_ahead(&mut self, slot: &str, bytes: u64) -> bool {
        let sql = format!(
            "SELECT pg_current_wal_insert_lsn() - confirmed_flush_lsn > {bytes} FROM pg_replication_slots WHERE slot_name = '{slot}'"
        );
        match self.ask(&sql) {
            Some(rows) => rows.is_ok_and(|rows| rows.concat() == [Some("t".into())]),
            None => {
                self.session = None;
                false
            }
        }
    }

    /// Runs statements. Returns the rows or the error of the server; `None` if the session has ended.
    fn ask(&mut self, sql: &str) -> Option<Result<Rows, ServerError>> {
        while self.session.is_none() {
            // While the server is starting, opening a session fails, and the loop tries again.
            self.session = Session::try_open(self.database.server, &self.database.name);
            match &mut self.session {
                Some(session) => {
                    let _ = session.try_query("SET deadlock_timeout = '50ms'; SET lock_timeout = '100ms'; SET client_min_messages = error");
                }
                None => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
        let outcome = self.session.as_mut()?.try_query(sql)?;
        if let Err(error) = &outcome
            && std::env::var_os("CDC_VERBOSE").is_some()
        {
            eprintln!("writer {}: {error}: {}", self.number, sql.chars().take(200).collect::<String>());
        }
        Some(outcome)
    }

    fn statements(&mut self) -> String {
        let mut sql = String::from("BEGIN; ");
        let count = match self.random.below(100) {
            0..60 => 1 + self.random.below(3),
            60..95 => 1 + self.random.below(12),
            _ => 1 + self.random.below(60),
        };
        let mut savepoints = 0;
        for _ in 0..count {
            sql += &match self.random.below(14) {
                0 => {
                    savepoints += 1;
                    format!("SAVEPOINT s{savepoints}")
                }
                1 if savepoints > 0 => {
                    savepoints -= 1;
                    format!("ROLLBACK TO s{0}; RELEASE s{0}", savepoints + 1)
                }
                2 if savepoints > 0 => {
                    savepoints -= 1;
                    format!("RELEASE s{}", savepoints + 1)
                }
                _ => self.statement(),
            };
            sql += "; ";
        }
        // One of 25 transactions is larger than `logical_decoding_work_mem`, so that the server can stream it.
        if self.random.one_in(25) {
            let rows = 300 + self.random.below(1500);
            sql += &self.insert_many(rows);
            sql += "; ";
        }
        let gid = format!("{}_{}_{}", self.database.name, self.number, self.next);
        sql += &match self.random.below(20) {
            0..2 => String::from("ROLLBACK"),
            2 => {
                self.prepared.push(gid.clone());
                format!("PREPARE TRANSACTION '{gid}'")
            }
            _ => String::from("COMMIT"),
        };
        sql
    }

    /// Returns a row number that this writer has not used yet.
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next * self.writers + self.number
    }

    /// Returns one of the last row numbers of this writer. The row may not exist.
    fn used(&mut self) -> u64 {
        let recent = self.next.min(60);
        let back = self.random.below(recent + 1);
        (self.next - back) * self.writers + self.number
    }

    fn text(&mut self) -> String {
        let text =
            ["", "plain", "it''s", "tab\t \"quoted\" \\ back", "line\nfeed", "na\u{ef}ve \u{1f600}", "null"];
        let text = text[self.random.below(7) as usize];
        if self.random.one_in(8) { "NULL".into() } else { format!("'{text}'") }
    }

    /// Returns an SQL expression for a random text. Some of these texts are so long that the server stores them out of line (TOAST).
    fn big(&mut self) -> String {
        match self.random.below(4) {
            0 => format!("repeat('{}', {})", self.random.below(1000), 1000 + self.random.below(2000)),
            _ => self.text(),
        }
    }

    fn insert_many(&mut self, rows: u64) -> String {
        let first = self.next + 1;
        self.next += rows;
        let id = format!("g * {} + {}", self.writers, self.number);
        let last = self.next;
        match self.random.below(3) {
            0 => format!(
                "INSERT INTO {} SELECT {id}, date '2026-01-01' + (g % 1000)::int, NULL, g / 7.0, 'x' FROM generate_series({first}, {last}) g",
                NAMES[1]
            ),
            1 => format!(
                "INSERT INTO appended SELECT {id}, ARRAY['a', g::text, NULL] FROM generate_series({first}, {last}) g"
            ),
            _ => format!(
                "INSERT INTO keyed SELECT {id}, g, repeat('long ', 10) FROM generate_series({first}, {last}) g"
            ),
        }
    }

    fn statement(&mut self) -> String {
        let (id, used) = (self.fresh(), self.used());
        let (text, big) = (self.text(), self.big());
        let number = self.random.below(1_000_000);
        match self.random.below(40) {
            0..6 => format!("INSERT INTO keyed VALUES ({id}, {number}.{number}, {text}, {big})"),
            6..9 => format!("UPDATE keyed SET n = {number}e15 WHERE id = {used}"),
            9..11 => format!("UPDATE keyed SET id = {id}, t = {text} WHERE id = {used}"),
            11..13 => format!("DELETE FROM keyed WHERE id = {used}"),
            13..17 => format!(
                "INSERT INTO {} VALUES ({id}, '2026-11-27', '\\x00{number:06}', {number}.5e{}, {big})",
                NAMES[1],
                number % 200
            ),
            17..20 => format!("UPDATE {} SET d = NULL, f = 'NaN' WHERE \"na\u{ef}ve\" = {used}", NAMES[1]),
            20..22 => format!("DELETE FROM {} WHERE \"na\u{ef}ve\" = {used}", NAMES[1]),
            22..26 => format!(
                "INSERT INTO by_index VALUES ({id}, gen_random_uuid(), {number} % 2 = 0, '{number} seconds')"
            ),
            26..28 => format!("UPDATE by_index SET ok = NOT ok WHERE id = {used}"),
            28..30 => format!("UPDATE by_index SET u = gen_random_uuid() WHERE id = {used}"),
            30 => format!("DELETE FROM by_index WHERE id = {used}"),
            31..34 => format!("INSERT INTO changing (id) VALUES ({id})"),
            34 => format!("DELETE FROM changing WHERE id = {used}"),
            35..38 => format!("INSERT INTO appended VALUES ({id}, ARRAY[{text}, 'x'])"),
            38 => self.insert_many(1 + number % 40),
            _ => match self.random.below(8) {
                0 => "TRUNCATE by_index, appended".into(),
                1 => "TRUNCATE changing RESTART IDENTITY".into(),
                2 => "SELECT pg_logical_emit_message(true, 'workload', 'x')".into(),
                3 => "SELECT pg_logical_emit_message(false, 'workload', 'x')".into(),
                // Each added column gets a new name. If a column were dropped and then added again with its old name, the old values would
                // be lost, and no line would report this loss to the replay.
                4 => {
                    self.columns.push(id);
                    format!("ALTER TABLE changing ADD COLUMN \"\u{fc}{id}\" text")
                }
                5 | 6 if !self.columns.is_empty() => {
                    let at = self.random.below(self.columns.len() as u64) as usize;
                    match self.random.one_in(2) {
                        true => format!(
                            "ALTER TABLE changing DROP COLUMN \"\u{fc}{}\"",
                            self.columns.swap_remove(at)
                        ),
                        false => format!(
                            "INSERT INTO changing (id, \"\u{fc}{}\") VALUES ({id}, {text})",
                            self.columns[at]
                        ),
                    }
                }
                _ => format!("UPDATE changing SET id = {id} WHERE id = {used}"),
            },
        }
    }
}
