//! Transcripts: conversations of a client and a server as text.

mod text;
mod wire;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::buffer::inbox::Inbox;
use crate::codec::message::{Decode, Direction};
use crate::connection::{Connection, Error, Transport};
use crate::message::backend::{ParameterStatus, ReadyForQuery};
use crate::message::frontend::Initial;
use text::{Act, Token, read_line, tokens};

pub(in crate::testing) use wire::Decoder;

/// A conversation of a client and a server, as text in the format of a trace.
///
/// [`play`](Self::play) takes the role of one side: it sends the messages of that side, and checks the received messages of the
/// other side. Play a server to test a client, or a client to test a server.
///
/// ```
/// use pg_wire::{Connection, Direction, Limits, PgProtocol, testing::{Transcript, block_on, duplex}};
///
/// let transcript: Transcript = r#"
///     F Query "select 1 as one"
///     B RowDescription 1 "one" 0 0 23 4 -1 0
///     B DataRow 1 1 '1'
///     B CommandComplete "SELECT 1"
///     B ReadyForQuery I
///     F Terminate
///     F close
/// "#.parse()?;
///
/// let (near, far) = duplex();
/// let server = std::thread::spawn(move || {
///     let mut conn = Connection::new(far, Limits::FRONTEND);
///     block_on(transcript.play(Direction::Backend, &mut conn))
/// });
/// block_on(async {
///     let mut conn = Connection::new(near, Limits::BACKEND);
///     conn.query("select 1 as one").flush().await?;
///     while conn.recv().await?.code != pg_wire::MessageCode::READY_FOR_QUERY {}
///     conn.terminate().close().await
/// })?;
/// server.join().expect("the server has not panicked")?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # The lines
///
/// Each line has the format of [`Message::trace`](crate::Message::trace): the sender (`F` for the client, `B` for the server), the length
/// (optional), the name and the fields. Tabs or blanks separate these parts. So a trace of this crate or of libpq can be played.
///
/// - A string is in double quotes, and may contain newlines and quotes. The string ends at the first quote after which the rest of the line
///   consists of fields. Bytes are in single quotes, with `\xNN` for any byte. A string may also be in single quotes.
/// - A date and a time at the beginning of a line are skipped. libpq writes a date and a time if `PQTRACE_SUPPRESS_TIMESTAMPS` is not set.
/// - In lines of the other side, the placeholders of `PQTRACE_REGRESS_MODE` match values that differ from run to run: `NNNN` matches any
///   number, `NN` any length, `'BBBB'` any data of a COPY, and `"SSSS"` any field of an error or notice. In a line to be sent, `NNNN` is
///   rejected: write the number.
/// - In lines of the other side, `*` matches any one field; at the end of the line, `*` matches all remaining fields.
/// - A trace prints `"SSSS"` or `'BBBB'` in place of a secret. In lines of the other side, these words match any secret. A line to be sent
///   must contain the secret itself.
/// - `B SSLResponse N` and `B GSSENCResponse N` stand for one byte, as in libpq's trace.
/// - `B raw 'Z\x00'` stands for exactly these bytes: no code and no length are added.
/// - `B flush` sends all lines before the `flush`. Without a `flush`, all lines before the other side's next line are sent together.
/// - `B close` closes the stream for writing. The other side may still send.
/// - Blank lines, and lines that begin with `#`, are ignored.
#[derive(Clone, Debug)]
pub struct Transcript {
    lines: Vec<Line>,
}

/// An error in a transcript, or a difference between the transcript and the peer.
#[derive(Debug)]
pub struct TranscriptError {
    /// Number of the line in the transcript, counted from 1.
    pub line: usize,
    /// Kind of the error.
    pub kind: TranscriptErrorKind,
}

/// Kind of a [`TranscriptError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum TranscriptErrorKind {
    /// The line is invalid, or cannot be sent.
    Line(String),
    /// The received message does not match the line, or the peer closed the stream.
    Unexpected {
        /// Text of the line.
        expected: String,
        /// Trace of the received message, or a text which says that the peer closed the stream.
        received: String,
    },
    /// The connection failed.
    Connection(Error),
}

#[derive(Clone, Debug)]
struct Line {
    number: usize,
    sender: Direction,
    act: Act,
    /// Text of the line, for errors.
    text: String,
}

impl FromStr for Transcript {
    type Err = TranscriptError;

    fn from_str(text: &str) -> Result<Self, TranscriptError> {
        let (mut lines, mut rest, mut number) = (Vec::new(), text, 1);
        while !rest.is_empty() {
            let (tokens, length) = tokens(rest).map_err(|error| invalid(number, error))?;
            let (text, next) = rest.split_at(length);
            if !tokens.is_empty() {
                let (sender, act) = read_line(tokens).map_err(|error| invalid(number, error))?;
                lines.push(Line { number, sender, act, text: text.trim().to_owned() });
            }
            number += text.matches('\n').count();
            rest = next;
        }
        Ok(Self { lines })
    }
}

impl Transcript {
    /// Encodes all messages of `sender`.
    ///
    /// ```
    /// use pg_wire::{Direction, testing::Transcript};
    ///
    /// let transcript: Transcript = "B CommandComplete \"SELECT 1\"\nB ReadyForQuery I".parse()?;
    /// assert_eq!(transcript.bytes(Direction::Backend)?, b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
    /// # Ok::<_, pg_wire::testing::TranscriptError>(())
    /// ```
    ///
    /// # Errors
    /// When a line cannot be sent. The error contains the number of the first such line.
    pub fn bytes(&self, sender: Direction) -> Result<Vec<u8>, TranscriptError> {
        Ok(self.encoded_lines(sender)?.concat())
    }

    /// Returns, for each line, the bytes that `sender` sends. A line of the other side has no bytes.
    fn encoded_lines(&self, sender: Direction) -> Result<Vec<Vec<u8>>, TranscriptError> {
        let bytes = |line: &Line| {
            if line.sender == sender {
                line.bytes().map_err(|error| invalid(line.number, error))
            } else {
                Ok(Vec::new())
            }
        };
        self.lines.iter().map(bytes).collect()
    }

    /// Splits the transcript after the server's first ReadyForQuery, into the login and the session. Without a ReadyForQuery, all lines
    /// are the login.
    ///
    /// A recording masks the secrets of the login, so the recorded login cannot be played. Therefore a program that simulates a side
    /// performs its own login, and then plays the session.
    ///
    /// ```
    /// use pg_wire::{Direction, testing::Transcript};
    ///
    /// let recording = "B ParameterStatus \"server_version\" \"18.0\"\nB ReadyForQuery I\nF Query \"select 1\"";
    /// let (login, session) = recording.parse::<Transcript>()?.split_login();
    /// assert_eq!(login.parameters(), [("server_version".into(), "18.0".into())]);
    /// assert_eq!(session.bytes(Direction::Frontend)?, b"Q\0\0\0\x0dselect 1\0");
    /// # Ok::<_, pg_wire::testing::TranscriptError>(())
    /// ```
    pub fn split_login(mut self) -> (Self, Self) {
        let is_ready = |line: &Line| {
            line.sender == Direction::Backend
                && matches!(&line.act, Act::Message { name, .. } if name == ReadyForQuery::NAME)
        };
        let end = self.lines.iter().position(is_ready).map_or(self.lines.len(), |at| at + 1);
        let session = Self { lines: self.lines.split_off(end) };
        (self, session)
    }

    /// Returns the names and values of all ParameterStatus messages of the server, in order.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parameter = |line: &Line| match &line.act {
            Act::Message { name, fields, .. } if name == ParameterStatus::NAME => match &fields[..] {
                [Token::Quoted { bytes: name, .. }, Token::Quoted { bytes: value, .. }] => {
                    Some((text(name), text(value)))
                }
                _ => None,
            },
            _ => None,
        };
        self.lines.iter().filter(|line| line.sender == Direction::Backend).filter_map(parameter).collect()
    }

    /// Sends the messages of `role`, and checks that the peer sends the messages of the other side.
    ///
    /// # Errors
    /// - When a line of `role` cannot be encoded. In this case nothing has been sent.
    /// - When the peer sends a message that differs from the transcript, or closes the stream.
    pub async fn play<T: Transport>(
        &self,
        role: Direction,
        conn: &mut Connection<T>,
    ) -> Result<(), TranscriptError> {
        let ours = self.encoded_lines(role)?;
        let mut last = 0;
        for (line, bytes) in self.lines.iter().zip(ours) {
            last = line.number;
            let failed = |error| TranscriptError { line: last, kind: TranscriptErrorKind::Connection(error) };
            if line.sender != role {
                match conn.flush().await {
                    // These errors are ignored, because the peer's next message may still arrive. A peer that has closed the stream may
                    // have sent an ErrorResponse first. A peer with full buffers reads again after its messages are received. If the
                    // message does not arrive, `expect` returns an error.
                    Ok(()) | Err(Error::Io(_) | Error::Poisoned(_) | Error::InboxFull) => {}
                    Err(error) => return Err(failed(error)),
                }
                line.expect(conn).await?;
                continue;
            }
            match line.act {
                Act::Message { .. } | Act::Raw(_) => conn.outbox_mut().put_raw(&bytes),
                Act::Flush => conn.flush().await.map_err(failed)?,
                Act::Close => conn.close().await.map_err(failed)?,
            }
        }
        let failed = |error| TranscriptError { line: last, kind: TranscriptErrorKind::Connection(error) };
        conn.flush().await.map_err(failed)
    }
}

impl Line {
    /// Encodes the line.
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let (name, length, fields) = match &self.act {
            Act::Raw(bytes) => return Ok(bytes.clone()),
            Act::Flush | Act::Close => return Ok(Vec::new()),
            Act::Message { name, length, fields } => (name, length, fields),
        };
        let decoder = Decoder::named(self.sender, name)
            .ok_or_else(|| format!("no message of this side has the name {name}"))?;
        let body = decoder.body(name, fields)?;
        if length.is_some_and(|length| length != body.len() + 4) {
            return Err(format!("the length of the message is {}", body.len() + 4));
        }
        let mut bytes = Vec::new();
        bytes.extend(decoder.code().map(|code| code.0));
        bytes.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(body);
        Ok(bytes)
    }

    /// Receives the next message, and checks that it matches the line.
    async fn expect<T: Transport>(&self, conn: &mut Connection<T>) -> Result<(), TranscriptError> {
        let received = match &self.act {
            Act::Flush => return Ok(()),
            Act::Close => match conn.recv().await {
                Err(Error::Closed { mid_message: false }) => return Ok(()),
                Err(error) => return Err(self.lost(error)),
                Ok(frame) => Decoder::Frame(self.sender, frame.code).trace(frame.body),
            },
            Act::Raw(bytes) => {
                while conn.inbox().buffered() < bytes.len() {
                    conn.fill().await.map_err(|error| self.lost(error))?;
                }
                let received = take(conn.inbox_mut(), bytes.len());
                if received == *bytes {
                    return Ok(());
                }
                format!("'{}'", received.escape_ascii())
            }
            Act::Message { name, length, fields } => {
                let decoded = match Decoder::named(self.sender, name) {
                    None => {
                        return Err(invalid(
                            self.number,
                            format!("no message of this side has the name {name}"),
                        ));
                    }
                    Some(Decoder::Packet) => loop {
                        let packet = conn.inbox_mut().next_packet(Initial::MAX_LENGTH);
                        if let Some(body) = packet.map_err(|error| self.lost(error.into()))? {
                            break Decoder::Packet.decode(body);
                        }
                        conn.fill().await.map_err(|error| self.lost(error))?;
                    },
                    Some(decoder) => {
                        let frame = conn.recv().await.map_err(|error| self.lost(error))?;
                        // If the code of the frame differs from the code of the line, the frame is decoded by its own code. So the error
                        // contains the trace of the frame.
                        let same = decoder.code() == Some(frame.code);
                        if same { decoder } else { Decoder::Frame(self.sender, frame.code) }
                            .decode(frame.body)
                    }
                };
                match decoded {
                    Ok(decoded)
                        if decoded.matches(name, fields)
                            && length.is_none_or(|length| decoded.length == length) =>
                    {
                        return Ok(());
                    }
                    Ok(decoded) => decoded.trace,
                    Err(error) => error.to_string(),
                }
            }
        };
        Err(self.unexpected(received))
    }

    fn unexpected(&self, received: String) -> TranscriptError {
        let kind = TranscriptErrorKind::Unexpected { expected: self.text.clone(), received };
        TranscriptError { line: self.number, kind }
    }

    /// Converts an error of `recv`. The end of the stream becomes `Unexpected`: a difference from the transcript. Any other error becomes
    /// `Connection`.
    fn lost(&self, error: Error) -> TranscriptError {
        match error {
            Error::Closed { .. } => self.unexpected(error.to_string()),
            error => TranscriptError { line: self.number, kind: TranscriptErrorKind::Connection(error) },
        }
    }
}

/// Removes `count` bytes from the inbox. The bytes need not be a whole message.
fn take(inbox: &mut Inbox, count: usize) -> Vec<u8> {
    let (taken, rest) = inbox.peek().split_at_checked(count).unwrap_or((inbox.peek(), &[]));
    let (taken, rest) = (taken.to_vec(), rest.to_vec());
    *inbox = Inbox::new(*inbox.limits());
    inbox.extend(&rest);
    taken
}

fn invalid(line: usize, error: String) -> TranscriptError {
    TranscriptError { line, kind: TranscriptErrorKind::Line(error) }
}

impl fmt::Display for TranscriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the transcript: ", self.line)?;
        match &self.kind {
            TranscriptErrorKind::Line(error) => f.write_str(error),
            TranscriptErrorKind::Unexpected { expected, received } => {
                write!(f, "expected {expected}, received {received}")
            }
            TranscriptErrorKind::Connection(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TranscriptError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            TranscriptErrorKind::Connection(error) => error.source(),
            _ => None,
        }
    }
}

/// Encodes one line of a trace.
#[cfg(test)]
pub(crate) fn bytes_of(trace: &str) -> Result<Vec<u8>, String> {
    let encode = || {
        let transcript: Transcript = trace.parse()?;
        Ok([transcript.bytes(Direction::Frontend)?, transcript.bytes(Direction::Backend)?].concat())
    };
    encode().map_err(|error: TranscriptError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, duplex};
    use crate::{Limits, MessageCode, PgProtocol};
    use std::thread;

    /// Encodes a line. The result has `\xNN` for bytes that are not printable.
    fn wire(line: &str) -> String {
        bytes_of(line)
            .map_or_else(|error| format!("error: {error}"), |bytes| bytes.escape_ascii().to_string())
    }

    /// Plays the role of the client. `server` contains the answers of the server. Returns the bytes that the client sent.
    fn client(transcript: &str, server: &[u8]) -> Result<Vec<u8>, String> {
        let transcript: Transcript =
            transcript.parse().map_err(|error: TranscriptError| error.to_string())?;
        let mut conn = Connection::new(crate::testing::Script::sends(server), Limits::BACKEND);
        let played = block_on(transcript.play(Direction::Frontend, &mut conn));
        played.map(|()| conn.transport().received().to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn secrets_in_a_line_are_sent() {
        assert_eq!(wire("F PasswordMessage \"hunter2\""), "p\\x00\\x00\\x00\\x0chunter2\\x00");
        assert_eq!(
            wire("F SASLInitialResponse \"X\" 2 'n,'"),
            "p\\x00\\x00\\x00\\x0cX\\x00\\x00\\x00\\x00\\x02n,"
        );
        assert_eq!(wire("F SASLResponse 'c='"), "p\\x00\\x00\\x00\\x06c=");
        assert_eq!(wire("B AuthenticationSASLFinal 'v=1'"), "R\\x00\\x00\\x00\\x0b\\x00\\x00\\x00\\x0cv=1");
        assert_eq!(
            wire("B BackendKeyData 7 '\\x00\\x01\\x02\\xff'"),
            "K\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x07\\x00\\x01\\x02\\xff"
        );
        assert_eq!(
            wire("F CancelRequest 1234 5678 7 'abcd'"),
            "\\x00\\x00\\x00\\x10\\x04\\xd2\\x16.\\x00\\x00\\x00\\x07abcd"
        );
    }

    #[test]
    fn fields_that_a_trace_does_not_print_are_zero() {
        let md5 = "R\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00";
        assert_eq!(wire("B AuthenticationMD5Password"), md5);
    }

    #[test]
    fn a_string_may_contain_quotes_and_newlines() {
        assert_eq!(
            wire("F Query \"select \"a\",\n1 as b\""),
            "Q\\x00\\x00\\x00\\x17select \\\"a\\\",\\n1 as b\\x00"
        );
        assert_eq!(wire("F Query ''"), "Q\\x00\\x00\\x00\\x05\\x00");
        assert_eq!(
            wire("F Query 'select \"a\" \\xe9\\n'"),
            "Q\\x00\\x00\\x00\\x13select \\\"a\\\" \\xe9\\\\n\\x00"
        );
        assert_eq!(
            wire("B ParameterStatus \"search_path\" \"\"$user\", public\""),
            "S\\x00\\x00\\x00 search_path\\x00\\\"$user\\\", public\\x00"
        );
    }

    #[test]
    fn quotes_inside_a_string_do_not_end_it() {
        for (line, bytes) in [
            ("F 22 Query \"select \"a\" from t\"", &b"Q\0\0\0\x16select \"a\" from t\0"[..]),
            ("F Query \"select \"a\"\nfrom t\"", b"Q\0\0\0\x16select \"a\"\nfrom t\0"),
            ("F Execute \"the \"portal\" of 1\" 2", b"E\0\0\0\x1athe \"portal\" of 1\0\0\0\0\x02"),
            (
                "B ErrorResponse M \"role \"a\" does not exist\" F \"x.c\" \\x00",
                b"E\0\0\0\x23Mrole \"a\" does not exist\0Fx.c\0\0",
            ),
            ("F CopyData 'it's \\N \\xyz \\x27 '", b"d\0\0\0\x13it's \\N \\xyz ' "),
        ] {
            assert_eq!(wire(line), bytes.escape_ascii().to_string(), "{line}");
        }
    }

    #[test]
    fn a_line_with_20000_strings_does_not_overflow_the_stack() {
        let parsed =
            |line: String| line.parse::<Transcript>().is_ok_and(|transcript| transcript.lines.len() == 1);
        assert!(parsed("F Query ".to_owned() + &"\"x\" ".repeat(20_000)));
        assert!(parsed("F CopyData '".to_owned() + &"a' b '".repeat(20_000)));
    }

    #[test]
    fn raw_bytes_and_encryption_responses_have_no_frame() {
        assert_eq!(wire("B raw 'N'"), "N");
        assert_eq!(wire("B 1 SSLResponse S"), "S");
        assert_eq!(wire("B GSSENCResponse N"), "N");
    }

    #[test]
    fn an_invalid_line_is_an_error_with_its_reason() {
        for (line, why) in [
            ("hello", "a line begins with F or B, or with # if it is a comment"),
            ("F", "the name of the message is missing"),
            ("F 12", "the name of the message is missing"),
            ("F Qerry \"x\"", "no message of this side has the name Qerry"),
            ("B Query \"x\"", "no message of this side has the name Query"),
            ("F Query \"x", "a \" without a closing \""),
            ("F CopyData 'x", "a ' without a closing '"),
            ("F Query *", "the wildcard * cannot be sent"),
            ("F Execute \"\" NNNN", "NNNN matches any number and cannot be sent"),
            ("2026-01-02 F Sync", "a line begins with F or B, or with # if it is a comment"),
            ("F 7 Query \"x\"", "the length of the message is 6"),
            ("F Query \"x\" 1", "field 2 must not be a number: 1"),
            ("F Query", "malformed Query: a string has no terminating NUL (at byte 0)"),
            ("F Query \"x\" \"y\"", "malformed Query: bytes are left over after the last field (at byte 2)"),
            (
                "B ParameterStatus \"x\"",
                "malformed ParameterStatus: a string has no terminating NUL (at byte 2)",
            ),
            ("B DataRow \"x\"", "malformed DataRow: the body ends inside a field (at byte 2)"),
            ("F Execute \"\"", "malformed Execute: the body ends inside a field (at byte 1)"),
            ("F Execute \"\" many", "field 2 must be a number: many"),
            ("F Execute \"\" 4294967296", "4294967296 does not fit into 4 bytes"),
            ("B ReadyForQuery", "malformed ReadyForQuery: the body ends inside a field (at byte 0)"),
            ("B DataRow 2 1 'x'", "malformed DataRow: the body ends inside a field (at byte 7)"),
            ("B DataRow 1 1 'xy'", "malformed DataRow: bytes are left over after the last field (at byte 7)"),
            (
                "B AuthenticationNone",
                "no kind of Authentication has the name AuthenticationNone and these fields",
            ),
            ("B raw 1", "`raw` does not take these fields"),
            ("B flush now", "`flush` does not take these fields"),
        ] {
            let error = bytes_of(line).expect_err(line);
            assert_eq!(
                error.rsplit_once("transcript: ").map_or(error.as_str(), |(_, error)| error),
                why,
                "{line}"
            );
        }
    }

    #[test]
    fn errors_contain_the_line_the_expected_and_the_received_message() {
        let transcript = "# Nothing yet.\n\nF Query \"two\nlines\"\nB   CommandComplete\t\"SELECT 1\"\n";
        for (server, received) in [
            (&b"Z\0\0\0\x05I"[..], "B\t5\tReadyForQuery\t I"),
            (b"C\0\0\0\x0dSELECT 2\0", "B\t13\tCommandComplete\t \"SELECT 2\""),
            (b"C\0\0\0\x04", "malformed CommandComplete: a string has no terminating NUL (at byte 0)"),
            (b"C\0\0\0", "the peer closed the connection in the middle of a message"),
            (b"", "the peer closed the connection"),
        ] {
            let error = client(transcript, server).expect_err("the server sends something else");
            let expected = "line 5 of the transcript: expected B   CommandComplete\t\"SELECT 1\", received ";
            assert_eq!(error.strip_prefix(expected), Some(received), "{error}");
        }
        for (transcript, server, message) in [
            (
                "B close",
                &b"1\0\0\0\x04"[..],
                "line 1 of the transcript: expected B close, received B\t4\tParseComplete",
            ),
            ("B raw 'ab'", b"ac", "line 1 of the transcript: expected B raw 'ab', received 'ac'"),
            (
                "B ReadyForQuery I\n\nF Execute",
                b"",
                "line 3 of the transcript: malformed Execute: a string has no terminating NUL (at byte 0)",
            ),
        ] {
            assert_eq!(client(transcript, server).expect_err("the server sends something else"), message);
        }
    }

    #[test]
    fn a_wildcard_matches_one_field_and_at_the_end_all_remaining_fields() {
        let row = b"D\0\0\0\x0d\0\x02\0\0\0\x01x\xff\xff\xff\xff";
        let matches = |line: &str| client(line, &[&row[..4], b"\x0f", &row[5..]].concat()).is_ok();
        assert!(matches("B DataRow 2 1 'x' -1"));
        assert!(matches("B 15 DataRow 2 1 'x' -1"));
        assert!(matches("B DataRow * 1 * -1"));
        assert!(matches("B DataRow 2 *"));
        assert!(matches("B DataRow 2 1 'x' -1 *"));
        assert!(matches("B DataRow *"));
        assert!(!matches("B 16 DataRow 2 1 'x' -1"));
        assert!(!matches("B DataRow 2 1 'x'"));
        assert!(!matches("B DataRow * 'x' -1"));
        assert!(!matches("B DataRow 2 1 'y' *"));
        assert!(!matches("B DataRow 2 1 'x' -1 * *"));
    }

    #[test]
    fn times_at_the_beginning_of_lines_are_skipped() {
        let time = "2026-11-26 22:00:00.123456\t";
        let transcript: Transcript = "
            F\t15\tQuery\t \"select '\n'\"
            B\t5\tReadyForQuery\t I
            F\t4\tTerminate"
            .replace("            F", &format!("{time}F"))
            .replace("            B", &format!("{time}B"))
            .parse()
            .expect("a valid transcript");
        let sent = transcript.bytes(Direction::Frontend).expect("all lines can be encoded");
        assert_eq!(sent, b"Q\0\0\0\x0fselect '\n'\0X\0\0\0\x04");
    }

    #[test]
    fn placeholders_of_libpqs_regression_mode_match_only_values_of_their_kind() {
        let key = b"K\0\0\0\x0c\0\0\0\x07abcd";
        assert!(client("B 12 BackendKeyData NNNN NNNN", key).is_ok());
        assert!(client("B 12 BackendKeyData NNNN 'BBBB'", key).is_ok());
        assert!(client("B NN BackendKeyData 7 NNNN", key).is_ok());
        let notified = b"A\0\0\0\x0c\0\0\0\x07a\0b\0";
        assert!(client("B NotificationResponse NNNN \"a\" \"b\"", notified).is_ok());
        assert!(client("B NotificationResponse NNNN \"SSSS\" \"b\"", notified).is_err());
        assert!(client("B NotificationResponse 7 NNNN \"b\"", notified).is_err());
        let copied = b"d\0\0\0\x06xy";
        assert!(client("B 6 CopyData 'BBBB'", copied).is_ok());
        assert!(client("B 6 CopyData 'BBBC'", copied).is_err());
        let error = b"E\0\0\0\x1fSERROR\0C42P01\0Mno\0Fa.c\0L7\0\0";
        let error = &[&error[..4], &[u8::try_from(error.len() - 1).expect("short")], &error[5..]].concat();
        let line = "B NN ErrorResponse S \"ERROR\" C \"42P01\" M \"no\" F \"SSSS\" L \"SSSS\" \\x00";
        client(line, error).expect("the placeholders match");
        assert!(client(&line.replace("42P01", "42P02"), error).is_err());
    }

    #[test]
    fn a_mask_matches_any_secret_and_a_secret_only_itself() {
        let matches = |line: &str| client(line, b"K\0\0\0\x0c\0\0\0\x07abcd").is_ok();
        assert!(matches("B BackendKeyData 7 'BBBB'"));
        assert!(matches("B BackendKeyData 7 'abcd'"));
        assert!(matches("B BackendKeyData 7 *"));
        assert!(!matches("B BackendKeyData 7 'abce'"));
        let error = client("B BackendKeyData 8 'abcd'", b"K\0\0\0\x0c\0\0\0\x07abcd")
            .expect_err("the process id is 7");
        assert!(error.ends_with("received B\t12\tBackendKeyData\t 7 'BBBB'"), "{error}");
    }

    #[test]
    fn both_roles_of_one_transcript_can_be_played_against_each_other() {
        let transcript: Transcript = "
            F SSLRequest 1234 5679
            B SSLResponse N
            F StartupMessage 3 2 \"user\" \"me\"
            B AuthenticationCleartextPassword
            F PasswordMessage \"hunter2\"
            B AuthenticationOk
            B BackendKeyData 1 'abcd'
            B flush
            B ReadyForQuery I
            F raw 'S\\x00\\x00\\x00\\x04'
            B ReadyForQuery I
            F Terminate
            F close
            B raw 'bye'
            B close
        "
        .parse()
        .expect("a valid transcript");
        let (near, far) = duplex();
        let server = transcript.clone();
        let server = thread::spawn(move || {
            block_on(server.play(Direction::Backend, &mut Connection::new(far, Limits::FRONTEND)))
        });
        block_on(transcript.play(Direction::Frontend, &mut Connection::new(near, Limits::BACKEND)))
            .expect("the server plays the same transcript");
        server.join().expect("no panic").expect("the client plays the same transcript");
    }

    #[test]
    fn the_last_message_of_a_peer_that_has_closed_is_checked() {
        let (near, far) = duplex();
        let rejection: Transcript =
            "B ErrorResponse S \"FATAL\" C \"53300\" \\x00\nB close".parse().expect("a valid transcript");
        let mut server = Connection::new(far, Limits::FRONTEND);
        block_on(rejection.play(Direction::Backend, &mut server)).expect("the server only sends");
        drop(server);
        let whole: Transcript = "F Query \"select 1\"\nB ErrorResponse S \"FATAL\" *\nB close\nF Terminate"
            .parse()
            .expect("a valid transcript");
        let error = block_on(whole.play(Direction::Frontend, &mut Connection::new(near, Limits::BACKEND)))
            .expect_err("the last line cannot be sent");
        assert_eq!(error.line, 4, "{error}");
    }

    #[test]
    fn the_connection_can_be_used_after_the_last_line() {
        let transcript: Transcript = "F Sync\nB ReadyForQuery I".parse().expect("a valid transcript");
        let socket = crate::testing::Script::sends(b"Z\0\0\0\x05I1\0\0\0\x04");
        let mut conn = Connection::new(socket, Limits::BACKEND);
        block_on(async {
            transcript.play(Direction::Frontend, &mut conn).await.expect("the server follows the transcript");
            conn.query("select 1").flush().await.expect("the query is valid");
            assert_eq!(conn.recv().await.map(|frame| frame.code).ok(), Some(MessageCode::PARSE_COMPLETE));
        });
    }
}
