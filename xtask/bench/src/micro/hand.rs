//! The limits: what one would write by hand for these very bytes, and nothing else.
//!
//! Memory safe (slices, no `unsafe` in reading), no more general than it has to be, and nothing is checked but what keeps
//! it from running off the end of the buffer. Writing is one reserve and plain stores through a pointer.

use anyhow::Result;

use super::source::{Frames, PIECE};
use super::touch::Touch;

/// A buffer that frames are walked in: the unfinished one is moved to the front before more is read behind it.
pub(crate) struct Walk {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Walk {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 2 * PIECE], start: 0, end: 0 }
    }

    /// Room for a piece.
    #[inline(always)]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.end + PIECE > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// So much of it is there now.
    #[inline(always)]
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Shows the code and the body of each whole frame to `see`.
    #[inline(always)]
    pub(crate) fn frames(&mut self, mut see: impl FnMut(u8, &[u8])) {
        let mut rest = &self.buffer[self.start..self.end];
        while let Some((&[code, a, b, c, d], behind)) = rest.split_first_chunk() {
            let body = (u32::from_be_bytes([a, b, c, d]) as usize).wrapping_sub(4);
            let Some((body, next)) = behind.split_at_checked(body) else { break };
            see(code, body);
            rest = next;
        }
        self.start = self.end - rest.len();
    }

    /// The whole frames that are there, in one piece; they count as taken.
    #[inline(always)]
    pub(crate) fn run(&mut self) -> &[u8] {
        let start = self.start;
        self.frames(|_, _| ());
        &self.buffer[start..self.start]
    }
}

/// Reads frames as 64 KB pieces arrive. `frames_of` looks at the values of all whole frames, and returns the number of frames.
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

/// Looks at every value of a row.
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

/// Room at the end of a buffer, written from front to back.
pub(crate) struct Pen(*mut u8);

impl Pen {
    /// Reserves room for `length` bytes behind what `out` holds, and lets `write` fill it.
    #[inline(always)]
    pub(crate) fn write(out: &mut Vec<u8>, length: usize, write: impl FnOnce(&mut Pen)) {
        out.reserve(length);
        let end = out.len();
        // SAFETY: `reserve` has made room for `length` bytes, which every caller here fills exactly.
        unsafe {
            let start = out.as_mut_ptr().add(end);
            let mut pen = Pen(start);
            write(&mut pen);
            debug_assert_eq!(pen.0, start.add(length));
            out.set_len(end + length);
        }
    }

    /// Stores bytes whose number is known when this is compiled.
    #[inline(always)]
    pub(crate) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        // SAFETY: within the room that was reserved.
        unsafe {
            self.0.cast::<[u8; N]>().write_unaligned(bytes);
            self.0 = self.0.add(N);
        }
    }

    /// Copies bytes.
    #[inline(always)]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // SAFETY: within the room that was reserved, which is nobody else's.
        unsafe {
            self.0.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.0 = self.0.add(bytes.len());
        }
    }

    /// Copies a value behind its length.
    #[inline(always)]
    pub(crate) fn value(&mut self, bytes: &[u8]) {
        self.put((bytes.len() as u32).to_be_bytes());
        self.bytes(bytes);
    }
}
