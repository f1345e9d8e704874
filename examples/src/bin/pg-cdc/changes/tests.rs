use super::*;
use crate::spill::Spills;
use pg_wire::codec::{List, Payload};
use pg_wire::oid;
use pg_wire::replication::pgoutput::*;
use pg_wire::replication::{Timestamp, XLogData};

/// Helper that passes messages to `Changes` in the same way as the program.
struct Feed {
    changes: Changes,
    transactions: Transactions<Spills>,
    lsn: u64,
}

const TIME: Timestamp = Timestamp(0);

impl Feed {
    fn new() -> Self {
        Self {
            changes: Changes::new(Format::Json),
            transactions: Transactions::new(Spills::new(std::env::temp_dir())),
            lsn: 0,
        }
    }

    /// Passes a message to `Changes`. Returns true if the program has to stop at this message.
    fn take<'a>(&mut self, change: impl Into<Change<'a>>) -> bool {
        let mut data = Vec::new();
        change.into().encode(&mut data).expect("valid");
        self.lsn += 1;
        let wal = XLogData { start: Lsn(self.lsn), end: Lsn(self.lsn), time: TIME, data: Payload(&data) };
        let mut taken = None;
        if let Some(received) = self.transactions.receive(&wal).expect("in order") {
            taken = Some(self.changes.take(&received).expect("in order"));
        }
        loop {
            match taken.take() {
                Some(Taken::Reached) => return true,
                Some(Taken::Described(table)) => self.changes.describe(table).expect("in a transaction"),
                Some(Taken::Next) | None => {}
            }
            match self.transactions.replay().expect("kept") {
                Some(received) => taken = Some(self.changes.take(&received).expect("in order")),
                None => return false,
            }
        }
    }

    /// Removes the lines up to the end of the last complete transaction. Returns a text for each line: the kind of the line and, if the
    /// line has a new value of the column `a`, this value.
    fn lines(&mut self) -> Vec<String> {
        let length = self.changes.boundary.take().map_or(0, |(length, _)| length);
        let lines: Vec<u8> = self.changes.lines.drain(..length).collect();
        let shown = |line: &[u8]| {
            let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            let value = line["new"]["a"].as_i64().map_or(String::new(), |value| format!(" {value}"));
            format!("{}{value}", line["kind"].as_str().expect("a kind"))
        };
        lines.split_inclusive(|byte| *byte == b'\n').map(shown).collect()
    }

    fn relation(&mut self, xid: Option<u32>) {
        let columns = [RelationColumn { flags: 1, name: "a".into(), type_oid: oid::INT4, type_modifier: -1 }];
        self.take(Relation {
            xid,
            relation: 1,
            namespace: "public".into(),
            name: "t".into(),
            replica_identity: ReplicaIdentity::Default,
            columns: List::from(&columns),
        });
    }

    fn insert(&mut self, xid: Option<u32>, value: i32) {
        let text = value.to_string();
        let values = [TupleValue::Text(text.as_bytes())];
        self.take(Insert { xid, relation: 1, new: Tuple::from(&values) });
    }
}

fn begin(xid: u32) -> Begin {
    Begin { commit: Lsn(100), time: TIME, xid }
}

fn commit() -> Commit {
    Commit { flags: 0, commit: Lsn(100), end: Lsn(110), time: TIME }
}

#[test]
fn a_transaction_ends_with_the_position_after_its_commit() {
    let mut feed = Feed::new();
    feed.take(begin(7));
    assert!(feed.changes.is_inside());
    feed.relation(None);
    feed.insert(None, 1);
    assert_eq!(feed.changes.boundary, None);
    feed.take(commit());
    assert!(!feed.changes.is_inside());
    assert_eq!(feed.changes.boundary, Some((feed.changes.lines.len(), Lsn(110))));
    assert_eq!(feed.lines(), ["begin", "relation", "insert 1", "commit"]);
    assert_eq!(feed.changes.count, 1);
}

#[test]
fn a_description_that_has_not_changed_is_not_repeated() {
    let mut feed = Feed::new();
    for expected in [&["begin", "relation", "insert 1", "commit"][..], &["begin", "insert 1", "commit"]] {
        feed.take(begin(7));
        feed.relation(None);
        feed.insert(None, 1);
        feed.take(commit());
        assert_eq!(feed.lines(), expected);
    }
}

#[test]
fn a_streamed_transaction_has_lines_only_after_its_commit() {
    let mut feed = Feed::new();
    feed.take(StreamStart { xid: 7, first: true });
    feed.relation(Some(7));
    feed.insert(Some(7), 1);
    feed.insert(Some(8), 2);
    feed.take(StreamStop {});
    feed.take(StreamAbort { xid: 7, subxid: 8, aborted: None });
    assert!(feed.changes.lines.is_empty() && !feed.changes.is_inside());
    feed.take(StreamCommit { xid: 7, flags: 0, commit: Lsn(100), end: Lsn(110), time: TIME });
    assert_eq!(feed.lines(), ["begin", "relation", "insert 1", "commit"]);
}

#[test]
fn a_message_outside_of_transactions_ends_at_its_own_position() {
    let mut feed = Feed::new();
    let message = |flags| LogicalMessage {
        xid: None,
        flags,
        lsn: Lsn(50),
        prefix: "p".into(),
        content: Payload(b"\xff"),
    };
    feed.changes.until = Some(Lsn(49));
    assert!(feed.take(message(0)), "the end of the message is after the position to stop at");
    feed.changes.until = Some(Lsn(50));
    assert!(!feed.take(message(0)));
    feed.changes.until = None;
    assert_eq!(feed.changes.boundary.take().map(|(_, lsn)| lsn), Some(Lsn(50)));
    let lines = String::from_utf8(std::mem::take(&mut feed.changes.lines)).expect("UTF-8");
    assert!(lines.contains(r#""content":"\\xff","encoding":"hex""#), "{lines}");
    feed.take(begin(7));
    feed.take(message(1));
    feed.take(commit());
    assert_eq!(feed.lines(), ["begin", "message", "commit"]);
}

#[test]
fn prepared_transactions_have_lines_of_their_own() {
    let mut feed = Feed::new();
    let (time, xid, gid) = (TIME, 7, "g".into());
    feed.take(BeginPrepare { prepare: Lsn(10), end: Lsn(20), time, xid, gid });
    feed.take(Prepare { flags: 0, prepare: Lsn(10), end: Lsn(20), time, xid, gid });
    assert_eq!(feed.changes.boundary.map(|(_, lsn)| lsn), Some(Lsn(20)));
    feed.take(CommitPrepared { flags: 0, commit: Lsn(30), end: Lsn(40), time, xid, gid });
    let (prepare_end, end) = (Lsn(20), Lsn(50));
    feed.take(RollbackPrepared { flags: 0, prepare_end, end, prepare_time: time, time, xid, gid });
    assert_eq!(feed.changes.boundary.map(|(_, lsn)| lsn), Some(Lsn(50)));
    assert_eq!(feed.lines(), ["begin_prepare", "prepare", "commit_prepared", "rollback_prepared"]);
}

#[test]
fn no_line_is_written_for_the_first_transaction_after_the_stop_position() {
    let mut feed = Feed::new();
    feed.changes.until = Some(Lsn(100));
    assert!(feed.take(begin(7)));
    assert!(feed.changes.lines.is_empty() && !feed.changes.is_inside());
    feed.changes.until = Some(Lsn(101));
    assert!(!feed.take(begin(7)));
}
