//! A simple server for a session. The server reads one message after another, and replies to each message according to the protocol.

use std::collections::VecDeque;

use pg_wire::{Frame, MessageCode};

/// A message of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Query,
    EmptyQuery,
    Rollback,
    FunctionCall,
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    Close,
    Sync,
    Flush,
    CopyData,
    CopyDone,
    CopyFail,
}

impl Client {
    /// All messages that the client of a fuzz run may send.
    pub(super) const ALL: &[Self] = &[
        Self::Query,
        Self::FunctionCall,
        Self::Parse,
        Self::Bind,
        Self::DescribeStatement,
        Self::DescribePortal,
        Self::Execute,
        Self::Close,
        Self::Sync,
        Self::Flush,
        Self::CopyData,
        Self::CopyDone,
        Self::CopyFail,
        Self::Execute,
        Self::Sync,
        Self::EmptyQuery,
    ];

    pub(super) fn frame(self) -> Frame<'static> {
        let (code, body): (u8, &[u8]) = match self {
            Self::Query | Self::EmptyQuery | Self::Rollback => (b'Q', b"\0"),
            Self::FunctionCall => (b'F', b""),
            Self::Parse => (b'P', b""),
            Self::Bind => (b'B', b""),
            Self::DescribeStatement => (b'D', b"S\0"),
            Self::DescribePortal => (b'D', b"P\0"),
            Self::Execute => (b'E', b""),
            Self::Close => (b'C', b"P\0"),
            Self::Sync => (b'S', b""),
            Self::Flush => (b'H', b""),
            Self::CopyData => (b'd', b""),
            Self::CopyDone => (b'c', b""),
            Self::CopyFail => (b'f', b"\0"),
        };
        Frame { code: MessageCode(code), body }
    }
}

/// A message that the server has sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    code: u8,
    status: u8,
    /// Number of the request that the server was executing.
    pub(super) number: u64,
    /// Whether this is the last reply to the request.
    pub(super) last: bool,
    pub(super) is_fatal: bool,
}

impl Sent {
    pub(super) fn is_error(&self) -> bool {
        self.code == b'E'
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        let body: &[u8] = match (self.code, self.is_fatal) {
            (b'Z', _) => std::slice::from_ref(&self.status),
            (b'E', true) => b"SFATAL\0VFATAL\0C08P01\0\0",
            (b'E', false) => b"SERROR\0VERROR\0C42601\0\0",
            _ => b"",
        };
        Frame { code: MessageCode(self.code), body }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Normal,
    /// After an error, the server discards every message before the next Sync.
    Skipping,
    /// The server reads the data of a COPY. The request was a Query, or an Execute.
    CopyIn {
        number: u64,
        is_query: bool,
    },
    Over,
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Messages that the server has not read, each with the number of its request.
    pub(super) queue: VecDeque<(Client, Option<u64>)>,
    /// Messages that the client has not received.
    pub(super) replies: VecDeque<Sent>,
    mode: Mode,
    status: u8,
}

impl Default for Server {
    fn default() -> Self {
        Self { queue: VecDeque::new(), replies: VecDeque::new(), mode: Mode::Normal, status: b'I' }
    }
}

impl Server {
    /// Whether the session is idle: the client has received all replies, and no queued message leads to a reply.
    pub(super) fn is_idle(&self) -> bool {
        let has_reply = |message: &Client| {
            !matches!(message, Client::Flush | Client::CopyData | Client::CopyDone | Client::CopyFail)
        };
        self.mode == Mode::Normal
            && self.status == b'I'
            && self.replies.is_empty()
            && !self.queue.iter().any(|(message, _)| has_reply(message))
    }

    /// Reads all messages. Every request succeeds.
    pub(super) fn execute_all(&mut self) {
        while self.mode != Mode::Over && !self.queue.is_empty() {
            self.execute(&mut || 0);
        }
    }

    /// Reads one message and replies to it. `choose` returns arbitrary numbers, which select the replies; the number 0 selects success.
    pub(super) fn execute(&mut self, choose: &mut dyn FnMut() -> u8) {
        if self.mode == Mode::Over {
            return;
        }
        let Some((message, number)) = self.queue.pop_front() else { return };
        let number = number.unwrap_or(u64::MAX);
        match (self.mode, message) {
            (Mode::Over, _) => {}
            (Mode::CopyIn { .. }, Client::Flush | Client::Sync) => {}
            (Mode::CopyIn { number, is_query }, Client::CopyData) => {
                if choose() & 7 == 7 {
                    self.fail_copy(number, is_query);
                }
            }
            (Mode::CopyIn { number, is_query }, Client::CopyFail) => self.fail_copy(number, is_query),
            (Mode::CopyIn { number, is_query }, Client::CopyDone) => {
                self.mode = Mode::Normal;
                match (is_query, choose() & 3) {
                    (_, 3) => self.fail_copy(number, is_query),
                    (true, _) => {
                        self.reply(b'C', number, false);
                        self.statements(number, choose);
                    }
                    (false, _) => self.reply(b'C', number, true),
                }
            }
            (Mode::CopyIn { number, .. }, _) => {
                let fatal = Sent { code: b'E', status: 0, number, last: true, is_fatal: true };
                self.replies.push_back(fatal);
                self.mode = Mode::Over;
            }
            (_, Client::Flush | Client::CopyData | Client::CopyDone | Client::CopyFail) => {}
            (Mode::Skipping, Client::Sync) => {
                self.mode = Mode::Normal;
                self.ready(number, choose);
            }
            (Mode::Skipping, _) => {}
            (Mode::Normal, message) => self.request(message, number, choose),
        }
    }

    fn request(&mut self, message: Client, number: u64, choose: &mut dyn FnMut() -> u8) {
        let fails = choose() & 7 == 7;
        match message {
            Client::Query if fails => {
                self.reply(b'E', number, false);
                self.ready(number, choose);
            }
            Client::Query => self.statements(number, choose),
            Client::EmptyQuery => {
                self.reply(b'I', number, false);
                self.ready(number, &mut || 0);
            }
            Client::Rollback => {
                self.reply(b'C', number, false);
                self.status = b'I';
                self.ready(number, &mut || 0);
            }
            Client::FunctionCall => {
                self.reply(if fails { b'E' } else { b'V' }, number, false);
                if !fails && choose() & 7 == 7 {
                    self.reply(b'E', number, false);
                }
                self.ready(number, choose);
            }
            Client::Sync => {
                if fails {
                    self.reply(b'E', number, false);
                }
                self.ready(number, choose);
            }
            _ if fails => self.fail(number),
            Client::Parse => self.reply(b'1', number, true),
            Client::Bind => self.reply(b'2', number, true),
            Client::Close => self.reply(b'3', number, true),
            Client::DescribePortal => self.reply(if choose() & 1 == 0 { b'T' } else { b'n' }, number, true),
            Client::DescribeStatement => {
                self.reply(b't', number, false);
                match choose() & 7 {
                    7 => self.fail(number),
                    choice => self.reply(if choice & 1 == 0 { b'T' } else { b'n' }, number, true),
                }
            }
            Client::Execute => self.portal(number, choose),
            Client::Flush | Client::CopyData | Client::CopyDone | Client::CopyFail => {}
        }
    }

    /// Executes the statements of a Query, up to the first COPY FROM STDIN.
    fn statements(&mut self, number: u64, choose: &mut dyn FnMut() -> u8) {
        loop {
            match choose() & 7 {
                0 | 1 => break,
                2 => self.reply(b'C', number, false),
                3 => {
                    self.reply(b'T', number, false);
                    self.rows(number, choose);
                    self.reply(b'C', number, false);
                }
                4 => self.copy_out(number, false, choose),
                5 | 6 => {
                    self.reply(b'G', number, false);
                    self.mode = Mode::CopyIn { number, is_query: true };
                    return;
                }
                _ => {
                    self.reply(b'E', number, false);
                    break;
                }
            }
        }
        // The reply to a Query contains at least one CommandComplete or ErrorResponse.
        let has_result =
            self.replies.back().is_some_and(|last| last.number == number && matches!(last.code, b'C' | b'E'));
        if !has_result {
            self.reply(b'C', number, false);
        }
        self.ready(number, choose);
    }

    fn portal(&mut self, number: u64, choose: &mut dyn FnMut() -> u8) {
        match choose() & 7 {
            0 | 1 => {
                self.rows(number, choose);
                self.reply(b'C', number, true);
            }
            2 => self.reply(b's', number, true),
            3 => self.reply(b'I', number, true),
            4 => {
                self.rows(number, choose);
                self.fail(number);
            }
            5 => self.copy_out(number, true, choose),
            _ => {
                self.reply(b'G', number, false);
                self.mode = Mode::CopyIn { number, is_query: false };
            }
        }
    }

    fn rows(&mut self, number: u64, choose: &mut dyn FnMut() -> u8) {
        for _ in 0..choose() & 3 {
            self.reply(b'D', number, false);
        }
    }

    fn copy_out(&mut self, number: u64, last: bool, choose: &mut dyn FnMut() -> u8) {
        self.reply(b'H', number, false);
        for _ in 0..choose() & 3 {
            self.reply(b'd', number, false);
        }
        self.reply(b'c', number, false);
        self.reply(b'C', number, last);
    }

    /// Rejects a request of the extended query protocol. The server then discards every message before the next Sync.
    fn fail(&mut self, number: u64) {
        self.reply(b'E', number, true);
        self.mode = Mode::Skipping;
    }

    fn fail_copy(&mut self, number: u64, is_query: bool) {
        if is_query {
            self.reply(b'E', number, false);
            self.mode = Mode::Normal;
            self.ready(number, &mut || 0);
        } else {
            self.fail(number);
        }
    }

    /// Sends ReadyForQuery. `choose` selects the transaction status; the number 0 keeps the status.
    fn ready(&mut self, number: u64, choose: &mut dyn FnMut() -> u8) {
        match choose() & 7 {
            0..=3 => {}
            4 => self.status = b'T',
            5 => self.status = b'E',
            _ => self.status = b'I',
        }
        self.reply(b'Z', number, true);
    }

    fn reply(&mut self, code: u8, number: u64, last: bool) {
        self.replies.push_back(Sent { code, status: self.status, number, last, is_fatal: false });
    }
}
