//! A hook for the messages of a connection.

use crate::codec::frame::Frame;

use super::reply::Reply;

/// A hook for the messages that pass on a [`TrackedConnection`](crate::TrackedConnection): for traces, metrics and spans.
///
/// Each message is shown once, with the request to which it belongs: [`sent`](Self::sent) when it is committed to be sent, and
/// [`received`](Self::received) when the caller receives it. A span of a request begins with its number in `sent`, and ends with the
/// [last](Reply::last) reply that has this number, or with a reply that has a higher number: then the server has discarded the
/// request after an error.
///
/// The frames contain SQL, parameters and rows. The messages of the login are not shown, because a `TrackedConnection` begins after
/// the login.
///
/// The observer `()` does nothing, and costs nothing.
pub trait Observer {
    /// A message is about to be sent. `request` is its number, if the message is a [`Request`](super::Request).
    fn sent(&mut self, frame: Frame<'_>, request: Option<u64>);

    /// A message has been received. `reply` is the request to which it belongs; `None` for notices, notifications and parameters.
    fn received(&mut self, frame: Frame<'_>, reply: Option<Reply>);
}

impl Observer for () {
    #[inline(always)]
    fn sent(&mut self, _: Frame<'_>, _: Option<u64>) {}

    #[inline(always)]
    fn received(&mut self, _: Frame<'_>, _: Option<Reply>) {}
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn sent(&mut self, frame: Frame<'_>, request: Option<u64>) {
        (**self).sent(frame, request);
    }

    fn received(&mut self, frame: Frame<'_>, reply: Option<Reply>) {
        (**self).received(frame, reply);
    }
}

impl<O: Observer + ?Sized> Observer for alloc::boxed::Box<O> {
    fn sent(&mut self, frame: Frame<'_>, request: Option<u64>) {
        (**self).sent(frame, request);
    }

    fn received(&mut self, frame: Frame<'_>, reply: Option<Reply>) {
        (**self).received(frame, reply);
    }
}
