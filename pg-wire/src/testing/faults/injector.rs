//! Adds the faults of a table to the bytes of one direction.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use crate::basic::code::MessageCode;
use crate::codec::message::Direction;
use crate::testing::faults::fault::{Action, Copies, Fault, Lie, Place, Which};
use crate::testing::faults::message::{Unit, count_in, is_named_by_body, name_in_body, next_unit};

/// Length in bytes of the longest message that an injector stores until the message is complete. The limit bounds the memory: a fault at a
/// longer message is not applied.
const MOST_HELD: usize = 16 << 20;

/// Number of bytes after which a `flood endless` ends, so that every test ends.
const FLOOD: u64 = 1 << 30;

/// Largest number of bytes in one step of a flood, so that the copies of a flood are never in memory all at once. If one copy is longer
/// than this, each step contains one copy.
const AT_ONCE: usize = 64 * 1024;

/// Adds the faults of a [`FaultTable`](super::FaultTable) to the bytes of one direction of one connection, without I/O.
///
/// [`push`](Self::push) takes the bytes of the sender. [`next_step`](Self::next_step) returns the actions to perform on the stream to the
/// receiver. Take all steps before the next `push`: the injector does not limit the number of bytes that wait in its steps.
///
/// The injector stores a message with a fault until the message is complete. A message of more than 16 MiB is never stored, and a fault at
/// this message is not applied. The bytes of a message that is not stored are returned at once.
#[derive(Debug)]
pub struct FaultInjector {
    sender: Direction,
    faults: Vec<Armed>,
    /// Number of bytes of the sender that have been processed, including the bytes of a swapped message that is not yet sent.
    offset: u64,
    /// Whether the next message may be a first packet (start-up message, SSLRequest or CancelRequest), which has no message code. False
    /// after the first message with a message code.
    first: bool,
    /// Whether no further message can be found, because all further bytes are encrypted or follow an invalid header.
    opaque: bool,
    /// The beginning of a message that is not complete.
    partial: Vec<u8>,
    /// Number of outstanding bytes of a message without a fault. These bytes are passed on as they arrive.
    passing: usize,
    /// How many of the sender's next bytes must be inverted.
    inverting: usize,
    /// Size of the pieces in which all further bytes are sent; `None` if these bytes are not split.
    pieces: Option<usize>,
    /// Steps of a swapped message, which is sent after the next message.
    swapped: Option<Vec<Queued>>,
    steps: VecDeque<Queued>,
    /// Whether a fault has ended this direction. All further bytes are dropped.
    ended: bool,
    applied: Vec<Fault>,
}

/// An action on the stream to the receiver. [`FaultInjector::next_step`] returns the actions in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultStep {
    /// Send these bytes in a separate write.
    Send(Vec<u8>),
    /// Wait before the next step.
    Pause(Duration),
    /// Close the stream for writing. Bytes of the other direction may still arrive.
    HalfClose,
    /// Close the connections to both sides, so that each side reads the end of the stream.
    Close,
    /// Reset the connections to both sides. On a TCP socket: close the socket with `SO_LINGER` 0.
    Reset,
    /// Send nothing more, and close nothing.
    Stall,
}

/// A fault, and its state on this connection.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// Number of messages so far that match the place of the fault.
    seen: u64,
    applied: bool,
}

#[derive(Debug)]
enum Queued {
    Step(FaultStep),
    /// Bytes that may be sent together with the bytes before and after them.
    Bytes(Vec<u8>),
    /// Bytes, the size of the pieces in which the bytes are sent, and the number of bytes that have been sent.
    Pieces(Vec<u8>, usize, usize),
    /// A message, and the number of its copies. The copies are created when they are sent.
    Copies(Vec<u8>, u64),
}

/// A change at a position in bytes that are to be sent.
#[derive(Clone, Debug)]
struct Mark {
    at: usize,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Step(FaultStep),
    /// The bits of the next bytes are inverted. The field is the number of these bytes.
    Invert(usize),
    /// The bytes from here on are sent in pieces of this size, until the end of the connection.
    Split(usize),
}

impl FaultInjector {
    pub(super) fn new(sender: Direction, faults: impl Iterator<Item = Fault>) -> Self {
        Self {
            sender,
            faults: faults.map(|fault| Armed { fault, seen: 0, applied: false }).collect(),
            offset: 0,
            first: true,
            opaque: false,
            partial: Vec::new(),
            passing: 0,
            inverting: 0,
            pieces: None,
            swapped: None,
            steps: VecDeque::new(),
            ended: false,
            applied: Vec::new(),
        }
    }

    /// Adds bytes of the sender.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.ended {
            if self.opaque {
                self.pass(rest);
                return;
            }
            if self.passing > 0 {
                let (now, later) = rest.split_at(self.passing.min(rest.len()));
                self.passing -= now.len();
                self.pass(now);
                self.release_swapped();
                rest = later;
                continue;
            }
            let wanted = self.wanted().saturating_sub(self.partial.len());
            let (now, later) = rest.split_at(wanted.min(rest.len()));
            self.partial.extend_from_slice(now);
            rest = later;
            self.decide();
        }
    }

    /// Marks the end of the sender's stream. Bytes that the injector has stored are sent.
    pub fn finish(&mut self) {
        let partial = mem::take(&mut self.partial);
        self.pass(&partial);
        self.passing = 0;
        self.release_swapped();
    }

    /// Returns the next action on the stream to the receiver; `None` if more bytes of the sender are needed, or nothing more is sent.
    pub fn next_step(&mut self) -> Option<FaultStep> {
        match self.steps.pop_front()? {
            Queued::Step(step) => Some(step),
            Queued::Bytes(mut bytes) => {
                while let Some(Queued::Bytes(more)) = self.steps.front_mut() {
                    bytes.append(more);
                    self.steps.pop_front();
                }
                Some(FaultStep::Send(bytes))
            }
            Queued::Pieces(bytes, size, start) => {
                let end = bytes.len().min(start.saturating_add(size));
                let piece = bytes.get(start..end).unwrap_or_default().to_vec();
                if end < bytes.len() {
                    self.steps.push_front(Queued::Pieces(bytes, size, end));
                }
                Some(FaultStep::Send(piece))
            }
            Queued::Copies(message, left) => {
                let now = left.min((AT_ONCE / message.len().max(1)).max(1) as u64);
                let bytes = message.repeat(usize::try_from(now).unwrap_or(1));
                if left > now {
                    self.steps.push_front(Queued::Copies(message, left - now));
                }
                Some(FaultStep::Send(bytes))
            }
        }
    }

    /// Whether a fault has stalled or closed this direction. If so, no bytes follow the steps that `next_step` has not returned yet.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Removes and returns the faults that were applied for the first time after the previous call. Each fault is returned at most once,
    /// even if the fault is at every message.
    pub fn take_applied(&mut self) -> Vec<Fault> {
        mem::take(&mut self.applied)
    }

    /// Returns the number of bytes that `partial` must have before [`decide`](Self::decide) can continue.
    fn wanted(&self) -> usize {
        match next_unit(self.sender, &self.partial, self.first) {
            Unit::Need(length) | Unit::Message(_, length) => length,
            Unit::Answer(_) | Unit::Opaque => self.partial.len(),
        }
    }

    /// Processes the bytes in `partial`: a message, a packet, a one-byte answer, or bytes that are no message. Does nothing if more bytes
    /// are needed to decide which.
    fn decide(&mut self) {
        match next_unit(self.sender, &self.partial, self.first) {
            Unit::Need(_) => {}
            Unit::Answer(answer) => {
                self.opaque = answer != b'N';
                self.pass_partial();
            }
            Unit::Opaque => {
                self.opaque = true;
                self.pass_partial();
                self.release_swapped();
            }
            Unit::Message(code, length) => {
                let held = length <= MOST_HELD && self.may_be_due(code);
                if held && self.partial.len() < length {
                    return;
                }
                self.first &= code.is_none();
                let due = self.due(code, held);
                if held {
                    self.message(code, &due);
                } else {
                    self.passing = length.saturating_sub(self.partial.len());
                    self.pass_partial();
                    self.release_swapped();
                }
            }
        }
    }

    /// Whether a fault can be at the next message, which has the code `code`. If the body determines the name of the message, `true` only
    /// means that the injector must receive the body to decide.
    fn may_be_due(&self, code: Option<MessageCode>) -> bool {
        self.faults.iter().any(|armed| match &armed.fault.place {
            Place::Byte(_) => false,
            Place::Message(which, number) => {
                let is_next = number.is_none_or(|number| number == armed.seen + 1);
                match which {
                    Which::Any => is_next,
                    Which::Code(wanted) => is_next && code == Some(*wanted),
                    Which::Named(_, wanted) => {
                        code == *wanted && (is_next || is_named_by_body(self.sender, code))
                    }
                }
            }
        })
    }

    /// Counts the message in `partial` for each fault that selects it. If the message is stored completely (`held`), returns the indices of
    /// the faults at this message.
    fn due(&mut self, code: Option<MessageCode>, held: bool) -> Vec<usize> {
        let start = if code.is_some() { 5 } else { 4 };
        let body = self.partial.get(start..).unwrap_or_default();
        let name = if held { name_in_body(self.sender, code, body) } else { None };
        let mut due = Vec::new();
        for (index, armed) in self.faults.iter_mut().enumerate() {
            let Place::Message(which, number) = &armed.fault.place else { continue };
            let is_selected = match which {
                Which::Any => true,
                Which::Code(wanted) => code == Some(*wanted),
                Which::Named(wanted, of) => code == *of && name.as_ref().is_none_or(|name| name == wanted),
            };
            if is_selected {
                armed.seen += 1;
                if held && number.is_none_or(|number| number == armed.seen) {
                    due.push(index);
                }
            }
        }
        due
    }

    /// Sends the complete message in `partial` with the faults at this message.
    fn message(&mut self, code: Option<MessageCode>, due: &[usize]) {
        let mut message = mem::take(&mut self.partial);
        let original = message.len();
        let (mut marks, mut size, mut swap) = (Vec::new(), None, false);
        let (mut copies, mut flood) = (0, 0);
        for &index in due {
            let Some(action) = self.faults.get(index).map(|armed| armed.fault.action.clone()) else {
                continue;
            };
            match action {
                Action::Split { size: wanted } => size = Some(wanted),
                Action::Duplicate => copies += 1,
                Action::Swap => swap = true,
                Action::Flood(Copies::Number(number)) => flood += number,
                Action::Flood(Copies::Endless) => flood += FLOOD / original as u64,
                Action::Length(lie) => {
                    let start = usize::from(code.is_some());
                    lie_in(message.get_mut(start..start + 4), lie);
                }
                Action::Count(lie) => {
                    let count = code.and_then(|code| count_in(self.sender, code, message.get(5..)?));
                    let Some(count) = count else { continue };
                    lie_in(message.get_mut(5 + count.start..5 + count.end), lie);
                }
                Action::Corrupt { bytes, at } => {
                    // Inverts bytes of this message only. If too few bytes are left, the next message is not changed.
                    let _ = invert(message.get_mut(at..).unwrap_or_default(), bytes);
                }
                action => marks.extend(mark(&action, original)),
            }
            self.note(index);
        }
        let mut queued = self.render(message.clone(), marks, size);
        queued.extend((0..copies).map(|_| Queued::Bytes(message.clone())));
        if flood > 0 {
            queued.push(Queued::Copies(message, flood));
        }
        let waiting = self.swapped.take();
        if swap && waiting.is_none() {
            self.swapped = Some(queued);
            return;
        }
        self.queue(queued);
        if let Some(waiting) = waiting {
            self.queue(waiting);
        }
    }

    fn pass_partial(&mut self) {
        let partial = mem::take(&mut self.partial);
        self.pass(&partial);
    }

    /// Sends the swapped message, if all bytes of the message after the swapped message have been sent.
    fn release_swapped(&mut self) {
        if self.passing == 0
            && let Some(swapped) = self.swapped.take()
        {
            self.queue(swapped);
        }
    }

    /// Sends bytes of a message without a fault. Faults whose place is a byte are still applied.
    fn pass(&mut self, bytes: &[u8]) {
        let queued = self.render(bytes.to_vec(), Vec::new(), None);
        self.queue(queued);
    }

    /// Converts the next bytes of the sender into steps. Applies the changes in `marks`, and the faults whose place is a byte.
    fn render(&mut self, mut bytes: Vec<u8>, mut marks: Vec<Mark>, size: Option<usize>) -> Vec<Queued> {
        self.inverting = invert(&mut bytes, self.inverting);
        for index in 0..self.faults.len() {
            let Some(Armed { fault, applied: false, .. }) = self.faults.get(index) else { continue };
            let Place::Byte(offset) = fault.place else { continue };
            let at = offset.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok());
            let Some(at) = at.filter(|at| *at <= bytes.len()) else { continue };
            let change = match &fault.action {
                Action::Corrupt { .. } if at == bytes.len() => continue,
                Action::Corrupt { bytes, .. } => Change::Invert(*bytes),
                Action::Split { size } => Change::Split(*size),
                action => match mark(action, usize::MAX) {
                    Some(Mark { change, .. }) => change,
                    None => continue,
                },
            };
            marks.push(Mark { at, change });
            self.note(index);
        }
        self.offset += bytes.len() as u64;
        // The sort is stable: faults at the same position are applied in the order of the table.
        marks.sort_by_key(|mark| mark.at);
        let (mut queued, mut done) = (Vec::new(), 0);
        for Mark { at, change } in marks {
            put(&mut queued, bytes.get(done..at).unwrap_or_default(), size.or(self.pieces));
            done = at.max(done);
            match change {
                Change::Step(step) => queued.push(Queued::Step(step)),
                Change::Invert(count) => {
                    self.inverting = invert(bytes.get_mut(at..).unwrap_or_default(), count);
                }
                Change::Split(size) => self.pieces = Some(size),
            }
        }
        put(&mut queued, bytes.get(done..).unwrap_or_default(), size.or(self.pieces));
        queued
    }

    /// Appends steps. A step that closes, resets or stalls the direction is the last step; the steps after it are dropped.
    fn queue(&mut self, steps: Vec<Queued>) {
        for step in steps {
            if self.ended {
                return;
            }
            if let Queued::Step(
                FaultStep::HalfClose | FaultStep::Close | FaultStep::Reset | FaultStep::Stall,
            ) = step
            {
                self.ended = true;
            }
            self.steps.push_back(step);
        }
    }

    /// Records that a fault is applied.
    fn note(&mut self, index: usize) {
        if let Some(armed) = self.faults.get_mut(index)
            && !mem::replace(&mut armed.applied, true)
        {
            self.applied.push(armed.fault.clone());
        }
    }
}

/// Returns the position and the step of an action that interrupts a message with this length. Returns `None` for an action that changes
/// the message.
fn mark(action: &Action, length: usize) -> Option<Mark> {
    let (at, step) = match *action {
        Action::Cut { at } => (at, FaultStep::Close),
        Action::Reset { at } => (at, FaultStep::Reset),
        Action::HalfClose { at } => (at, FaultStep::HalfClose),
        Action::Stall { at } => (at, FaultStep::Stall),
        Action::Delay { time, at } => (at, FaultStep::Pause(time)),
        _ => return None,
    };
    Some(Mark { at: at.min(length), change: Change::Step(step) })
}

/// Appends bytes, in pieces of `size` bytes if a size is given.
fn put(queued: &mut Vec<Queued>, bytes: &[u8], size: Option<usize>) {
    match size {
        _ if bytes.is_empty() => {}
        Some(size) => queued.push(Queued::Pieces(bytes.to_vec(), size, 0)),
        None => queued.push(Queued::Bytes(bytes.to_vec())),
    }
}

/// Inverts the first `count` bytes. Returns how many bytes fewer than `count` there are.
fn invert(bytes: &mut [u8], count: usize) -> usize {
    bytes.iter_mut().take(count).for_each(|byte| *byte = !*byte);
    count.saturating_sub(bytes.len())
}

/// Overwrites a big-endian number with a wrong number. If the wrong number does not fit into the field, only its low bytes are written.
fn lie_in(field: Option<&mut [u8]>, lie: Lie) {
    let Some(field) = field else { return };
    let old = field.iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte));
    let new = match lie {
        Lie::To(number) => number,
        Lie::By(number) => old + number,
    };
    let bytes = new.to_be_bytes();
    let skipped = bytes.len() - field.len();
    field.copy_from_slice(bytes.get(skipped..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::testing::{FaultTable, Transcript};

    /// The messages of both sides in the tests: start-up packets and four messages of the client, and the answers.
    const CONVERSATION: &str = "
        F SSLRequest 1234 5679
        B SSLResponse N
        F StartupMessage 3 0 \"user\" \"me\"
        B AuthenticationSASL \"X\" \"\"
        F SASLInitialResponse \"X\" -1
        B AuthenticationSASLContinue 'c'
        B AuthenticationOk
        F Query \"q\"
        F Bind \"\" \"\" 0 1 1 'x' 0
        F Sync
        B DataRow 1 1 'a'
        B DataRow 1 1 'b'
        B ReadyForQuery I";

    fn bytes(sender: Direction) -> Vec<u8> {
        let transcript: Transcript = CONVERSATION.parse().expect("a valid transcript");
        transcript.bytes(sender).expect("valid messages")
    }

    /// Pushes the bytes that `sender` sends in `CONVERSATION`, in pieces of `size` bytes. Returns the steps as text. Adjacent `Send` steps
    /// are joined. With the size `usize::MAX` they are not joined, so that a test sees each piece of a `split`.
    fn steps(faults: &str, sender: Direction, size: usize) -> Vec<String> {
        let table: FaultTable = faults.parse().expect("valid faults");
        let mut injector = table.injector(sender);
        let mut steps: Vec<FaultStep> = Vec::new();
        let mut take = |injector: &mut FaultInjector| {
            while let Some(step) = injector.next_step() {
                match (steps.last_mut(), step) {
                    (Some(FaultStep::Send(before)), FaultStep::Send(bytes)) if size != usize::MAX => {
                        before.extend(bytes);
                    }
                    (_, step) => steps.push(step),
                }
            }
        };
        for piece in bytes(sender).chunks(size) {
            injector.push(piece);
            take(&mut injector);
        }
        injector.finish();
        take(&mut injector);
        steps
            .into_iter()
            .map(|step| match step {
                FaultStep::Send(bytes) => bytes.escape_ascii().to_string(),
                step => format!("{step:?}"),
            })
            .collect()
    }

    const SSL: &str = "\\x00\\x00\\x00\\x08\\x04\\xd2\\x16/";
    const STARTUP: &str = "\\x00\\x00\\x00\\x11\\x00\\x03\\x00\\x00user\\x00me\\x00\\x00";
    const RESPONSE: &str = "p\\x00\\x00\\x00\\nX\\x00\\xff\\xff\\xff\\xff";
    const QUERY: &str = "Q\\x00\\x00\\x00\\x06q\\x00";
    const BIND: &str = "B\\x00\\x00\\x00\\x11\\x00\\x00\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x01x\\x00\\x00";
    const SYNC: &str = "S\\x00\\x00\\x00\\x04";
    const N: &str = "N";
    const SASL: &str = "R\\x00\\x00\\x00\\x0b\\x00\\x00\\x00\\nX\\x00\\x00";
    const MORE: &str = "R\\x00\\x00\\x00\\t\\x00\\x00\\x00\\x0bc";
    const OK: &str = "R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x00";
    const A: &str = "D\\x00\\x00\\x00\\x0b\\x00\\x01\\x00\\x00\\x00\\x01a";
    const B: &str = "D\\x00\\x00\\x00\\x0b\\x00\\x01\\x00\\x00\\x00\\x01b";
    const READY: &str = "Z\\x00\\x00\\x00\\x05I";

    /// Checks the steps for one direction. Pushes the bytes all together, one by one, and in pieces of 7 bytes. In `expected`, adjacent
    /// strings are joined, and `"|"` separates steps.
    #[track_caller]
    fn check(sender: Direction, faults: &str, expected: &[&str]) {
        let expected = expected.concat();
        let expected: Vec<&str> = expected.split('|').filter(|step| !step.is_empty()).collect();
        for size in [usize::MAX - 1, 1, 7] {
            assert_eq!(steps(faults, sender, size), expected, "{faults}, {size} bytes at once");
        }
    }

    #[track_caller]
    fn server(faults: &str, expected: &[&str]) {
        check(Direction::Backend, faults, expected);
    }

    #[track_caller]
    fn client(faults: &str, expected: &[&str]) {
        check(Direction::Frontend, faults, expected);
    }

    const LOGIN: &[&str] = &[N, SASL, MORE, OK];
    const START: &[&str] = &[SSL, STARTUP, RESPONSE];

    #[test]
    fn without_a_fault_the_bytes_are_unchanged() {
        for other in ["client:message#*:cut", "server:DataRow#3:cut", "server:byte#1000:cut"] {
            server(other, &[&LOGIN.concat(), A, B, READY]);
        }
        client("server:message#*:cut", &[&START.concat(), QUERY, BIND, SYNC]);
    }

    #[test]
    fn a_fault_ends_the_connection_before_inside_and_after_a_message() {
        for (word, step) in
            [("cut", "Close"), ("reset", "Reset"), ("half-close", "HalfClose"), ("stall", "Stall")]
        {
            server(&format!("server:DataRow#2:{word}"), &[&LOGIN.concat(), A, "|", step]);
            server(&format!("server:D#2:{word}@1"), &[&LOGIN.concat(), A, "D|", step]);
            server(&format!("server:message#1:{word}@99"), &[N, SASL, "|", step]);
            server(&format!("server:byte#2:{word}"), &[N, "R|", step]);
            server(&format!("server:byte#0:{word}"), &[step]);
            client(&format!("client:Bind:{word}"), &[&START.concat(), QUERY, "|", step]);
            client(&format!("client:Q:{word}@1"), &[&START.concat(), "Q|", step]);
            client(&format!("client:message#2:{word}@99"), &[SSL, STARTUP, "|", step]);
            client(&format!("client:byte#8:{word}"), &[SSL, "|", step]);
        }
    }

    #[test]
    fn a_fault_pauses_before_inside_and_after_a_message_and_at_every_message() {
        server("server:DataRow:delay 5ms", &[&LOGIN.concat(), "|Pause(5ms)|", A, B, READY]);
        server(
            "server:DataRow:delay 2s@1,server:D:delay 3s@99",
            &[&LOGIN.concat(), "D|Pause(2s)|", &A[1..], "|Pause(3s)|", B, READY],
        );
        server("server:DataRow#*:delay 1s", &[&LOGIN.concat(), "|Pause(1s)|", A, "|Pause(1s)|", B, READY]);
        client(
            "client:byte#1:delay 1s",
            &["\\x00|Pause(1s)|", &SSL[4..], STARTUP, RESPONSE, QUERY, BIND, SYNC],
        );
        client("client:Sync:delay 1s", &[&START.concat(), QUERY, BIND, "|Pause(1s)|", SYNC]);
    }

    #[test]
    fn a_fault_sends_messages_in_pieces() {
        let split = |faults, sender| steps(faults, sender, usize::MAX);
        let all = split("server:ReadyForQuery:split 4", Direction::Backend);
        assert_eq!(all[1..], ["Z\\x00\\x00\\x00", "\\x05I"]);
        let all = split("server:message#*:split 1", Direction::Backend);
        assert_eq!(all.len(), bytes(Direction::Backend).len());
        let all = split("client:Sync:split 2", Direction::Frontend);
        assert_eq!(all[1..], ["S\\x00", "\\x00\\x00", "\\x04"]);
        // Case: the place of `split` is a byte. All bytes after this byte are sent in pieces, also the bytes of later messages.
        let all = split("client:byte#12:split 4", Direction::Frontend);
        let length = |piece: &str| piece.len() - 3 * piece.matches("\\x").count();
        assert_eq!(length(&all[0]), 12);
        assert!(all[1..].iter().all(|piece| (1..=4).contains(&length(piece))), "{all:?}");
        assert_eq!(all.concat(), [&START.concat(), QUERY, BIND, SYNC].concat());
    }

    #[test]
    fn faults_duplicate_and_swap_messages() {
        server("server:DataRow#1:duplicate", &[&LOGIN.concat(), A, A, B, READY]);
        server("server:DataRow#1:swap", &[&LOGIN.concat(), B, A, READY]);
        server("server:DataRow#*:swap", &[&LOGIN.concat(), B, A, READY]);
        server("server:DataRow#2:swap", &[&LOGIN.concat(), A, READY, B]);
        server("server:AuthenticationOk:swap", &[N, SASL, MORE, A, OK, B, READY]);
        // A swap at the last message has no effect: the message is sent at the end of the stream.
        server("server:ReadyForQuery:swap", &[&LOGIN.concat(), A, B, READY]);
        client("client:Query:duplicate,client:Bind:swap", &[&START.concat(), QUERY, QUERY, SYNC, BIND]);
        client("client:StartupMessage:duplicate", &[SSL, STARTUP, STARTUP, RESPONSE, QUERY, BIND, SYNC]);
    }

    #[test]
    fn a_fault_inverts_bytes() {
        server("server:ReadyForQuery:corrupt", &[&LOGIN.concat(), A, B, "\\xa5", &READY[1..]]);
        server("server:ReadyForQuery:corrupt 2@4", &[&LOGIN.concat(), A, B, "Z\\x00\\x00\\x00\\xfa\\xb6"]);
        server("server:ReadyForQuery:corrupt 9@6", &[&LOGIN.concat(), A, B, READY]);
        server("server:byte#0:corrupt 2", &["\\xb1\\xad", &SASL[1..], MORE, OK, A, B, READY]);
        client("client:Query:corrupt@5", &[&START.concat(), "Q\\x00\\x00\\x00\\x06\\x8e\\x00", BIND, SYNC]);
        client(
            "client:byte#7:corrupt",
            &[&SSL[..SSL.len() - 1], "\\xd0", STARTUP, RESPONSE, QUERY, BIND, SYNC],
        );
    }

    #[test]
    fn a_fault_changes_lengths_and_counts() {
        let ready = |length: &str| format!("Z{length}I");
        for (lie, length) in [
            ("3", "\\x00\\x00\\x00\\x03"),
            ("+251", "\\x00\\x00\\x01\\x00"),
            ("-6", "\\xff\\xff\\xff\\xff"),
            ("2147483647", "\\x7f\\xff\\xff\\xff"),
        ] {
            server(&format!("server:ReadyForQuery:length {lie}"), &[&LOGIN.concat(), A, B, &ready(length)]);
        }
        client(
            "client:SSLRequest:length 9",
            &[&SSL.replace("\\x08", "\\t"), STARTUP, RESPONSE, QUERY, BIND, SYNC],
        );
        let row = A.replace("\\x0b\\x00\\x01", "\\x0b\\xff\\xff");
        server("server:DataRow:count 65535", &[&LOGIN.concat(), &row, B, READY]);
        server("server:DataRow:count -2", &[&LOGIN.concat(), &row, B, READY]);
        // A message without a count stays as it is.
        server(
            "server:message#*:count +1",
            &[
                &LOGIN.concat(),
                &A.replace("\\x0b\\x00\\x01", "\\x0b\\x00\\x02"),
                &B.replace("\\x0b\\x00\\x01", "\\x0b\\x00\\x02"),
                READY,
            ],
        );
        let bind = "B\\x00\\x00\\x00\\x11\\x00\\x00\\x00\\x07\\x00\\x01\\x00\\x00\\x00\\x01x\\x00\\x00";
        client("client:Bind:count 7", &[&START.concat(), QUERY, bind, SYNC]);
    }

    #[test]
    fn a_fault_repeats_a_message_many_times() {
        let flood = READY.repeat(1001);
        server("server:ReadyForQuery:flood 1000", &[&LOGIN.concat(), A, B, &flood]);
        client("client:Sync:flood 2", &[&START.concat(), QUERY, BIND, SYNC, SYNC, SYNC]);
    }

    #[test]
    fn an_endless_flood_has_a_bound_and_is_made_in_pieces() {
        let table: FaultTable = "server:Z:flood endless".parse().expect("valid");
        let mut injector = table.injector(Direction::Backend);
        injector.push(b"Z\0\0\0\x05I1\0\0\0\x04");
        let (mut sent, mut last) = (0, Vec::new());
        while let Some(FaultStep::Send(bytes)) = injector.next_step() {
            assert!(bytes.len() <= AT_ONCE);
            sent += bytes.len() as u64;
            last = bytes;
        }
        assert_eq!(sent, 6 + FLOOD / 6 * 6 + 5);
        assert_eq!(last, b"1\0\0\0\x04");
    }

    #[test]
    fn messages_are_found_by_name_also_if_they_share_a_code() {
        server("server:AuthenticationSASL:cut", &[N, "|Close"]);
        server("server:AuthenticationSASLContinue:cut", &[N, SASL, "|Close"]);
        server("server:AuthenticationOk:cut", &[N, SASL, MORE, "|Close"]);
        server("server:R#2:cut", &[N, SASL, "|Close"]);
        client("client:SSLRequest:cut", &["Close"]);
        client("client:StartupMessage:cut", &[SSL, "|Close"]);
        client("client:PasswordMessage:cut", &[SSL, STARTUP, "|Close"]);
        client("client:SASLInitialResponse:cut", &[SSL, STARTUP, "|Close"]);
    }

    #[test]
    fn in_an_encrypted_session_only_faults_at_bytes_are_applied() {
        let table: FaultTable = "server:message#*:cut,server:byte#6:reset".parse().expect("valid");
        let mut injector = table.injector(Direction::Backend);
        injector.push(b"S\x16\x03\x03Z\0\0\0\x05I");
        assert_eq!(injector.next_step(), Some(FaultStep::Send(b"S\x16\x03\x03Z\0".to_vec())));
        assert_eq!(injector.next_step(), Some(FaultStep::Reset));
        let table: FaultTable = "client:message#2:cut".parse().expect("valid");
        let mut injector = table.injector(Direction::Frontend);
        injector.push(b"\0\0\0\x08\x04\xd2\x16/\x16\x03\x03");
        injector.push(b"Q\0\0\0\x04");
        assert_eq!(
            injector.next_step(),
            Some(FaultStep::Send(b"\0\0\0\x08\x04\xd2\x16/\x16\x03\x03Q\0\0\0\x04".to_vec()))
        );
        assert_eq!(injector.next_step(), None);
    }

    #[test]
    fn a_message_without_a_fault_is_not_held_and_a_message_over_the_limit_has_no_fault() {
        let table: FaultTable = "server:DataRow#2:cut".parse().expect("valid");
        let mut injector = table.injector(Direction::Backend);
        injector.push(b"D\x7f\xff\xff\xffbeginning");
        assert_eq!(injector.next_step(), Some(FaultStep::Send(b"D\x7f\xff\xff\xffbeginning".to_vec())));
        let table: FaultTable = "server:DataRow#1:cut".parse().expect("valid");
        let mut injector = table.injector(Direction::Backend);
        injector.push(b"D\x7f\xff\xff\xffbeginning");
        assert_eq!(injector.next_step(), Some(FaultStep::Send(b"D\x7f\xff\xff\xffbeginning".to_vec())));
        assert!(injector.take_applied().is_empty());
    }

    #[test]
    fn applied_faults_are_reported_once() {
        let table: FaultTable =
            "server:DataRow#*:duplicate,server:Z:stall,server:Z:cut".parse().expect("valid");
        let mut injector = table.injector(Direction::Backend);
        injector.push(&bytes(Direction::Backend));
        let applied: Vec<String> = injector.take_applied().iter().map(Fault::to_string).collect();
        assert_eq!(applied, ["server:DataRow#*:duplicate", "server:Z#1:stall", "server:Z#1:cut"]);
        assert!(injector.has_ended() && injector.take_applied().is_empty());
    }
}
