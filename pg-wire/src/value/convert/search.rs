//! Conversion of `tsvector`. A `tsquery` cannot be converted: its binary form is a tree, and different trees can have the same text, such
//! as `'a' & 'b' & 'c'`.

use alloc::vec::Vec;

use crate::value::Mismatch;
use crate::value::convert::cursor::Cursor;
use crate::value::convert::out::{append, count};

/// The highest position of a lexeme. A position has 14 bits: the two upper bits of the Int16 are the weight.
const MOST_POSITION: u16 = 0x3fff;

/// Converts a `tsvector`: `'a':1A 'b':2,3B 'c d'`. The binary form of a lexeme ends with a NUL.
pub(super) fn tsvector(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut lexemes = Vec::new();
    let mut length = 0;
    while !text.0.is_empty() {
        if length > 0 {
            text.expect(b" ")?;
        }
        let lexeme = text.quoted(b'\'', true)?;
        if lexeme.contains(&0) {
            return Err(Mismatch::Malformed);
        }
        lexemes.extend_from_slice(&lexeme);
        lexemes.push(0);
        positions(text, &mut lexemes)?;
        length += 1;
    }
    out.extend(count(length)?);
    append(out, lexemes)
}

/// Converts the positions of a lexeme: `:2,3B`. A lexeme can be without positions.
fn positions(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut positions = Vec::new();
    let mut separator: &[u8] = b":";
    while text.skip(separator) {
        let position: u16 = text.integer()?;
        if !(1..=MOST_POSITION).contains(&position) {
            return Err(Mismatch::Malformed);
        }
        // The number of the weight D is 0. A position with this weight has no letter in the text.
        let weights = [(b"A", 3), (b"B", 2), (b"C", 1)];
        let weight = weights.into_iter().find(|(name, _)| text.skip(*name)).map_or(0, |(_, weight)| weight);
        positions.push((weight << 14 | position).to_be_bytes());
        separator = b",";
    }
    let length = u16::try_from(positions.len()).map_err(|_| Mismatch::Malformed)?;
    out.extend(length.to_be_bytes());
    append(out, positions.as_flattened())
}
