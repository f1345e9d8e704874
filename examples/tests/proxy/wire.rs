//! Scripted clients and servers over raw sockets, which send exactly the given bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pg_wire::backend::{Authentication, Backend, CommandComplete, ReadyForQuery};
use pg_wire::frontend::{ProtocolVersion, Query, StartupMessage, Terminate};
use pg_wire::{
    Encode, FrameBuf, Inbox, Limits, Message, MessageCode, SqlState, TransactionStatus, codec::Terminated,
};

use crate::process::{PATIENCE, connect};

/// Encodes a message.
pub(crate) fn bytes(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).expect("a message that can be sent");
    bytes
}

/// Encodes the start-up message of the role `trust`.
pub(crate) fn startup() -> Vec<u8> {
    startup_with(&[("user", "trust"), ("database", "test")])
}

/// Encodes a start-up message with these parameters.
pub(crate) fn startup_with(parameters: &[(&str, &str)]) -> Vec<u8> {
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let parameters = Terminated::from(&parameters[..]);
    bytes(&StartupMessage { version: ProtocolVersion::V3_0, parameters })
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    bytes(&Query { sql: sql.into() })
}

pub(crate) fn terminate() -> Vec<u8> {
    bytes(&Terminate {})
}

pub(crate) const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
pub(crate) const GSSENC_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

/// AuthenticationOk and ReadyForQuery: the messages with which a server accepts a login.
pub(crate) fn welcome() -> Vec<u8> {
    [bytes(&Authentication::Ok), ready()].concat()
}

pub(crate) fn ready() -> Vec<u8> {
    bytes(&ReadyForQuery { status: TransactionStatus::Idle })
}

/// CommandComplete and ReadyForQuery: the answer of a server to a query.
pub(crate) fn done() -> Vec<u8> {
    [bytes(&CommandComplete { tag: "SELECT 0".into() }), ready()].concat()
}

/// A scripted client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    inbox: Inbox,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { stream: connect(address), inbox: Inbox::new(Limits::BACKEND) }
    }

    /// Connects and logs in as the role `trust`.
    pub(crate) fn let_in(address: SocketAddr) -> Self {
        let mut client = Self::new(address);
        client.say(&startup());
        client.until_ready();
        client
    }

    #[track_caller]
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the peer reads");
    }

    /// Does the same as [`say`](Self::say), but ignores errors, because the peer may have closed the connection.
    pub(crate) fn try_to_say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Half-closes the connection.
    pub(crate) fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Receives the next message; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Option<FrameBuf> {
        loop {
            if let Some(frame) = self.inbox.next().expect("a valid header") {
                return Some(frame.to_owned());
            }
            match self.stream.read(self.inbox.space()) {
                Ok(0) => return None,
                Ok(count) => self.inbox.filled(count),
                Err(error) if is_reset(&error) => return None,
                Err(error) => panic!("nothing heard for {PATIENCE:?}: {error}"),
            }
        }
    }

    /// Receives the messages up to and including the next ReadyForQuery.
    #[track_caller]
    pub(crate) fn until_ready(&mut self) -> Vec<FrameBuf> {
        let mut heard = Vec::new();
        loop {
            let frame = self.hear().expect("a message up to ReadyForQuery");
            let ready = frame.code == MessageCode::READY_FOR_QUERY;
            heard.push(frame);
            if ready {
                return heard;
            }
        }
    }

    /// Checks that the client is served: sends an empty query, and waits for the answer.
    #[track_caller]
    pub(crate) fn is_served(&mut self) {
        self.say(&query(""));
        self.until_ready();
    }

    /// Receives all bytes up to the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut heard = self.inbox.peek().to_vec();
        heard.extend(to_the_end(&mut self.stream));
        heard
    }

    /// Receives all messages up to the end of the stream. Returns the errors among these messages, as text.
    pub(crate) fn outcome_in_words(&mut self) -> Vec<String> {
        let mut errors = Vec::new();
        while let Some(frame) = self.hear() {
            if let Ok(Backend::ErrorResponse(error)) = frame.backend() {
                errors.push(error.to_owned().to_string());
            }
        }
        errors
    }

    /// Receives all messages up to the end of the stream. Returns the code of each message, and the SQLSTATE of the last error.
    pub(crate) fn outcome(&mut self) -> (String, Option<SqlState>) {
        let (mut codes, mut state) = (String::new(), None);
        while let Some(frame) = self.hear() {
            codes.push(char::from(frame.code.0));
            if let Ok(Backend::ErrorResponse(error)) = frame.backend() {
                state = error.fields.sqlstate();
            }
        }
        (codes, state)
    }
}

/// Receives all bytes up to the end of the stream. A reset counts as the end.
pub(crate) fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if !is_reset(&error) => panic!("no bytes and no end within {PATIENCE:?}: {error}"),
        _ => heard,
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Starts a scripted server and returns its address. For each connection, a new thread calls `serve` with the connection's number, from 0.
pub(crate) fn server(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = Arc::new(serve);
    let number = AtomicUsize::new(0);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let (serve, number) = (Arc::clone(&serve), number.fetch_add(1, Ordering::Relaxed));
            let thread = thread::Builder::new().stack_size(128 << 10);
            thread.spawn(move || serve(number, stream)).expect("a thread");
        }
    });
    address
}

/// Starts a server that accepts every login, and answers every query with CommandComplete. Returns its address.
pub(crate) fn polite_server() -> SocketAddr {
    server(|_, stream| {
        // An error means that the client has disconnected, and is ignored.
        let _ = serve_politely(stream);
    })
}

fn serve_politely(mut stream: TcpStream) -> io::Result<()> {
    take_packet(&mut stream)?;
    stream.write_all(&welcome())?;
    let mut inbox = Inbox::new(Limits::FRONTEND.read_size(1024));
    loop {
        while let Some(frame) = inbox.next().map_err(io::Error::other)? {
            match frame.code {
                MessageCode::QUERY => stream.write_all(&done())?,
                MessageCode::TERMINATE => return Ok(()),
                _ => {}
            }
        }
        match stream.read(inbox.space())? {
            0 => return Ok(()),
            count => inbox.filled(count),
        }
    }
}

/// Reads one packet that has a length field but no message code, such as the first packet of a connection. Reads no further byte.
pub(crate) fn take_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}
