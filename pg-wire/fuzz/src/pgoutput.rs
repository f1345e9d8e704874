use std::collections::BTreeMap;
use std::fmt::Debug;

use pg_wire::replication::pgoutput::{Change, ChangeDecoder, MemoryStore, Scope, Transactions};
use pg_wire::replication::{
    BackupMessage, Enclosed, Lsn, PrimaryMessage, StandbyMessage, Timestamp, XLogData,
};
use pg_wire::{Direction, Encode, Message};

use crate::input::Input;

/// Maximum number of bytes that [`Transactions`] may store. The number is small, so that inputs of the fuzzer can exceed it.
const STORE: usize = 4096;

/// Decodes messages of replication, encodes each message again, and compares the bytes.
///
/// The first byte of the input selects the kind of the remaining bytes. For the kinds 0 to 4, these bytes are one message. For all other
/// kinds, these bytes are a sequence of pgoutput messages. Before each pgoutput message is its length, in a field of two bytes.
pub fn pgoutput(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let message = input;
    let data = input.rest();
    match kind {
        0 => check_change(data, Scope::Outside),
        1 => check_change(data, Scope::InStream),
        2 => check(PrimaryMessage::decode(data).ok(), data),
        3 => check(StandbyMessage::decode(data).ok(), data),
        4 => check(BackupMessage::decode(data).ok(), data),
        _ => check_sequence(message),
    }
}

/// Checks that a decoded message is encoded as the same bytes, and that the message can be printed.
fn check(message: Option<impl Enclosed + Debug>, data: &[u8]) {
    let Some(message) = message else { return };
    let mut out = Vec::new();
    message.encode(&mut out).expect("a decoded message can be encoded");
    assert_eq!(out, data);
    let mut whole = Vec::new();
    message.in_copy_data().encode(&mut whole).expect("a decoded message can be sent");
    assert_eq!(&whole[5..], data);
    let _ = format!("{message:?} {}", message.in_copy_data().trace(Direction::Backend));
}

fn check_change(data: &[u8], scope: Scope) {
    let Ok(change) = Change::decode(data, scope) else { return };
    check(Some(change), data);
    let values = match change {
        Change::Insert(insert) => insert.new,
        Change::Update(update) => update.new,
        Change::Delete(delete) => delete.old.tuple(),
        _ => return assert_eq!(change.validate(), Ok(())),
    };
    assert_eq!(values.iter().find_map(Result::err), change.validate().err());
}

/// A change in a transaction in progress: the id of its transaction or subtransaction, and the bytes of the message.
type Kept = (u32, Vec<u8>);

/// Passes a sequence of messages to a [`ChangeDecoder`] and to [`Transactions`]. Also stores the changes of each transaction in a list of
/// its own. When a transaction commits, `Transactions` must return the changes in the list of this transaction.
fn check_sequence(mut input: Input<'_>) {
    let mut decoder = ChangeDecoder::default();
    let mut collector = Transactions::new(MemoryStore::new(STORE));
    let mut model: BTreeMap<u32, Vec<Kept>> = BTreeMap::new();
    let mut block = None;
    let mut is_valid = true;
    while !input.is_empty() {
        let length = input.number();
        let data = input.bytes(length.into());
        if let Ok((change, table)) = decoder.decode(data) {
            check(Some(change), data);
            let _ = table.map(|table| format!("{table} {table:?}"));
        }
        if !is_valid {
            continue;
        }
        let wal =
            XLogData { start: Lsn(1), end: Lsn(2), time: Timestamp(3), data: pg_wire::codec::Payload(data) };
        let in_block = if block.is_some() { Scope::InStream } else { Scope::Outside };
        match collector.receive(&wal) {
            Ok(Some(received)) => check(Some(received.change), data),
            Ok(None) => {
                let change = Change::decode(data, in_block).expect("the collector has decoded the message");
                let ended = keep(&mut model, &mut block, &change, data);
                assert_eq!(collector.is_replaying(), ended.is_some());
                if let Some(expected) = ended {
                    replay(&mut collector, &expected);
                }
            }
            Err(error) => {
                let _ = format!("{error:?}");
                is_valid = false;
            }
        }
        assert!(collector.store().used() <= STORE);
        if is_valid {
            assert!(
                collector.in_progress().eq(model.keys().copied()),
                "the same transactions are in progress"
            );
        }
    }
}

/// Updates the lists of changes in `model`, which has one list for each transaction. If the message commits or prepares a transaction,
/// removes and returns the list of this transaction.
fn keep(
    model: &mut BTreeMap<u32, Vec<Kept>>,
    block: &mut Option<u32>,
    change: &Change<'_>,
    data: &[u8],
) -> Option<Vec<Kept>> {
    match change {
        Change::StreamStart(start) => {
            model.entry(start.xid).or_default();
            *block = Some(start.xid);
        }
        Change::StreamStop(_) => *block = None,
        Change::StreamAbort(abort) if abort.xid == abort.subxid => drop(model.remove(&abort.xid)),
        Change::StreamAbort(abort) => {
            if let Some(kept) = model.get_mut(&abort.xid) {
                kept.retain(|(xid, _)| *xid != abort.subxid);
            }
        }
        Change::StreamCommit(commit) => return model.remove(&commit.xid),
        Change::StreamPrepare(prepare) => return model.remove(&prepare.xid),
        change => {
            let top = block.expect("the collector keeps changes in blocks only");
            let xid = change.xid_in_stream().unwrap_or(top);
            model.entry(top).or_default().push((xid, data.to_vec()));
        }
    }
    None
}

/// Reads the changes of a transaction that has ended, and compares them with `expected`.
fn replay(collector: &mut Transactions<MemoryStore>, expected: &[Kept]) {
    let mut expected = expected.iter();
    let mut is_first = true;
    loop {
        let change = match collector.replay() {
            Ok(Some(received)) => received.change,
            Ok(None) => break,
            // The transaction changes a table that the server has not described. After this error, no more changes are returned.
            Err(_) => return,
        };
        match change {
            Change::Begin(_) | Change::BeginPrepare(_) => assert!(std::mem::take(&mut is_first)),
            Change::Commit(_) | Change::Prepare(_) => {
                assert_eq!(expected.next(), None, "the commit is the last change");
            }
            change => {
                let (_, data) = expected.next().expect("a change that was received");
                check(Some(change), data);
            }
        }
    }
    assert!(!is_first && expected.next().is_none() && !collector.is_replaying());
}
