mod server;

use pg_wire::session::{Bounds, NotIdle, Over, SessionState, Step, UnexpectedKind, Waiting};
use pg_wire::{Frame, MessageCode};

use crate::input::Input;
use server::{Client, Server};

/// Maximum number of actions in one run. An action is a message of the client, an execution by the server, or a reply that is received.
const MOST_ACTIONS: usize = 200;

/// Passes the messages of a session to a [`SessionState`].
///
/// The lowest bit of the first byte selects the messages. 0: a conversation with a simple server, which also records the request to which
/// each reply belongs. 1: arbitrary messages of both sides.
pub fn session(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let mut state = SessionState::new();
    if settings & 2 != 0 {
        state.set_bounds(Bounds { runs: usize::from(settings >> 2), parameters: 200 });
    }
    if settings & 1 == 0 { with_server(state, input) } else { arbitrary(state, input) }
}

/// Passes arbitrary messages of both sides to the state.
fn arbitrary(mut state: SessionState, mut input: Input<'_>) {
    while !input.is_empty() {
        let (kind, code) = (input.byte(), MessageCode(input.byte()));
        let frame = Frame { code, body: input.bytes(usize::from(kind >> 1)) };
        if kind & 1 == 0 {
            let before = state.next_number();
            if let Ok(Some(number)) = state.sent(frame) {
                assert_eq!((number, state.next_number()), (before, before + 1));
            }
        } else if let Err(error) = state.received(frame) {
            let _ = format!("{error}");
            assert!(matches!(state.over(), Some(Over::Lost | Over::Fatal)));
            assert_eq!(state.waiting(), Waiting::Over);
        }
        let used: usize = state
            .parameters()
            .iter()
            .map(|(name, value)| name.as_bytes().len() + value.as_bytes().len() + 64)
            .sum();
        assert!(used <= 65_536);
        let _ = (state.oldest(), state.outstanding_ready(), state.is_skipping(), state.copy());
        assert_eq!(state.check_idle() == Ok(()), state.next_step() == Ok(None), "{state:?}");
    }
}

/// A conversation of a client with a simple server.
struct Conversation {
    state: SessionState,
    server: Server,
}

/// Lets a client send arbitrary requests, and a simple server reply to them. Checks that `state` assigns each reply to the request that the
/// server was executing. In the end, checks that the steps of [`SessionState::next_step`] lead to an idle session.
fn with_server(state: SessionState, mut input: Input<'_>) {
    let mut talk = Conversation { state, server: Server::default() };
    for _ in 0..MOST_ACTIONS {
        if input.is_empty() {
            break;
        }
        let action = input.byte();
        let go_on = match action & 3 {
            0 | 1 => {
                talk.send(Client::ALL[usize::from(action >> 2) % Client::ALL.len()]);
                true
            }
            2 => {
                talk.server.execute(&mut || input.byte());
                true
            }
            _ => talk.receive(),
        };
        if !go_on {
            return;
        }
        talk.check();
    }
    talk.drain();
}

impl Conversation {
    fn send(&mut self, message: Client) {
        if let Ok(number) = self.state.sent(message.frame()) {
            self.server.queue.push_back((message, number));
        }
    }

    /// Passes the server's next message to `state`. Returns false at the end of the session.
    fn receive(&mut self) -> bool {
        let Some(sent) = self.server.replies.pop_front() else { return true };
        let reply = match self.state.received(sent.frame()) {
            Ok(reply) => reply,
            Err(error) => {
                assert_eq!(error.kind, UnexpectedKind::TooUncertain, "{sent:?} {:?}", self.state);
                return false;
            }
        };
        if sent.is_fatal {
            assert_eq!(self.state.over(), Some(Over::Fatal));
            return false;
        }
        let reply = reply.expect("the message is a reply");
        if reply.certain {
            assert_eq!((reply.number, reply.last), (sent.number, sent.last), "{sent:?} {:?}", self.state);
        }
        true
    }

    /// Compares the results of `check_idle` and `waiting` with the state of the server.
    fn check(&self) {
        if self.state.check_idle().is_ok() {
            assert!(self.server.is_idle(), "{:?} {:?}", self.state, self.server);
        }
        let mut future = self.server.clone();
        future.execute_all();
        let has_reply = !future.replies.is_empty();
        let has_failed = future.replies.front().is_some_and(|reply| reply.is_error());
        match self.state.waiting() {
            Waiting::Reply => assert!(has_reply, "{:?} {:?}", self.state, self.server),
            // While the server waits for data of a COPY, the only possible reply is an error.
            Waiting::CopyData => assert!(!has_reply || has_failed, "{:?} {:?}", self.state, self.server),
            Waiting::Nothing | Waiting::Sync => {
                assert!(!has_reply, "{:?} {:?}", self.state, self.server);
            }
            _ => {}
        }
    }

    /// Performs the steps that [`SessionState::next_step`] returns, until the session is idle.
    fn drain(mut self) {
        let mut left = 2 * (self.server.queue.len() + 2) * 8 + 4 * self.server.replies.len();
        loop {
            self.check();
            left -= 1;
            assert!(left > 0, "the session does not become idle: {:?} {:?}", self.state, self.server);
            let message = match self.state.next_step() {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some(Step::Receive)) => {
                    self.server.execute_all();
                    assert!(!self.server.replies.is_empty(), "no reply: {:?} {:?}", self.state, self.server);
                    if !self.receive() {
                        return;
                    }
                    continue;
                }
                Ok(Some(Step::Sync)) => Client::Sync,
                Ok(Some(Step::CopyFail)) => Client::CopyFail,
                Ok(Some(Step::ClosePortal)) => Client::Close,
                Ok(Some(Step::Query(""))) => Client::EmptyQuery,
                Ok(Some(Step::Query("ROLLBACK"))) => Client::Rollback,
                Ok(Some(step)) => panic!("unexpected step {step:?}"),
            };
            if self.state.sent(message.frame()).is_err() {
                return;
            }
            let number = Some(self.state.next_number() - 1);
            self.server.queue.push_back((message, number));
        }
        assert_eq!(self.state.check_idle(), Ok::<(), NotIdle>(()));
        assert!(self.server.is_idle());
    }
}
