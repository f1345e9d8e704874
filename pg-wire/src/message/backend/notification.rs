//! The message NotificationResponse.

use crate::basic::text::Text;
use crate::message::table::message;

message! {
    /// Contains a notification from a channel on which this session listens. The message may arrive between any two messages.
    ///
    /// `A`, length, Int32 pid, String channel, String payload.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NOTIFICATIONRESPONSE)
    NOTIFICATION_RESPONSE => pub struct NotificationResponse<'a> {
        /// Process id of the session that sent the notification.
        pub pid: i32,
        /// Name of the channel.
        pub channel: Text<'a>,
        /// Payload of the notification; may be empty.
        pub payload: Text<'a>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;

    #[test]
    fn a_notification_is_encoded_and_decoded() {
        golden(
            NotificationResponse { pid: 4711, channel: "jobs".into(), payload: "42".into() },
            b"A\0\0\0\x10\0\0\x12\x67jobs\x0042\0",
            "B\t16\tNotificationResponse\t 4711 \"jobs\" \"42\"",
        );
    }
}
