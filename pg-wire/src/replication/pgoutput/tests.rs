use super::*;
use crate::codec::field::Payload;
use crate::codec::list::List;
use crate::replication::lsn::Lsn;
use crate::replication::tests::golden;
use crate::replication::time::Timestamp;

/// Decodes a message outside a block. Validates all values, because decoding alone does not read the values of the last tuple.
fn outside(data: &'static [u8]) -> Result<Change<'static>, DecodeError> {
    Change::decode(data, Scope::Outside).and_then(|change| change.validate().map(|()| change))
}

fn in_stream(data: &'static [u8]) -> Result<Change<'static>, DecodeError> {
    Change::decode(data, Scope::InStream).and_then(|change| change.validate().map(|()| change))
}

const WHOLE: usize = usize::MAX;

#[test]
fn transactions_are_encoded_and_decoded() {
    golden(
        Change::from(Begin { commit: Lsn(1), time: Timestamp(2), xid: 3 }),
        b"B\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03",
        WHOLE,
        outside,
    );
    golden(
        Change::from(Commit { flags: 0, commit: Lsn(1), end: Lsn(2), time: Timestamp(3) }),
        b"C\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
        WHOLE,
        outside,
    );
    golden(
        Change::from(Origin { commit: Lsn(1), name: "pg_16389".into() }),
        b"O\0\0\0\0\0\0\0\x01pg_16389\0",
        WHOLE,
        outside,
    );
}

#[test]
fn logical_messages_are_encoded_and_decoded() {
    let mut message =
        LogicalMessage { xid: None, flags: 1, lsn: Lsn(7), prefix: "p".into(), content: Payload(b"\0hi") };
    assert!(message.is_transactional());
    golden(Change::from(message), b"M\x01\0\0\0\0\0\0\0\x07p\0\0\0\0\x03\0hi", WHOLE, outside);
    message.xid = Some(9);
    golden(Change::from(message), b"M\0\0\0\x09\x01\0\0\0\0\0\0\0\x07p\0\0\0\0\x03\0hi", WHOLE, in_stream);
    let null = Change::decode(b"M\x01\0\0\0\0\0\0\0\x07p\0\xff\xff\xff\xff", Scope::Outside);
    assert_eq!(null.expect_err("a content is not NULL").kind, DecodeErrorKind::NegativeLength);
}

#[test]
fn descriptions_are_encoded_and_decoded() {
    let columns = [
        RelationColumn { flags: 1, name: "id".into(), type_oid: 23, type_modifier: -1 },
        RelationColumn { flags: 0, name: "caf\u{e9}".into(), type_oid: 1043, type_modifier: 24 },
    ];
    assert!(columns[0].is_key() && !columns[1].is_key());
    let described = Relation {
        xid: None,
        relation: 16385,
        namespace: "public".into(),
        name: "t".into(),
        replica_identity: ReplicaIdentity::Default,
        columns: List::from(&*alloc::vec::Vec::from(columns).leak()),
    };
    golden(
        Change::from(described),
        b"R\0\0\x40\x01public\0t\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0caf\xc3\xa9\0\0\0\x04\x13\0\0\0\x18",
        WHOLE,
        outside,
    );
    golden(
        Change::from(Relation { xid: Some(5), replica_identity: ReplicaIdentity::Full, ..described }),
        b"R\0\0\0\x05\0\0\x40\x01public\0t\0f\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0caf\xc3\xa9\0\0\0\x04\x13\0\0\0\x18",
        WHOLE,
        in_stream,
    );
    for (byte, identity) in [(b'n', ReplicaIdentity::Nothing), (b'i', ReplicaIdentity::Index)] {
        assert_eq!(ReplicaIdentity::from(byte), identity);
    }
    let type_ = Type { xid: None, type_oid: 16390, namespace: "".into(), name: "mood".into() };
    golden(Change::from(type_), b"Y\0\0\x40\x06\0mood\0", WHOLE, outside);
    golden(
        Change::from(Type { xid: Some(5), ..type_ }),
        b"Y\0\0\0\x05\0\0\x40\x06\0mood\0",
        WHOLE,
        in_stream,
    );
}

const ROW: Tuple<'static> = Tuple::given(&[
    TupleValue::Text(b"7"),
    TupleValue::Null,
    TupleValue::Unchanged,
    TupleValue::Binary(b"\0\x01"),
    TupleValue::Text(b""),
]);
const KEY: Tuple<'static> = Tuple::given(&[TupleValue::Text(b"6"), TupleValue::Null]);

#[test]
fn changes_of_rows_are_encoded_and_decoded() {
    let insert = Insert { xid: None, relation: 16385, new: ROW };
    golden(
        Change::from(insert),
        b"I\0\0\x40\x01N\0\x05t\0\0\0\x017nub\0\0\0\x02\0\x01t\0\0\0\0",
        WHOLE,
        outside,
    );
    golden(
        Change::from(Insert { xid: Some(2), ..insert }),
        b"I\0\0\0\x02\0\0\x40\x01N\0\x05t\0\0\0\x017nub\0\0\0\x02\0\x01t\0\0\0\0",
        WHOLE,
        in_stream,
    );
    let update = Update { xid: None, relation: 16385, old: None, new: KEY };
    golden(Change::from(update), b"U\0\0\x40\x01N\0\x02t\0\0\0\x016n", WHOLE, outside);
    golden(
        Change::from(Update { old: Some(OldRow::Key(KEY)), ..update }),
        b"U\0\0\x40\x01K\0\x02t\0\0\0\x016nN\0\x02t\0\0\0\x016n",
        WHOLE,
        outside,
    );
    golden(
        Change::from(Update { xid: Some(2), old: Some(OldRow::Full(ROW)), ..update }),
        b"U\0\0\0\x02\0\0\x40\x01O\0\x05t\0\0\0\x017nub\0\0\0\x02\0\x01t\0\0\0\0N\0\x02t\0\0\0\x016n",
        WHOLE,
        in_stream,
    );
    let delete = Delete { xid: None, relation: 16385, old: OldRow::Key(KEY) };
    golden(Change::from(delete), b"D\0\0\x40\x01K\0\x02t\0\0\0\x016n", WHOLE, outside);
    golden(
        Change::from(Delete { xid: Some(2), old: OldRow::Full(KEY), ..delete }),
        b"D\0\0\0\x02\0\0\x40\x01O\0\x02t\0\0\0\x016n",
        WHOLE,
        in_stream,
    );
}

#[test]
fn truncates_are_encoded_and_decoded() {
    let truncate = Truncate {
        xid: None,
        flags: Truncate::CASCADE | Truncate::RESTART_IDENTITY,
        relations: List::from(&[16385, 16386]),
    };
    golden(Change::from(truncate), b"T\0\0\0\x02\x03\0\0\x40\x01\0\0\x40\x02", WHOLE, outside);
    golden(
        Change::from(Truncate { xid: Some(2), ..truncate }),
        b"T\0\0\0\x02\0\0\0\x02\x03\0\0\x40\x01\0\0\x40\x02",
        WHOLE,
        in_stream,
    );
}

#[test]
fn streamed_transactions_are_encoded_and_decoded() {
    golden(Change::from(StreamStart { xid: 5, first: true }), b"S\0\0\0\x05\x01", WHOLE, outside);
    golden(Change::from(StreamStop {}), b"E", WHOLE, in_stream);
    golden(
        Change::from(StreamCommit { xid: 5, flags: 0, commit: Lsn(1), end: Lsn(2), time: Timestamp(3) }),
        b"c\0\0\0\x05\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
        WHOLE,
        outside,
    );
    let abort = StreamAbort { xid: 5, subxid: 6, aborted: None };
    golden(Change::from(abort), b"A\0\0\0\x05\0\0\0\x06", WHOLE, outside);
    let aborted = Some(Aborted { lsn: Lsn(1), time: Timestamp(2) });
    let bytes = b"A\0\0\0\x05\0\0\0\x06\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02";
    // Without its last field, a StreamAbort is a valid message of pgoutput version 2. So the prefix of 9 bytes is decoded without an error.
    golden(Change::from(StreamAbort { aborted, ..abort }), bytes, 9, |data| match outside(data) {
        Ok(Change::StreamAbort(StreamAbort { aborted: None, .. })) if data.len() > 9 => panic!("{data:?}"),
        other => other,
    });
}

#[test]
fn messages_of_two_phase_commit_are_encoded_and_decoded() {
    golden(
        Change::from(BeginPrepare {
            prepare: Lsn(1),
            end: Lsn(2),
            time: Timestamp(3),
            xid: 4,
            gid: "g".into(),
        }),
        b"b\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04g\0",
        WHOLE,
        outside,
    );
    golden(
        Change::from(Prepare {
            flags: 0,
            prepare: Lsn(1),
            end: Lsn(2),
            time: Timestamp(3),
            xid: 4,
            gid: "g".into(),
        }),
        b"P\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04g\0",
        WHOLE,
        outside,
    );
    golden(
        Change::from(CommitPrepared {
            flags: 0,
            commit: Lsn(1),
            end: Lsn(2),
            time: Timestamp(3),
            xid: 4,
            gid: "g".into(),
        }),
        b"K\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04g\0",
        WHOLE,
        outside,
    );
    golden(
        Change::from(RollbackPrepared {
            flags: 0,
            prepare_end: Lsn(1),
            end: Lsn(2),
            prepare_time: Timestamp(3),
            time: Timestamp(4),
            xid: 5,
            gid: "g".into(),
        }),
        b"r\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\x05g\0",
        WHOLE,
        outside,
    );
    golden(
        Change::from(StreamPrepare {
            flags: 0,
            prepare: Lsn(1),
            end: Lsn(2),
            time: Timestamp(3),
            xid: 4,
            gid: "g".into(),
        }),
        b"p\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04g\0",
        WHOLE,
        outside,
    );
}

#[test]
fn an_unknown_kind_is_preserved() {
    golden(Change::Unknown(Unknown { kind: b'?', data: Payload(b"any") }), b"?any", 1, outside);
    assert_eq!(Decoder::default().decode(b"").expect_err("empty").kind, DecodeErrorKind::Short);
}

#[test]
fn the_boundaries_of_blocks_are_checked() {
    let mut decoder = Decoder::default();
    let begin = b"B\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03";
    let misplaced = |decoder: &mut Decoder, data: &[u8]| {
        let before = *decoder;
        let error = decoder.decode(data).expect_err("the message is not valid at this point");
        assert_eq!((error.kind, *decoder), (DecodeErrorKind::Misplaced, before));
    };
    misplaced(&mut decoder, b"E");
    assert!(decoder.decode(begin).is_ok());
    assert!(decoder.decode(b"S\0\0\0\x05\x01").is_ok());
    assert_eq!(decoder.scope(), Scope::InStream);
    misplaced(&mut decoder, b"S\0\0\0\x05\0");
    misplaced(&mut decoder, begin);
    misplaced(&mut decoder, b"A\0\0\0\x05\0\0\0\x06");
    assert!(decoder.decode(b"O\0\0\0\0\0\0\0\x01o\0").is_ok());
    assert!(decoder.decode(b"?").is_ok());
    assert!(decoder.decode(b"E").is_ok());
    assert_eq!(decoder.scope(), Scope::Outside);
}

#[test]
fn counts_and_lengths_that_do_not_match_the_data_are_errors() {
    for (data, kind) in [
        (&b"I\0\0\x40\x01N\xff\xfft\0\0\0\x017"[..], DecodeErrorKind::Short),
        (b"I\0\0\x40\x01N\0\x01t\x7f\xff\xff\xff7", DecodeErrorKind::Short),
        (b"I\0\0\x40\x01N\0\x01t\xff\xff\xff\xff", DecodeErrorKind::NegativeLength),
        (b"I\0\0\x40\x01N\0\x01x", DecodeErrorKind::UnknownForm { found: b'x' }),
        (b"I\0\0\x40\x01K\0\x01n", DecodeErrorKind::UnknownForm { found: b'K' }),
        (b"I\0\0\x40\x01N\0\0n", DecodeErrorKind::Trailing),
        (b"U\0\0\x40\x01K\0\x01nO\0\0", DecodeErrorKind::UnknownForm { found: b'O' }),
        (b"D\0\0\x40\x01N\0\x01n", DecodeErrorKind::UnknownForm { found: b'N' }),
        (b"T\xff\xff\xff\xff\0\0\0\0\x01", DecodeErrorKind::Short),
        (b"S\0\0\0\x05\x02", DecodeErrorKind::UnknownForm { found: 2 }),
        (b"R\0\0\x40\x01public\0t\0d\xff\xff", DecodeErrorKind::Short),
    ] {
        assert_eq!(outside(data).expect_err("malformed").kind, kind, "{}", data.escape_ascii());
    }
}
