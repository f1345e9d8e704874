//! Records conversations as transcripts, which `pg_wire::testing::Transcript` and `mock_server --replay` can play.

use std::io::{self, Write};

use pg_wire::testing::Transcript;
use pg_wire::{Direction, Encode, Message, MessageCode};

use crate::trace::{Lines, check_directory, create};

/// The files of all recordings.
#[derive(Clone, Debug)]
pub(crate) enum Recordings {
    /// Nothing is recorded.
    None,
    /// Each connection has its own file. The string is the pattern from which `file_name` makes the name of each file.
    Files(String),
}

/// The recording of one connection. Each direction of the connection holds a clone.
#[derive(Clone)]
pub(crate) struct Record(Lines);

impl Recordings {
    /// Checks that files can be created in the directory of `name`. If `name` is `None`, nothing is recorded.
    pub(crate) fn open(name: Option<String>) -> io::Result<Self> {
        let Some(name) = name else { return Ok(Self::None) };
        check_directory(&name)?;
        Ok(Self::Files(name))
    }

    /// Creates the recording of the connection with this number.
    pub(crate) fn connection(&self, number: u64) -> io::Result<Record> {
        match self {
            Self::None => Ok(Record::NONE),
            Self::Files(name) => create(&file_name(name, number), "recording").map(Record),
        }
    }

    /// Whether connections are recorded.
    pub(crate) fn is_on(&self) -> bool {
        matches!(self, Self::Files(_))
    }
}

/// Returns the name of a connection's file. `%d` in the name is replaced by the number of the connection. In a name without `%d`, the first
/// connection has the name unchanged, and the other connections have the name, a dot and their number.
fn file_name(name: &str, number: u64) -> String {
    match (name.contains("%d"), number) {
        (true, number) => name.replace("%d", &number.to_string()),
        (false, 1) => name.into(),
        (false, number) => format!("{name}.{number}"),
    }
}

impl Record {
    /// A recording that writes nothing.
    pub(crate) const NONE: Self = Self(Lines::NONE);

    /// Records a message as its line in a trace, with secrets masked. The notation of strings in a trace is ambiguous. If the line would be
    /// parsed as another message, records the bytes of the message instead, unless the message may contain a secret.
    #[inline]
    pub(crate) fn message<M: Message + ?Sized>(&self, direction: Direction, message: &M) {
        self.0.write(|output| {
            let line = message.trace(direction).to_string();
            let mut bytes = Vec::new();
            if may_be_secret(direction, message.code())
                || message.encode(&mut bytes).is_ok() && is_read_as(&line, direction, &bytes)
            {
                return writeln!(output, "{line}");
            }
            writeln!(output, "{}\traw\t '{}'", letter(direction), escaped(&bytes))
        });
    }

    /// Records, as a comment, that a message could not be decoded. The bytes of the message are left out, because they may be a password.
    /// The transcript cannot be played beyond this message.
    pub(crate) fn malformed(&self, direction: Direction, length: usize, error: &impl std::fmt::Display) {
        self.0.write(|output| writeln!(output, "# {} {length} {error}", letter(direction)));
    }

    /// Records the server's one-byte answer to a request for encryption.
    pub(crate) fn answer(&self, name: &str, answer: u8) {
        self.0.write(|output| writeln!(output, "B\t1\t{name}\t {}", answer.escape_ascii()));
    }

    /// Records that the sender of the messages in this direction has closed its stream.
    pub(crate) fn closed(&self, direction: Direction) {
        self.0.write(|output| {
            writeln!(output, "{}\tclose", letter(direction))?;
            output.flush()
        });
    }

    /// Records that the rest of the conversation cannot be decoded.
    pub(crate) fn opaque(&self) {
        self.0.write(|output| {
            writeln!(
                output,
                "# the rest of the conversation is encrypted or of an old version of the protocol"
            )?;
            output.flush()
        });
    }

    /// Writes the buffered lines to the file.
    pub(crate) fn flush(&self) {
        self.0.write(|output| output.flush());
    }
}

fn letter(direction: Direction) -> char {
    match direction {
        Direction::Frontend => 'F',
        Direction::Backend => 'B',
    }
}

/// Whether a message with this code may contain a secret. The line of such a message masks the secret. The bytes would show the secret, so
/// they must not be recorded.
fn may_be_secret(direction: Direction, code: Option<MessageCode>) -> bool {
    match (direction, code) {
        (Direction::Frontend, code) => matches!(code, None | Some(MessageCode::AUTHENTICATION_RESPONSE)),
        (Direction::Backend, code) => {
            matches!(code, Some(MessageCode::AUTHENTICATION | MessageCode::BACKEND_KEY_DATA))
        }
    }
}

/// Whether the line, parsed as a transcript, gives the message with these bytes.
fn is_read_as(line: &str, direction: Direction, bytes: &[u8]) -> bool {
    line.parse::<Transcript>().and_then(|line| line.bytes(direction)).is_ok_and(|read| read == bytes)
}

/// Returns every byte as `\xNN`. A quote or a backslash in text form would be ambiguous.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use pg_wire::backend::{BackendKeyData, CommandComplete, DataRow};
    use pg_wire::codec::{Secret, Values};
    use pg_wire::frontend::Query;

    use super::*;

    #[test]
    fn each_connection_has_its_own_file() {
        assert_eq!(file_name("t", 1), "t");
        assert_eq!(file_name("t", 2), "t.2");
        assert_eq!(file_name("t-%d.txt", 1), "t-1.txt");
        assert_eq!(file_name("t-%d.txt", 12), "t-12.txt");
    }

    /// Records messages in a file, and returns the text of the file.
    fn recorded(record: impl FnOnce(&Record)) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let name = directory.path().join("t").display().to_string();
        let recordings = Recordings::open(Some(name.clone())).expect("the directory exists");
        let one = recordings.connection(1).expect("a file");
        record(&one);
        one.flush();
        std::fs::read_to_string(name).expect("the file exists")
    }

    #[test]
    fn a_recording_is_read_as_the_recorded_messages() {
        let texts =
            ["select 1", "select '\n'", "a\" \nB\t5\tReadyForQuery\t I", "\" 1", "'", "\\x41", "", "# x"];
        let values = [&b"1"[..], b"\\x41", b"a' 'b", b"'", b"\x00\xff", b"", b"x\nF\tSync"];
        let text = recorded(|record| {
            for sql in texts {
                record.message(Direction::Frontend, &Query { sql: sql.into() });
                record.message(Direction::Backend, &CommandComplete { tag: sql.into() });
            }
            for value in values {
                record.message(Direction::Backend, &DataRow { values: Values::from(&[Some(value), None]) });
            }
            record.closed(Direction::Frontend);
        });
        let transcript: Transcript = text.parse().expect("a valid transcript");
        let (mut front, mut back) = (Vec::new(), Vec::new());
        for sql in texts {
            Query { sql: sql.into() }.encode(&mut front).expect("valid");
            CommandComplete { tag: sql.into() }.encode(&mut back).expect("valid");
        }
        for value in values {
            DataRow { values: Values::from(&[Some(value), None]) }.encode(&mut back).expect("valid");
        }
        let read = |direction| transcript.bytes(direction).expect("valid").escape_ascii().to_string();
        assert_eq!(read(Direction::Frontend), front.escape_ascii().to_string());
        assert_eq!(read(Direction::Backend), back.escape_ascii().to_string());
        assert!(text.starts_with("F\t13\tQuery\t \"select 1\"\n") && text.ends_with("F\tclose\n"), "{text}");
    }

    #[test]
    fn a_secret_is_masked() {
        let key = BackendKeyData { pid: 7, key: Secret(b"hush") };
        let text = recorded(|record| record.message(Direction::Backend, &key));
        assert_eq!(text, "B\t12\tBackendKeyData\t 7 'BBBB'\n");
    }
}
