//! Text form of floats and `numeric` values.

use std::fmt::{Display, Write as _};

use super::ValueError;
use super::binary::Bytes;

/// Appends a value to the text as `Display` prints it.
pub(super) fn put(out: &mut String, value: impl Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{value}");
}

/// Decodes a `float8` if `wide` is true, else a `float4`.
pub(super) fn float(bytes: &[u8], wide: bool) -> Result<f64, ValueError> {
    if wide {
        bytes.try_into().map(f64::from_be_bytes).map_err(|_| ValueError::Malformed)
    } else {
        bytes.try_into().map(|bytes| f64::from(f32::from_be_bytes(bytes))).map_err(|_| ValueError::Malformed)
    }
}

/// Appends a float in the text form of the server: the fewest digits that give the same value. A number other than 0 has an exponent if its
/// absolute value is below 1e-4, or at least 1e15 (`float4`: 1e6).
pub(super) fn put_float(out: &mut String, number: f64, wide: bool) {
    if !number.is_finite() {
        out.push_str(match number {
            number if number.is_nan() => "NaN",
            number if number < 0.0 => "-Infinity",
            _ => "Infinity",
        });
        return;
    }
    // The conversion to `f32` is exact: the number was a `float4`.
    let scientific = if wide { format!("{number:e}") } else { format!("{:e}", number as f32) };
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let limit = if wide { 15 } else { 6 };
    if (-4..limit).contains(&exponent) {
        if wide {
            put(out, number);
        } else {
            put(out, number as f32);
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        put(out, format_args!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()));
    }
}

/// Appends a `numeric`. Its binary form: Int16 number of digits, Int16 weight of the first digit, Int16 sign, Int16 number of decimals;
/// then the digits to the base 10,000, each an Int16.
pub(super) fn put_numeric(out: &mut String, bytes: &mut Bytes<'_>) -> Result<(), ValueError> {
    let (count, weight) = (bytes.i16()?, i32::from(bytes.i16()?));
    let (sign, decimals) = (bytes.i16()?.cast_unsigned(), bytes.i16()?);
    match sign {
        0xc000 => out.push_str("NaN"),
        0xd000 => out.push_str("Infinity"),
        0xf000 => out.push_str("-Infinity"),
        0x4000 => out.push('-'),
        0 => {}
        _ => return Err(ValueError::Malformed),
    }
    if sign >= 0xc000 {
        return Ok(());
    }
    let count = usize::try_from(count).map_err(|_| ValueError::Malformed)?;
    let decimals = usize::try_from(decimals).map_err(|_| ValueError::Malformed)?;
    let mut digits = Vec::with_capacity(count);
    for _ in 0..count {
        match bytes.i16()? {
            digit @ 0..10_000 => digits.push(digit),
            _ => return Err(ValueError::Malformed),
        }
    }
    // Returns the digit with this weight. The server leaves out zeros at the start and at the end, so a missing digit is 0.
    let digit =
        |of: i32| usize::try_from(weight - of).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    put(out, digit(weight.max(0)));
    for of in (0..weight).rev() {
        put(out, format_args!("{:04}", digit(of)));
    }
    if decimals > 0 {
        out.push('.');
        let start = out.len();
        let mut of = -1;
        while out.len() - start < decimals {
            put(out, format_args!("{:04}", digit(of)));
            of -= 1;
        }
        out.truncate(start + decimals);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_an_exponent_where_the_server_prints_one() {
        for (number, wide, expected) in [
            (0.0001, true, "0.0001"),
            (0.00001, true, "1e-05"),
            (1e14, true, "100000000000000"),
            (1e15, true, "1e+15"),
            (1.5e300, true, "1.5e+300"),
            (-0.0, true, "-0"),
            (f64::from(999_999f32), false, "999999"),
            (f64::from(1e6f32), false, "1e+06"),
            (f64::from(0.1f32), false, "0.1"),
            (f64::NAN, true, "NaN"),
        ] {
            let mut out = String::new();
            put_float(&mut out, number, wide);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn numerics_keep_their_digits() {
        let shown = |bytes: &[u8]| {
            let mut out = String::new();
            put_numeric(&mut out, &mut Bytes(bytes)).map(|()| out)
        };
        for (bytes, expected) in [
            (&b"\0\0\0\0\0\0\0\0"[..], "0"),
            (b"\0\0\0\0\0\0\0\x02", "0.00"),
            (b"\0\x03\0\x01\0\0\0\x01\x04\xd2\x16\x2e\x23\x28", "12345678.9"),
            (b"\0\x01\xff\xfe\x40\0\0\x05\x03\xe8", "-0.00001"),
            // The server does not send the zeros at the end of 100000000.
            (b"\0\x01\0\x02\0\0\0\0\0\x01", "100000000"),
            (b"\0\0\0\0\xc0\0\0\0", "NaN"),
            (b"\0\0\0\0\xf0\0\0\0", "-Infinity"),
        ] {
            assert_eq!(shown(bytes).as_deref(), Ok(expected));
        }
        assert_eq!(shown(b"\0\x01\0\0\0\0\0\0\x27\x10"), Err(ValueError::Malformed), "10,000 is no digit");
    }
}
