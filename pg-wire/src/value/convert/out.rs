//! Functions that append to a binary form.

use alloc::vec::Vec;

use crate::value::Mismatch;

/// Length of a NULL in an array or a composite.
pub(super) const NULL: [u8; 4] = (-1i32).to_be_bytes();

/// Appends bytes. Cannot fail, but returns a `Result`, so that a function that converts can end with this call.
pub(super) fn append(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) -> Result<(), Mismatch> {
    out.extend(bytes.as_ref());
    Ok(())
}

/// Appends an Int32 length, and then the bytes that `write` appends. The length is the number of these bytes.
pub(super) fn sized(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    let start = out.len();
    out.extend([0; 4]);
    write(out)?;
    let written = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut);
    let (length, bytes) = written.ok_or(Mismatch::Malformed)?;
    *length = count(bytes.len())?;
    Ok(())
}

/// Returns a length or a count as an Int32. If the number does not fit in an Int32, the value has no binary form.
pub(super) fn count(number: usize) -> Result<[u8; 4], Mismatch> {
    i32::try_from(number).map(i32::to_be_bytes).map_err(|_| Mismatch::Malformed)
}
