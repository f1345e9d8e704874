//! Parser for the lines of a transcript.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::message::Direction;

/// The action that a line describes.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Message { name: String, length: Option<usize>, fields: Vec<Token> },
    Raw(Vec<u8>),
    Flush,
    Close,
}

/// A field of a line, as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A number, a letter, `\x00` or `*`.
    Word(String),
    /// A string in double quotes (`text` is true) or in single quotes.
    Quoted { bytes: Vec<u8>, text: bool },
}

/// The word that libpq's regression mode prints instead of a number.
pub(super) const ANY_NUMBER: &str = "NNNN";

/// The word that libpq's regression mode prints instead of a length.
const ANY_LENGTH: &str = "NN";

/// Parses one byte as a trace prints it: the character itself, or `\xNN`.
pub(super) fn letter(word: &str) -> Option<u8> {
    match word.as_bytes() {
        [byte] => Some(*byte),
        [b'\\', b'x', _, _] => u8::from_str_radix(word.get(2..)?, 16).ok(),
        _ => None,
    }
}

/// Splits the first line of `text` into tokens. Returns the tokens, and the length of the line in bytes, including the newline.
pub(super) fn tokens(text: &str) -> Result<(Vec<Token>, usize), String> {
    let (mut tokens, mut at, mut known) = (Vec::new(), 0, BTreeMap::new());
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match rest.chars().next() {
            None => return Ok((tokens, at)),
            Some('\n') => return Ok((tokens, at + 1)),
            Some(blank) if blank.is_whitespace() => at += blank.len_utf8(),
            Some('#') if tokens.is_empty() => at += rest.find('\n').unwrap_or(rest.len()),
            Some(quote @ ('"' | '\'')) => {
                // The string ends at the first quote after which only fields follow. A quote inside the string, such as a quote
                // around a name, is followed by other text.
                let end = closings(text, at, quote)
                    .find(|end| goes_on(text, end + 1, &mut known))
                    .or_else(|| closings(text, at, quote).next());
                let Some(end) = end else { return Err(format!("a {quote} without a closing {quote}")) };
                let inside = text.get(at + 1..end).unwrap_or_default();
                let text = quote == '"';
                let bytes = if text { inside.as_bytes().to_vec() } else { unescape(inside) };
                tokens.push(Token::Quoted { bytes, text });
                at = end + 1;
            }
            Some(_) => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                tokens.push(Token::Word(rest.get(..end).unwrap_or_default().to_owned()));
                at += end;
            }
        }
    }
}

/// Returns the positions at which the string that begins at `start` can end: quotes followed by a blank or by the end of the line.
fn closings(text: &str, start: usize, quote: char) -> impl Iterator<Item = usize> {
    let inside = text.get(start + 1..).unwrap_or_default();
    let blank = |after: &str| after.chars().next().is_none_or(char::is_whitespace);
    let ends = move |end: &usize| text.get(end + 1..).is_some_and(blank);
    inside.match_indices(quote).map(move |(end, _)| start + 1 + end).filter(ends)
}

/// Whether the rest of the line after `start` consists of fields, and the following text is empty or begins another line. `known` caches
/// the answers by position.
///
/// Each string of the line can have several possible ends, so this function searches with backtracking. The function uses a vector instead
/// of recursion: with recursion, a line with many fields would overflow the call stack.
fn goes_on(text: &str, start: usize, known: &mut BTreeMap<usize, bool>) -> bool {
    let mut path = Vec::new();
    let mut next = start;
    loop {
        let found = match known.get(&next) {
            Some(known) => Scan::Ends(*known),
            None => scan(text, next),
        };
        match found {
            Scan::Ends(true) => {
                known.insert(next, true);
                known.extend(path.into_iter().map(|(start, _)| (start, true)));
                return true;
            }
            Scan::Ends(false) => {
                known.insert(next, false);
            }
            Scan::Quote(at, quote) => path.push((next, closings(text, at, quote))),
        }
        // Backtrack: find the last string with a further possible closing quote, and try this quote.
        next = loop {
            let Some((start, ends)) = path.last_mut() else { return false };
            if let Some(end) = ends.next() {
                break end + 1;
            }
            known.insert(*start, false);
            path.pop();
        };
    }
}

/// Result of [`scan`]: the end of a sequence of words. Each word of the sequence is a field.
enum Scan {
    /// The sequence ends at the end of the line, or before a word that is no field. `true` if the line ends here, and the following text is
    /// empty or begins another line.
    Ends(bool),
    /// The sequence ends at the beginning of a string.
    Quote(usize, char),
}

fn scan(text: &str, start: usize) -> Scan {
    let mut at = start;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match rest.chars().next() {
            None => return Scan::Ends(true),
            Some('\n') => return Scan::Ends(begins_a_line(rest.trim_start())),
            Some(blank) if blank.is_whitespace() => at += blank.len_utf8(),
            Some(quote @ ('"' | '\'')) => return Scan::Quote(at, quote),
            Some(_) => {
                let word = rest.split(char::is_whitespace).next().unwrap_or_default();
                let number = word == ANY_NUMBER || word.parse::<i64>().is_ok();
                if word != "*" && !number && letter(word).is_none() {
                    return Scan::Ends(false);
                }
                at += word.len();
            }
        }
    }
}

/// Whether `text` is empty or begins with the first words of a line or with a comment.
fn begins_a_line(text: &str) -> bool {
    let blank = |after: &str| after.starts_with(char::is_whitespace);
    let mut words = text.splitn(3, char::is_whitespace);
    let text = match (words.next(), words.next(), words.next()) {
        (Some(date), Some(time), Some(rest)) if is_date(date) && is_time(time) => rest,
        _ => text,
    };
    text.is_empty() || text.starts_with('#') || text.strip_prefix(['F', 'B']).is_some_and(blank)
}

/// Whether a word is a date in the format of libpq: `2024-02-29`.
fn is_date(word: &str) -> bool {
    has_form(word, "0000-00-00")
}

/// Whether a word is a time in the format of libpq: `12:34:56.123456`.
fn is_time(word: &str) -> bool {
    has_form(word, "00:00:00.000000")
}

/// Whether `word` matches `form`: the same length, a digit at each `0` of the form, and the form's own character elsewhere.
fn has_form(word: &str, form: &str) -> bool {
    let same = |(byte, form): (u8, u8)| if form == b'0' { byte.is_ascii_digit() } else { byte == form };
    word.len() == form.len() && word.bytes().zip(form.bytes()).all(same)
}

/// Decodes the `\xNN` escapes of a text. A backslash that does not begin such an escape is kept unchanged, as in a trace.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(part.get(2..).unwrap_or_default().as_bytes());
            }
            None => {
                bytes.extend(b"\\x");
                bytes.extend(part.as_bytes());
            }
        }
    }
    bytes
}

/// Parses the sender and the action of a line.
pub(super) fn read_line(tokens: Vec<Token>) -> Result<(Direction, Act), String> {
    // libpq writes a date and a time before each line if PQTRACE_SUPPRESS_TIMESTAMPS is not set.
    let dated =
        matches!(&tokens[..], [Token::Word(date), Token::Word(time), ..] if is_date(date) && is_time(time));
    let mut tokens = tokens.into_iter().skip(if dated { 2 } else { 0 }).peekable();
    let mut word = || match tokens.next_if(|token| matches!(token, Token::Word(_))) {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    };
    let sender = match word().as_deref() {
        Some("F") => Direction::Frontend,
        Some("B") => Direction::Backend,
        _ => return Err("a line begins with F or B, or with # if it is a comment".to_owned()),
    };
    let mut name = word();
    let length = name.as_deref().and_then(|word| word.parse::<usize>().ok());
    if length.is_some() || name.as_deref() == Some(ANY_LENGTH) {
        name = word();
    }
    let Some(name) = name else { return Err("the name of the message is missing".to_owned()) };
    let fields: Vec<Token> = tokens.collect();
    let act = match (name.as_str(), &fields[..]) {
        ("raw", [Token::Quoted { bytes, .. }]) => Act::Raw(bytes.clone()),
        ("SSLResponse" | "GSSENCResponse", [Token::Word(byte)]) if letter(byte).is_some() => {
            Act::Raw(letter(byte).into_iter().collect())
        }
        ("flush", []) => Act::Flush,
        ("close", []) => Act::Close,
        ("raw" | "flush" | "close", _) => return Err(format!("`{name}` does not take these fields")),
        _ => Act::Message { name, length, fields },
    };
    Ok((sender, act))
}
