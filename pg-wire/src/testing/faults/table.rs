//! A table of faults.

use alloc::vec::Vec;

use crate::codec::message::Direction;
use crate::testing::faults::fault::Fault;
use crate::testing::faults::injector::FaultInjector;

/// A list of faults, each at a message or at a byte of one direction of a conversation.
///
/// A table is parsed from text, or is [random](Self::random). An [injector](Self::injector) adds the faults to the bytes of one direction.
///
/// ```
/// use pg_wire::{Direction, testing::{FaultStep, FaultTable}};
///
/// // The server cuts the connection after 3 bytes of the second DataRow.
/// let table: FaultTable = "server:DataRow#2:cut@3".parse()?;
/// let mut server = table.injector(Direction::Backend);
/// server.push(b"D\0\0\0\x06\0\0D\0\0\0\x06\0\0");
/// assert_eq!(server.next_step(), Some(FaultStep::Send(b"D\0\0\0\x06\0\0D\0\0".to_vec())));
/// assert_eq!(server.next_step(), Some(FaultStep::Close));
/// assert_eq!(server.next_step(), None);
/// # Ok::<_, pg_wire::testing::FaultTableError>(())
/// ```
///
/// # The text
///
/// Faults are separated by commas. Each fault has the form `SENDER:PLACE:ACTION`.
///
/// SENDER is `client` or `server`: the fault is in the bytes that this side sends.
///
/// | PLACE | the fault is at |
/// | --- | --- |
/// | `message#3` | the third message of the sender |
/// | `DataRow#3` | the third DataRow |
/// | `D#3` | the third message with the code `D` |
/// | `message#*`, `DataRow#*` | every message, every DataRow |
/// | `message`, `DataRow` | the first message, the first DataRow |
/// | `byte#1000` | after 1000 bytes of the sender |
///
/// The name of a message is its name in a trace. The four responses to an authentication request (PasswordMessage, SASLInitialResponse,
/// SASLResponse, GSSResponse) have the same code, so each of these names means any of the four. The one-byte answer to a request for
/// encryption is no message. Encrypted bytes, and bytes after an invalid header, contain no messages, so only a fault at a byte can be in
/// these bytes.
///
/// | ACTION | effect |
/// | --- | --- |
/// | `cut` | both directions are closed, and both sides read the end of the stream |
/// | `reset` | both directions are reset, like a TCP connection by RST |
/// | `half-close` | this direction is closed; the other direction stays open |
/// | `stall` | no further byte of this direction is sent; nothing is closed |
/// | `delay 50ms`, `delay 2s` | a pause |
/// | `split 3` | the message is sent in pieces of at most 3 bytes; if PLACE is a byte, all bytes after this byte are sent in such pieces |
/// | `corrupt`, `corrupt 4` | all bits of one byte, or of 4 bytes, are inverted |
/// | `duplicate` | the message is sent twice |
/// | `swap` | the message is sent after the next message |
/// | `flood 1000` | the message is sent 1000 more times |
/// | `flood endless` | the message is sent until 1 GiB of copies have been sent |
/// | `length 3`, `length +1`, `length -1` | the length field is this number, or the right length plus this number |
/// | `count 3`, `count +1`, `count -1` | the count of columns, parameters or formats is this number, or the right count plus this number |
///
/// `cut`, `reset`, `half-close`, `stall`, `delay` and `corrupt` at a message may end with `@K`. Then the fault is after the first K bytes
/// of the message. The first byte of a message is its code. Without `@K` the fault is before the message, and `corrupt` inverts the code.
/// If the message has fewer than K bytes, the fault is at the end of the message, and `corrupt` has no effect.
///
/// `count` is for messages that have a count of 2 bytes: RowDescription, DataRow, ParameterDescription, the responses that begin a COPY,
/// Parse, Bind and FunctionCall.
///
/// Examples:
///
/// | text | fault |
/// | --- | --- |
/// | `server:message#*:split 1` | every message of the server arrives in single bytes |
/// | `server:ReadyForQuery#2:stall` | the first ReadyForQuery after the login is never sent |
/// | `client:byte#1000:reset` | the connection is reset after 1000 bytes of the client |
/// | `server:DataRow:count +1, server:DataRow#2:length 3` | a wrong count in the first row, and a wrong length in the second row |
/// | `server:CommandComplete:swap` | ReadyForQuery is sent before CommandComplete |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultTable {
    pub(super) faults: Vec<Fault>,
}

impl FaultTable {
    /// Returns an injector for the bytes that `sender` sends on one connection, from the beginning of the connection. Every connection
    /// needs two new injectors, one for each direction.
    pub fn injector(&self, sender: Direction) -> FaultInjector {
        FaultInjector::new(sender, self.faults.iter().filter(|fault| fault.sender == sender).cloned())
    }

    /// Returns the faults of the table.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Appends the faults of another table.
    pub fn append(&mut self, other: Self) {
        self.faults.extend(other.faults);
    }
}
