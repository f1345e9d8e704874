//! A transcript's lines, taken apart.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::message::Direction;

/// What a line does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Message { name: String, length: Option<usize>, fields: Vec<Token> },
    Raw(Vec<u8>),
    Flush,
    Close,
}

/// A field as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A number, a letter, `\x00` or `*`.
    Word(String),
    /// In double or single quotes.
    Quoted { bytes: Vec<u8>, text: bool },
}

/// One byte as a trace has it: the character, or `\xNN`.
pub(super) fn letter(word: &str) -> Option<u8> {
    match word.as_bytes() {
        [byte] => Some(*byte),
        [b'\\', b'x', _, _] => u8::from_str_radix(word.get(2..)?, 16).ok(),
        _ => None,
    }
}

/// Takes the words of the first line, and says how many bytes it has with the newline that ends it.
pub(super) fn tokens(text: &str) -> Result<(Vec<Token>, usize), String> {
    let (mut tokens, mut at, mut dead) = (Vec::new(), 0, BTreeSet::new());
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match rest.chars().next() {
            None => return Ok((tokens, at)),
            Some('\n') => return Ok((tokens, at + 1)),
            Some(blank) if blank.is_whitespace() => at += blank.len_utf8(),
            Some('#') if tokens.is_empty() => at += rest.find('\n').unwrap_or(rest.len()),
            Some(quote @ ('"' | '\'')) => {
                // Most often the first; a name in quotes inside it is followed by what is no field.
                let end = closings(text, at, quote)
                    .find(|end| goes_on(text, end + 1, &mut dead))
                    .or_else(|| closings(text, at, quote).next());
                let Some(end) = end else { return Err(format!("a {quote} that nothing closes")) };
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

/// Where the string could end that begins at `start`: quotes with a blank or the end of the line behind them.
fn closings(text: &str, start: usize, quote: char) -> impl Iterator<Item = usize> {
    let inside = text.get(start + 1..).unwrap_or_default();
    let blank = |behind: &str| behind.chars().next().is_none_or(char::is_whitespace);
    let ends = move |end: &usize| text.get(end + 1..).is_some_and(blank);
    inside.match_indices(quote).map(move |(end, _)| start + 1 + end).filter(ends)
}

/// Whether fields, and nothing else, stand between here and the end of the line, and another line behind it. `dead` are places from which it has been found not to be so.
fn goes_on(text: &str, start: usize, dead: &mut BTreeSet<usize>) -> bool {
    let mut at = start;
    let lives = !dead.contains(&start)
        && loop {
            let rest = text.get(at..).unwrap_or_default();
            match rest.chars().next() {
                None => break true,
                Some('\n') => break begins_a_line(rest.trim_start()),
                Some(blank) if blank.is_whitespace() => at += blank.len_utf8(),
                Some(quote @ ('"' | '\'')) => {
                    break closings(text, at, quote).any(|end| goes_on(text, end + 1, dead));
                }
                Some(_) => {
                    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
                    if word != "*" && word.parse::<i64>().is_err() && letter(word).is_none() {
                        break false;
                    }
                    at += word.len();
                }
            }
        };
    if !lives {
        dead.insert(start);
    }
    lives
}

/// Whether this may stand at the beginning of a line, or is the end of all.
fn begins_a_line(text: &str) -> bool {
    let speaks = |behind: &str| behind.starts_with(char::is_whitespace);
    text.is_empty() || text.starts_with('#') || text.strip_prefix(['F', 'B']).is_some_and(speaks)
}

/// Bytes with `\xNN` for some of them. Any other backslash stands for itself, as in a trace.
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

/// Who speaks, and what.
pub(super) fn read_line(tokens: Vec<Token>) -> Result<(Direction, Act), String> {
    let mut tokens = tokens.into_iter().peekable();
    let mut word = || match tokens.next_if(|token| matches!(token, Token::Word(_))) {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    };
    let speaker = match word().as_deref() {
        Some("F") => Direction::Frontend,
        Some("B") => Direction::Backend,
        _ => return Err("a line begins with F or B, or with # if it is a comment".to_owned()),
    };
    let mut name = word();
    let length = name.as_deref().and_then(|word| word.parse::<usize>().ok());
    if length.is_some() {
        name = word();
    }
    let Some(name) = name else { return Err("there is no name of a message".to_owned()) };
    let fields: Vec<Token> = tokens.collect();
    let act = match (name.as_str(), &fields[..]) {
        ("raw", [Token::Quoted { bytes, .. }]) => Act::Raw(bytes.clone()),
        ("SSLResponse" | "GSSENCResponse", [Token::Word(byte)]) if letter(byte).is_some() => {
            Act::Raw(letter(byte).into_iter().collect())
        }
        ("flush", []) => Act::Flush,
        ("close", []) => Act::Close,
        ("raw" | "flush" | "close", _) => return Err(format!("`{name}` is not written like that")),
        _ => Act::Message { name, length, fields },
    };
    Ok((speaker, act))
}
