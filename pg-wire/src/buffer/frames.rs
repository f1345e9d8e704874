//! Consecutive frames as one slice.

use crate::buffer::header::Header;
use crate::codec::frame::Frame;

/// Consecutive whole frames as one slice, including their headers. [`Inbox::frames`](crate::Inbox::frames) lends this slice to a proxy,
/// which forwards the slice unchanged.
///
/// ```
/// use pg_wire::{Inbox, Limits, MessageCode};
///
/// let mut inbox = Inbox::new(Limits::BACKEND);
/// inbox.extend(b"1\0\0\0\x042\0\0\0\x04Z\0\0\0\x05");
/// let frames = inbox.frames()?.expect("two whole messages and the beginning of a third");
/// assert_eq!(frames.as_bytes(), b"1\0\0\0\x042\0\0\0\x04");
/// let codes: Vec<MessageCode> = frames.frames().map(|frame| frame.code).collect();
/// assert_eq!(codes, [MessageCode::PARSE_COMPLETE, MessageCode::BIND_COMPLETE]);
/// # Ok::<_, pg_wire::FrameError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    pub(crate) fn new(whole: &'a [u8]) -> Self {
        Self(whole)
    }

    /// Returns the bytes of all frames, including their headers.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Returns an iterator over the frames, in order.
    #[inline]
    pub fn frames(&self) -> FramesIter<'a> {
        FramesIter(self.0)
    }
}

impl<'a> IntoIterator for Frames<'a> {
    type Item = Frame<'a>;
    type IntoIter = FramesIter<'a>;

    #[inline]
    fn into_iter(self) -> FramesIter<'a> {
        self.frames()
    }
}

impl core::fmt::Debug for Frames<'_> {
    /// Prints only the codes and the lengths, because a body may contain a password or a row.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

/// Iterator over the frames of a [`Frames`].
#[derive(Clone, Debug)]
pub struct FramesIter<'a>(&'a [u8]);

impl<'a> Iterator for FramesIter<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let (header, rest) = Header::parse(self.0)?;
        let (body, rest) = rest.split_at_checked(header.body)?;
        self.0 = rest;
        Some(Frame { code: header.code, body })
    }
}
