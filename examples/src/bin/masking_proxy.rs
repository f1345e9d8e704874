//! A proxy that hides a column. Clients receive `***` instead of the column's values, or NULL if the type of the column is not text. The
//! proxy also adds a prefix to the names of prepared statements.
//!
//! `cargo run -p examples --bin masking_proxy -- 127.0.0.1:6432 127.0.0.1:5432 email`
//!
//! `pg_wire::rewrite` replaces the names and values. `pg_wire::session` finds the request to which a row is a reply. The proxy recognises
//! the column by its name in the RowDescription. So the values stay visible if a query uses the column in an expression or under an alias.
//! Names of prepared statements in SQL text are not changed.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pg_wire::backend::RowDescription;
use pg_wire::frontend::{GssEncRequest, Initial, SslRequest};
use pg_wire::{Frame, Inbox, Limits, MessageCode, Outbox, oid, rewrite::Rewrite, session::SessionState};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The columns whose values are replaced: the index of each column, and its new value (`None` for NULL).
type Mask = Vec<(usize, Option<&'static [u8]>)>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |what| arguments.next().ok_or_else(|| format!("{what} is missing"));
    let (listen, upstream) = (argument("the address to listen on")?, argument("the server's address")?);
    let column: &'static str = argument("the name of the column to hide")?.leak();
    let listener = TcpListener::bind(listen)?;
    eprintln!("listening on {}", listener.local_addr()?);
    for client in listener.incoming() {
        let (client, upstream) = (client?, upstream.clone());
        thread::spawn(move || serve(&client, &upstream, column).unwrap_or_else(|error| eprintln!("{error}")));
    }
    Ok(())
}

/// Forwards one session until one side closes its connection. Each direction has its own thread.
fn serve(client: &TcpStream, upstream: &str, column: &'static str) -> Result<()> {
    let server = &TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let mut from_client = Inbox::new(Limits::FRONTEND);
    forward_startup(client, server, &mut from_client)?;
    let session = Session {
        state: SessionState::starting(),
        requests: VecDeque::new(),
        statements: HashMap::new(),
        portals: HashMap::new(),
        mask: None,
        column,
    };
    let (session, from_server) = (Arc::new(Mutex::new(session)), Inbox::new(Limits::BACKEND));
    thread::scope(|scope| {
        let up =
            scope.spawn(|| pump(client, server, from_client, |frame, out| locked(&session).up(frame, out)));
        let down = pump(server, client, from_server, |frame, out| locked(&session).down(frame, out));
        up.join().map_err(|_| "a thread panicked")?.and(down)
    })
}

fn locked(session: &Mutex<Session>) -> std::sync::MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rejects requests for encryption, and forwards the startup packet or the cancel request.
fn forward_startup(mut client: &TcpStream, mut server: &TcpStream, inbox: &mut Inbox) -> Result<()> {
    loop {
        while let Some(packet) = inbox.next_packet(Initial::MAX_LENGTH)? {
            let code = packet.first_chunk().map(|code| u32::from_be_bytes(*code));
            if code == Some(SslRequest::REQUEST.0) || code == Some(GssEncRequest::REQUEST.0) {
                client.write_all(b"N")?;
                continue;
            }
            let length = u32::try_from(packet.len() + 4)?.to_be_bytes();
            return Ok(server.write_all(&[&length, packet].concat())?);
        }
        let count = client.read(inbox.space())?;
        if count == 0 {
            return Err("the client has sent no startup packet".into());
        }
        inbox.filled(count);
    }
}

/// Forwards the messages of one direction. `rewrite` appends the changed form of each message to the outbox. The messages of one read are
/// written with one call.
fn pump(
    mut from: &TcpStream,
    mut to: &TcpStream,
    mut inbox: Inbox,
    mut rewrite: impl FnMut(Frame<'_>, &mut Outbox) -> Result<()>,
) -> Result<()> {
    let mut outbox = Outbox::new(64 * 1024);
    let mut forward = || loop {
        while let Some(frame) = inbox.next()? {
            rewrite(frame, &mut outbox)?;
        }
        outbox.commit()?;
        to.write_all(outbox.pending())?;
        outbox.sent(outbox.pending().len());
        match from.read(inbox.space())? {
            0 => return Ok(()),
            count => inbox.filled(count),
        }
    };
    let result = forward();
    // Closing both streams ends the thread that forwards the opposite direction.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    result
}

/// A request whose reply is not complete yet.
struct Request {
    number: u64,
    code: MessageCode,
    statement: Option<Vec<u8>>,
    portal: Option<Vec<u8>>,
}

/// State of a session, shared by the threads of its two directions.
struct Session {
    state: SessionState,
    /// Requests that have no complete reply yet, in the order of their numbers.
    requests: VecDeque<Request>,
    /// The columns to hide for each described statement. The key is the name of the statement.
    statements: HashMap<Vec<u8>, Mask>,
    /// The columns to hide for each described portal. The key is the name of the portal.
    portals: HashMap<Vec<u8>, Mask>,
    /// The columns to hide in the rows that are being received.
    mask: Option<Mask>,
    column: &'static str,
}

impl Session {
    /// Rewrites a message of the client, and appends the result to `out`.
    fn up(&mut self, frame: Frame<'_>, out: &mut Outbox) -> Result<()> {
        let mut message = Rewrite::frontend(frame)?;
        let number = self.state.sent(frame)?;
        let [statement, portal] =
            [message.statement(), message.portal()].map(|name| name.map(|name| name.as_bytes().to_vec()));
        let name = [b"masked_", statement.as_deref().unwrap_or_default()].concat();
        if statement.as_ref().is_some_and(|name| !name.is_empty()) {
            message = message.with_statement(name.as_slice().into());
        }
        self.requests.extend(number.map(|number| Request { number, code: frame.code, statement, portal }));
        out.put(&message);
        Ok(())
    }

    /// Rewrites a message of the server, and appends the result to `out`.
    fn down(&mut self, frame: Frame<'_>, out: &mut Outbox) -> Result<()> {
        let Some(reply) = self.state.received(frame)? else {
            out.put(&frame);
            return Ok(());
        };
        // After an error, the server discards requests and sends no replies to them. So the reply to a later request shows that the earlier
        // requests are over.
        self.finish(|number| number < reply.number);
        match frame.code {
            MessageCode::DATA_ROW => {
                if self.mask.is_none() {
                    self.mask = self.of_executed_portal();
                }
                let mask =
                    self.mask.as_ref().ok_or("cannot hide the column: these rows were not described")?;
                out.put(&Rewrite::backend(frame).with_values(mask)?);
                return Ok(());
            }
            MessageCode::ROW_DESCRIPTION => self.describe(masked(frame.decode()?, self.column)),
            MessageCode::PARSE_COMPLETE => {
                if let Some(Request { statement: Some(statement), .. }) = self.requests.front() {
                    self.statements.remove(statement);
                }
            }
            MessageCode::BIND_COMPLETE => {
                if let Some(Request { statement: Some(statement), portal: Some(portal), .. }) =
                    self.requests.front()
                {
                    self.portals.remove(portal);
                    if let Some(mask) = self.statements.get(statement) {
                        self.portals.insert(portal.clone(), mask.clone());
                    }
                }
            }
            MessageCode::COPY_OUT_RESPONSE => return Err("cannot hide the column in a COPY".into()),
            _ => {}
        }
        out.put(&frame);
        if reply.last {
            self.finish(|number| number == reply.number);
        }
        Ok(())
    }

    /// Removes the requests at the front of the queue for whose numbers `is_over` returns true.
    fn finish(&mut self, is_over: impl Fn(u64) -> bool) {
        while self.requests.front().is_some_and(|request| is_over(request.number)) {
            self.requests.pop_front();
            self.mask = None;
        }
    }

    /// Stores `mask` for the statement or portal that a Describe names. For a Query, stores `mask` for the rows that follow.
    fn describe(&mut self, mask: Mask) {
        match self.requests.front() {
            Some(Request { code: MessageCode::DESCRIBE, statement: Some(statement), .. }) => {
                self.statements.insert(statement.clone(), mask);
            }
            Some(Request { code: MessageCode::DESCRIBE, portal: Some(portal), .. }) => {
                self.portals.insert(portal.clone(), mask);
            }
            _ => self.mask = Some(mask),
        }
    }

    fn of_executed_portal(&self) -> Option<Mask> {
        let request = self.requests.front()?;
        self.portals.get(request.portal.as_ref()?).cloned()
    }
}

/// Returns the columns to hide in rows with this description: each column with the name `column`. Its values become `***`, or NULL if the
/// type of the column is not text.
fn masked(description: RowDescription<'_>, column: &str) -> Mask {
    let fields = description.fields.iter().enumerate().filter(|(_, field)| field.name == column);
    let value = |type_oid| [oid::TEXT, oid::VARCHAR, oid::BPCHAR].contains(&type_oid).then_some(&b"***"[..]);
    fields.map(|(index, field)| (index, value(field.type_oid))).collect()
}
