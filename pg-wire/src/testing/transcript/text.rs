//! A transcript's lines, taken apart.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::trace::Direction;

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
    let (mut tokens, mut at) = (Vec::new(), 0);
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match rest.chars().next() {
            None => return Ok((tokens, at)),
            Some('\n') => return Ok((tokens, at + 1)),
            Some(blank) if blank.is_whitespace() => at += blank.len_utf8(),
            Some('#') if tokens.is_empty() => at += rest.find('\n').unwrap_or(rest.len()),
            Some(quote @ ('"' | '\'')) => {
                let inside = rest.get(1..).unwrap_or_default();
                let ends = |end: &usize| {
                    inside
                        .get(end + 1..)
                        .is_some_and(|behind| behind.chars().next().is_none_or(char::is_whitespace))
                };
                let mut quotes = inside.match_indices(quote).map(|(end, _)| end);
                let Some(end) = quotes.find(ends) else {
                    return Err(format!("a {quote} that nothing closes"));
                };
                let inside = inside.get(..end).unwrap_or_default();
                let text = quote == '"';
                let bytes = if text { inside.as_bytes().to_vec() } else { unescape(inside)? };
                tokens.push(Token::Quoted { bytes, text });
                at += end + 2;
            }
            Some(_) => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                tokens.push(Token::Word(rest.get(..end).unwrap_or_default().to_owned()));
                at += end;
            }
        }
    }
}

/// Bytes with `\xNN` for some of them. Any other backslash stands for itself, as in a trace.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.ok_or_else(|| format!("\\x without two digits behind it in '{text}'"))?);
        bytes.extend(part.get(2..).unwrap_or_default().as_bytes());
    }
    Ok(bytes)
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
