//! Checks the messages of a session with `SessionState`, the model of a session in `pg-wire`.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use pg_wire::session::{QueueFull, SessionState, Unexpected};
use pg_wire::{Direction, Frame};

/// The check of one session with a `SessionState`. Both directions of the connection pass their messages to this check.
///
/// A client's message is passed to the `SessionState` before it is forwarded to the server. So the `SessionState` sees each request before
/// its reply.
pub(crate) struct Watch(Mutex<Option<SessionState>>);

/// The reason why the check of a session ends. Either the `SessionState` does not expect a message, or so many requests wait for replies
/// that the `SessionState` cannot store another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disagreement {
    Unexpected(Unexpected),
    QueueFull(QueueFull),
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(error) => error.fmt(f),
            Self::QueueFull(error) => error.fmt(f),
        }
    }
}

impl Watch {
    /// Creates the state of a session whose startup packet has been sent.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(SessionState::starting())))
    }

    /// Passes messages to the `SessionState`. The first error ends the check: the `SessionState` is dropped, and later messages are not
    /// checked.
    pub(crate) fn feed<'f>(
        &self,
        direction: Direction,
        frames: impl IntoIterator<Item = Frame<'f>>,
    ) -> Result<(), Disagreement> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = guard.as_mut() else { return Ok(()) };
        for frame in frames {
            let fed = match direction {
                Direction::Frontend => state.sent(frame).map(drop).map_err(Disagreement::QueueFull),
                Direction::Backend => state.received(frame).map(drop).map_err(Disagreement::Unexpected),
            };
            if let Err(disagreement) = fed {
                *guard = None;
                return Err(disagreement);
            }
        }
        Ok(())
    }
}
