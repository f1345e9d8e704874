//! Inlined copies of short strings. Most names, statements and values are so short that the call of `memcpy` takes longer than
//! the copy itself.
//!
//! A string of N to 2N bytes is copied in two parts: the first N bytes and the last N bytes. The two parts may overlap.

/// Longest value in bytes that is copied inline. `memcpy` copies a longer value.
const VALUE: usize = 32;

/// Longest string in bytes that is copied without a call of `memcpy`. Higher than `VALUE`, because [`halves`] copies a string and searches
/// for NUL in one pass. With `memcpy`, the search would be a second pass.
const STRING: usize = 256;

/// Copies `from` to `to`. Precondition: both slices have the same length.
#[inline(always)]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        16..=VALUE => ends::<16>(to, from),
        8..16 => ends::<8>(to, from),
        4..8 => ends::<4>(to, from),
        0..4 => {
            three(to, from);
        }
        _ => to.copy_from_slice(from),
    }
}

/// Copies `from` to `to`. Returns true if `from` contains no NUL. Precondition: both slices have the same length.
#[inline(always)]
pub(crate) fn copy_text(to: &mut [u8], from: &[u8]) -> bool {
    match from.len() {
        16.. => copy_long_text(to, from),
        8..16 => {
            ends::<8>(to, from);
            nul_in(u64::from_ne_bytes(first(from))) | nul_in(u64::from_ne_bytes(last(from))) == 0
        }
        4..8 => {
            ends::<4>(to, from);
            let (first, last) = (u32::from_ne_bytes(first(from)), u32::from_ne_bytes(last(from)));
            nul_in(u64::from(first) << 32 | u64::from(last)) == 0
        }
        0..4 => three(to, from),
    }
}

/// Part of [`copy_text`] for strings of 16 bytes and more. Copies two overlapping halves. Out of line, because the time of the call is
/// short compared with the time of the copy.
#[inline(never)]
fn copy_long_text(to: &mut [u8], from: &[u8]) -> bool {
    // Lets the compiler prove that `to` and `from` have the same length.
    let Some(to) = to.get_mut(..from.len()) else { return false };
    match from.len() {
        0..32 => halves::<16>(to, from),
        32..64 => halves::<32>(to, from),
        64..96 => halves::<48>(to, from),
        96..128 => halves::<64>(to, from),
        128..=STRING => halves::<128>(to, from),
        _ => copy_very_long_text(to, from),
    }
}

/// Copies the first `N` bytes and the last `N` bytes. Returns true if none of these bytes is NUL.
#[inline(always)]
fn halves<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let mut seen = [u8::MAX; 16];
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        seen = half(to, from, seen);
    }
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        seen = half(to, from, seen);
    }
    !has_nul(&seen)
}

/// Copies `N` bytes in pieces of sixteen bytes. Byte `i` of the result is the smallest byte at index `i` of `seen` and of all pieces.
/// So the result contains a NUL if `seen` or one of the pieces contains a NUL.
///
/// The first four pieces are copied without a loop: the compiler would turn a loop into one copy of all bytes, and would then load each
/// piece again for the comparison.
#[inline(always)]
fn half<const N: usize>(to: &mut [u8; N], from: &[u8; N], seen: [u8; 16]) -> [u8; 16] {
    let (to, _) = to.as_chunks_mut();
    let (from, _) = from.as_chunks();
    let seen = piece(to.first_mut(), from.first(), seen);
    let seen = piece(to.get_mut(1), from.get(1), seen);
    let seen = piece(to.get_mut(2), from.get(2), seen);
    let mut seen = piece(to.get_mut(3), from.get(3), seen);
    if let (Some(to), Some(from)) = (to.get_mut(4..), from.get(4..)) {
        for (to, from) in to.iter_mut().zip(from) {
            seen = piece(Some(to), Some(from), seen);
        }
    }
    seen
}

#[inline(always)]
fn piece(to: Option<&mut [u8; 16]>, from: Option<&[u8; 16]>, seen: [u8; 16]) -> [u8; 16] {
    let (Some(to), Some(from)) = (to, from) else { return seen };
    // Loads the piece only once. A second load would come after the store to `to`, and would have to wait for this store.
    let from = *from;
    *to = from;
    least(seen, from)
}

/// Compares `a` and `b`, and returns the smaller byte at each index. The result has a NUL at each index at which `a` or `b` has a NUL.
#[inline(always)]
fn least<const N: usize>(mut a: [u8; N], b: [u8; N]) -> [u8; N] {
    a.iter_mut().zip(b).for_each(|(a, b)| *a = b.min(*a));
    a
}

#[cold]
#[inline(never)]
fn copy_very_long_text(to: &mut [u8], from: &[u8]) -> bool {
    to.copy_from_slice(from);
    memchr::memchr(0, from).is_none()
}

/// Returns the index of the first NUL. Searches the first 32 bytes inline, because most received strings are so short that the call of
/// `memchr` takes longer than the search itself.
#[inline]
pub(crate) fn find_nul(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 4;
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().take(NEAR).enumerate() {
        let nuls = nul_in(u64::from_le_bytes(*word));
        if nuls != 0 {
            return Some(8 * at + nuls.trailing_zeros() as usize / 8);
        }
    }
    let (looked, after) = match bytes.get(8 * NEAR..) {
        Some(after) => (8 * NEAR, memchr::memchr(0, after)),
        None => (bytes.len() - tail.len(), tail.iter().position(|byte| *byte == 0)),
    };
    after.map(|at| looked + at)
}

/// Whether any of the bytes is NUL. The loop has this form because the compiler then emits one vector comparison for all bytes.
#[inline(always)]
fn has_nul<const N: usize>(bytes: &[u8; N]) -> bool {
    let mut nuls = 0u32;
    for (at, byte) in bytes.iter().enumerate() {
        nuls |= u32::from(*byte == 0) << at;
    }
    nuls != 0
}

/// Returns a non-zero number if one of the eight bytes is zero. Subtracting 1 from each byte sets the highest bit of a zero byte (0 - 1 =
/// 255). `!word` excludes bytes in which the highest bit was set before the subtraction.
#[inline(always)]
fn nul_in(word: u64) -> u64 {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080
}

/// Copies the first `N` bytes and the last `N` bytes of `from` to the same positions in `to`.
#[inline(always)]
fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

/// Copies up to three bytes without a branch on the length: the first, the middle and the last byte. Returns true if none of these bytes is
/// NUL.
#[inline(always)]
fn three(to: &mut [u8], from: &[u8]) -> bool {
    let middle = from.len() / 2;
    let (Some(&a), Some(&b), Some(&c)) = (from.first(), from.get(middle), from.last()) else { return true };
    if let Some(to) = to.first_mut() {
        *to = a;
    }
    if let Some(to) = to.get_mut(middle) {
        *to = b;
    }
    if let Some(to) = to.last_mut() {
        *to = c;
    }
    (a != 0) & (b != 0) & (c != 0)
}

#[inline(always)]
fn first<const N: usize>(from: &[u8]) -> [u8; N] {
    from.first_chunk().copied().unwrap_or([0; N])
}

#[inline(always)]
fn last<const N: usize>(from: &[u8]) -> [u8; N] {
    from.last_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_nul_is_detected_at_every_position_and_no_other_byte_counts_as_nul() {
        for length in (0..70).chain([255, 256, 257, 300]) {
            for filler in [1, 0x7f, 0x80, 0x81, 0xff] {
                let mut text = vec![filler; length];
                let mut to = vec![0; length];
                assert!(copy_text(&mut to, &text), "{length} times {filler}");
                assert_eq!(to, text);
                for at in 0..length {
                    text[at] = 0;
                    assert!(!copy_text(&mut to, &text), "{at} of {length} among {filler}");
                    text[at] = filler;
                }
            }
        }
    }

    #[test]
    fn the_first_nul_is_found() {
        for length in 0..70 {
            for filler in [1, 0x7f, 0x80, 0x81, 0xff] {
                let mut bytes = vec![filler; length];
                assert_eq!(find_nul(&bytes), None, "{length} times {filler}");
                for at in (0..length).rev() {
                    // The loop runs from the last index to the first. Earlier rounds have left NULs at some higher indices, so `find_nul`
                    // must return the lowest index.
                    bytes[at] = 0;
                    assert_eq!(find_nul(&bytes), Some(at), "{at} of {length} among {filler}");
                    if at % 3 == 0 {
                        bytes[at] = filler;
                    }
                }
            }
        }
    }

    #[test]
    fn every_byte_is_copied_at_every_length() {
        for length in (0..70).chain([255, 256, 257, 300]) {
            let from: vec::Vec<u8> = (1..=length).map(|at| (at % 255 + 1) as u8).collect();
            let (mut value, mut text) = (vec![0; length], vec![0; length]);
            copy(&mut value, &from);
            assert!(copy_text(&mut text, &from));
            assert_eq!((&value, &text), (&from, &from), "{length}");
        }
    }
}
