//! Faults: their kinds, places and actions.

use alloc::string::String;
use core::time::Duration;

use crate::basic::code::MessageCode;
use crate::codec::message::Direction;

/// One fault of a [`FaultTable`](super::FaultTable). The parser of the table accepts the text that `Display` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) sender: Direction,
    pub(super) place: Place,
    pub(super) action: Action,
}

/// Kind of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultKind {
    /// Both directions are closed.
    Cut,
    /// Both directions are reset, like a TCP connection by RST.
    Reset,
    /// One direction is closed.
    HalfClose,
    /// One direction stays open, but no further byte is sent.
    Stall,
    /// The following bytes are sent after a pause.
    Delay,
    /// A message is sent in pieces.
    Split,
    /// The bits of some bytes are inverted.
    Corrupt,
    /// A message is sent twice.
    Duplicate,
    /// Two messages are sent in the wrong order.
    Swap,
    /// A message is sent many times.
    Flood,
    /// The length field of a message has a wrong value.
    Length,
    /// The count of columns, parameters or formats in a message has a wrong value.
    Count,
}

/// Place of a fault in the bytes of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of the selected messages, by its number from 1; `None` stands for all these messages.
    Message(Which, Option<u64>),
    /// The place after this number of bytes.
    Byte(u64),
}

/// Selects messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Any,
    Code(MessageCode),
    /// Messages with this name, and the code of these messages. Packets before the session have no code.
    Named(String, Option<MessageCode>),
}

/// Action of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Cut { at: usize },
    Reset { at: usize },
    HalfClose { at: usize },
    Stall { at: usize },
    Delay { time: Duration, at: usize },
    Corrupt { bytes: usize, at: usize },
    Split { size: usize },
    Duplicate,
    Swap,
    Flood(Copies),
    Length(Lie),
    Count(Lie),
}

/// Number of copies in a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    Number(u64),
    /// Copies until 1 GiB have been sent.
    Endless,
}

/// A wrong value for a length field or for a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// This number replaces the right number.
    To(i64),
    /// This number is added to the right number.
    By(i64),
}

impl Fault {
    /// Returns the kind of the fault.
    pub fn kind(&self) -> FaultKind {
        self.action.kind()
    }

    /// Returns the side that sends the bytes with the fault.
    pub fn sender(&self) -> Direction {
        self.sender
    }
}

impl Action {
    pub(super) fn kind(&self) -> FaultKind {
        match self {
            Self::Cut { .. } => FaultKind::Cut,
            Self::Reset { .. } => FaultKind::Reset,
            Self::HalfClose { .. } => FaultKind::HalfClose,
            Self::Stall { .. } => FaultKind::Stall,
            Self::Delay { .. } => FaultKind::Delay,
            Self::Corrupt { .. } => FaultKind::Corrupt,
            Self::Split { .. } => FaultKind::Split,
            Self::Duplicate => FaultKind::Duplicate,
            Self::Swap => FaultKind::Swap,
            Self::Flood(_) => FaultKind::Flood,
            Self::Length(_) => FaultKind::Length,
            Self::Count(_) => FaultKind::Count,
        }
    }
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Cut,
        Self::Reset,
        Self::HalfClose,
        Self::Stall,
        Self::Delay,
        Self::Split,
        Self::Corrupt,
        Self::Duplicate,
        Self::Swap,
        Self::Flood,
        Self::Length,
        Self::Count,
    ];

    /// The kinds of fault that correct programs can meet, because of the network or a crash. No received byte is wrong.
    pub const NETWORK: [Self; 6] =
        [Self::Cut, Self::Reset, Self::HalfClose, Self::Stall, Self::Delay, Self::Split];

    /// Returns the word that stands for the kind in the text of a fault, such as `half-close`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::HalfClose => "half-close",
            Self::Stall => "stall",
            Self::Delay => "delay",
            Self::Split => "split",
            Self::Corrupt => "corrupt",
            Self::Duplicate => "duplicate",
            Self::Swap => "swap",
            Self::Flood => "flood",
            Self::Length => "length",
            Self::Count => "count",
        }
    }

    /// Whether the place of a fault of this kind must be a message, and not a byte.
    pub(super) fn needs_message(self) -> bool {
        matches!(self, Self::Duplicate | Self::Swap | Self::Flood | Self::Length | Self::Count)
    }
}
