//! Tests of [`Transactions`]: only the changes of committed transactions are returned, in the order in which the server sent the changes.

use std::collections::BTreeMap;

use pg_wire::codec::Payload;
use pg_wire::error::DecodeErrorKind;
use pg_wire::replication::pgoutput::*;
use pg_wire::replication::{Enclosed, Lsn, Timestamp, XLogData};
use proptest::collection::vec;
use proptest::prelude::*;

const MIB: usize = 1 << 20;

/// Creates XLogData with this position and this data.
fn message(position: u64, data: &[u8]) -> XLogData<'_> {
    XLogData { start: Lsn(position), end: Lsn(position), time: Timestamp(1), data: Payload(data) }
}

fn encoded(change: impl Enclosed) -> Vec<u8> {
    let mut data = Vec::new();
    change.encode(&mut data).expect("valid");
    data
}

fn start(xid: u32, first: bool) -> Vec<u8> {
    encoded(StreamStart { xid, first })
}

fn stop() -> Vec<u8> {
    encoded(StreamStop {})
}

fn abort(xid: u32, subxid: u32) -> Vec<u8> {
    encoded(StreamAbort { xid, subxid, aborted: None })
}

fn commit(xid: u32) -> Vec<u8> {
    encoded(StreamCommit { xid, flags: 0, commit: Lsn(100), end: Lsn(110), time: Timestamp(2) })
}

/// Encodes a LogicalMessage of the transaction or subtransaction `xid`. Unlike a row, a LogicalMessage needs no description of a table.
fn note(xid: u32, content: &[u8]) -> Vec<u8> {
    let (flags, lsn, prefix) = (1, Lsn(9), "note".into());
    encoded(LogicalMessage { xid: Some(xid), flags, lsn, prefix, content: Payload(content) })
}

/// Returns the replayed changes as lines of text.
fn lines<S: Store<Error = StoreFull>>(transactions: &mut Transactions<S>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(received) = transactions.replay().expect("valid") {
        lines.push(match received.change {
            Change::Begin(begin) => format!("begin {} {}", begin.xid, begin.commit),
            Change::Commit(commit) => format!("commit {}", commit.end),
            Change::BeginPrepare(begin) => format!("begin prepare {} {}", begin.xid, begin.gid),
            Change::Prepare(prepare) => format!("prepare {} {} {}", prepare.xid, prepare.gid, prepare.end),
            Change::LogicalMessage(message) => {
                format!("{} {}", message.xid.unwrap_or(0), message.content.0.escape_ascii())
            }
            Change::Relation(relation) => format!("relation {}", relation.name),
            Change::Insert(_) => format!("insert into {}", received.table.expect("described")),
            other => panic!("{other:?}"),
        });
    }
    lines
}

fn receive_part(transactions: &mut Transactions<MemoryStore>, data: &[u8]) {
    let received = transactions.receive(&message(5, data)).expect("valid");
    assert!(received.is_none(), "{received:?}");
}

#[test]
fn blocks_of_two_transactions_alternate_and_each_is_returned_at_its_commit() {
    let mut transactions = Transactions::new(MemoryStore::new(MIB));
    for data in [
        start(10, true),
        note(10, b"a"),
        stop(),
        start(20, true),
        note(20, b"b"),
        note(21, b"c"),
        stop(),
        start(10, false),
        note(10, b"d"),
        stop(),
    ] {
        receive_part(&mut transactions, &data);
    }
    assert_eq!(transactions.in_progress().collect::<Vec<_>>(), [10, 20]);
    assert!(lines(&mut transactions).is_empty());
    receive_part(&mut transactions, &commit(20));
    assert_eq!(lines(&mut transactions), ["begin 20 0/64", "20 b", "21 c", "commit 0/6E"]);
    receive_part(&mut transactions, &commit(10));
    assert_eq!(lines(&mut transactions), ["begin 10 0/64", "10 a", "10 d", "commit 0/6E"]);
    assert_eq!(transactions.store().used(), 0);
}

#[test]
fn a_rollback_drops_the_changes_of_its_subtransaction_only() {
    let mut transactions = Transactions::new(MemoryStore::new(MIB));
    for data in [
        start(10, true),
        note(10, b"1"),
        note(11, b"2"),
        note(12, b"3"),
        note(11, b"4"),
        note(10, b"5"),
        stop(),
        abort(10, 12),
        // No real server sends these two messages: the rollback of an unknown subtransaction, and of an unknown transaction.
        abort(10, 13),
        abort(99, 99),
    ] {
        receive_part(&mut transactions, &data);
    }
    let before = transactions.store().used();
    // The store can only remove changes at its end. Change 5 is after the changes of subtransaction 11 and must be kept. So the changes of
    // subtransaction 11 stay in the store, and the replay skips them.
    receive_part(&mut transactions, &abort(10, 11));
    assert_eq!(transactions.store().used(), before);
    receive_part(&mut transactions, &commit(10));
    assert_eq!(lines(&mut transactions), ["begin 10 0/64", "10 1", "10 5", "commit 0/6E"]);
}

#[test]
fn the_memory_of_changes_that_were_rolled_back_is_freed() {
    let mut transactions = Transactions::new(MemoryStore::new(1000));
    receive_part(&mut transactions, &start(10, true));
    receive_part(&mut transactions, &note(10, b"first"));
    let first = transactions.store().used();
    for round in 0..1000 {
        receive_part(&mut transactions, &note(11 + round, &[b'x'; 300]));
        receive_part(&mut transactions, &stop());
        receive_part(&mut transactions, &abort(10, 11 + round));
        assert_eq!(transactions.store().used(), first);
        receive_part(&mut transactions, &start(10, false));
    }
    receive_part(&mut transactions, &stop());
    receive_part(&mut transactions, &abort(10, 10));
    assert_eq!((transactions.store().used(), transactions.in_progress().count()), (0, 0));
    assert!(lines(&mut transactions).is_empty());
}

#[test]
fn a_full_store_is_an_error_that_names_the_limit() {
    let mut transactions = Transactions::new(MemoryStore::new(100));
    receive_part(&mut transactions, &start(10, true));
    receive_part(&mut transactions, &note(10, b"fits"));
    let data = note(10, &[b'x'; 100]);
    let error = transactions.receive(&message(5, &data)).expect_err("too long");
    assert!(matches!(error, TransactionError::Store(StoreFull { xid: 10, limit: 100, .. })), "{error}");
    assert!(error.to_string().contains("limit of 100 bytes"), "{error}");
}

#[test]
fn a_transaction_whose_first_block_is_missing_is_an_error() {
    let misplaced = |data: &[&[u8]]| {
        let mut transactions = Transactions::new(MemoryStore::new(MIB));
        let (last, before) = data.split_last().expect("one message");
        before.iter().for_each(|data| receive_part(&mut transactions, data));
        let wal = message(5, last);
        let error = transactions.receive(&wal).expect_err("misplaced");
        let TransactionError::Change(ChangeError::Decode(error)) = error else { panic!("{error}") };
        assert_eq!(error.kind, DecodeErrorKind::Misplaced);
        error.message
    };
    assert_eq!(misplaced(&[&start(10, false)]), "StreamStart");
    assert_eq!(misplaced(&[&start(10, true), &stop(), &start(10, true)]), "StreamStart");
    assert_eq!(misplaced(&[&start(10, true), &start(11, true)]), "StreamStart");
    assert_eq!(misplaced(&[&start(10, true), &commit(10)]), "StreamCommit");
    assert_eq!(misplaced(&[&commit(10)]), "StreamCommit");
    assert_eq!(misplaced(&[&stop()]), "StreamStop");
}

#[test]
fn more_transactions_in_progress_than_a_server_can_have_are_an_error() {
    let mut transactions = Transactions::new(MemoryStore::new(0));
    let stop = stop();
    for xid in 0..524_286 {
        for data in [&start(xid, true), &stop] {
            assert_eq!(transactions.receive(&message(5, data)).map(|received| received.is_none()), Ok(true));
        }
    }
    let data = start(524_286, true);
    let error = transactions.receive(&message(5, &data)).map(drop).expect_err("too many");
    assert_eq!(error, TransactionError::TooMany { limit: 524_286 });
}

#[test]
fn a_message_before_the_end_of_a_replay_is_an_error() {
    let mut transactions = Transactions::new(MemoryStore::new(MIB));
    for data in [start(10, true), note(10, b"a"), stop(), commit(10)] {
        receive_part(&mut transactions, &data);
    }
    let data = start(11, true);
    let error = transactions.receive(&message(5, &data)).expect_err("changes are left");
    assert_eq!(error, TransactionError::Replaying { xid: 10 });
    assert_eq!(lines(&mut transactions).len(), 3);
    receive_part(&mut transactions, &data);
}

#[test]
fn a_prepared_transaction_is_returned_when_it_is_prepared() {
    let mut transactions = Transactions::new(MemoryStore::new(MIB));
    let gid = "it's prepared".into();
    let prepare =
        StreamPrepare { flags: 0, prepare: Lsn(100), end: Lsn(110), time: Timestamp(2), xid: 10, gid };
    for data in [start(10, true), note(10, b"a"), stop(), encoded(prepare)] {
        receive_part(&mut transactions, &data);
    }
    let expected = ["begin prepare 10 it's prepared", "10 a", "prepare 10 it's prepared 0/6E"];
    assert_eq!(lines(&mut transactions), expected);
    assert_eq!(transactions.store().used(), 0);
}

/// Encodes the description of a table with `columns` columns.
fn relation(xid: Option<u32>, name: &str, columns: usize) -> Vec<u8> {
    let columns = vec![RelationColumn { name: "c".into(), type_oid: 23, ..Default::default() }; columns];
    encoded(Relation {
        xid,
        relation: 7,
        namespace: "public".into(),
        name: name.into(),
        replica_identity: ReplicaIdentity::Default,
        columns: (&columns[..]).into(),
    })
}

fn insert(xid: Option<u32>, values: usize) -> Vec<u8> {
    let values = vec![TupleValue::Null; values];
    encoded(Insert { xid, relation: 7, new: (&values[..]).into() })
}

#[test]
fn a_description_in_a_transaction_in_progress_is_valid_for_other_transactions_after_its_commit() {
    let begin = encoded(Begin { commit: Lsn(50), time: Timestamp(2), xid: 30 });
    let end = encoded(Commit { flags: 0, commit: Lsn(50), end: Lsn(60), time: Timestamp(2) });
    let before = [start(10, true), relation(Some(10), "altered", 2), insert(Some(10), 2), stop()];

    // First, a `ChangeDecoder` decodes the messages without `Transactions`.
    let mut decoder = ChangeDecoder::default();
    decoder.decode(&relation(None, "old", 1)).expect("valid");
    for data in &before {
        decoder.decode(data).expect("valid");
    }
    let data = insert(None, 1);
    let (_, table) = decoder.decode(&data).expect("the old description");
    assert_eq!(table.map(|table| table.name.as_str()), Some("old"));
    let next = start(11, true);
    decoder.decode(&next).expect("valid");
    let next = insert(Some(11), 1);
    let error = decoder.decode(&next).map(drop);
    let undescribed = RelationError::Undescribed { relation: 7 };
    assert_eq!(
        error,
        Err(ChangeError::Relation(undescribed)),
        "each streamed transaction describes its tables"
    );
    decoder.decode(&stop()).expect("valid");
    decoder.decode(&commit(10)).expect("valid");
    let error = decoder.decode(&data).map(drop).expect_err("two columns now");
    assert_eq!(error, ChangeError::Relation(RelationError::Count { relation: 7, columns: 2, values: 1 }));

    // Then, `Transactions` receives the same messages.
    let mut transactions = Transactions::new(MemoryStore::new(MIB));
    assert!(transactions.receive(&message(5, &relation(None, "old", 1))).expect("valid").is_some());
    before.iter().for_each(|data| receive_part(&mut transactions, data));
    for data in [&begin, &data, &end] {
        let received = transactions.receive(&message(5, data)).expect("valid").expect("a whole transaction");
        if let Change::Insert(_) = received.change {
            assert_eq!(received.table.map(|table| table.name.as_str()), Some("old"));
        }
    }
    receive_part(&mut transactions, &commit(10));
    let expected = ["begin 10 0/64", "relation altered", "insert into public.altered", "commit 0/6E"];
    assert_eq!(lines(&mut transactions), expected);
    assert!(transactions.receive(&message(5, &data)).is_err(), "two columns now");
}

/// The server describes a table in a transaction in progress, and later describes the table again outside this transaction. The later
/// description must stay valid after the commit, because the server does not send this description again.
#[test]
fn a_description_outside_stays_valid_after_the_commit_of_a_transaction_with_an_earlier_description() {
    let in_progress = [start(10, true), relation(Some(10), "earlier", 2), insert(Some(10), 2), stop()];
    let (later, one_value) = (relation(None, "later", 1), insert(None, 1));

    let mut decoder = ChangeDecoder::default();
    for data in in_progress.iter().chain([&later, &commit(10)]) {
        decoder.decode(data).expect("valid");
    }
    let (_, table) = decoder.decode(&one_value).expect("the later description");
    assert_eq!(table.map(|table| table.name.as_str()), Some("later"));

    let mut transactions = Transactions::new(MemoryStore::new(MIB));
    in_progress.iter().for_each(|data| receive_part(&mut transactions, data));
    assert!(transactions.receive(&message(5, &later)).expect("valid").is_some());
    receive_part(&mut transactions, &commit(10));
    let expected = ["begin 10 0/64", "relation earlier", "insert into public.earlier", "commit 0/6E"];
    assert_eq!(lines(&mut transactions), expected);
    let wal = message(5, &one_value);
    let received = transactions.receive(&wal).expect("the later description").expect("a whole transaction");
    assert_eq!(received.table.map(|table| table.name.as_str()), Some("later"));
}

#[test]
fn a_description_that_was_rolled_back_is_dropped() {
    let mut decoder = ChangeDecoder::default();
    decoder.decode(&relation(None, "old", 1)).expect("valid");
    for data in [start(10, true), relation(Some(10), "altered", 2), stop(), abort(10, 11), abort(10, 10)] {
        decoder.decode(&data).expect("valid");
    }
    let (_, table) = decoder.decode(&insert(None, 1)).expect("the old description");
    assert_eq!(table.map(|table| table.name.clone()).as_deref(), Some("old"));
}

/// A faulty store: each read returns 0xff bytes, and not the stored bytes.
#[derive(Debug)]
struct Damaged;

impl Store for Damaged {
    type Error = StoreFull;
    fn append(&mut self, _: u32, _: &[u8]) -> Result<(), StoreFull> {
        Ok(())
    }
    fn truncate(&mut self, _: u32, _: u64) -> Result<(), StoreFull> {
        Ok(())
    }
    fn read(&mut self, _: u32, _: u64, space: &mut [u8]) -> Result<(), StoreFull> {
        space.fill(0xff);
        Ok(())
    }
    fn remove(&mut self, _: u32) -> Result<(), StoreFull> {
        Ok(())
    }
}

#[test]
fn a_store_that_returns_other_bytes_is_an_error() {
    let mut transactions = Transactions::new(Damaged);
    for data in [start(10, true), note(10, b"a"), stop(), commit(10)] {
        assert!(transactions.receive(&message(5, &data)).expect("valid").is_none());
    }
    assert!(transactions.replay().expect("the begin").is_some());
    let error = transactions.replay().map(drop).expect_err("damaged");
    assert_eq!(error, TransactionError::Damaged { xid: 10 });
}

/// A step of a generated transaction.
#[derive(Clone, Debug)]
enum Action {
    Change { sub: u8, length: usize },
    Abort { sub: u8 },
    Block,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let change = (0u8..6, prop_oneof![0usize..20, 60_000usize..70_000]);
    vec(
        prop_oneof![
            6 => change.prop_map(|(sub, length)| Action::Change { sub, length }),
            2 => (0u8..6).prop_map(|sub| Action::Abort { sub }),
            1 => Just(Action::Block),
        ],
        0..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_changes_that_were_not_rolled_back_are_returned(actions in actions()) {
        let mut transactions = Transactions::new(MemoryStore::new(64 * MIB));
        // The changes that must be returned. Each entry has the number of the subtransaction (0 for the transaction itself), its
        // transaction id (100 plus this number), and the index of the action.
        let mut changes: Vec<(u8, u32, usize)> = Vec::new();
        let mut rolled_back: BTreeMap<u8, bool> = BTreeMap::new();
        receive_part(&mut transactions, &start(100, true));
        for (number, action) in actions.iter().enumerate() {
            match *action {
                Action::Change { sub, length } => {
                    // A subtransaction that was rolled back makes no more changes.
                    if rolled_back.get(&sub).copied().unwrap_or(false) {
                        continue;
                    }
                    let xid = 100 + u32::from(sub);
                    let mut content = vec![b'x'; length];
                    content.extend_from_slice(number.to_string().as_bytes());
                    receive_part(&mut transactions, &note(xid, &content));
                    changes.push((sub, xid, number));
                }
                // Number 0 stands for the transaction itself. This test does not roll back the whole transaction.
                Action::Abort { sub: 0 } => {}
                Action::Abort { sub } => {
                    receive_part(&mut transactions, &stop());
                    receive_part(&mut transactions, &abort(100, 100 + u32::from(sub)));
                    receive_part(&mut transactions, &start(100, false));
                    rolled_back.insert(sub, true);
                    changes.retain(|change| change.0 != sub);
                }
                Action::Block => {
                    receive_part(&mut transactions, &stop());
                    receive_part(&mut transactions, &start(100, false));
                }
            }
        }
        receive_part(&mut transactions, &stop());
        receive_part(&mut transactions, &commit(100));
        let expected: Vec<String> = changes.iter().map(|(_, xid, number)| format!("{xid} {number}")).collect();
        let mut returned = lines(&mut transactions);
        returned.remove(0);
        returned.pop();
        for line in &mut returned {
            *line = line.replace('x', "");
        }
        prop_assert_eq!(returned, expected);
        prop_assert_eq!(transactions.store().used(), 0);
    }
}
