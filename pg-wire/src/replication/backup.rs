//! The messages of a base backup. After BASE_BACKUP, the server sends these messages inside CopyData.

use crate::basic::error::DecodeError;
use crate::basic::text::Text;
use crate::codec::field::Payload;
use crate::replication::enclosed::{Scope, enclosed, kinds};

enclosed! {
    /// Begins an archive: the tar file of one tablespace or of the main data directory.
    ///
    /// `n`, String name, String tablespace path.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'n' => pub struct NewArchive<'a> {
        /// File name, such as `base.tar`. The server chooses the name, and a name such as `../x` leads out of your directory: check the
        /// name before you create a file.
        pub name: Text<'a>,
        /// Directory of the tablespace; empty for the main data directory.
        pub tablespace: Text<'a>,
    }
}

enclosed! {
    /// Begins the manifest of the backup.
    ///
    /// `m`.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'm' => pub struct Manifest {}
}

enclosed! {
    /// A piece of the archive or manifest that the last [`NewArchive`] or [`Manifest`] began. A piece may end at any byte.
    ///
    /// `d`, bytes.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'd' => pub struct BackupData<'a> {
        /// Bytes of the archive or of the manifest.
        pub data: Payload<'a>,
    }
}

enclosed! {
    /// Reports how many bytes of the current tablespace the server has processed.
    ///
    /// `p`, Int64 bytes.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
    b'p' => pub struct Progress {
        /// Number of bytes of the tablespace that have been processed, counted before compression.
        pub done: u64,
    }
}

kinds! {
    /// A message that the server sends inside CopyData after BASE_BACKUP. The server must be PostgreSQL 15 or later.
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
    /// When the data is empty, or the fields do not match the kind of the message, which is the first byte.
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
    fn every_message_is_encoded_and_decoded() {
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
