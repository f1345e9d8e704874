//! The state of a session. A client, a proxy, or any other program that sees all messages of the session can track
//! the state.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::basic::code::MessageCode;
use crate::basic::enums::TransactionStatus;
use crate::basic::error::DecodeError;
use crate::codec::frame::Frame;
use crate::message::backend::{ErrorResponse, ParameterStatus, ReadyForQuery};

use super::parameters::Parameters;
use super::reply::{
    CopyDirection, NotIdle, Over, QueueFull, Reply, Step, Unexpected, UnexpectedKind, Waiting,
};
use super::request::Request;
use super::track::Track;

/// The state of a session, derived from the messages of both sides.
///
/// Pass each message to [`sent`](Self::sent) or [`received`](Self::received), in the order in which your program sees the messages. Pass a
/// client's message before you forward it. The program may be the client, a pooler or a proxy. See the [module](crate::session) for the
/// rules.
///
/// ```
/// use pg_wire::{Frame, MessageCode, session::{NotIdle, Request, SessionState, Waiting}};
///
/// let message = |code, body| Frame { code, body };
/// let mut state = SessionState::new();
/// state.sent(message(MessageCode::PARSE, b"\0select 1\0\0\0"))?;
/// assert_eq!(state.waiting(), Waiting::Flush); // No reply arrives before a Flush or a Sync.
/// state.sent(message(MessageCode::SYNC, b""))?;
/// assert_eq!(state.waiting(), Waiting::Reply);
///
/// let reply = state.received(message(MessageCode::PARSE_COMPLETE, b""))?.expect("a reply");
/// assert_eq!((reply.number, reply.request, reply.last), (0, Request::Parse, true));
/// assert_eq!(state.check_idle(), Err(NotIdle::Outstanding { ready: 1 }));
/// state.received(message(MessageCode::READY_FOR_QUERY, b"I"))?;
/// assert_eq!(state.check_idle(), Ok(()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionState {
    /// Fast path for repeated messages, such as DataRow. If the next message has this code, the state does not change, and
    /// [`received`](Self::received) returns this [`Reply`].
    repeatable: Option<(MessageCode, Reply)>,
    track: Track,
    /// Other possible states of the server. These states differ from each other and from `track`.
    others: Vec<Track>,
    status: TransactionStatus,
    over: Option<Over>,
    bounds: Bounds,
    parameters: Parameters,
}

/// Bounds on the memory of a [`SessionState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum number of runs in the queue of requests. A run takes 24 bytes. A run holds 16 requests in any order, or any number of
    /// repetitions of a pattern of up to 16 requests.
    ///
    /// Default 2,048: at least 32,000 requests in any order.
    pub runs: usize,
    /// Maximum number of bytes of all reported parameters together. Each parameter counts as its name, its value and 64 bytes.
    ///
    /// Default 65,536.
    pub parameters: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { runs: 2_048, parameters: 65_536 }
    }
}

/// Maximum number of possible states of the server that a [`SessionState`] tracks at the same time. If more states are possible, the
/// session is over ([`UnexpectedKind::TooUncertain`]).
const MOST_TRACKS: u64 = 8;

impl Default for SessionState {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionState {
    /// Creates the state of an idle session, whose connection phase has ended with ReadyForQuery.
    pub fn new() -> Self {
        Self {
            repeatable: None,
            track: Track::new(),
            others: Vec::new(),
            status: TransactionStatus::Idle,
            over: None,
            bounds: Bounds::default(),
            parameters: Parameters::default(),
        }
    }

    /// Creates the state of a session whose startup packet has been sent. The startup packet is request 0.
    pub fn starting() -> Self {
        let mut state = Self::new();
        state.track.push(Request::Startup, 1);
        state
    }

    /// Replaces the bounds. The new bounds apply from the next message on.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Updates the state from a message that the client sends. Returns the number of the message if the message is a [`Request`]. Requests
    /// are numbered in the order in which they are sent.
    ///
    /// Does not check whether the server will accept the message.
    ///
    /// # Errors
    /// When the queue of requests would exceed [`Bounds::runs`]. The state is then unchanged.
    #[inline]
    pub fn sent(&mut self, frame: Frame<'_>) -> Result<Option<u64>, QueueFull> {
        if frame.code == MessageCode::COPY_DATA {
            return Ok(None);
        }
        self.sent_other(frame)
    }

    #[inline(never)]
    fn sent_other(&mut self, frame: Frame<'_>) -> Result<Option<u64>, QueueFull> {
        match (frame.code, Request::of(frame)) {
            // The server reads no message after the end of the session, so the message gets no number.
            _ if self.over.is_some() => Ok(None),
            (MessageCode::TERMINATE, _) => {
                self.over = Some(Over::Terminated);
                Ok(None)
            }
            (MessageCode::FLUSH, None) => {
                self.tracks_mut().for_each(Track::flush);
                Ok(None)
            }
            (_, Some(request)) => {
                let number = self.track.next_number();
                if !self.track.push(request, self.bounds.runs) {
                    return Err(QueueFull);
                }
                // The queues of the other possible states are not checked against the limit: they contain only requests of the queue of
                // `track`. The same requests can be divided into runs differently, but this adds at most one run.
                self.others.iter_mut().for_each(|track| {
                    track.push(request, usize::MAX);
                });
                self.merge();
                Ok(Some(number))
            }
            (_, None) => Ok(None),
        }
    }

    /// Whether it is certain that [`sent`](Self::sent) will accept `messages` more messages, of any kind. If the result is false, `sent`
    /// may accept or reject these messages.
    pub fn has_room_for(&self, messages: usize) -> bool {
        // Each message adds at most one run.
        self.track.runs().saturating_add(messages) <= self.bounds.runs
    }

    /// Updates the state from a message of the server, and returns the request to which the message belongs. Returns `None` for notices,
    /// notifications and parameters, which belong to no request.
    ///
    /// After an ErrorResponse, the server may discard requests without a reply. The numbers of these requests are then missing in the
    /// results of this method.
    ///
    /// # Errors
    /// When the message does not fit the state. Then the session is [over](Over::Lost).
    #[inline]
    pub fn received(&mut self, frame: Frame<'_>) -> Result<Option<Reply>, Unexpected> {
        match self.repeatable {
            Some((code, reply)) if code == frame.code => Ok(Some(reply)),
            _ => self.received_other(frame),
        }
    }

    #[inline(never)]
    fn received_other(&mut self, frame: Frame<'_>) -> Result<Option<Reply>, Unexpected> {
        let received = match self.over {
            Some(over @ (Over::Fatal | Over::Lost)) => Err(UnexpectedKind::Over(over)),
            None | Some(Over::Terminated) => self.receive(frame),
        };
        self.repeatable = None;
        match received {
            Ok(reply) => {
                if let ([], Some((code, number, request))) = (&self.others[..], self.track.repeatable()) {
                    self.repeatable = Some((code, Reply { number, request, last: false, certain: true }));
                }
                Ok(reply)
            }
            Err(kind) => {
                if !matches!(kind, UnexpectedKind::Over(_)) {
                    self.over = Some(Over::Lost);
                    self.others = Vec::new();
                }
                Err(Unexpected { code: frame.code, kind })
            }
        }
    }

    fn receive(&mut self, frame: Frame<'_>) -> Result<Option<Reply>, UnexpectedKind> {
        let mut status = None;
        match frame.code {
            MessageCode::NOTICE_RESPONSE | MessageCode::NOTIFICATION_RESPONSE => return Ok(None),
            MessageCode::PARAMETER_STATUS => {
                let ParameterStatus { name, value } = frame.decode()?;
                self.parameters.set(name, value, self.bounds.parameters);
                return Ok(None);
            }
            MessageCode::READY_FOR_QUERY => status = Some(frame.decode::<ReadyForQuery>()?.status),
            MessageCode::ERROR_RESPONSE if self.is_fatal(frame)? => {
                let oldest = self.track.oldest();
                let certain = self.is_certain() && oldest.is_some();
                let reply = oldest.map(|(request, number)| Reply { number, request, last: true, certain });
                self.over = Some(Over::Fatal);
                return Ok(reply);
            }
            _ => {}
        }
        let reply = self.follow(frame.code)?;
        if let Some(status) = status {
            self.status = status;
        }
        Ok(Some(reply))
    }

    /// Whether an ErrorResponse ends the session. Before the first ReadyForQuery, every ErrorResponse ends the session.
    fn is_fatal(&self, frame: Frame<'_>) -> Result<bool, DecodeError> {
        let error: ErrorResponse<'_> = frame.decode()?;
        let starting = matches!(self.track.oldest(), Some((Request::Startup, _)));
        Ok(starting || error.fields.is_fatal())
    }

    /// Passes the message to each possible state of the server, and drops the states in which the server cannot have sent the message.
    fn follow(&mut self, code: MessageCode) -> Result<Reply, UnexpectedKind> {
        let oldest = self.track.oldest();
        if self.others.is_empty() {
            let place = self.track.receive(code).ok_or_else(|| unexpected(oldest))?;
            if place.maybe_swallowed == 0 {
                return Ok(Reply {
                    number: place.number,
                    request: place.request,
                    last: place.last,
                    certain: true,
                });
            }
            self.fork(place.maybe_swallowed)?;
            return Ok(Reply {
                number: place.number,
                request: place.request,
                last: place.last,
                certain: true,
            });
        }
        let mut tracks = core::mem::take(&mut self.others);
        tracks.insert(0, self.track.clone());
        let (mut reply, mut possible): (Option<Reply>, Vec<Track>) = (None, Vec::new());
        for mut track in tracks {
            let Some(place) = track.receive(code) else { continue };
            let reply = reply.get_or_insert(Reply {
                number: place.number,
                request: place.request,
                last: place.last,
                certain: true,
            });
            reply.certain &= (reply.number, reply.last) == (place.number, place.last);
            for swallowed in 0..=place.maybe_swallowed {
                if possible.len() as u64 >= MOST_TRACKS {
                    return Err(UnexpectedKind::TooUncertain);
                }
                let mut track = track.clone();
                if place.maybe_swallowed > 0 {
                    track.swallow(swallowed);
                }
                possible.push(track);
            }
        }
        let reply = reply.ok_or_else(|| unexpected(oldest))?;
        self.track = possible.remove(0);
        self.others = possible;
        self.merge();
        Ok(reply)
    }

    /// Adds possible states after a COPY has failed: one state for each possible number of Syncs that the server may have read and ignored
    /// as a part of the COPY.
    #[cold]
    fn fork(&mut self, maybe_swallowed: u64) -> Result<(), UnexpectedKind> {
        if maybe_swallowed >= MOST_TRACKS {
            return Err(UnexpectedKind::TooUncertain);
        }
        for swallowed in 1..=maybe_swallowed {
            let mut track = self.track.clone();
            track.swallow(swallowed);
            self.others.push(track);
        }
        self.track.swallow(0);
        self.merge();
        Ok(())
    }

    /// Drops states that are equal to another possible state.
    fn merge(&mut self) {
        if self.others.is_empty() {
            return;
        }
        let mut unlike: Vec<Track> = Vec::with_capacity(self.others.len());
        for track in self.others.drain(..) {
            if track != self.track && !unlike.contains(&track) {
                unlike.push(track);
            }
        }
        self.others = unlike;
    }

    fn tracks(&self) -> impl Iterator<Item = &Track> {
        core::iter::once(&self.track).chain(&self.others)
    }

    fn tracks_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        core::iter::once(&mut self.track).chain(&mut self.others)
    }
}

impl SessionState {
    /// Returns the transaction status that the last ReadyForQuery reported.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    /// Returns the parameters that the server has reported, with their current values.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Sets the value of a parameter that the server reported before this state was created.
    pub fn set_parameter(&mut self, name: crate::Text<'_>, value: crate::Text<'_>) {
        self.parameters.set(name, value, self.bounds.parameters);
    }

    /// Returns the request to which the next reply belongs, and its number. Returns `None` if no reply is outstanding.
    pub fn oldest(&self) -> Option<(Request, u64)> {
        self.track.oldest()
    }

    /// Returns the number of the next request to be sent.
    pub fn next_number(&self) -> u64 {
        self.track.next_number()
    }

    /// Returns how many ReadyForQuery will arrive if no request fails and no COPY ignores a Sync. The result is a range, because the
    /// possible states can differ in this number while the state is not [certain](Self::is_certain).
    pub fn outstanding_ready(&self) -> RangeInclusive<u64> {
        let (mut least, mut most) = (self.track.outstanding_ready(), self.track.outstanding_ready());
        for track in &self.others {
            least = least.min(track.outstanding_ready());
            most = most.max(track.outstanding_ready());
        }
        least..=most
    }

    /// Whether the server discards every message up to the next Sync, and no Sync has been sent. Also true if this is only possible.
    pub fn is_skipping(&self) -> bool {
        self.tracks().any(Track::skipping)
    }

    /// Returns the direction of the active COPY; `None` if no COPY is active.
    pub fn copy(&self) -> Option<CopyDirection> {
        self.track.copy()
    }

    /// Whether only one state of the server is possible.
    ///
    /// A COPY from the client ignores Sync. If such a COPY fails after a Sync was sent, the client does not know whether the server read
    /// the Sync before or after the error. A Sync read before the error was ignored, and no ReadyForQuery answers this Sync. A Sync read
    /// after the error is answered by ReadyForQuery. This state tracks both cases until a reply fits only one of the cases. The steps
    /// that [`next_step`](Self::next_step) returns lead to such a reply.
    pub fn is_certain(&self) -> bool {
        self.others.is_empty()
    }

    /// Returns the reason why the session is over; `None` if the session is not over.
    pub fn over(&self) -> Option<Over> {
        self.over
    }

    /// Returns what happens if the client waits for the server's next message now. Call this method before you wait: a message is certain
    /// to arrive only if the result is [`Waiting::Reply`].
    pub fn waiting(&self) -> Waiting {
        if self.over.is_some() {
            return Waiting::Over;
        }
        let waiting = self.track.waiting();
        if self.others.iter().all(|track| track.waiting() == waiting) { waiting } else { Waiting::Unknown }
    }

    /// Checks whether the session can be given to another user: no reply and no data is outstanding, and no transaction is open.
    ///
    /// Statements, temporary tables, settings and other objects of the session remain: `DISCARD ALL` removes these objects.
    ///
    /// # Errors
    /// The reason why the session is not idle. [`next_step`](Self::next_step) returns the steps to an idle session.
    pub fn check_idle(&self) -> Result<(), NotIdle> {
        let track = &self.track;
        if let Some(over) = self.over {
            return Err(NotIdle::Over(over));
        }
        if !self.is_certain() {
            return Err(NotIdle::Uncertain);
        }
        if let Some(copy) = track.copy() {
            return Err(NotIdle::Copy(copy));
        }
        if track.oldest().is_some() {
            return Err(NotIdle::Outstanding { ready: track.outstanding_ready() });
        }
        if track.skipping() {
            return Err(NotIdle::Skipping);
        }
        if track.unsynced() {
            return Err(NotIdle::Unsynced);
        }
        match self.status {
            TransactionStatus::Idle => Ok(()),
            status => Err(NotIdle::Transaction(status)),
        }
    }

    /// Returns the next step on the way to an idle session; `None` when the session is idle. Perform the step, pass the messages of the
    /// step to the state, and call this method again.
    ///
    /// The steps abandon a COPY from the client, and roll back an open transaction. All remaining rows of a running statement have to be
    /// received. Send a cancel request if there can be very many rows.
    ///
    /// ```
    /// use pg_wire::{Frame, MessageCode, session::{SessionState, Step}};
    ///
    /// let message = |code, body| Frame { code, body };
    /// let mut state = SessionState::new();
    /// state.sent(message(MessageCode::QUERY, b"copy t from stdin\0"))?;
    /// state.received(message(MessageCode::COPY_IN_RESPONSE, b"\0\0\0"))?;
    /// assert_eq!(state.next_step()?, Some(Step::CopyFail));
    /// state.sent(message(MessageCode::COPY_FAIL, b"abandoned\0"))?;
    /// assert_eq!(state.next_step()?, Some(Step::Receive));
    /// state.received(message(MessageCode::ERROR_RESPONSE, b"VERROR\0C57014\0\0"))?;
    /// state.received(message(MessageCode::READY_FOR_QUERY, b"I"))?;
    /// assert_eq!(state.next_step()?, None);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the session is over.
    pub fn next_step(&self) -> Result<Option<Step>, Over> {
        if let Some(over) = self.over {
            return Err(over);
        }
        if let Some(copy) = self.tracks().find_map(Track::needs_copy_end) {
            return Ok(Some(match copy {
                CopyDirection::Both => Step::CopyDone,
                CopyDirection::In | CopyDirection::Out => Step::CopyFail,
            }));
        }
        if self.tracks().any(Track::needs_sync) {
            return Ok(Some(Step::Sync));
        }
        if !self.is_certain() && self.tracks().any(|track| track.oldest().is_none()) {
            // The EmptyQueryResponse to an empty Query shows which of the possible states is the real one. But if an outstanding request
            // can also receive an EmptyQueryResponse, that reply shows nothing. So the next step is then a Close.
            let ambiguous = self.tracks().filter_map(Track::oldest);
            let ambiguous = ambiguous.map(|(request, _)| request).any(Request::can_be_empty);
            return Ok(Some(if ambiguous { Step::ClosePortal } else { Step::Query("") }));
        }
        if self.tracks().any(|track| track.oldest().is_some()) {
            return Ok(Some(Step::Receive));
        }
        Ok((self.status != TransactionStatus::Idle).then_some(Step::Query("ROLLBACK")))
    }
}

#[cold]
fn unexpected(oldest: Option<(Request, u64)>) -> UnexpectedKind {
    match oldest {
        Some((request, number)) => UnexpectedKind::NotAReply { number, request },
        None => UnexpectedKind::Unasked,
    }
}

impl From<DecodeError> for UnexpectedKind {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}
