//! Looking at what passes in one direction.

use pg_wire::backend::{Authentication, DataRow};
use pg_wire::frontend::{
    AuthenticationResponse, GssResponse, PasswordMessage, SaslInitialResponse, SaslResponse,
};
use pg_wire::{DecodeError, Direction, Frame, Message, MessageCode, Outbox, Run};

use crate::failure::{Failure, Party};
use crate::session::Context;

/// Memory that the copy of a message keeps between messages.
const RETAIN: usize = 64 * 1024;

/// Decodes every message of a direction, encodes it again, compares, and writes it to the trace.
///
/// The values of a row or a bind are walked, and encoded again in one run as they came: of those the comparison shows no more
/// than that they are well-formed.
pub(crate) struct Inspector<'c> {
    context: &'c Context,
    direction: Direction,
    /// The message once more.
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
        let (mut good, mut count) = (0, 0);
        let mut verdict = Ok(());
        for frame in run {
            if let Err(error) = self.frame(frame) {
                verdict = Err(Failure::Malformed(Party::speaking(self.direction), error));
                break;
            }
            good += frame.wire_len();
            count += 1;
        }
        self.context.tally().decoded(count);
        self.context.trace.flush();
        (good, verdict)
    }

    /// Looks at a message of the session.
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), DecodeError> {
        match self.direction {
            Direction::Frontend => self.again(&frame.frontend()?, frame.body),
            // By itself, because there are so many: the enum of all messages need not be made for it.
            Direction::Backend if frame.code == MessageCode::DATA_ROW => {
                let row = frame.decode::<DataRow<'_>>()?;
                // For those who read only some columns, decoding alone does not walk them.
                row.values.validate()?;
                self.again(&row, frame.body);
            }
            Direction::Backend => self.again(&frame.backend()?, frame.body),
        }
        Ok(())
    }

    /// Looks at a message of the connection phase: what the code `p` stands for is known only there.
    pub(crate) fn response(&mut self, frame: Frame<'_>, response: Response) -> Result<(), DecodeError> {
        if frame.code != MessageCode::AUTHENTICATION_RESPONSE {
            self.frame(frame)?;
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
        if !(self.again.commit().is_ok() && is_frame(self.again.pending(), message.code(), body)) {
            self.mismatch(message.name());
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

/// Whether `bytes` are a message with this code, if it has one, and this body.
fn is_frame(bytes: &[u8], code: Option<MessageCode>, body: &[u8]) -> bool {
    let rest = match code {
        Some(code) => bytes.strip_prefix(&[code.0]),
        None => Some(bytes),
    };
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    rest.and_then(|rest| rest.strip_prefix(&length)) == Some(body)
}
