//! Decoding of pgoutput changes together with their tables.

use core::fmt;

use crate::basic::error::DecodeError;
use crate::replication::pgoutput::{Change, Decoder, RelationError, Relations, Table};

/// Decodes a sequence of pgoutput messages, and finds the table of each change. Combines a [`Decoder`] with [`Relations`].
///
/// ```
/// use pg_wire::replication::pgoutput::ChangeDecoder;
///
/// let mut decoder = ChangeDecoder::default();
/// let insert = b"I\0\0\x40\x01N\0\x01t\0\0\0\x017";
/// let error = decoder.decode(insert).unwrap_err();
/// assert_eq!(error.to_string(), "a change of the table 16385, which no Relation message has described");
///
/// decoder.decode(b"R\0\0\x40\x01public\0orders\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff")?;
/// let (_, table) = decoder.decode(insert)?;
/// assert_eq!(table.map(ToString::to_string).as_deref(), Some("public.orders"));
/// # Ok::<_, pg_wire::replication::pgoutput::ChangeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChangeDecoder {
    decoder: Decoder,
    relations: Relations,
}

impl ChangeDecoder {
    /// Decodes the next message. Returns the table if the message is a [`Relation`](super::Relation), INSERT, UPDATE or DELETE. The tables
    /// of a TRUNCATE are in [`relations`](Self::relations).
    ///
    /// # Errors
    /// The errors of [`Decoder::decode`] and [`Relations::follow`].
    #[inline]
    pub fn decode<'a>(&mut self, data: &'a [u8]) -> Result<(Change<'a>, Option<&Table>), ChangeError> {
        let change = self.decoder.decode(data)?;
        let table = self.relations.follow(&change)?;
        Ok((change, table))
    }

    /// Returns the tables that the server has described so far.
    pub fn relations(&self) -> &Relations {
        &self.relations
    }
}

/// Error for a pgoutput message that is malformed, or does not match the tables that the server has described before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// The message is malformed.
    Decode(DecodeError),
    /// The message does not match the tables that the server has described before.
    Relation(RelationError),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Relation(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ChangeError {}

impl From<DecodeError> for ChangeError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<RelationError> for ChangeError {
    fn from(error: RelationError) -> Self {
        Self::Relation(error)
    }
}
