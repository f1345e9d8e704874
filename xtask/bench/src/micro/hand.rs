//! Loops that are written by hand for exactly the bytes of a measurement. Such a loop is called a limit, because its time is the limit for
//! the libraries.
//!
//! The loops that read use slices and no `unsafe`. They only check that they read no byte after the end of the buffer. The loops that write
//! call `reserve` once, then store through a pointer.

use anyhow::Result;

use super::source::{Frames, PIECE};
use super::touch::Touch;

/// An input buffer. An incomplete frame at the end is moved to the front before more bytes are read.
pub(crate) struct Walk {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Walk {
    /// Creates an empty input buffer.
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 2 * PIECE], start: 0, end: 0 }
    }

    /// Returns free space for at least one piece.
    #[inline(always)]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.end + PIECE > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// Marks the first `count` bytes of the free space as received.
    #[inline(always)]
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Passes the code and the body of each whole frame to `see`, and removes these frames from the buffer.
    #[inline(always)]
    pub(crate) fn frames(&mut self, mut see: impl FnMut(u8, &[u8])) {
        let mut rest = &self.buffer[self.start..self.end];
        while let Some((&[code, a, b, c, d], after)) = rest.split_first_chunk() {
            let body = (u32::from_be_bytes([a, b, c, d]) as usize).wrapping_sub(4);
            let Some((body, next)) = after.split_at_checked(body) else { break };
            see(code, body);
            rest = next;
        }
        self.start = self.end - rest.len();
    }

    /// Removes all whole frames from the buffer, and returns their bytes as one slice.
    #[inline(always)]
    pub(crate) fn run(&mut self) -> &[u8] {
        let start = self.start;
        self.frames(|_, _| ());
        &self.buffer[start..self.start]
    }
}

/// Returns a closure that reads all `frames` once, in pieces of 64 KB, with a loop that is written by hand for these bytes. The times of
/// other implementations are compared with the time of this closure. `frames_of` reads the values of all whole frames in the buffer, and
/// returns the number of these frames.
pub(crate) fn limit(
    frames: Frames,
    frames_of: impl Fn(&mut Walk, &mut Touch) -> u64,
) -> impl FnMut() -> Result<u64> {
    let (mut source, mut walk) = (frames.endless(), Walk::new());
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(walk.space());
            walk.filled(count);
            seen += frames_of(&mut walk, &mut touch);
        }
        Ok(touch.sum())
    }
}

/// Reads every value of a row.
#[inline(always)]
pub(crate) fn row(body: &[u8], touch: &mut Touch) {
    let Some((count, mut rest)) = body.split_first_chunk() else { return };
    for _ in 0..u16::from_be_bytes(*count) {
        let Some((length, values)) = rest.split_first_chunk() else { return };
        let length = i32::from_be_bytes(*length);
        if length < 0 {
            touch.value(None);
            rest = values;
        } else {
            let (value, values) = values.split_at(length as usize);
            touch.value(Some(value));
            rest = values;
        }
    }
}

/// A pointer into the reserved space of a buffer. The pointer moves forward with each write.
pub(crate) struct Pen(*mut u8);

impl Pen {
    /// Appends `length` bytes to `out`. `write` must write exactly this number of bytes.
    #[inline(always)]
    pub(crate) fn write(out: &mut Vec<u8>, length: usize, write: impl FnOnce(&mut Pen)) {
        out.reserve(length);
        let end = out.len();
        // SAFETY: `reserve` has made room for `length` bytes, and every caller in the benchmark writes exactly `length` bytes.
        unsafe {
            let start = out.as_mut_ptr().add(end);
            let mut pen = Pen(start);
            write(&mut pen);
            debug_assert_eq!(pen.0, start.add(length));
            out.set_len(end + length);
        }
    }

    /// Writes bytes whose number is known at compile time.
    #[inline(always)]
    pub(crate) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        // SAFETY: the bytes are inside the reserved space (see `write`).
        unsafe {
            self.0.cast::<[u8; N]>().write_unaligned(bytes);
            self.0 = self.0.add(N);
        }
    }

    /// Writes bytes whose number is known only at run time.
    #[inline(always)]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // SAFETY: the bytes are inside the reserved space (see `write`), which does not overlap `bytes`.
        unsafe {
            self.0.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.0 = self.0.add(bytes.len());
        }
    }

    /// Writes the length of a value, then the value.
    #[inline(always)]
    pub(crate) fn value(&mut self, bytes: &[u8]) {
        self.put((bytes.len() as u32).to_be_bytes());
        self.bytes(bytes);
    }
}
