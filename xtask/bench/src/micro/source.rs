//! The bytes that the compared implementations read, and a stream that repeats them without end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pg_wire::backend::DataRow;
use pg_wire::{Encode, codec::Values};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of bytes that one read returns.
pub(crate) const PIECE: usize = 64 * 1024;

/// Copies `bytes` to an address in the middle of a page. Input buffers begin at the start of a page, and a copy between equal offsets in
/// two pages takes several times as long as a copy between different offsets.
pub(crate) fn away(bytes: &[u8]) -> &'static [u8] {
    const HALF: usize = 2048;
    let mut at_half = vec![0; HALF];
    at_half.extend_from_slice(bytes);
    &at_half.leak()[HALF..]
}

/// A stream in memory that repeats the same frames without end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endless {
    bytes: &'static [u8],
    at: usize,
}

impl Endless {
    /// A stream of `bytes`, which must be whole frames.
    pub(crate) fn new(bytes: &'static [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Copies the next bytes of the stream to `space`, and returns their number.
    #[inline]
    pub(crate) fn give(&mut self, space: &mut [u8]) -> usize {
        let piece = self.piece(space.len());
        space[..piece.len()].copy_from_slice(piece);
        piece.len()
    }

    /// Returns the next bytes of the stream: at most `most` bytes, and at most [`PIECE`] bytes.
    #[inline]
    pub(crate) fn piece(&mut self, most: usize) -> &'static [u8] {
        let rest = &self.bytes[self.at..];
        let piece = &rest[..rest.len().min(most).min(PIECE)];
        self.at += piece.len();
        if self.at == self.bytes.len() {
            self.at = 0;
        }
        piece
    }
}

impl io::Read for Endless {
    #[inline]
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        Ok(self.give(space))
    }
}

impl AsyncRead for Endless {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.give(space.initialize_unfilled());
        space.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Ignores writes. An implementation that reads rows sends nothing, but a connection needs a stream with both directions.
impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Frames for an [`Endless`] stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames {
    /// The bytes of the frames.
    pub(crate) bytes: &'static [u8],
    /// The number of frames.
    pub(crate) count: u64,
}

impl Frames {
    /// Calls `put` to append frames until the frames together have 512 KB. This is more than the first-level cache of a CPU holds, and less
    /// than the last-level cache holds.
    pub(crate) fn fill(mut put: impl FnMut(usize, &mut Vec<u8>)) -> Self {
        let mut bytes = Vec::new();
        let mut count = 0;
        while bytes.len() < 8 * PIECE {
            put(count, &mut bytes);
            count += 1;
        }
        Self { bytes: away(&bytes), count: count as u64 }
    }

    /// Sets the number of frames that a round reads. The stream repeats the same bytes until this number is reached. Precondition: `count`
    /// is a multiple of the present number of frames.
    pub(crate) fn repeated(self, count: u64) -> Self {
        Self { count, ..self }
    }

    /// A stream of these frames.
    pub(crate) fn endless(self) -> Endless {
        Endless::new(self.bytes)
    }
}

/// Rows with `columns` columns: numbers and texts of usual lengths, and some NULLs.
pub(crate) fn rows(columns: usize) -> anyhow::Result<Frames> {
    let mut failure = None;
    let frames = Frames::fill(|row, out| {
        let texts: Vec<Option<String>> = (0..columns).map(|column| text(row, column)).collect();
        let values: Vec<Option<&[u8]>> =
            texts.iter().map(|text| text.as_deref().map(str::as_bytes)).collect();
        let row = DataRow { values: Values::from(values.as_slice()) };
        failure = failure.take().or(row.encode(out).err());
    });
    failure.map_or(Ok(frames), |error| Err(error.into()))
}

/// The value in a row and a column, in text format. `None` is NULL.
pub(crate) fn text(row: usize, column: usize) -> Option<String> {
    let number = (row * 7919 + column * 104_729) % 1_000_003;
    match column % 8 {
        0 => Some(number.to_string()),
        1 => Some(format!("name of number {number}")),
        2 => Some((number % 100).to_string()),
        3 => Some(format!("2024-{:02}-{:02} 10:20:30.{number:06}", number % 12 + 1, number % 28 + 1)),
        4 => Some(if number.is_multiple_of(2) { "t" } else { "f" }.to_owned()),
        5 => (!number.is_multiple_of(4)).then(|| format!("{}.{:02}", number / 100, number % 100)),
        6 => Some("x".repeat(number % 30)),
        _ => Some((number * 4_000).to_string()),
    }
}
