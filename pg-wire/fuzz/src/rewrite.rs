use pg_wire::rewrite::Rewrite;
use pg_wire::{Direction, Encode, Frame, Message, MessageCode, Text};

use crate::input::Input;

/// Replaces the names and a value in an arbitrary frame. Checks that the new frame has the new names and the new value, and that all other
/// bytes are unchanged.
pub fn rewrite(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let (index, length) = (usize::from(input.byte()), usize::from(input.byte()));
    let value = input.bytes(length);
    let new = (settings & 2 == 0).then_some(value);
    let frame = Frame { code: MessageCode(input.byte()), body: input.rest() };

    if settings & 1 == 0 {
        let Ok(original) = Rewrite::frontend(frame) else { return };
        check_values(original, frame, Direction::Frontend, index, new);
        let name = Text::from("new name");
        let mut out = Vec::new();
        original.with_statement(name).with_portal(name).encode(&mut out).expect("the names have no NUL");
        let renamed = Rewrite::frontend(Frame { code: frame.code, body: &out[5..] }).expect("a valid frame");
        assert_eq!(renamed.statement(), original.statement().map(|_| name));
        assert_eq!(renamed.portal(), original.portal().map(|_| name));
        // The new frame must be well-formed if and only if the original frame is well-formed.
        assert_eq!(
            Frame { code: frame.code, body: &out[5..] }.frontend().is_ok(),
            frame.frontend().is_ok(),
            "{original:?}"
        );
        let (statement, portal) = (original.statement(), original.portal());
        let back =
            renamed.with_statement(statement.unwrap_or_default()).with_portal(portal.unwrap_or_default());
        assert_unchanged(&back, frame);
    } else {
        check_values(Rewrite::backend(frame), frame, Direction::Backend, index, new);
    }
}

/// Replaces the value at `index`, and checks all values of the new frame.
fn check_values<'a>(
    original: Rewrite<'a>,
    frame: Frame<'a>,
    sender: Direction,
    index: usize,
    new: Option<&[u8]>,
) {
    let _ = format!("{original:?} {}", original.trace(sender));
    assert_unchanged(&original, frame);
    let before = original.values().ok().flatten().map(|values| values.iter().collect::<Result<Vec<_>, _>>());
    let replaced = [(index, new)];
    let Ok(rewritten) = original.with_values(&replaced) else { return };
    let mut before = before.expect("the frame has values").expect("the values are well-formed");
    let mut out = Vec::new();
    rewritten.encode(&mut out).expect("the frame is short");
    before[index] = new;
    let frame = Frame { code: frame.code, body: &out[5..] };
    let after = match sender {
        Direction::Frontend => Rewrite::frontend(frame).expect("the names are unchanged"),
        Direction::Backend => Rewrite::backend(frame),
    };
    let values = after.values().expect("the values are well-formed").expect("the frame has values");
    assert_eq!(values.iter().collect::<Result<Vec<_>, _>>(), Ok(before));
}

/// Checks that the frame is forwarded unchanged.
fn assert_unchanged(rewrite: &Rewrite<'_>, frame: Frame<'_>) {
    let (mut out, mut expected) = (Vec::new(), Vec::new());
    rewrite.encode(&mut out).expect("the frame is short");
    frame.encode(&mut expected).expect("the frame is short");
    assert_eq!(out, expected);
}
