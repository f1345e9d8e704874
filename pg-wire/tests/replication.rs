//! Tests of pgoutput. The decoded changes were either recorded from real servers or generated at random. Encoding a decoded change must
//! return the original bytes. The decoder must not panic for any bytes.

use pg_wire::codec::Payload;
use pg_wire::replication::pgoutput::*;
use pg_wire::replication::{
    BackupMessage, Enclosed, Lsn, PrimaryMessage, StandbyMessage, Timestamp, XLogData,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Generates column values. Each value is a pair: a number that selects the form of the value, and the bytes of the value.
fn values() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    vec((0u8..4, vec(any::<u8>(), 0..40)), 0..12)
}

fn lent(values: &[(u8, Vec<u8>)]) -> Vec<TupleValue<'_>> {
    values
        .iter()
        .map(|(form, bytes)| match form {
            0 => TupleValue::Null,
            1 => TupleValue::Unchanged,
            2 => TupleValue::Text(bytes),
            _ => TupleValue::Binary(bytes),
        })
        .collect()
}

fn encoded(message: &impl Enclosed) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out).expect("valid");
    out
}

/// Encodes a change, decodes the bytes, and encodes the result again. Checks that the decoded change is equal to the change, and that both
/// encodings are equal. Also checks that decoding any prefix of the bytes is an error.
fn check_roundtrip(change: Change<'_>) {
    let bytes = encoded(&change);
    let scope = if change.xid_in_stream().is_some() { Scope::InStream } else { Scope::Outside };
    let back = Change::decode(&bytes, scope).expect("well-formed");
    assert_eq!(back.validate(), Ok(()));
    assert_eq!(back, change);
    assert_eq!(encoded(&back), bytes);
    for end in 0..bytes.len() {
        let part = Change::decode(&bytes[..end], scope).and_then(|change| change.validate());
        assert!(part.is_err(), "{end} of {}", bytes.escape_ascii());
    }
}

/// Parses recorded messages of a server. Each line contains one message in hexadecimal. `golden/record.sh` has recorded the messages.
fn recorded(lines: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| {
        let digits = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(digits, 16).expect("hexadecimal")
    };
    lines.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

#[test]
fn recorded_changes_are_encoded_as_the_recorded_bytes() {
    // If a transaction is rolled back before its first change is sent, PostgreSQL 18 sends nothing of this transaction. So the recording of
    // PostgreSQL 18 has no StreamAbort. A test with a live server covers StreamAbort.
    for (major, lines, all_kinds, count, in_blocks) in [
        (15, include_str!("golden/pgoutput-15.hex"), &b"BCORYIUDTMSEcAbPKrp"[..], 135, 80),
        (18, include_str!("golden/pgoutput-18.hex"), b"BCORYIUDTMSEcbPKrp", 106, 56),
    ] {
        let (mut decoder, mut kinds, mut streamed, mut unchanged) =
            (Decoder::default(), BTreeSet::new(), 0, 0);
        let messages = recorded(lines);
        for data in &messages {
            let scope = decoder.scope();
            let change = decoder.decode(data).unwrap_or_else(|error| panic!("{major}: {error}: {data:?}"));
            assert_eq!(change.validate(), Ok(()));
            assert_eq!(encoded(&change).escape_ascii().to_string(), data.escape_ascii().to_string());
            for end in 0..data.len() {
                let part = Change::decode(&data[..end], scope).and_then(|change| change.validate());
                assert!(part.is_err() || data[0] == b'A' && end == 9, "{end} of {}", data.escape_ascii());
            }
            kinds.insert(data[0]);
            streamed += usize::from(change.xid_in_stream().is_some());
            if let Change::Update(update) = change {
                unchanged += update.new.iter().filter(|value| *value == Ok(TupleValue::Unchanged)).count();
            }
        }
        assert_eq!(kinds, all_kinds.iter().copied().collect(), "{major}");
        assert_eq!((messages.len(), streamed, unchanged), (count, in_blocks, 1), "{major}");
        assert_eq!(decoder.scope(), Scope::Outside);
    }
}

/// Formats a change as a line of text, without the number of its transaction.
fn line(change: &Change<'_>, table: Option<&Table>) -> Option<String> {
    let table = table.map_or_else(String::new, ToString::to_string);
    Some(match change {
        Change::Insert(insert) => format!("{table} {:?}", insert.new),
        Change::Update(update) => format!("{table} {:?} {:?}", update.old, update.new),
        Change::Delete(delete) => format!("{table} {:?}", delete.old),
        Change::Truncate(truncate) => format!("{:?}", truncate.relations),
        Change::LogicalMessage(message) => message.prefix.to_string(),
        _ => return None,
    })
}

#[test]
fn recorded_changes_have_tables_and_recorded_blocks_are_returned_at_their_commit() {
    for (major, lines) in
        [(15, include_str!("golden/pgoutput-15.hex")), (18, include_str!("golden/pgoutput-18.hex"))]
    {
        let messages = recorded(lines);
        let mut decoder = ChangeDecoder::default();
        let mut sent = Vec::new();
        for data in &messages {
            let (change, table) = decoder.decode(data).unwrap_or_else(|error| panic!("{major}: {error}"));
            sent.extend(line(&change, table));
        }
        let by_row = decoder.relations().iter().find(|table| table.name == "by_row").expect("described");
        let types: Vec<_> = by_row.columns.iter().map(|column| column.type_name().unwrap_or("?")).collect();
        assert_eq!(types, ["int8", "mood", "mood2"], "{by_row:?}");
        let mut transactions = Transactions::new(MemoryStore::new(1 << 20));
        let (mut returned, mut open) = (Vec::new(), 0);
        let mut note = |received: ReceivedChange<'_>| {
            open += match received.change {
                Change::Begin(_) | Change::BeginPrepare(_) => 1,
                Change::Commit(_) | Change::Prepare(_) => -1,
                Change::StreamStart(_) | Change::StreamStop(_) | Change::StreamCommit(_) => {
                    panic!("{received:?}")
                }
                _ => 0,
            };
            assert!((0..=1).contains(&open), "whole transactions");
            returned.extend(line(&received.change, received.table));
        };
        for data in &messages {
            let data = Payload(data);
            let wal = XLogData { start: Lsn(1), end: Lsn(1), time: Timestamp(0), data };
            if let Some(received) = transactions.receive(&wal).expect("well-formed") {
                note(received);
            }
            while let Some(received) = transactions.replay().expect("well-formed") {
                note(received);
            }
        }
        assert_eq!(open, 0);
        // The recording of PostgreSQL 15 ends inside a transaction, after the rollback of a subtransaction. The recording of PostgreSQL 18
        // does not contain this transaction.
        let in_progress: Vec<_> = transactions.in_progress().collect();
        assert_eq!(in_progress, if major == 15 { vec![763] } else { vec![] });
        let dropped = sent.len() - returned.len();
        assert_eq!(dropped, if major == 15 { 22 } else { 0 });
        let mut left = sent.clone();
        for change in &returned {
            let at = left.iter().position(|sent| sent == change).expect("it was sent");
            left.remove(at);
        }
        assert_eq!(left.len(), dropped);
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn changes_of_rows_keep_their_values(old in values(), new in values(), xid in option::of(any::<u32>()), relation: u32, full: bool) {
        let (old, new) = (lent(&old), lent(&new));
        let (old, new) = (Tuple::from(&old[..]), Tuple::from(&new[..]));
        let old = if full { OldRow::Full(old) } else { OldRow::Key(old) };
        check_roundtrip(Insert { xid, relation, new }.into());
        check_roundtrip(Update { xid, relation, old: None, new }.into());
        check_roundtrip(Update { xid, relation, old: Some(old), new }.into());
        check_roundtrip(Delete { xid, relation, old }.into());
    }

    #[test]
    fn random_bytes_are_an_error_or_a_message_that_is_encoded_as_these_bytes(
        kind in prop_oneof![proptest::sample::select(&b"IUDBCORYTMSEcAbPKrpwkshndm"[..]), any::<u8>()],
        body in vec(prop_oneof![Just(0u8), proptest::sample::select(&b"NKOtnub\x01\x02\xff"[..]), any::<u8>()], 0..60),
    ) {
        let data = [&[kind], &body[..]].concat();
        for scope in [Scope::Outside, Scope::InStream] {
            if let Ok(change) = Change::decode(&data, scope) {
                let _ = (change.validate(), format!("{change:?}"));
                prop_assert_eq!(&encoded(&change), &data);
            }
        }
        if let Ok(message) = PrimaryMessage::decode(&data) {
            prop_assert_eq!(&encoded(&message), &data);
        }
        if let Ok(message) = StandbyMessage::decode(&data) {
            prop_assert_eq!(&encoded(&message), &data);
        }
        if let Ok(message) = BackupMessage::decode(&data) {
            prop_assert_eq!(&encoded(&message), &data);
        }
    }
}
