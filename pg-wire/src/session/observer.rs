//! A hook for the messages of a connection.

use crate::codec::frame::Frame;

use super::reply::Reply;

/// A hook for the messages that a [`TrackedConnection`](crate::TrackedConnection) sends and receives. Use an observer for traces, metrics
/// and spans.
///
/// The observer receives each message once, with the request to which the message belongs. [`sent`](Self::sent) is called when a message is
/// committed for sending, and [`received`](Self::received) when the caller receives a message. The span of a request begins when `sent` is
/// called with the number of the request. The span ends with the [last](Reply::last) reply that has this number. The span also ends with a
/// reply that has a higher number: then the server has discarded the request after an error.
///
/// The frames contain SQL, parameters and rows. The messages of the login are not passed to the observer, because a `TrackedConnection`
/// begins after the login.
///
/// The observer `()` does nothing, and has no cost.
pub trait Observer {
    /// Called before a message is sent. `request` is the number of the message, if the message is a [`Request`](super::Request).
    fn sent(&mut self, frame: Frame<'_>, request: Option<u64>);

    /// Called after a message has been received. `reply` describes the request to which the message belongs; `None` for notices,
    /// notifications and parameters.
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
