//! Inspects the messages of one direction.

use std::ops::Range;

use pg_wire::backend::{Authentication, DataRow};
use pg_wire::frontend::{
    AuthenticationResponse, GssResponse, PasswordMessage, SaslInitialResponse, SaslResponse,
};
use pg_wire::{DecodeError, Direction, Frame, Message, MessageCode, Outbox, buffer::Frames};

use crate::failure::Party;
use crate::session::Context;

/// Number of bytes of messages after which the encoded bytes are compared with the received bytes. The number is small, so that the bytes
/// to compare are still in the CPU cache.
const AT_ONCE: usize = 8 * 1024;

/// Capacity, in bytes, that the buffer for encoding keeps after a comparison. If a longer message has made the buffer larger, the
/// additional memory is freed, because the connection may now be idle for hours.
const RETAIN: usize = 64 * 1024;

/// Inspects the messages of one direction: decodes each message, writes it to the trace, encodes it again and compares the bytes.
///
/// The values of a row or a Bind are checked, but not encoded one by one: they are copied as one block. So the comparison does not test the
/// encoding of values.
pub(crate) struct Inspector<'c> {
    context: &'c Context,
    direction: Direction,
    /// Received messages, encoded again for the comparison.
    again: Outbox,
    /// Whether a message that cannot be decoded has already been reported. Later messages of this kind are not reported.
    malformed: bool,
    /// Whether a message whose bytes changed when it was encoded again has already been reported. Later differences are not reported.
    mismatched: bool,
}

/// The kind of a client's message with the code `p`, which all responses to authentication requests share. The kind follows from the
/// server's last authentication request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Password,
    SaslInitial,
    Sasl,
    Gss,
    /// The response to an unknown authentication request.
    Any,
}

impl Response {
    /// Returns the kind of response to an authentication request, or `None` if the client must not respond to the request.
    pub(crate) fn to(request: &Authentication<'_>) -> Option<Self> {
        match request {
            Authentication::Ok | Authentication::SaslFinal(_) => None,
            Authentication::CleartextPassword | Authentication::Md5Password { .. } => Some(Self::Password),
            Authentication::Sasl(_) => Some(Self::SaslInitial),
            Authentication::SaslContinue(_) => Some(Self::Sasl),
            Authentication::Gss | Authentication::Sspi | Authentication::GssContinue(_) => Some(Self::Gss),
            _ => Some(Self::Any),
        }
    }
}

impl<'c> Inspector<'c> {
    pub(crate) fn new(context: &'c Context, direction: Direction) -> Self {
        Self { context, direction, again: Outbox::new(RETAIN), malformed: false, mismatched: false }
    }

    /// Creates an inspector for the opening phase. The inspector wipes its memory before freeing it, because the memory may contain a
    /// password.
    pub(crate) fn wiping(context: &'c Context, direction: Direction) -> Self {
        let mut inspector = Self { again: Outbox::new(0), ..Self::new(context, direction) };
        inspector.again.set_wiping(true);
        inspector
    }

    /// Inspects all messages of a run. A run contains the complete messages that one read has returned.
    pub(crate) fn run(&mut self, run: Frames<'_>) {
        let (mut end, mut compared, mut decoded) = (0, 0, 0);
        for frame in run {
            decoded += u64::from(self.frame(frame));
            end += frame.wire_len();
            if end - compared >= AT_ONCE {
                self.compare(run, compared..end);
                compared = end;
            }
        }
        self.compare(run, compared..end);
        self.context.watch(self.direction, run);
        self.context.tally().decoded(decoded);
        self.context.trace.flush();
    }

    /// Records that the sender has closed its stream.
    pub(crate) fn closed(&self) {
        self.context.trace.record().closed(self.direction);
    }

    /// Decodes a message, writes it to the trace and encodes it again. Returns false if the message cannot be decoded.
    #[inline(always)]
    fn frame(&mut self, frame: Frame<'_>) -> bool {
        let Self { context, direction, again, .. } = self;
        match decode(*direction, frame, &mut TraceAndEncode { context, direction: *direction, again }) {
            Ok(_) => true,
            Err(error) => {
                self.malformed(frame.body.len() + 4, &error);
                // The received bytes of the message serve as its encoding, so that the messages before and after it can still be compared.
                self.again.put(&frame);
                false
            }
        }
    }

    /// Reports a message that cannot be decoded. `length` is the value of its length field.
    ///
    /// The message is complete, so the proxy finds the next message. The proxy passes the message on, and its receiver may reject it.
    #[cold]
    pub(crate) fn malformed(&mut self, length: usize, error: &DecodeError) {
        self.context.tally().malformed();
        self.context.trace.malformed(self.direction, length, error);
        self.context.trace.flush();
        // Prints at most one line per connection and direction: after one malformed message, a sender usually sends more of them.
        if !std::mem::replace(&mut self.malformed, true) {
            let sender = Party::sender(self.direction);
            self.context.say(format_args!("from {sender}, forwarded unchanged: {error}"));
        }
    }

    /// Compares the bytes `range` of `run` with the same messages after they were encoded again.
    fn compare(&mut self, run: Frames<'_>, range: Range<usize>) {
        let same =
            self.again.commit().is_ok() && run.as_bytes().get(range.clone()) == Some(self.again.pending());
        self.again.sent(self.again.pending().len());
        if !same {
            self.search(run, range);
        }
    }

    /// Encodes the messages in the range one by one, and reports each message whose encoding differs from its received bytes.
    #[cold]
    fn search(&mut self, run: Frames<'_>, range: Range<usize>) {
        let mut at = 0;
        for frame in run {
            if range.contains(&at)
                && let Ok(name) = decode(self.direction, frame, &mut self.again)
            {
                self.compare_one(name, Some(frame.code), frame.body);
            }
            at += frame.wire_len();
        }
    }

    /// Inspects a message from a client during authentication. A message with the code `p` is of the kind `response`.
    pub(crate) fn response(&mut self, frame: Frame<'_>, response: Response) {
        match self.try_response(frame, response) {
            Ok(()) => self.decoded(),
            Err(error) => self.malformed(frame.body.len() + 4, &error),
        }
    }

    fn try_response(&mut self, frame: Frame<'_>, response: Response) -> Result<(), DecodeError> {
        if frame.code != MessageCode::AUTHENTICATION_RESPONSE {
            // The message is not a response to an authentication request. The client has sent a request before its session has begun.
            self.context.watch(self.direction, [frame]);
            self.again(&frame.frontend()?, frame.body);
            return Ok(());
        }
        match response {
            Response::Password => self.again(&frame.decode::<PasswordMessage<'_>>()?, frame.body),
            Response::SaslInitial => self.again(&frame.decode::<SaslInitialResponse<'_>>()?, frame.body),
            Response::Sasl => self.again(&frame.decode::<SaslResponse<'_>>()?, frame.body),
            Response::Gss => self.again(&frame.decode::<GssResponse<'_>>()?, frame.body),
            Response::Any => self.again(&frame.decode::<AuthenticationResponse<'_>>()?, frame.body),
        }
        Ok(())
    }

    /// Inspects a message that the caller has decoded: encodes the message again, and compares the result with the received body.
    pub(crate) fn message<M: Message + ?Sized>(&mut self, message: &M, body: &[u8]) {
        self.again(message, body);
        self.decoded();
    }

    fn decoded(&self) {
        self.context.tally().decoded(1);
        self.context.trace.flush();
    }

    fn again<M: Message + ?Sized>(&mut self, message: &M, body: &[u8]) {
        self.context.trace.message(self.direction, message);
        self.again.put(message);
        self.compare_one(message.name(), message.code(), body);
    }

    /// Compares a single message, which was encoded again, with its received body.
    fn compare_one(&mut self, name: &str, code: Option<MessageCode>, body: &[u8]) {
        if !(self.again.commit().is_ok() && is_frame(self.again.pending(), code, body)) {
            self.mismatch(name);
        }
        self.again.sent(self.again.pending().len());
    }

    #[cold]
    fn mismatch(&mut self, name: &str) {
        self.context.tally().mismatch();
        // Prints at most one line per connection and direction: after one difference, more differences usually follow.
        if !std::mem::replace(&mut self.mismatched, true) {
            self.context.say(format_args!("the bytes of {name} changed when it was encoded again"));
        }
    }
}

/// A visitor, which [`decode`] calls with the decoded message of a frame.
trait Look {
    fn look<M: Message + ?Sized>(&mut self, message: &M);
}

/// A visitor that writes each message to the trace and encodes it again.
struct TraceAndEncode<'i> {
    context: &'i Context,
    direction: Direction,
    again: &'i mut Outbox,
}

impl Look for TraceAndEncode<'_> {
    #[inline(always)]
    fn look<M: Message + ?Sized>(&mut self, message: &M) {
        self.context.trace.message(self.direction, message);
        self.again.put(message);
    }
}

/// A visitor that only encodes each message again.
impl Look for Outbox {
    fn look<M: Message + ?Sized>(&mut self, message: &M) {
        self.put(message);
    }
}

/// Decodes a message, passes it to a visitor and returns its name.
#[inline(always)]
fn decode(direction: Direction, frame: Frame<'_>, to: &mut impl Look) -> Result<&'static str, DecodeError> {
    // Fast path for the most frequent message: without this branch, the compiled code builds the enum of all messages for every row.
    if direction == Direction::Backend && frame.code == MessageCode::DATA_ROW {
        let row = frame.decode::<DataRow<'_>>()?;
        // Decoding a row does not check its values, so they are checked here.
        row.values.validate()?;
        to.look(&row);
        return Ok(row.name());
    }
    decode_any(direction, frame, to)
}

#[inline(never)]
fn decode_any(
    direction: Direction,
    frame: Frame<'_>,
    to: &mut impl Look,
) -> Result<&'static str, DecodeError> {
    match direction {
        Direction::Frontend => {
            let message = frame.frontend()?;
            to.look(&message);
            Ok(message.name())
        }
        Direction::Backend => {
            let message = frame.backend()?;
            to.look(&message);
            Ok(message.name())
        }
    }
}

/// Whether `bytes` are a message with this code and this body. Packets at the start of a connection have no code.
fn is_frame(bytes: &[u8], code: Option<MessageCode>, body: &[u8]) -> bool {
    let rest = match code {
        Some(code) => bytes.strip_prefix(&[code.0]),
        None => Some(bytes),
    };
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    rest.and_then(|rest| rest.strip_prefix(&length)) == Some(body)
}
