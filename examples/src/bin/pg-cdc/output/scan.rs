//! Finds the last complete transaction of an output file. Reads the file backwards.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use pg_wire::replication::Lsn;
use serde_json::Value;

use crate::line::Format;

/// Number of bytes of one read from the file.
const BLOCK: u64 = 64 * 1024;

/// Number of bytes from the beginning of a line that are enough to recognise its kind: the kind is one of the first two fields.
const LONGEST: usize = 120;

/// The result of the scan of an output file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The last complete transaction: the length of the file up to its end, and the position from which to continue.
    Complete(u64, Lsn),
    /// A snapshot has begun and has not ended. The numbers are the offsets at which the first line of the snapshot begins and ends.
    InSnapshot(u64, u64),
    /// The file is empty, or contains only a part of one transaction.
    Nothing,
    /// The file is not an output of this program.
    Foreign,
}

/// Kinds of lines that end a transaction, each with the name of the field that contains the position from which to continue.
const ENDS: [(&str, &str); 5] = [
    ("commit", "end"),
    ("prepare", "end"),
    ("commit_prepared", "end"),
    ("rollback_prepared", "end"),
    ("snapshot_end", "lsn"),
];

/// Scans a file backwards for the last complete transaction. Every line feed is the end of a line, because JSON escapes the line feeds in
/// values.
pub(super) fn scan(file: &mut File, format: Format) -> io::Result<Found> {
    let length = file.seek(SeekFrom::End(0))?;
    // `tail` contains the bytes from `start` to the end of the line whose beginning is not found yet, but at most the first `LONGEST`
    // bytes.
    let (mut start, mut tail) = (length, Vec::new());
    // Offset of the end of the line whose beginning is not found yet; `None` until the first line feed is found.
    let mut end: Option<u64> = None;
    while start > 0 {
        let count = BLOCK.min(start);
        start -= count;
        let mut block = vec![0; count as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        block.extend_from_slice(&tail);
        tail = block;
        let mut searched = tail.len();
        while let Some(at) = tail[..searched].iter().rposition(|byte| *byte == b'\n') {
            if let Some(end) = end
                && let Some(found) = look(file, &tail[at + 1..], start + at as u64 + 1, end, format)?
            {
                return Ok(found);
            }
            end = Some(start + at as u64 + 1);
            searched = at;
        }
        tail.truncate(searched);
        tail.truncate(LONGEST);
    }
    if let Some(end) = end
        && let Some(found) = look(file, &tail, 0, end, format)?
    {
        return Ok(found);
    }
    // The file has no complete transaction. Its first bytes show whether the file is an output of this program.
    let is_ours = match format {
        Format::Json => tail.iter().zip(b"{\"kind\":\"").all(|(found, known)| found == known),
        Format::Text => {
            let position = tail.split(|byte| *byte == b' ').next().unwrap_or_default();
            position.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'/')
        }
    };
    Ok(if is_ours { Found::Nothing } else { Found::Foreign })
}

/// Examines the line that starts at the offset `from`, ends at the offset `end`, and has the first bytes `beginning`. Returns `None` if the
/// line neither ends a transaction nor begins a snapshot.
fn look(file: &mut File, beginning: &[u8], from: u64, end: u64, format: Format) -> io::Result<Option<Found>> {
    let beginning = &beginning[..beginning.len().min(LONGEST)];
    let Some(kind) = kind(beginning, format) else { return Ok(None) };
    if kind == "snapshot_begin" {
        return Ok(Some(Found::InSnapshot(from, end)));
    }
    let is_message = kind == "message";
    let field = ENDS.iter().find(|(known, _)| *known == kind).map(|(_, field)| *field);
    let Some(field) = field.or(is_message.then_some("lsn")) else { return Ok(None) };
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(end - from).read_to_end(&mut line)?;
    let Some(fields) = parse(&line, format) else { return Ok(None) };
    if is_message && fields("transactional") != Some(Value::Bool(false)) {
        return Ok(None);
    }
    let lsn = fields(field).and_then(|lsn| lsn.as_str()?.parse::<Lsn>().ok());
    Ok(lsn.map(|lsn| Found::Complete(end, lsn)))
}

/// Returns the kind of the line that begins with these bytes.
fn kind(beginning: &[u8], format: Format) -> Option<&str> {
    let beginning = match beginning.utf8_chunks().next() {
        Some(chunk) => chunk.valid(),
        None => "",
    };
    match format {
        Format::Json => beginning.strip_prefix("{\"kind\":\"")?.split('"').next(),
        Format::Text => beginning.split([' ', '\n']).nth(1),
    }
}

/// Parses a line. Returns a function that looks up a field by its name.
fn parse(line: &[u8], format: Format) -> Option<impl Fn(&str) -> Option<Value>> {
    let line = std::str::from_utf8(line).ok()?;
    let object = match format {
        Format::Json => serde_json::from_str::<Value>(line).ok()?,
        Format::Text => {
            let (lsn, rest) = line.split_once(' ')?;
            let mut fields = serde_json::Map::new();
            fields.insert("lsn".into(), lsn.into());
            // Splits the fields at spaces. A value may contain spaces, but the values that `look` reads contain none.
            for word in rest.split_whitespace() {
                if let Some((name, value)) = word.split_once('=') {
                    fields.entry(name).or_insert(serde_json::from_str(value).unwrap_or_default());
                }
            }
            Value::Object(fields)
        }
    };
    Some(move |name: &str| object.get(name).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const BEGIN: &str = "{\"kind\":\"begin\",\"lsn\":\"0/10\",\"xid\":7}\n";
    const COMMIT: &str = "{\"kind\":\"commit\",\"lsn\":\"0/10\",\"end\":\"0/20\",\"xid\":7}\n";

    fn scanned(text: &str, format: Format) -> Found {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        scan(&mut file, format).expect("readable")
    }

    #[test]
    fn the_last_complete_transaction_is_found_wherever_the_file_is_cut() {
        let insert = format!(
            "{{\"kind\":\"insert\",\"lsn\":\"0/10\",\"new\":{{\"a\":\"{}\"}}}}\n",
            "{\\\"kind\\\":\\\"commit\\\" ".repeat(20)
        );
        let whole = [BEGIN, &insert, COMMIT].concat();
        let text = whole.repeat(2);
        for end in 0..=text.len() {
            let expected = match end / whole.len() {
                0 => Found::Nothing,
                count => Found::Complete((count * whole.len()) as u64, Lsn(0x20)),
            };
            assert_eq!(scanned(&text[..end], Format::Json), expected, "{end}");
        }
    }

    #[test]
    fn a_long_incomplete_transaction_is_skipped() {
        let insert = format!("{{\"kind\":\"insert\",\"new\":\"{}\"}}\n", "x".repeat(300_000));
        for (count, cut) in [(1, 0), (5, 1), (5, 200_000), (0, 0)] {
            let mut text = [BEGIN, COMMIT, BEGIN, &insert.repeat(count)].concat();
            text.truncate(text.len() - cut);
            let expected = Found::Complete((BEGIN.len() + COMMIT.len()) as u64, Lsn(0x20));
            assert_eq!(scanned(&text, Format::Json), expected);
        }
    }

    #[test]
    fn every_line_that_ends_a_transaction_is_known() {
        for (line, next) in [
            ("{\"kind\":\"prepare\",\"lsn\":\"0/1\",\"end\":\"0/2\"}\n", 2),
            ("{\"kind\":\"commit_prepared\",\"lsn\":\"0/1\",\"end\":\"0/2\"}\n", 2),
            ("{\"kind\":\"rollback_prepared\",\"lsn\":\"0/2\",\"end\":\"0/2\"}\n", 2),
            ("{\"kind\":\"snapshot_end\",\"lsn\":\"0/5\"}\n", 5),
            ("{\"kind\":\"message\",\"lsn\":\"0/5\",\"transactional\":false,\"prefix\":\"\"}\n", 5),
        ] {
            assert_eq!(scanned(line, Format::Json), Found::Complete(line.len() as u64, Lsn(next)), "{line}");
        }
        let inside =
            "{\"kind\":\"message\",\"lsn\":\"0/5\",\"xid\":7,\"transactional\":true,\"prefix\":\"\"}\n";
        assert_eq!(scanned(&[BEGIN, inside].concat(), Format::Json), Found::Nothing);
        let begin = "{\"kind\":\"snapshot_begin\",\"lsn\":\"0/0\"}\n";
        let row = "{\"kind\":\"row\",\"lsn\":\"0/5\"}\n";
        let at = (BEGIN.len() + COMMIT.len()) as u64;
        assert_eq!(
            scanned(&[BEGIN, COMMIT, begin, row].concat(), Format::Json),
            Found::InSnapshot(at, at + begin.len() as u64)
        );
        assert_eq!(scanned(&[begin, row].concat(), Format::Json), Found::InSnapshot(0, begin.len() as u64));
    }

    #[test]
    fn text_lines_are_scanned_too() {
        let begin = "0/10 begin xid=7 time=\"2026-11-27T00:00:00.000000Z\"\n";
        let commit = "0/10 commit end=\"0/20\" xid=7\n";
        let text = [begin, commit, begin].concat();
        let expected = Found::Complete((begin.len() + commit.len()) as u64, Lsn(0x20));
        assert_eq!(scanned(&text, Format::Text), expected);
        assert_eq!(scanned(begin, Format::Text), Found::Nothing);
        let message = "0/5 message transactional=false prefix=\"a transactional=true\" content=\"\"\n";
        assert_eq!(scanned(message, Format::Text), Found::Complete(message.len() as u64, Lsn(5)));
    }

    #[test]
    fn a_file_of_another_program_is_detected() {
        assert_eq!(scanned("", Format::Json), Found::Nothing);
        for text in ["hello\n", "{}\n", "id,name\n1,x\n", BEGIN] {
            let format = if text == BEGIN { Format::Text } else { Format::Json };
            assert_eq!(scanned(text, format), Found::Foreign, "{text}");
        }
    }
}
