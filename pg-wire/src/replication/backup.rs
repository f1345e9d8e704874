//! The messages of a base backup: inside the CopyData of the server, after BASE_BACKUP.

use crate::basic::error::DecodeError;
use crate::basic::text::Text;
use crate::codec::field::Payload;
use crate::replication::enclosed::{Scope, enclosed, kinds};

enclosed! {
    /// An archive begins.
    ///
    /// `n`, String name, String tablespace path.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'n' => pub struct NewArchive<'a> {
        /// File name, such as `base.tar`. Chosen by the server: check it before creating a file.
        pub name: Text<'a>,
        /// Directory of the tablespace; empty for the main data directory.
        pub tablespace: Text<'a>,
    }
}

enclosed! {
    /// The manifest of the backup begins.
    ///
    /// `m`.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'm' => pub struct Manifest {}
}

enclosed! {
    /// A piece of the archive or of the manifest. The boundaries of the pieces have no meaning.
    ///
    /// `d`, bytes.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'd' => pub struct BackupData<'a> {
        /// The bytes.
        pub data: Payload<'a>,
    }
}

enclosed! {
    /// Progress of the current tablespace.
    ///
    /// `p`, Int64 bytes.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'p' => pub struct Progress {
        /// Bytes of the tablespace that have been processed, before compression.
        pub done: u64,
    }
}

kinds! {
    /// A message of the server in the data of a CopyData, after BASE_BACKUP. PostgreSQL 15 and later.
    pub enum BackupMessage {
        b'd' => BackupData<'a>, Hot;
        b'n' => NewArchive<'a>, Cold;
        b'm' => Manifest, Cold;
        b'p' => Progress, Cold;
    }
}

impl<'a> BackupMessage<'a> {
    /// Decodes the data of a CopyData.
    ///
    /// # Errors
    /// When the data does not have the fields that its kind requires, or is empty.
    #[inline]
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_in(data, Scope::Outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::tests::golden;

    #[test]
    fn every_message() {
        golden(
            BackupMessage::from(NewArchive { name: "16384.tar".into(), tablespace: "/srv/t".into() }),
            b"n16384.tar\0/srv/t\0",
            usize::MAX,
            BackupMessage::decode,
        );
        golden(BackupMessage::from(Manifest {}), b"m", usize::MAX, BackupMessage::decode);
        golden(BackupMessage::from(BackupData { data: Payload(b"tar") }), b"dtar", 1, BackupMessage::decode);
        golden(
            BackupMessage::from(Progress { done: 258 }),
            b"p\0\0\0\0\0\0\x01\x02",
            usize::MAX,
            BackupMessage::decode,
        );
    }
}
