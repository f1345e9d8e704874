use super::*;
use pg_wire::codec::{List, Payload};
use pg_wire::oid;
use pg_wire::replication::Timestamp;
use pg_wire::replication::pgoutput::*;

/// Takes changes, in a stream or not, and returns the kinds and positions of the lines.
struct Feed {
    changes: Changes,
    decoder: Decoder,
    lsn: u64,
}

impl Feed {
    fn new(hold: bool) -> Self {
        Self {
            changes: Changes::new(Format::Json, hold, std::env::temp_dir()),
            decoder: Decoder::default(),
            lsn: 0,
        }
    }

    fn take<'a>(&mut self, change: impl Into<Change<'a>>) -> Taken {
        let mut data = Vec::new();
        change.into().encode(&mut data).expect("valid");
        self.lsn += 1;
        let change = self.decoder.decode(&data).expect("well-formed");
        let taken = self.changes.take(Lsn(self.lsn), &data, &change).expect("in order");
        if taken == Taken::Replay {
            while self.changes.replay().expect("readable") {}
        }
        taken
    }

    /// Each line as kind and its first value, up to the last end of a transaction; the rest stays.
    fn lines(&mut self) -> Vec<String> {
        let length = self.changes.boundary.take().map_or(0, |(length, _)| length);
        let lines: Vec<u8> = self.changes.lines.drain(..length).collect();
        let shown = |line: &[u8]| {
            let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            let value = &line["new"]["a"];
            format!(
                "{}{}",
                line["kind"].as_str().expect("a kind"),
                value.as_i64().map_or(String::new(), |a| format!(" {a}"))
            )
        };
        lines.split_inclusive(|byte| *byte == b'\n').map(shown).collect()
    }
}

fn begin(xid: u32) -> Begin {
    Begin { commit: Lsn(100), time: Timestamp(0), xid }
}

fn commit() -> Commit {
    Commit { flags: 0, commit: Lsn(100), end: Lsn(110), time: Timestamp(0) }
}

fn stream_commit(xid: u32) -> StreamCommit {
    StreamCommit { xid, flags: 0, commit: Lsn(100), end: Lsn(110), time: Timestamp(0) }
}

/// The names of the column, and its type.
fn relation(xid: Option<u32>, columns: &[RelationColumn<'static>]) -> Vec<u8> {
    let mut data = Vec::new();
    Relation {
        xid,
        relation: 1,
        namespace: "public".into(),
        name: "t".into(),
        replica_identity: ReplicaIdentity::Default,
        columns: List::from(columns),
    }
    .encode(&mut data)
    .expect("valid");
    data
}

fn column(name: &'static str) -> RelationColumn<'static> {
    RelationColumn { flags: 1, name: name.into(), type_oid: oid::INT4, type_modifier: -1 }
}

impl Feed {
    fn relation(&mut self, xid: Option<u32>, name: &'static str) {
        let data = relation(xid, &[column(name)]);
        let change = self.decoder.decode(&data).expect("well-formed");
        self.changes.take(Lsn(1), &data, &change).expect("in order");
    }

    fn insert(&mut self, xid: Option<u32>, value: i32) {
        let text = value.to_string();
        let values = [TupleValue::Text(text.as_bytes())];
        self.take(Insert { xid, relation: 1, new: Tuple::from(&values) });
    }

    fn block(&mut self, xid: u32, first: bool, inside: impl FnOnce(&mut Self)) {
        self.take(StreamStart { xid, first });
        inside(self);
        self.take(StreamStop {});
    }
}

#[test]
fn a_transaction_is_written_as_it_is_received_or_at_its_end() {
    for hold in [false, true] {
        let mut feed = Feed::new(hold);
        feed.take(begin(7));
        assert!(feed.changes.is_inside());
        feed.relation(None, "a");
        feed.insert(None, 1);
        assert_eq!(feed.changes.lines.is_empty(), hold);
        assert_eq!(feed.changes.boundary, None);
        feed.take(commit());
        assert!(!feed.changes.is_inside());
        assert_eq!(feed.changes.boundary, Some((feed.changes.lines.len(), Lsn(110))));
        assert_eq!(feed.lines(), ["begin", "relation", "insert 1", "commit"]);
    }
}

#[test]
fn blocks_of_transactions_are_put_together_without_what_was_rolled_back() {
    let mut feed = Feed::new(false);
    feed.block(7, true, |feed| {
        feed.relation(Some(7), "a");
        feed.insert(Some(7), 1);
        feed.insert(Some(8), 2);
    });
    feed.block(9, true, |feed| {
        feed.relation(Some(9), "a");
        feed.insert(Some(9), 10);
    });
    feed.block(7, false, |feed| feed.insert(Some(8), 3));
    feed.take(StreamAbort { xid: 7, subxid: 8, aborted: None });
    feed.block(7, false, |feed| feed.insert(Some(7), 4));
    feed.take(StreamAbort { xid: 9, subxid: 9, aborted: None });
    assert!(feed.changes.lines.is_empty() && !feed.changes.is_inside());
    feed.take(stream_commit(7));
    assert_eq!(feed.lines(), ["begin", "relation", "insert 1", "insert 4", "commit"]);
    assert!(feed.changes.streamed.is_empty());
    // The table is known to the transactions that follow.
    feed.take(begin(10));
    feed.insert(None, 11);
    feed.take(commit());
    assert_eq!(feed.lines(), ["begin", "insert 11", "commit"]);
}

#[test]
fn a_table_described_later_is_not_replaced_by_an_earlier_description() {
    let mut feed = Feed::new(false);
    feed.block(7, true, |feed| {
        feed.relation(Some(7), "a");
        feed.insert(Some(7), 1);
    });
    feed.take(begin(8));
    feed.relation(None, "b");
    feed.insert(None, 2);
    feed.take(commit());
    assert_eq!(feed.lines(), ["begin", "relation", "insert", "commit"], "its column is b");
    feed.take(stream_commit(7));
    assert_eq!(feed.lines(), ["begin", "relation", "insert 1", "commit"]);
    feed.take(begin(9));
    feed.insert(None, 3);
    feed.take(commit());
    assert_eq!(feed.lines(), ["begin", "insert", "commit"]);
}

#[test]
fn messages_outside_of_transactions_end_at_their_own_position() {
    let mut feed = Feed::new(true);
    let message = |flags| LogicalMessage {
        xid: None,
        flags,
        lsn: Lsn(50),
        prefix: "p".into(),
        content: Payload(b"\xff"),
    };
    feed.take(message(0));
    assert_eq!(feed.changes.boundary.map(|(_, lsn)| lsn), Some(Lsn(51)));
    let lines = String::from_utf8(std::mem::take(&mut feed.changes.lines)).expect("UTF-8");
    assert!(lines.contains(r#""content":"\\xff","encoding":"hex""#), "{lines}");
    feed.changes.boundary = None;
    feed.take(begin(7));
    feed.take(message(1));
    feed.take(commit());
    assert_eq!(feed.lines(), ["begin", "message", "commit"]);
}

#[test]
fn prepared_transactions_have_lines_of_their_own() {
    let mut feed = Feed::new(false);
    let (time, xid, gid) = (Timestamp(0), 7, "g".into());
    feed.take(BeginPrepare { prepare: Lsn(10), end: Lsn(20), time, xid, gid });
    feed.take(Prepare { flags: 0, prepare: Lsn(10), end: Lsn(20), time, xid, gid });
    assert_eq!(feed.changes.boundary.map(|(_, lsn)| lsn), Some(Lsn(20)));
    feed.take(CommitPrepared { flags: 0, commit: Lsn(30), end: Lsn(40), time, xid, gid });
    feed.take(RollbackPrepared {
        flags: 0,
        prepare_end: Lsn(20),
        end: Lsn(50),
        prepare_time: time,
        time,
        xid,
        gid,
    });
    assert_eq!(feed.changes.boundary.map(|(_, lsn)| lsn), Some(Lsn(50)));
    assert_eq!(feed.lines(), ["begin_prepare", "prepare", "commit_prepared", "rollback_prepared"]);
}

#[test]
fn the_first_transaction_after_the_position_to_stop_at_is_not_begun() {
    let mut feed = Feed::new(false);
    feed.changes.until = Some(Lsn(100));
    assert_eq!(feed.take(begin(7)), Taken::Reached);
    assert!(feed.changes.lines.is_empty() && !feed.changes.is_inside());
    feed.changes.until = Some(Lsn(101));
    assert_eq!(feed.take(begin(7)), Taken::Next);
}
