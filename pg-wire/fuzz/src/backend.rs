use pg_wire::backend::Backend;
use pg_wire::{Columns, Direction, Encode, Frame, Message, MessageCode};

/// Decodes a message of the server, encodes the message again, and compares the bytes. Also prints the message, and reads its lists.
///
/// The input is the code and the body; there is no length field.
pub fn backend(data: &[u8]) {
    let Some((&code, body)) = data.split_first() else { return };
    let frame = Frame { code: MessageCode(code), body };
    let Ok(message) = frame.backend() else { return };
    check(&message, frame, Direction::Backend);
    match message {
        Backend::DataRow(row) => {
            let values: Result<Vec<_>, _> = row.values.iter().collect();
            assert_eq!(values.as_ref().err(), row.values.validate().as_ref().err());
            let Ok(values) = values else { return };
            assert_eq!(values.len(), row.values.len());
            for (index, value) in values.iter().enumerate() {
                assert_eq!(row.values.get(index), Ok(Some(*value)));
            }
            assert_eq!(row.values.get(values.len()), Ok(None));
        }
        Backend::RowDescription(description) => {
            let columns = Columns::of_portal(&description);
            assert_eq!(columns.len(), description.fields.len());
            let _ = format!("{columns:?}");
        }
        Backend::ErrorResponse(error) => {
            let owned = error.to_owned();
            let _ = format!("{owned} {owned:?} {:?} {:?}", error.fields.sqlstate(), error.fields.position());
            assert!(owned.fields().iter().eq(error.fields.iter()), "the copy has the same fields");
        }
        Backend::CommandComplete(complete) => {
            let _ = format!("{:?} {:?}", complete.rows(), complete.command());
        }
        _ => {}
    }
}

/// Encodes a decoded message into a `Vec` and into an [`Outbox`](pg_wire::Outbox). Checks that both results are the original frame, and
/// that the message can be printed.
pub(crate) fn check<M: Message + std::fmt::Debug>(message: &M, frame: Frame<'_>, direction: Direction) {
    let Frame { code, body } = frame;
    let length = u32::try_from(body.len() + 4).expect("an input is short");
    let expected = [&[code.0][..], &length.to_be_bytes(), body].concat();
    let mut out = Vec::new();
    message.encode(&mut out).expect("a decoded message can be encoded");
    assert_eq!(out, expected);
    let mut outbox = pg_wire::Outbox::new(0);
    outbox.put(message);
    outbox.commit().expect("a decoded message can be sent");
    assert_eq!(outbox.pending(), expected);
    let trace = message.trace(direction).to_string();
    let side = if direction == Direction::Backend { "B" } else { "F" };
    assert!(trace.starts_with(&format!("{side}\t{length}\t")), "{trace}");
    let _ = format!("{message:?}");
}
