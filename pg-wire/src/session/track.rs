//! The rules of a session, applied to one possible state of the server.

use crate::basic::code::MessageCode;

use super::queue::Queue;
use super::reply::{CopyDirection, Waiting};
use super::request::Request;

/// A possible state of the server after the messages so far.
///
/// In most cases only one state is possible. After a failed COPY, several states can be possible; see [`receive`](Self::receive).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Track {
    /// The request that has received some but not all of its replies, and its number.
    current: Option<(Request, u64)>,
    phase: Phase,
    /// Requests that have received no reply. If `current` is `None`, the server replies to the first request of the queue, because
    /// [`settle`](Self::settle) drops the requests that the server ignores.
    queue: Queue,
    /// Number of the first request in the queue. If the queue is empty, the number of the next request to be sent.
    front: u64,
    /// The server sends all replies to the requests with numbers below this number, without waiting for a further message of the client.
    /// The reason: the client has sent a Flush after these requests, or the replies to the last of these requests end with ReadyForQuery.
    flushed: u64,
    /// Whether the server discards every message up to the next Sync. If so, the queue is empty.
    skipping: bool,
    /// Whether the server has replied to a request of the extended query protocol since the last ReadyForQuery.
    unsynced: bool,
}

/// Replies that the current request can receive next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Next: the first reply to the request.
    Begin,
    /// Next: the result of the next statement of a Query, or the end of the Query.
    Between,
    /// Next: a row, or the end of the rows.
    Rows,
    /// Next: the description of the rows. The description of the parameters has been received.
    Described,
    /// Next: the end of a COPY in which the client sends data.
    CopyIn,
    /// Next: data of a COPY, or the end of the COPY. The server sends data.
    CopyOut,
    /// Next: data of replication, or the end of replication. Both sides send data.
    CopyBoth,
    /// Next: the rest of a replicated transaction, or the results of the replication command. The server has already sent its CopyDone.
    CopyBothDone,
    /// Next: ReadyForQuery, which is the last reply.
    Finishing,
}

/// The request to which a reply belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) request: Request,
    pub(super) last: bool,
    /// After a COPY FROM STDIN has failed: the number of Syncs that the server may have read and ignored as a part of the COPY.
    pub(super) maybe_swallowed: u64,
}

impl Track {
    pub(super) fn new() -> Self {
        Self {
            current: None,
            phase: Phase::Begin,
            queue: Queue::default(),
            front: 0,
            flushed: 0,
            skipping: false,
            unsynced: false,
        }
    }

    /// Returns the number of the next request to be sent.
    pub(super) fn next_number(&self) -> u64 {
        self.front + self.queue.len()
    }

    /// Returns the number of runs in the queue. A run is a pattern of up to 16 requests, which can be repeated.
    pub(super) fn runs(&self) -> usize {
        self.queue.runs()
    }

    /// Updates the state after a request has been sent. If the queue is full, returns false, and the state is unchanged.
    pub(super) fn push(&mut self, request: Request, most: usize) -> bool {
        if !self.queue.push(request, most) {
            return false;
        }
        if request.ends_with_ready() {
            self.flushed = self.next_number();
        }
        self.settle();
        true
    }

    /// Updates the state after a Flush has been sent.
    pub(super) fn flush(&mut self) {
        self.flushed = self.next_number();
    }

    /// Drops the requests at the front of the queue that the server ignores.
    pub(super) fn settle(&mut self) {
        if self.current.is_some() {
            return;
        }
        loop {
            if self.skipping {
                self.front += self.queue.drop_until_sync();
                self.skipping = self.queue.front().is_none();
            }
            // Outside a COPY the server ignores CopyDone and CopyFail: the client may have sent them before it knew that the COPY failed.
            if self.queue.front() != Some(Request::CopyEnd) {
                return;
            }
            self.drop_front();
        }
    }

    fn drop_front(&mut self) -> Option<Request> {
        let request = self.queue.pop()?;
        self.front += 1;
        Some(request)
    }

    /// Updates the state from a reply: any message of a server except notices, notifications and parameters. Returns `None` if a server in
    /// this state cannot have sent the reply; the state must then be dropped.
    ///
    /// After an error in COPY FROM STDIN, the client does not know how far the server had read. If a Sync was sent before the CopyDone or
    /// CopyFail, there are two possibilities: the server ignored the Sync as a part of the COPY, or the server will reply to the Sync. In
    /// this case [`Place::maybe_swallowed`] is not 0, and the caller creates a copy of the state for each possible number of ignored Syncs;
    /// see [`swallow`](Self::swallow).
    pub(super) fn receive(&mut self, code: MessageCode) -> Option<Place> {
        let (request, number) = match self.current {
            Some(current) => current,
            None => {
                let number = self.front;
                let current = (self.drop_front()?, number);
                self.current = Some(current);
                self.phase = Phase::Begin;
                current
            }
        };
        let mut maybe_swallowed = 0;
        let next = if code == MessageCode::ERROR_RESPONSE {
            if self.phase == Phase::CopyIn {
                maybe_swallowed = self.queue.first_but_sync().map_or(self.queue.len(), |(place, _)| place);
            }
            self.skipping |= request.is_extended();
            request.ends_with_ready().then_some(Phase::Finishing)
        } else {
            self.reply(request, code)?
        };
        match next {
            Some(phase) => self.phase = phase,
            None => {
                self.current = None;
                self.phase = Phase::Begin;
                self.unsynced = request.is_extended();
                if maybe_swallowed == 0 {
                    self.settle();
                }
            }
        }
        Some(Place { number, request, last: next.is_none(), maybe_swallowed })
    }

    /// Returns the phase after a reply. Returns `Some(None)` if this reply is the last reply to the request, and `None` if the reply does
    /// not fit the current phase.
    fn reply(&mut self, request: Request, code: MessageCode) -> Option<Option<Phase>> {
        use MessageCode as C;
        use Phase::{Begin, Between, CopyBoth, CopyBothDone, CopyIn, CopyOut, Described, Finishing, Rows};
        use Request as R;

        Some(match (request, self.phase, code) {
            (R::Startup, Begin, C::READY_FOR_QUERY) => None,
            (R::Startup, Begin, C::AUTHENTICATION | C::NEGOTIATE_PROTOCOL_VERSION | C::BACKEND_KEY_DATA) => {
                Some(Begin)
            }

            (R::Parse, Begin, C::PARSE_COMPLETE)
            | (R::Bind, Begin, C::BIND_COMPLETE)
            | (R::Close, Begin, C::CLOSE_COMPLETE)
            | (R::DescribePortal, Begin, C::ROW_DESCRIPTION | C::NO_DATA)
            | (R::DescribeStatement, Described, C::ROW_DESCRIPTION | C::NO_DATA)
            | (R::Execute, Begin, C::EMPTY_QUERY_RESPONSE)
            | (R::Execute, Begin | Rows | Between, C::COMMAND_COMPLETE)
            | (R::Execute, Begin | Rows, C::PORTAL_SUSPENDED)
            | (R::Sync, Begin | Finishing, C::READY_FOR_QUERY)
            | (R::FunctionCall, Finishing, C::READY_FOR_QUERY)
            | (R::Query, Between | Finishing, C::READY_FOR_QUERY) => None,

            (R::DescribeStatement, Begin, C::PARAMETER_DESCRIPTION) => Some(Described),
            (R::FunctionCall, Begin, C::FUNCTION_CALL_RESPONSE) => Some(Finishing),
            (R::Execute, Begin | Rows, C::DATA_ROW) | (R::Query, Rows, C::DATA_ROW) => Some(Rows),

            (R::Query, Begin | Between, C::ROW_DESCRIPTION) => Some(Rows),
            (R::Query, Begin | Between | Rows, C::COMMAND_COMPLETE) => Some(Between),
            (R::Query, Begin, C::EMPTY_QUERY_RESPONSE) => Some(Between),

            (R::Execute, Begin, C::COPY_IN_RESPONSE) => Some(CopyIn),
            (R::Execute, Begin, C::COPY_OUT_RESPONSE) => Some(CopyOut),
            (R::Query, Begin | Between, C::COPY_IN_RESPONSE) => Some(CopyIn),
            (R::Query, Begin | Between, C::COPY_OUT_RESPONSE) => Some(CopyOut),
            (R::Query, Begin | Between, C::COPY_BOTH_RESPONSE) => Some(CopyBoth),
            // If replication ends in the middle of a transaction, the server sends the rest of the transaction after its CopyDone.
            (_, CopyOut | CopyBoth | CopyBothDone, C::COPY_DATA) => Some(self.phase),
            (_, CopyOut, C::COPY_DONE) => Some(Between),
            (_, CopyBoth, C::COPY_DONE) => Some(CopyBothDone),
            (_, CopyIn, C::COMMAND_COMPLETE) => {
                self.take_copy_end()?;
                (request == R::Query).then_some(Between)
            }
            (_, CopyBothDone, C::COMMAND_COMPLETE) => {
                self.take_copy_end()?;
                Some(Between)
            }
            // At the end of a timeline in physical replication, the server sends a row with the next timeline.
            (_, CopyBothDone, C::ROW_DESCRIPTION) => {
                self.take_copy_end()?;
                Some(Rows)
            }
            _ => return None,
        })
    }

    /// Removes the client's CopyDone from the queue, because a reply shows that the server has read the CopyDone. Also removes each Sync
    /// before the CopyDone, because the server has ignored these Syncs.
    fn take_copy_end(&mut self) -> Option<()> {
        loop {
            match self.drop_front()? {
                Request::Sync => {}
                Request::CopyEnd => return Some(()),
                // The server ends the session if it reads any other message in a COPY.
                _ => return None,
            }
        }
    }

    /// Drops the first `count` Syncs of the queue, because the server has read these Syncs as a part of the COPY that failed.
    pub(super) fn swallow(&mut self, count: u64) {
        for _ in 0..count {
            self.drop_front();
        }
        self.settle();
    }

    /// Returns the code of a message that does not change the state, even if the message arrives repeatedly. Also returns the request to
    /// which the message belongs, and its number.
    pub(super) fn repeatable(&self) -> Option<(MessageCode, u64, Request)> {
        let (request, number) = self.current?;
        match self.phase {
            Phase::Rows => Some((MessageCode::DATA_ROW, number, request)),
            Phase::CopyOut | Phase::CopyBoth => Some((MessageCode::COPY_DATA, number, request)),
            _ => None,
        }
    }

    /// Returns the request to which the next reply belongs, and its number.
    pub(super) fn oldest(&self) -> Option<(Request, u64)> {
        self.current.or_else(|| self.queue.front().map(|request| (request, self.front)))
    }

    /// Returns the number of ReadyForQuery that will arrive if no request fails and no COPY ignores a Sync.
    pub(super) fn outstanding_ready(&self) -> u64 {
        let current = self.current.is_some_and(|(request, _)| request.ends_with_ready());
        u64::from(current) + self.queue.ready()
    }

    pub(super) fn skipping(&self) -> bool {
        self.skipping
    }

    pub(super) fn unsynced(&self) -> bool {
        self.unsynced
    }

    pub(super) fn copy(&self) -> Option<CopyDirection> {
        match self.phase {
            _ if self.current.is_none() => None,
            Phase::CopyIn => Some(CopyDirection::In),
            Phase::CopyOut => Some(CopyDirection::Out),
            Phase::CopyBoth | Phase::CopyBothDone => Some(CopyDirection::Both),
            _ => None,
        }
    }

    /// Returns the direction of the active COPY if the client must still end the COPY: the client sends data, and has sent no request
    /// except Sync. Any other request ends the COPY (CopyDone or CopyFail), or makes the server end the session.
    pub(super) fn needs_copy_end(&self) -> Option<CopyDirection> {
        let copy = self.copy().filter(|copy| *copy != CopyDirection::Out)?;
        self.queue.first_but_sync().is_none().then_some(copy)
    }

    /// Whether the client has to send a Sync, because no Sync, Query or FunctionCall follows the last request of the extended query
    /// protocol. A Sync that a COPY ignores is not counted.
    pub(super) fn needs_sync(&self) -> bool {
        if self.skipping {
            return true;
        }
        let in_copy = self.copy() == Some(CopyDirection::In);
        let end = if in_copy { self.queue.first_but_sync() } else { None };
        let from = end.map_or(if in_copy { self.queue.len() } else { 0 }, |(place, _)| place);
        match self.queue.last_request(from) {
            Some(request) => request.is_extended(),
            None => self.current.map_or(self.unsynced, |(request, _)| request.is_extended()),
        }
    }

    /// Returns what happens if the client waits for the server's next message now.
    pub(super) fn waiting(&self) -> Waiting {
        let flushed = |number: u64| if number < self.flushed { Waiting::Reply } else { Waiting::Flush };
        match (self.oldest(), self.copy()) {
            (None, _) if self.skipping => Waiting::Sync,
            (None, _) if self.unsynced => Waiting::Sync,
            (None, _) => Waiting::Nothing,
            (Some((request, _)), Some(CopyDirection::In)) => match self.queue.first_but_sync() {
                None => Waiting::CopyData,
                Some((place, Request::CopyEnd)) if request.is_extended() => flushed(self.front + place),
                // The queue contains the end of the COPY, or a message for which the server ends the session.
                Some(_) => Waiting::Reply,
            },
            (Some(_), Some(CopyDirection::Both)) if self.queue.first_but_sync().is_none() => match self.phase
            {
                Phase::CopyBoth => Waiting::Replication,
                _ => Waiting::CopyData,
            },
            (Some((_, number)), _) => flushed(number),
        }
    }
}
