//! A conversation as text, played from either chair.

mod text;
mod wire;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::buffer::inbox::Inbox;
use crate::codec::message::Direction;
use crate::connection::{Connection, Error, Transport};
use text::{Act, read_line, tokens};
use wire::Shape;

/// Longest packet of the time before the session that is taken, in bytes.
const LONGEST_PACKET: usize = 10_000;

/// A conversation as text, which reads like a trace. [Played](Self::play) in one of the two chairs, it says what that side says
/// and checks what the other one does: a server for the tests of a client, or a client for those of a server.
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
/// server.join().expect("it has not panicked")?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # The lines
///
/// Each is what [`Message::trace`](crate::Message::trace) prints: who speaks (`F` or `B`), the length, the name, the fields; apart by tabs or any number of
/// blanks, and without the length where it does not matter. So a trace, of this crate or of libpq, can be put in and played.
///
/// - Strings stand in double quotes, and are what is between them, newlines and quotes included: the last quote is the first one behind
///   which nothing but further fields stands, up to the next line. Bytes stand in single quotes, with `\xNN` for any byte; so may a string, where
///   there is no other way to write it.
/// - `*` in a line of the other side stands for any one field, and at its end for all the rest.
/// - A secret is shown as `"SSSS"` or `'BBBB'` in a trace, and these stand for any. To be sent it has to be there itself; in a line
///   of the other side it may.
/// - `B SSLResponse N` and `B GSSENCResponse N` are the one byte that they are, as in libpq's trace.
/// - `B raw 'Z\x00'` is these bytes, whatever they mean.
/// - `B flush` sends what came before it, apart from what comes behind it. Otherwise everything up to the other side's next line
///   leaves at once.
/// - `B close` ends the stream for writing; the other side may still have something to say.
/// - Blank lines, and those that begin with `#`, are for the reader.
#[derive(Clone, Debug)]
pub struct Transcript {
    lines: Vec<Line>,
}

/// Why a transcript could not be played to its end.
#[derive(Debug)]
pub struct TranscriptError {
    /// The line of the transcript, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: TranscriptErrorKind,
}

/// What is wrong with a line of a transcript, or with what came in its place.
#[derive(Debug)]
#[non_exhaustive]
pub enum TranscriptErrorKind {
    /// The line itself cannot be read, or not be sent.
    Line(String),
    /// Something else has come.
    Unexpected {
        /// The line.
        expected: String,
        /// The trace of what came, or what happened.
        came: String,
    },
    /// The connection failed.
    Connection(Error),
}

#[derive(Clone, Debug)]
struct Line {
    number: usize,
    speaker: Direction,
    act: Act,
    /// As it was given, for errors.
    text: String,
}

impl FromStr for Transcript {
    type Err = TranscriptError;

    fn from_str(text: &str) -> Result<Self, TranscriptError> {
        let (mut lines, mut rest, mut number) = (Vec::new(), text, 1);
        while !rest.is_empty() {
            let (tokens, length) = tokens(rest).map_err(|error| wrong(number, error))?;
            let (text, behind) = rest.split_at(length);
            if !tokens.is_empty() {
                let (speaker, act) = read_line(tokens).map_err(|error| wrong(number, error))?;
                lines.push(Line { number, speaker, act, text: text.trim().to_owned() });
            }
            number += text.matches('\n').count();
            rest = behind;
        }
        Ok(Self { lines })
    }
}

impl Transcript {
    /// All that `speaker` says in it, as it goes on the wire.
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
    /// At the first line that cannot be sent.
    pub fn bytes(&self, speaker: Direction) -> Result<Vec<u8>, TranscriptError> {
        Ok(self.lines_of(speaker)?.concat())
    }

    /// For each line what `speaker` sends by it.
    fn lines_of(&self, speaker: Direction) -> Result<Vec<Vec<u8>>, TranscriptError> {
        let bytes = |line: &Line| {
            let says = line.speaker == speaker;
            if says { line.bytes().map_err(|error| wrong(line.number, error)) } else { Ok(Vec::new()) }
        };
        self.lines.iter().map(bytes).collect()
    }

    /// Says what `chair` says in it, and checks that the other side says what it is to say.
    ///
    /// # Errors
    /// At the first line that cannot be sent, all of which is found before anything is; and when something else comes, or nothing.
    pub async fn play<T: Transport>(
        &self,
        chair: Direction,
        conn: &mut Connection<T>,
    ) -> Result<(), TranscriptError> {
        let ours = self.lines_of(chair)?;
        let mut last = 0;
        for (line, bytes) in self.lines.iter().zip(ours) {
            last = line.number;
            let failed = |error| TranscriptError { line: last, kind: TranscriptErrorKind::Connection(error) };
            if line.speaker != chair {
                match conn.flush().await {
                    // Who has gone may have said why, and who says much may have to be heard first. An answer that is missed for this
                    // is missed there.
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
    /// What it is on the wire.
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let (name, length, fields) = match &self.act {
            Act::Raw(bytes) => return Ok(bytes.clone()),
            Act::Flush | Act::Close => return Ok(Vec::new()),
            Act::Message { name, length, fields } => (name, length, fields),
        };
        let shape = Shape::named(self.speaker, name)
            .ok_or_else(|| format!("no message of this side is called {name}"))?;
        let body = shape.body(name, fields)?;
        if length.is_some_and(|length| length != body.len() + 4) {
            return Err(format!("its length is {}", body.len() + 4));
        }
        let mut bytes = Vec::new();
        bytes.extend(shape.code().map(|code| code.0));
        bytes.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(body);
        Ok(bytes)
    }

    /// Takes what comes next, which has to be this.
    async fn expect<T: Transport>(&self, conn: &mut Connection<T>) -> Result<(), TranscriptError> {
        let came = match &self.act {
            Act::Flush => return Ok(()),
            Act::Close => match conn.recv().await {
                Err(Error::Closed { mid_message: false }) => return Ok(()),
                Err(error) => return Err(self.lost(error)),
                Ok(frame) => Shape::Frame(self.speaker, frame.code).show(frame.body),
            },
            Act::Raw(bytes) => {
                while conn.inbox().buffered() < bytes.len() {
                    conn.fill().await.map_err(|error| self.lost(error))?;
                }
                let came = take(conn.inbox_mut(), bytes.len());
                if came == *bytes {
                    return Ok(());
                }
                format!("'{}'", came.escape_ascii())
            }
            Act::Message { name, length, fields } => {
                let seen = match Shape::named(self.speaker, name) {
                    None => {
                        return Err(wrong(self.number, format!("no message of this side is called {name}")));
                    }
                    Some(Shape::Packet) => loop {
                        let packet = conn.inbox_mut().next_packet(LONGEST_PACKET);
                        if let Some(body) = packet.map_err(|error| self.lost(error.into()))? {
                            break Shape::Packet.see(body);
                        }
                        conn.fill().await.map_err(|error| self.lost(error))?;
                    },
                    Some(shape) => {
                        let frame = conn.recv().await.map_err(|error| self.lost(error))?;
                        // Another code is another message, whatever was expected.
                        let same = shape.code() == Some(frame.code);
                        if same { shape } else { Shape::Frame(self.speaker, frame.code) }.see(frame.body)
                    }
                };
                match seen {
                    Ok(seen)
                        if seen.is(name, fields) && length.is_none_or(|length| seen.length == length) =>
                    {
                        return Ok(());
                    }
                    Ok(seen) => seen.trace,
                    Err(error) => error.to_string(),
                }
            }
        };
        Err(self.unexpected(came))
    }

    fn unexpected(&self, came: String) -> TranscriptError {
        let kind = TranscriptErrorKind::Unexpected { expected: self.text.clone(), came };
        TranscriptError { line: self.number, kind }
    }

    /// The end of the stream is something that came; everything else is trouble.
    fn lost(&self, error: Error) -> TranscriptError {
        match error {
            Error::Closed { .. } => self.unexpected(error.to_string()),
            error => TranscriptError { line: self.number, kind: TranscriptErrorKind::Connection(error) },
        }
    }
}

/// Takes bytes that are no message.
fn take(inbox: &mut Inbox, count: usize) -> Vec<u8> {
    let (taken, rest) = inbox.peek().split_at_checked(count).unwrap_or((inbox.peek(), &[]));
    let (taken, rest) = (taken.to_vec(), rest.to_vec());
    *inbox = Inbox::new(*inbox.limits());
    inbox.extend(&rest);
    taken
}

fn wrong(line: usize, what: String) -> TranscriptError {
    TranscriptError { line, kind: TranscriptErrorKind::Line(what) }
}

impl fmt::Display for TranscriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the transcript: ", self.line)?;
        match &self.kind {
            TranscriptErrorKind::Line(what) => f.write_str(what),
            TranscriptErrorKind::Unexpected { expected, came } => {
                write!(f, "expected {expected}, came {came}")
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

/// What a line of trace is on the wire.
#[cfg(test)]
pub(crate) fn bytes_of(trace: &str) -> Result<Vec<u8>, String> {
    let said = || {
        let transcript: Transcript = trace.parse()?;
        Ok([transcript.bytes(Direction::Frontend)?, transcript.bytes(Direction::Backend)?].concat())
    };
    said().map_err(|error: TranscriptError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, duplex};
    use crate::{Limits, MessageCode, PgProtocol};
    use std::thread;

    /// What a line is on the wire, with `\xNN` for what is not ASCII.
    fn wire(line: &str) -> String {
        bytes_of(line)
            .map_or_else(|error| format!("error: {error}"), |bytes| bytes.escape_ascii().to_string())
    }

    /// Plays the client's chair of this, where the server says that.
    fn client(transcript: &str, server: &[u8]) -> Result<Vec<u8>, String> {
        let transcript: Transcript =
            transcript.parse().map_err(|error: TranscriptError| error.to_string())?;
        let mut conn = Connection::new(crate::testing::Script::says(server), Limits::BACKEND);
        let played = block_on(transcript.play(Direction::Frontend, &mut conn));
        played.map(|()| conn.transport().heard().to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn secrets_are_sent_as_they_stand_there() {
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
    fn what_a_trace_does_not_show_is_zero() {
        let md5 = "R\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00";
        assert_eq!(wire("B AuthenticationMD5Password"), md5);
    }

    #[test]
    fn strings_end_where_a_blank_follows_and_may_hold_anything_else() {
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
    fn quotes_inside_of_strings_are_told_from_those_around_them() {
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
    fn bytes_that_are_no_message() {
        assert_eq!(wire("B raw 'N'"), "N");
        assert_eq!(wire("B 1 SSLResponse S"), "S");
        assert_eq!(wire("B GSSENCResponse N"), "N");
    }

    #[test]
    fn a_line_that_cannot_be_sent_says_why() {
        for (line, why) in [
            ("hello", "a line begins with F or B, or with # if it is a comment"),
            ("F", "there is no name of a message"),
            ("F 12", "there is no name of a message"),
            ("F Qerry \"x\"", "no message of this side is called Qerry"),
            ("B Query \"x\"", "no message of this side is called Query"),
            ("F Query \"x", "a \" that nothing closes"),
            ("F CopyData 'x", "a ' that nothing closes"),
            ("F Query *", "a wildcard cannot be sent"),
            ("F 7 Query \"x\"", "its length is 6"),
            ("F Query \"x\" 1", "field 2 does not belong there: 1"),
            ("F Query", "malformed Query: a string has no terminating NUL (at byte 0)"),
            ("F Query \"x\" \"y\"", "malformed Query: bytes are left over after the last field (at byte 2)"),
            (
                "B ParameterStatus \"x\"",
                "malformed ParameterStatus: a string has no terminating NUL (at byte 2)",
            ),
            ("B DataRow \"x\"", "malformed DataRow: the body ends inside a field (at byte 2)"),
            ("F Execute \"\"", "malformed Execute: the body ends inside a field (at byte 1)"),
            ("F Execute \"\" many", "field 2 cannot be read: many"),
            ("F Execute \"\" 4294967296", "4294967296 does not fit into 4 bytes"),
            ("B ReadyForQuery", "malformed ReadyForQuery: the body ends inside a field (at byte 0)"),
            ("B DataRow 2 1 'x'", "malformed DataRow: the body ends inside a field (at byte 7)"),
            ("B DataRow 1 1 'xy'", "malformed DataRow: bytes are left over after the last field (at byte 7)"),
            ("B AuthenticationNone", "no AuthenticationNone is made of these fields"),
            ("B raw 1", "`raw` is not written like that"),
            ("B flush now", "`flush` is not written like that"),
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
    fn errors_tell_the_line_what_was_expected_and_what_came() {
        let transcript = "# Nothing yet.\n\nF Query \"two\nlines\"\nB   CommandComplete\t\"SELECT 1\"\n";
        for (server, came) in [
            (&b"Z\0\0\0\x05I"[..], "B\t5\tReadyForQuery\t I"),
            (b"C\0\0\0\x0dSELECT 2\0", "B\t13\tCommandComplete\t \"SELECT 2\""),
            (b"C\0\0\0\x04", "malformed CommandComplete: a string has no terminating NUL (at byte 0)"),
            (b"C\0\0\0", "the peer closed the connection in the middle of a message"),
            (b"", "the peer closed the connection"),
        ] {
            let error = client(transcript, server).expect_err("something else has come");
            let expected = "line 5 of the transcript: expected B   CommandComplete\t\"SELECT 1\", came ";
            assert_eq!(error.strip_prefix(expected), Some(came), "{error}");
        }
        for (transcript, server, message) in [
            (
                "B close",
                &b"1\0\0\0\x04"[..],
                "line 1 of the transcript: expected B close, came B\t4\tParseComplete",
            ),
            ("B raw 'ab'", b"ac", "line 1 of the transcript: expected B raw 'ab', came 'ac'"),
            (
                "B ReadyForQuery I\n\nF Execute",
                b"",
                "line 3 of the transcript: malformed Execute: a string has no terminating NUL (at byte 0)",
            ),
        ] {
            assert_eq!(client(transcript, server).expect_err("it does not fit"), message);
        }
    }

    #[test]
    fn a_wildcard_is_one_field_and_at_the_end_all_the_rest() {
        let row = b"D\0\0\0\x0d\0\x02\0\0\0\x01x\xff\xff\xff\xff";
        let comes = |line: &str| client(line, &[&row[..4], b"\x0f", &row[5..]].concat()).is_ok();
        assert!(comes("B DataRow 2 1 'x' -1"));
        assert!(comes("B 15 DataRow 2 1 'x' -1"));
        assert!(comes("B DataRow * 1 * -1"));
        assert!(comes("B DataRow 2 *"));
        assert!(comes("B DataRow 2 1 'x' -1 *"));
        assert!(comes("B DataRow *"));
        assert!(!comes("B 16 DataRow 2 1 'x' -1"));
        assert!(!comes("B DataRow 2 1 'x'"));
        assert!(!comes("B DataRow * 'x' -1"));
        assert!(!comes("B DataRow 2 1 'y' *"));
        assert!(!comes("B DataRow 2 1 'x' -1 * *"));
    }

    #[test]
    fn a_secret_is_any_or_the_one_that_is_given() {
        let comes = |line: &str| client(line, b"K\0\0\0\x0c\0\0\0\x07abcd").is_ok();
        assert!(comes("B BackendKeyData 7 'BBBB'"));
        assert!(comes("B BackendKeyData 7 'abcd'"));
        assert!(comes("B BackendKeyData 7 *"));
        assert!(!comes("B BackendKeyData 7 'abce'"));
        let error = client("B BackendKeyData 8 'abcd'", b"K\0\0\0\x0c\0\0\0\x07abcd").expect_err("it is 7");
        assert!(error.ends_with("came B\t12\tBackendKeyData\t 7 'BBBB'"), "{error}");
    }

    #[test]
    fn both_chairs_of_one_conversation_fit() {
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
        .expect("it can be read");
        let (near, far) = duplex();
        let server = transcript.clone();
        let server = thread::spawn(move || {
            block_on(server.play(Direction::Backend, &mut Connection::new(far, Limits::FRONTEND)))
        });
        block_on(transcript.play(Direction::Frontend, &mut Connection::new(near, Limits::BACKEND)))
            .expect("the server plays by the same transcript");
        server.join().expect("no panic").expect("the client plays by the same transcript");
    }

    #[test]
    fn what_a_peer_that_has_gone_said_last_is_still_checked() {
        let (near, far) = duplex();
        let refusal: Transcript =
            "B ErrorResponse S \"FATAL\" C \"53300\" \\x00\nB close".parse().expect("it can be read");
        let mut server = Connection::new(far, Limits::FRONTEND);
        block_on(refusal.play(Direction::Backend, &mut server)).expect("nothing is waited for");
        drop(server);
        let whole: Transcript = "F Query \"select 1\"\nB ErrorResponse S \"FATAL\" *\nB close\nF Terminate"
            .parse()
            .expect("it can be read");
        let error = block_on(whole.play(Direction::Frontend, &mut Connection::new(near, Limits::BACKEND)))
            .expect_err("nobody hears the last line");
        assert_eq!(error.line, 4, "{error}");
    }

    #[test]
    fn the_connection_goes_on_behind_the_last_line() {
        let transcript: Transcript = "F Sync\nB ReadyForQuery I".parse().expect("it can be read");
        let socket = crate::testing::Script::says(b"Z\0\0\0\x05I1\0\0\0\x04");
        let mut conn = Connection::new(socket, Limits::BACKEND);
        block_on(async {
            transcript.play(Direction::Frontend, &mut conn).await.expect("all goes by it");
            conn.query("select 1").flush().await.expect("nothing is wrong");
            assert_eq!(conn.recv().await.map(|frame| frame.code).ok(), Some(MessageCode::PARSE_COMPLETE));
        });
    }
}
