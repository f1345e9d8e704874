//! The messages of streaming replication. After START_REPLICATION, the server and the client send these messages inside CopyData.

use crate::basic::error::DecodeError;
use crate::codec::field::Payload;
use crate::replication::enclosed::{Scope, enclosed, kinds};
use crate::replication::lsn::Lsn;
use crate::replication::time::Timestamp;

enclosed! {
    /// Contains a piece of the WAL, or a message of an output plugin.
    ///
    /// `w`, Int64 start, Int64 end, Int64 time, data.
    ///
    /// In physical replication, the data is a part of the WAL, and each part begins at the end of the previous part. In logical
    /// replication, the data is one message of the output plugin, such as a [`Change`](crate::replication::pgoutput::Change) of
    /// pgoutput.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-XLOGDATA)
    b'w' => pub struct XLogData<'a> {
        /// In physical replication: position of the first byte of the data. In logical replication: position of the WAL record that caused
        /// the message. Some messages have `0/0`, because another message for the same record follows.
        pub start: Lsn,
        /// In physical replication: end of the WAL on the server. In logical replication: the same as `start`.
        pub end: Lsn,
        /// Time at which the server sent this message, by the server's clock.
        pub time: Timestamp,
        /// The piece of the WAL, or the message of the output plugin.
        pub data: Payload<'a>,
    }
}

enclosed! {
    /// Reports that the server is alive, and the position up to which the server has read the WAL.
    ///
    /// `k`, Int64 end, Int64 time, Byte1 reply.
    ///
    /// The server closes the connection if the client sends nothing for `wal_sender_timeout`. After half of this time, the server sends
    /// this message with `reply` set.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-PRIMARY-KEEPALIVE-MESSAGE)
    b'k' => pub struct PrimaryKeepalive {
        /// In physical replication: end of the WAL on the server. In logical replication: position before which the server has sent all
        /// changes. So a client that has stored all received changes may report this position as flushed.
        pub end: Lsn,
        /// Time at which the server sent this message, by the server's clock.
        pub time: Timestamp,
        /// Whether the client must immediately answer with a [`StandbyStatusUpdate`].
        pub reply: bool,
    }
}

enclosed! {
    /// Reports the progress of the client. The server may delete the WAL before `flushed`.
    ///
    /// `r`, Int64 written, Int64 flushed, Int64 applied, Int64 time, Byte1 reply.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-STANDBY-STATUS-UPDATE)
    b'r' => pub struct StandbyStatusUpdate {
        /// Position after the last byte of the WAL that is written to disk.
        pub written: Lsn,
        /// Position after the last byte of the WAL that is durable on the client. The slot keeps the WAL from this position on, so never
        /// report a position that is not yet durable.
        pub flushed: Lsn,
        /// Position after the last byte of the WAL that the client has applied.
        pub applied: Lsn,
        /// Time at which the client sent this message, by the client's clock.
        pub time: Timestamp,
        /// Whether the server must immediately answer with a [`PrimaryKeepalive`].
        pub reply: bool,
    }
}

impl StandbyStatusUpdate {
    /// Creates an update that reports everything before `lsn` as written, durable and applied. The update requests no answer.
    pub const fn durable(lsn: Lsn, time: Timestamp) -> Self {
        Self { written: lsn, flushed: lsn, applied: lsn, time, reply: false }
    }
}

enclosed! {
    /// Reports the oldest transactions whose rows are still needed by a standby.
    ///
    /// `h`, Int64 time, Int32 xmin, Int32 epoch of xmin, Int32 catalog xmin, Int32 epoch of catalog xmin.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-HOT-STANDBY-FEEDBACK-MESSAGE)
    b'h' => pub struct HotStandbyFeedback {
        /// Time at which the client sent this message, by the client's clock.
        pub time: Timestamp,
        /// Oldest transaction whose rows are needed by the standby. The catalog rows that its replication slots need are not included:
        /// see `catalog_xmin`. If both `xmin` and `catalog_xmin` are 0, the standby will send no more feedback.
        pub xmin: u32,
        /// Epoch of `xmin`: the number of times that transaction numbers have wrapped around.
        pub xmin_epoch: u32,
        /// Oldest transaction whose catalog rows are needed by the replication slots of the standby.
        pub catalog_xmin: u32,
        /// Epoch of `catalog_xmin`: the number of times that transaction numbers have wrapped around.
        pub catalog_xmin_epoch: u32,
    }
}

enclosed! {
    /// Requests a [`PrimaryStatusUpdate`]. Servers before PostgreSQL 19 close the connection when they receive this message.
    ///
    /// `p`, Int64 time.
    ///
    /// [Format](https://www.postgresql.org/docs/devel/protocol-replication.html#PROTOCOL-REPLICATION-PRIMARY-STATUS-REQUEST)
    b'p' => pub struct PrimaryStatusRequest {
        /// Time at which the client sent this message, by the client's clock.
        pub time: Timestamp,
    }
}

enclosed! {
    /// Reports the state of the server, in answer to a [`PrimaryStatusRequest`]. Only PostgreSQL 19 and later send this message.
    ///
    /// `s`, Int64 end, Int64 oldest committing, Int64 next, Int64 time.
    ///
    /// Transaction numbers have 64 bits: the epoch in the upper half and the xid in the lower half.
    ///
    /// [Format](https://www.postgresql.org/docs/devel/protocol-replication.html#PROTOCOL-REPLICATION-PRIMARY-STATUS-UPDATE)
    b's' => pub struct PrimaryStatusUpdate {
        /// End of the WAL on the server.
        pub end: Lsn,
        /// Number of the oldest transaction that is being committed. If no transaction is being committed, the same as `next`.
        pub oldest_committing: u64,
        /// Number that the next transaction will have.
        pub next: u64,
        /// Time at which the server sent this message, by the server's clock.
        pub time: Timestamp,
    }
}

kinds! {
    /// A message that the server sends inside CopyData after START_REPLICATION.
    pub enum PrimaryMessage {
        b'w' => XLogData<'a>, Hot;
        b'k' => PrimaryKeepalive, Cold;
        b's' => PrimaryStatusUpdate, Cold;
    }
}

impl<'a> PrimaryMessage<'a> {
    /// Decodes the data of a CopyData.
    ///
    /// # Errors
    /// When the data is empty, or the fields do not match the kind of the message, which is the first byte.
    #[inline]
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_in(data, Scope::Outside)
    }
}

kinds! {
    /// A message that the client sends inside CopyData after START_REPLICATION.
    pub enum StandbyMessage {
        b'r' => StandbyStatusUpdate, Cold;
        b'h' => HotStandbyFeedback, Cold;
        b'p' => PrimaryStatusRequest, Cold;
    }
}

impl<'a> StandbyMessage<'a> {
    /// Decodes the data of a CopyData.
    ///
    /// # Errors
    /// When the data is empty, or the fields do not match the kind of the message, which is the first byte.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_in(data, Scope::Outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::tests::golden;

    #[test]
    fn messages_of_the_server_are_encoded_and_decoded() {
        golden(
            PrimaryMessage::from(XLogData {
                start: Lsn(1),
                end: Lsn(2),
                time: Timestamp(3),
                data: Payload(b"hi"),
            }),
            b"w\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03hi",
            25,
            PrimaryMessage::decode,
        );
        golden(
            PrimaryMessage::from(PrimaryKeepalive {
                end: Lsn(0x1_0000_0002),
                time: Timestamp(-1),
                reply: true,
            }),
            b"k\0\0\0\x01\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            usize::MAX,
            PrimaryMessage::decode,
        );
        golden(
            PrimaryMessage::from(PrimaryStatusUpdate {
                end: Lsn(1),
                oldest_committing: 2,
                next: 0x1_0000_0003,
                time: Timestamp(4),
            }),
            b"s\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\x04",
            usize::MAX,
            PrimaryMessage::decode,
        );
        let unknown = Unknown { kind: b'z', data: Payload(b"?") };
        golden(PrimaryMessage::Unknown(unknown), b"z?", 1, PrimaryMessage::decode);
    }

    #[test]
    fn messages_of_the_client_are_encoded_and_decoded() {
        golden(
            StandbyMessage::from(StandbyStatusUpdate {
                written: Lsn(1),
                flushed: Lsn(2),
                applied: Lsn(3),
                time: Timestamp(4),
                reply: false,
            }),
            b"r\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0",
            usize::MAX,
            StandbyMessage::decode,
        );
        golden(
            StandbyMessage::from(HotStandbyFeedback {
                time: Timestamp(1),
                xmin: 2,
                xmin_epoch: 3,
                catalog_xmin: 4,
                catalog_xmin_epoch: 5,
            }),
            b"h\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
            usize::MAX,
            StandbyMessage::decode,
        );
        golden(
            StandbyMessage::from(PrimaryStatusRequest { time: Timestamp(7) }),
            b"p\0\0\0\0\0\0\0\x07",
            usize::MAX,
            StandbyMessage::decode,
        );
    }

    use crate::replication::enclosed::Unknown;
}
