//! Replication and base backups: the messages inside CopyData, the changes of pgoutput, the commands, and their replies.

mod backup;
pub mod command;
mod enclosed;
mod lsn;
pub mod pgoutput;
pub mod reply;
mod stream;
mod time;

pub use backup::{BackupData, BackupMessage, Manifest, NewArchive, Progress};
pub use enclosed::{Enclosed, InCopyData, Unknown};
pub use lsn::{Lsn, ParseLsnError};
pub use stream::{
    HotStandbyFeedback, PrimaryKeepalive, PrimaryMessage, PrimaryStatusRequest, PrimaryStatusUpdate,
    StandbyMessage, StandbyStatusUpdate, XLogData,
};
pub use time::Timestamp;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::fmt::Debug;

    use super::Enclosed;
    use crate::backend::CopyData;
    use crate::codec::Payload;
    use crate::{DecodeError, Direction, Encode, Message};

    /// Checks that a message encodes to these bytes and decodes from them. Each prefix shorter than `open` is an error; a longer one may
    /// be a message too, because its last field takes all bytes that are there, or is optional. Changed bytes cause no panic, and if
    /// they are a message, that encodes to them.
    #[track_caller]
    pub(super) fn golden<M: Enclosed + PartialEq + Debug>(
        message: M,
        bytes: &'static [u8],
        open: usize,
        decode: impl Fn(&'static [u8]) -> Result<M, DecodeError>,
    ) {
        let mut out = Vec::new();
        message.encode(&mut out).expect("it can be sent");
        assert_eq!(out.escape_ascii().to_string(), bytes.escape_ascii().to_string());
        let back = decode(bytes).expect("it is well-formed");
        assert_eq!(back, message);

        let copy = CopyData { data: Payload(bytes) };
        let (mut whole, mut wrapped) = (Vec::new(), Vec::new());
        copy.encode(&mut whole).expect("valid");
        message.in_copy_data().encode(&mut wrapped).expect("valid");
        assert_eq!(whole, wrapped);
        let trace = message.in_copy_data().trace(Direction::Backend).to_string();
        assert_eq!(trace, copy.trace(Direction::Backend).to_string());

        let mut short = alloc::vec![0xaa; bytes.len() - 1];
        assert!(message.encode(&mut &mut short[..]).is_err(), "one byte is missing");
        assert!(short.iter().all(|byte| *byte == 0xaa));

        let same_again = |data: &'static [u8]| match decode(data) {
            Ok(message) => {
                let _ = format!("{message:?}");
                let mut again = Vec::new();
                message.encode(&mut again).expect("what was decoded can be encoded");
                assert_eq!(again.escape_ascii().to_string(), data.escape_ascii().to_string());
                true
            }
            Err(error) => {
                assert!(error.offset <= data.len(), "{error:?}");
                false
            }
        };
        for end in 0..bytes.len() {
            assert!(!same_again(&bytes[..end]) || end >= open, "cut to {end} bytes");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1 << bit;
                same_again(damaged.leak());
            }
        }
        assert!(!same_again([bytes, b"\0"].concat().leak()) || open < usize::MAX, "a byte more");
    }
}
