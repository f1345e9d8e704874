//! A server in memory that accepts and sends the data of COPY.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::source::{PIECE, away};

const READY: &[u8] = b"Z\0\0\0\x05I";

/// A stream to a server that answers every statement with a COPY of three columns: `COPY … TO` if the server has data, otherwise
/// `COPY … FROM`. The server only counts the bytes that it receives. The format is binary; the method [`text`](CopyServer::text) changes
/// the format to text.
pub(crate) struct CopyServer {
    /// The CopyData messages that answer a statement, in pieces.
    data: Vec<&'static [u8]>,
    is_text: bool,
    /// The bytes that the client has not read.
    replies: VecDeque<&'static [u8]>,
    reader: Option<Waker>,
    /// The received part of the header of the client's next message.
    head: Vec<u8>,
    /// The number of bytes of the current message that the server has not yet received.
    body: usize,
    is_starting: bool,
    is_simple: bool,
    is_copying: bool,
    copied: Copied,
}

/// The number of bytes of data that a [`CopyServer`] has received.
#[derive(Clone, Default)]
pub(crate) struct Copied(Arc<AtomicU64>);

impl Copied {
    /// Returns the number of bytes, and resets the number to 0.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl CopyServer {
    /// Creates a server that sends `data`, which must be whole CopyData messages.
    pub(crate) fn new(data: &[u8]) -> Self {
        Self {
            data: if data.is_empty() { Vec::new() } else { vec![away(data)] },
            is_text: false,
            replies: VecDeque::new(),
            reader: None,
            head: Vec::new(),
            body: 0,
            is_starting: true,
            is_simple: false,
            is_copying: false,
            copied: Copied::default(),
        }
    }

    /// Creates a server that sends `first`, then `times` repetitions of `again`, then `last`. Each argument must consist of whole CopyData
    /// messages.
    pub(crate) fn repeating(first: &[u8], again: &[u8], times: usize, last: &[u8]) -> Self {
        let again = away(again);
        let pieces = std::iter::once(away(first)).chain(std::iter::repeat_n(again, times));
        Self { data: pieces.chain([away(last)]).collect(), ..Self::new(&[]) }
    }

    /// Changes the format to text.
    pub(crate) fn text(self) -> Self {
        Self { is_text: true, ..self }
    }

    /// Skips the login, for a client that begins with a statement.
    pub(crate) fn after_login(self) -> Self {
        Self { is_starting: false, ..self }
    }

    /// Returns the counter of the received bytes.
    pub(crate) fn copied(&self) -> Copied {
        self.copied.clone()
    }

    fn reply(&mut self, bytes: &'static [u8]) {
        self.replies.push_back(bytes);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn received(&mut self, code: u8, length: usize) {
        match code {
            b'Q' | b'E' => {
                self.is_simple = code == b'Q';
                if self.data.is_empty() {
                    self.is_copying = true;
                    self.reply(if self.is_text {
                        b"G\0\0\0\x0d\0\0\x03\0\0\0\0\0\0"
                    } else {
                        b"G\0\0\0\x0d\x01\0\x03\0\x01\0\x01\0\x01"
                    });
                } else {
                    self.reply(if self.is_text {
                        b"H\0\0\0\x0d\0\0\x03\0\0\0\0\0\0"
                    } else {
                        b"H\0\0\0\x0d\x01\0\x03\0\x01\0\x01\0\x01"
                    });
                    for piece in self.data.clone() {
                        self.reply(piece);
                    }
                    self.reply(b"c\0\0\0\x04C\0\0\0\x0bCOPY 1\0");
                    if self.is_simple {
                        self.reply(READY);
                    }
                }
            }
            b'P' => self.reply(b"1\0\0\0\x04"),
            b'D' => self.reply(b"t\0\0\0\x06\0\0n\0\0\0\x04"),
            b'B' => self.reply(b"2\0\0\0\x04"),
            b'C' => self.reply(b"3\0\0\0\x04"),
            // As in PostgreSQL, a Sync is ignored while the client sends the data of a COPY.
            b'S' if !self.is_copying => self.reply(READY),
            b'd' => {
                self.copied.0.fetch_add(length as u64, Ordering::Relaxed);
            }
            b'c' => {
                self.is_copying = false;
                self.reply(b"C\0\0\0\x0bCOPY 1\0");
                if self.is_simple {
                    self.reply(READY);
                }
            }
            _ => {}
        }
    }
}

impl AsyncWrite for CopyServer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut rest = bytes;
        while !rest.is_empty() {
            let skipped = this.body.min(rest.len());
            this.body -= skipped;
            rest = &rest[skipped..];
            let Some((byte, tail)) = rest.split_first() else { break };
            this.head.push(*byte);
            rest = tail;
            let size = if this.is_starting { 4 } else { 5 };
            if this.head.len() == size {
                let code = if this.is_starting { 0 } else { this.head[0] };
                let length = this.head[size - 4..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                this.body = length.saturating_sub(4);
                this.head.clear();
                if this.is_starting {
                    this.is_starting = false;
                    this.reply(b"R\0\0\0\x08\0\0\0\0");
                    this.reply(READY);
                }
                this.received(code, this.body);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for CopyServer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(front) = self.replies.front_mut() else {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let count = front.len().min(space.remaining()).min(PIECE);
        let (piece, rest) = front.split_at(count);
        space.put_slice(piece);
        *front = rest;
        if rest.is_empty() {
            self.replies.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}
