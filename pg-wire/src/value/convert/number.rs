//! Conversion of `numeric` and of the bit strings.

use alloc::vec::Vec;
use core::iter::repeat_n;

use crate::value::Mismatch;
use crate::value::convert::cursor::Cursor;
use crate::value::convert::out::{append, count};
use crate::value::sound::numeric_sign::{INFINITY, NAN, NEGATIVE, NEGATIVE_INFINITY};

/// The value that a server sends in the scale field of infinity. This value is not a scale: it comes from the bit that marks infinity in
/// PostgreSQL's internal form.
const SCALE_OF_INFINITY: u16 = 32;

/// Converts a `numeric`: `-123.4500`, `NaN`, `-Infinity`.
///
/// A digit of the binary form stands for four decimal digits. The decimal point is between two digits of the binary form, so the decimal
/// digits before the point are padded on the left, and the decimal digits after the point are padded on the right. Leading and trailing
/// digits of the binary form are not sent if they are 0.
pub(super) fn numeric(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    for (word, sign, scale) in [
        (&b"NaN"[..], NAN, 0),
        (b"Infinity", INFINITY, SCALE_OF_INFINITY),
        (b"-Infinity", NEGATIVE_INFINITY, SCALE_OF_INFINITY),
    ] {
        if text.skip(word) {
            return append(out, [0, 0, sign, scale].map(u16::to_be_bytes).as_flattened());
        }
    }
    let is_negative = text.skip(b"-");
    let before = text.digits();
    let after = if text.skip(b".") { text.digits() } else { b"" };
    if before.is_empty() {
        return Err(Mismatch::Malformed);
    }

    let padding = |digits: &[u8]| repeat_n(&b'0', digits.len().next_multiple_of(4) - digits.len());
    let decimal: Vec<u8> =
        padding(before).chain(before).chain(after).chain(padding(after)).map(|digit| digit - b'0').collect();
    let mut digits: &[[u8; 4]] = decimal.as_chunks().0;
    let mut weight = before.len().div_ceil(4).cast_signed() - 1;
    while let [[0, 0, 0, 0], rest @ ..] = digits {
        digits = rest;
        weight -= 1;
    }
    while let [rest @ .., [0, 0, 0, 0]] = digits {
        digits = rest;
    }

    let is_zero = digits.is_empty();
    let weight = i16::try_from(if is_zero { 0 } else { weight }).map_err(|_| Mismatch::Malformed)?;
    let sign = if is_negative && !is_zero { NEGATIVE } else { 0 };
    let [length, scale] = [digits.len(), after.len()].map(u16::try_from);
    let (Ok(length), Ok(scale)) = (length, scale) else { return Err(Mismatch::Malformed) };
    out.extend([length, weight.cast_unsigned(), sign, scale].map(u16::to_be_bytes).as_flattened());
    let value = |digit: &[u8; 4]| digit.iter().fold(0, |value, decimal| 10 * value + u16::from(*decimal));
    out.extend(digits.iter().flat_map(|digit| value(digit).to_be_bytes()));
    Ok(())
}

/// Converts a `bit` or a `varbit`: `101`.
pub(super) fn bits(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let bits = text.take_while(|byte| matches!(byte, b'0' | b'1'));
    out.extend(count(bits.len())?);
    let byte = |bits: &[u8]| {
        let padded = bits.iter().chain(repeat_n(&b'0', 8 - bits.len()));
        padded.fold(0, |byte, bit| byte << 1 | (bit - b'0'))
    };
    out.extend(bits.chunks(8).map(byte));
    Ok(())
}
