//! Looking at what passes in one direction.

use std::ops::Range;

use pg_wire::backend::{Authentication, DataRow};
use pg_wire::frontend::{
    AuthenticationResponse, GssResponse, PasswordMessage, SaslInitialResponse, SaslResponse,
};
use pg_wire::{DecodeError, Direction, Frame, Message, MessageCode, Outbox, Run};

use crate::failure::{Failure, Party};
use crate::session::Context;

/// Bytes of a run that are encoded again before they are compared: few enough to be still at hand.
const AT_ONCE: usize = 8 * 1024;

/// Memory that what is encoded again keeps between runs.
const RETAIN: usize = 64 * 1024;

/// Decodes every message of a direction, encodes it again, compares, and writes it to the trace.
///
/// The values of a row or a bind are walked, and encoded again in one run as they came: of those the comparison shows no more
/// than that they are well-formed.
pub(crate) struct Inspector<'c> {
    context: &'c Context,
    direction: Direction,
    /// Messages once more.
    again: Outbox,
    mismatched: bool,
}

/// What the code `p` stands for, by what the server has asked for last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Password,
    SaslInitial,
    Sasl,
    Gss,
    /// For a request that nobody knows.
    Any,
}

impl Response {
    /// What answers a request; `None` where nothing does.
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
        Self { context, direction, again: Outbox::new(RETAIN), mismatched: false }
    }

    /// Looks at everything in a run. Returns how many of its bytes can be passed on, and what is wrong with what comes then.
    pub(crate) fn run(&mut self, run: Run<'_>) -> (usize, Result<(), Failure>) {
        let (mut good, mut compared, mut count) = (0, 0, 0);
        let mut verdict = Ok(());
        for frame in run {
            if let Err(error) = self.frame(frame) {
                verdict = Err(Failure::Malformed(Party::speaking(self.direction), error));
                break;
            }
            good += frame.wire_len();
            count += 1;
            if good - compared >= AT_ONCE {
                self.compare(run, compared..good);
                compared = good;
            }
        }
        self.compare(run, compared..good);
        self.context.tally().decoded(count);
        self.context.trace.flush();
        (good, verdict)
    }

    /// Decodes a message, writes it to the trace, encodes it again, and says what its name is.
    #[inline(always)]
    fn frame(&mut self, frame: Frame<'_>) -> Result<&'static str, DecodeError> {
        let Self { context, direction, again, .. } = self;
        decode(*direction, frame, &mut TraceAndEncode { context, direction: *direction, again })
    }

    /// Compares what has been encoded again with these bytes of a run, which it came in.
    fn compare(&mut self, run: Run<'_>, range: Range<usize>) {
        let same =
            self.again.commit().is_ok() && run.as_bytes().get(range.clone()) == Some(self.again.pending());
        self.again.sent(self.again.pending().len());
        if !same {
            self.search(run, range);
        }
    }

    /// Looks for the messages that are not the same, one by one.
    #[cold]
    fn search(&mut self, run: Run<'_>, range: Range<usize>) {
        let mut at = 0;
        for frame in run {
            if range.contains(&at) {
                // That it can be decoded has been seen.
                let name = decode(self.direction, frame, &mut self.again).unwrap_or_default();
                self.compare_one(name, Some(frame.code), frame.body);
            }
            at += frame.wire_len();
        }
    }

    /// Looks at a message of the connection phase: what the code `p` stands for is known only there.
    pub(crate) fn response(&mut self, frame: Frame<'_>, response: Response) -> Result<(), DecodeError> {
        if frame.code != MessageCode::AUTHENTICATION_RESPONSE {
            let name = self.frame(frame)?;
            self.compare_one(name, Some(frame.code), frame.body);
        } else {
            match response {
                Response::Password => self.again(&frame.decode::<PasswordMessage<'_>>()?, frame.body),
                Response::SaslInitial => self.again(&frame.decode::<SaslInitialResponse<'_>>()?, frame.body),
                Response::Sasl => self.again(&frame.decode::<SaslResponse<'_>>()?, frame.body),
                Response::Gss => self.again(&frame.decode::<GssResponse<'_>>()?, frame.body),
                Response::Any => self.again(&frame.decode::<AuthenticationResponse<'_>>()?, frame.body),
            }
        }
        self.decoded();
        Ok(())
    }

    /// Notes a message that somebody else has decoded: encodes it again and compares it with the body that it came in.
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

    /// Compares the one message that has been encoded again with the body that it came in.
    fn compare_one(&mut self, name: &str, code: Option<MessageCode>, body: &[u8]) {
        if !(self.again.commit().is_ok() && is_frame(self.again.pending(), code, body)) {
            self.mismatch(name);
        }
        self.again.sent(self.again.pending().len());
    }

    #[cold]
    fn mismatch(&mut self, name: &str) {
        self.context.tally().mismatch();
        // Once: where there is one there will be many.
        if !std::mem::replace(&mut self.mismatched, true) {
            self.context.say(format_args!("{name} is not the same bytes once it is encoded again"));
        }
    }

    /// Wipes what is left of passwords.
    pub(crate) fn scrub(&mut self) {
        self.again.scrub();
    }
}

/// Takes whatever message a frame turns out to be.
trait Look {
    fn look<M: Message + ?Sized>(&mut self, message: &M);
}

/// What is done with each message.
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

/// What is done once more where something is not the same.
impl Look for Outbox {
    fn look<M: Message + ?Sized>(&mut self, message: &M) {
        self.put(message);
    }
}

/// Decodes a message, and says what its name is.
#[inline(always)]
fn decode(direction: Direction, frame: Frame<'_>, to: &mut impl Look) -> Result<&'static str, DecodeError> {
    // By itself, because there are so many: the enum of all messages need not be made for it.
    if direction == Direction::Backend && frame.code == MessageCode::DATA_ROW {
        let row = frame.decode::<DataRow<'_>>()?;
        // For those who read only some columns, decoding alone does not walk them.
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

/// Whether `bytes` are a message with this code, if it has one, and this body.
fn is_frame(bytes: &[u8], code: Option<MessageCode>, body: &[u8]) -> bool {
    let rest = match code {
        Some(code) => bytes.strip_prefix(&[code.0]),
        None => Some(bytes),
    };
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    rest.and_then(|rest| rest.strip_prefix(&length)) == Some(body)
}
