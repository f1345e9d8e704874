//! Messages that report that a command, a step of the extended protocol or a batch is complete.

use crate::basic::enums::TransactionStatus;
use crate::basic::text::Text;
use crate::message::table::message;

message! {
    /// Reports that a statement has been executed.
    ///
    /// `C`, length, String tag.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COMMANDCOMPLETE)
    COMMAND_COMPLETE => pub struct CommandComplete<'a> {
        /// The command, and for some commands the number of rows: `SELECT 5`, `INSERT 0 5`, `COPY 5`, `CREATE TABLE`.
        pub tag: Text<'a>,
    }
}

impl<'a> CommandComplete<'a> {
    /// Returns the number of rows that the command read or wrote, if its tag ends in a number.
    ///
    /// Only the last number is the count: the tag of an `INSERT` has an object id before the count.
    pub fn rows(&self) -> Option<u64> {
        let (_, count) = self.tag.to_str().ok()?.rsplit_once(' ')?;
        if count.starts_with('+') { None } else { count.parse().ok() }
    }

    /// Returns the command without its numbers: `SELECT`, `CREATE TABLE`.
    pub fn command(&self) -> Text<'a> {
        let tag = self.tag.as_bytes();
        let number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
        let mut end = tag.len();
        while let Some((head, word)) = tag
            .get(..end)
            .and_then(|tag| tag.iter().rposition(|byte| *byte == b' ').map(|at| tag.split_at(at)))
            && number(word.trim_ascii_start())
        {
            end = head.len();
        }
        Text::from(tag.get(..end).unwrap_or_default())
    }
}

message! {
    /// Reports that the server is ready for the next request. The server sends ReadyForQuery once after the login, and once after each
    /// Query, FunctionCall and Sync.
    ///
    /// `Z`, length, Byte1 status.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-READYFORQUERY)
    READY_FOR_QUERY => pub struct ReadyForQuery {
        /// The transaction status of the session.
        pub status: TransactionStatus,
    }
}

message! {
    /// Reports that a Bind has created its portal.
    ///
    /// `2`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BINDCOMPLETE)
    BIND_COMPLETE => pub struct BindComplete {}
}

message! {
    /// Reports that a Close has been executed. The server sends the same reply if no statement or portal has the given name.
    ///
    /// `3`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CLOSECOMPLETE)
    CLOSE_COMPLETE => pub struct CloseComplete {}
}

message! {
    /// Reports that the query was empty. The server sends this message instead of CommandComplete.
    ///
    /// `I`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-EMPTYQUERYRESPONSE)
    EMPTY_QUERY_RESPONSE => pub struct EmptyQueryResponse {}
}

message! {
    /// Reports that the described statement or portal returns no rows. The server sends this message instead of RowDescription.
    ///
    /// `n`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NODATA)
    NO_DATA => pub struct NoData {}
}

message! {
    /// Reports that a Parse has created its statement.
    ///
    /// `1`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARSECOMPLETE)
    PARSE_COMPLETE => pub struct ParseComplete {}
}

message! {
    /// Reports that an Execute has reached its row limit. The next Execute of the portal returns the next rows. The server sends this
    /// message instead of CommandComplete.
    ///
    /// `s`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PORTALSUSPENDED)
    PORTAL_SUSPENDED => pub struct PortalSuspended {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;

    #[test]
    fn every_message_is_encoded_and_decoded() {
        golden(
            CommandComplete { tag: "INSERT 0 5".into() },
            b"C\0\0\0\x0fINSERT 0 5\0",
            "B\t15\tCommandComplete\t \"INSERT 0 5\"",
        );
        golden(ReadyForQuery { status: TransactionStatus::Idle }, b"Z\0\0\0\x05I", "B\t5\tReadyForQuery\t I");
        golden(
            ReadyForQuery { status: TransactionStatus::Other(b'?') },
            b"Z\0\0\0\x05?",
            "B\t5\tReadyForQuery\t ?",
        );
        golden(BindComplete {}, b"2\0\0\0\x04", "B\t4\tBindComplete");
        golden(CloseComplete {}, b"3\0\0\0\x04", "B\t4\tCloseComplete");
        golden(EmptyQueryResponse {}, b"I\0\0\0\x04", "B\t4\tEmptyQueryResponse");
        golden(NoData {}, b"n\0\0\0\x04", "B\t4\tNoData");
        golden(ParseComplete {}, b"1\0\0\0\x04", "B\t4\tParseComplete");
        golden(PortalSuspended {}, b"s\0\0\0\x04", "B\t4\tPortalSuspended");
    }

    #[test]
    fn the_row_count_is_the_last_word_of_the_tag() {
        let tag = |tag: &'static str| CommandComplete { tag: tag.into() };
        for (text, command, rows) in [
            ("SELECT 5", "SELECT", Some(5)),
            ("INSERT 0 7", "INSERT", Some(7)),
            ("INSERT 16384 1", "INSERT", Some(1)),
            ("COPY 3", "COPY", Some(3)),
            ("CREATE TABLE", "CREATE TABLE", None),
            ("CREATE TABLE AS", "CREATE TABLE AS", None),
            ("BEGIN", "BEGIN", None),
            ("SELECT 18446744073709551616", "SELECT", None),
            ("", "", None),
        ] {
            assert_eq!(tag(text).rows(), rows, "{text}");
            assert_eq!(tag(text).command(), command, "{text}");
        }
    }
}
