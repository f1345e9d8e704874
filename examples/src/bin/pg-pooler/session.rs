//! The session of a server connection, which different clients use one after the other. A request may depend on settings or statements that
//! another client has changed. This module changes such requests before they are sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pg_wire::backend::{ErrorResponse, ParameterStatus};
use pg_wire::codec::List;
use pg_wire::frontend::{Close, Frontend, Parse, Query, Target};
use pg_wire::rewrite::Rewrite;
use pg_wire::session::{Reply, SessionState};
use pg_wire::{Frame, Limits, Message, MessageCode, Outbox, SqlState, Text};

use crate::client::Client;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::sql;
use crate::statements::{MISSING, Statement, statement_name};

/// Maximum number of prepared statements on one server connection. If it is exceeded, the oldest statement is closed.
const MOST_STATEMENTS: usize = 500;

/// The session of a server connection.
pub(crate) struct Session {
    pub(crate) state: SessionState,
    /// Requests that wait to be sent to the server.
    pub(crate) outbox: Outbox,
    /// Requests whose replies the pooler drops, changes or records, in the order of their numbers.
    fixes: VecDeque<Fix>,
    /// For each prepared statement that was sent to the server: whether the server has executed its Parse message. The key is the id of the
    /// statement.
    prepared: BTreeMap<u64, Sent>,
    unnamed: Option<(Unnamed, Sent)>,
    /// Number of Sync messages that were sent. It is also the number of the batch that ends with the next Sync.
    batch: u64,
    /// Whether a batch was sent in which the client prepares or closes a named statement, and the server has not answered this request yet.
    /// See [`has_barrier`](Self::has_barrier).
    barrier: bool,
    /// Settings that the session of the server has now. `None` if the pooler does not know them.
    applied: Option<Arc<Settings>>,
    /// Whether the server has reported an internal error (SQLSTATE XX000). The state of its process may then be damaged: PostgreSQL 18.4
    /// replies to a later request with an error of an earlier request. So no other client gets the connection.
    pub(crate) has_internal_error: bool,
}

/// Identifies an unnamed statement by the process id of the client, and by the number of the statement among the client's unnamed
/// statements.
pub(crate) type Unnamed = (i32, u64);

/// Whether the server has executed a Parse message that was sent to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// The server has executed the Parse message.
    Done,
    /// The Parse message was sent in the batch with this number, and the server has not answered it yet. If an earlier request in the batch
    /// fails, the server discards the Parse message, and the statement does not exist.
    In(u64),
    /// The pooler does not know whether the server has the statement.
    Unknown,
}

/// A request whose replies the pooler must drop or change, or whose effect on prepared statements it must record.
struct Fix {
    number: u64,
    batch: u64,
    kind: Kind,
}

enum Kind {
    /// The query with which the pooler sets the client's settings on this connection.
    Settings,
    /// A Parse message for the statement with this id. The second field is the client's name for the statement. It is `None` if the pooler
    /// has added the message.
    Prepare(u64, Option<Box<[u8]>>),
    /// A Close message instead of the client's Parse message, because the server already has the statement. The field is the client's name
    /// for the statement.
    HasStatement(Box<[u8]>),
    /// A Close message that the pooler has added, for the statement with this id. `None` stands for the unnamed statement.
    Close(Option<u64>),
    /// A Close message from the client: the client's name for the statement, and the statement.
    CloseByClient(Box<[u8]>, Arc<Statement>),
    /// A Parse message for the unnamed statement. The second field is true if the message came from the client.
    Unnamed(Unnamed, bool),
    /// A request with a syntax error, which replaces a rejected request of the client. The fields are the SQLSTATE and the text of the
    /// error that the client receives.
    Reject(SqlState, String),
}

/// Value of `Session::unnamed` if the pooler does not know the unnamed statement of the server.
const UNKNOWN: Option<(Unnamed, Sent)> = Some(((0, 0), Sent::Unknown));

/// The form in which a message of the server is forwarded to the client.
pub(crate) enum Forward {
    /// The message is forwarded as received.
    Unchanged,
    /// The message is dropped.
    Not,
    /// A message with this code and an empty body replaces the message of the server.
    Empty(MessageCode),
    /// An error with this SQLSTATE and text replaces the message of the server.
    Error(SqlState, String),
}

fn unsupported(reason: &str) -> Kind {
    Kind::Reject(SqlState::FEATURE_NOT_SUPPORTED, reason.into())
}

/// Whether the pooler must look at every message with this code. Such a message may change the settings or the prepared statements, or may
/// report an internal error of the server. The pooler records these changes and errors itself.
#[inline]
pub(crate) fn is_special(code: MessageCode) -> bool {
    const SPECIAL: [MessageCode; 3] =
        [MessageCode::PARAMETER_STATUS, MessageCode::COMMAND_COMPLETE, MessageCode::ERROR_RESPONSE];
    SPECIAL.contains(&code)
}

impl Session {
    pub(crate) fn new(state: SessionState) -> Self {
        Self {
            state,
            outbox: Outbox::new(Limits::FRONTEND.write_retain),
            fixes: VecDeque::new(),
            prepared: BTreeMap::new(),
            unnamed: None,
            batch: 0,
            barrier: false,
            applied: None,
            has_internal_error: false,
        }
    }

    /// Whether replies are expected that the pooler has to drop, change or record. If so, [`reply`](Self::reply) must be called for each
    /// reply.
    #[inline]
    pub(crate) fn has_fixes(&self) -> bool {
        !self.fixes.is_empty()
    }

    /// Whether the next batch must wait for the replies to the previous batch. After an error, the server may discard a Parse or Close
    /// message of the previous batch. The name in that message then means another statement than the pooler assumes for the next batch.
    pub(crate) fn has_barrier(&mut self) -> bool {
        self.barrier = self.barrier && self.changes_names();
        self.barrier
    }

    fn changes_names(&self) -> bool {
        let changes = |fix: &Fix| {
            matches!(fix.kind, Kind::Prepare(_, Some(_)) | Kind::HasStatement(_) | Kind::CloseByClient(..))
        };
        self.fixes.iter().any(changes)
    }

    /// Returns the settings that the server has reported for this session.
    pub(crate) fn settings(&self) -> Settings {
        let all = self.state.parameters().iter();
        let texts = all.filter_map(|(name, value)| Some((name.to_str().ok()?, value.to_str().ok()?)));
        texts.collect()
    }

    /// Processes a message that the server has sent while the connection was idle.
    ///
    /// # Errors
    /// The session is over.
    pub(crate) fn received_idle(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        self.applied = None;
        self.state.received(frame).map_err(|_| Failure::ServerLost)?;
        if self.state.over().is_some() { Err(Failure::ServerLost) } else { Ok(()) }
    }

    /// Prepares the session for a client. If the session has other settings than the client, first sends a query that sets the client's
    /// settings.
    pub(crate) fn begin(&mut self, settings: &Arc<Settings>) -> Result<(), Failure> {
        if self.applied.as_ref().is_some_and(|applied| Arc::ptr_eq(applied, settings)) {
            return Ok(());
        }
        if let Some(sql) = settings.query(self.state.parameters()) {
            self.send_as(&Query { sql: sql.as_str().into() }, Some(Kind::Settings))?;
        }
        self.applied = Some(Arc::clone(settings));
        Ok(())
    }

    /// Queues a request of the pooler. No client waits for the reply.
    pub(crate) fn send<M: Message>(&mut self, message: &M) -> Result<(), Failure> {
        self.send_as(message, None)
    }

    fn send_as<M: Message>(&mut self, message: &M, kind: Option<Kind>) -> Result<(), Failure> {
        self.outbox.put(message);
        // An empty body is sufficient: `note` reads the body only if the message is a Describe, and the pooler itself sends no Describe.
        self.note(Frame { code: message.code().unwrap_or_default(), body: b"" }, kind)
    }

    /// Records a request that was put into the outbox.
    fn note(&mut self, frame: Frame<'_>, kind: Option<Kind>) -> Result<(), Failure> {
        let number = self.state.sent(frame).map_err(|error| Failure::Protocol(error.to_string()))?;
        if let (Some(number), Some(kind)) = (number, kind) {
            self.fixes.push_back(Fix { number, batch: self.batch, kind });
        }
        Ok(())
    }

    fn forward_unchanged(&mut self, frame: Frame<'_>, kind: Option<Kind>) -> Result<(), Failure> {
        self.outbox.put(&frame);
        self.note(frame, kind)
    }

    /// Sends a request of a client. First sends the requests that this request needs, for example the Parse message of its statement.
    pub(crate) fn forward(&mut self, frame: Frame<'_>, client: &mut Client) -> Result<(), Failure> {
        match frame.code {
            MessageCode::QUERY => {
                // A Query message destroys the unnamed statement of the session.
                (client.unnamed, self.unnamed) = (None, UNKNOWN);
                let query: Query<'_> = frame.decode()?;
                match sql::rejection(query.sql.as_bytes(), &client.settings) {
                    Some(reason) => {
                        self.send_as(&Query { sql: sql::REJECTED.into() }, Some(unsupported(reason)))
                    }
                    None => self.forward_unchanged(frame, None),
                }
            }
            MessageCode::PARSE => self.forward_parse(frame, client),
            MessageCode::BIND | MessageCode::DESCRIBE | MessageCode::CLOSE => {
                self.forward_named(frame, client)
            }
            MessageCode::SYNC => {
                self.batch += 1;
                self.barrier = self.changes_names();
                self.forward_unchanged(frame, None)
            }
            // After the login, the server ends its session when it receives a response to an authentication request. The pooler does not
            // forward the response, because other clients need the session of the server.
            MessageCode::AUTHENTICATION_RESPONSE => {
                Err(Failure::Protocol("a response to an authentication request was not expected".into()))
            }
            code if Frontend::CODES.contains(&code) => self.forward_unchanged(frame, None),
            code => Err(Failure::Protocol(format!("unknown message {code:?}"))),
        }
    }

    fn forward_parse(&mut self, frame: Frame<'_>, client: &mut Client) -> Result<(), Failure> {
        let (parse, rewrite): (Parse<'_>, _) = (frame.decode()?, Rewrite::frontend(frame)?);
        let name = parse.statement.as_bytes();
        let body = frame.body.get(name.len() + 1..).unwrap_or_default();
        if let Some(reason) = sql::rejection(parse.sql.as_bytes(), &client.settings) {
            return self.reject(unsupported(reason), client);
        }
        if name.is_empty() {
            let owner = client.set_unnamed(body);
            self.unnamed = Some((owner, Sent::In(self.batch)));
            return self.forward_unchanged(frame, Some(Kind::Unnamed(owner, true)));
        }
        if client.statements.contains_key(name) {
            let text = format!("prepared statement \"{}\" already exists", parse.statement.to_string_lossy());
            return self.reject(Kind::Reject(SqlState::DUPLICATE_PREPARED_STATEMENT, text), client);
        }
        let statement = client.pool.statements.intern(body);
        client.statements.insert(name.into(), Arc::clone(&statement));
        if self.has(&statement)? {
            let close = Close { target: Target::Statement, name: MISSING.into() };
            return self.send_as(&close, Some(Kind::HasStatement(name.into())));
        }
        self.outbox.put(&rewrite.with_statement(statement.name.as_str().into()));
        self.note(frame, Some(Kind::Prepare(statement.id, Some(name.into()))))
    }

    /// Sends a Bind, Describe or Close message with the name that the statement has on the server.
    fn forward_named(&mut self, frame: Frame<'_>, client: &mut Client) -> Result<(), Failure> {
        let rewrite = Rewrite::frontend(frame)?;
        let Some(name) = rewrite.statement() else { return self.forward_unchanged(frame, None) };
        if frame.code == MessageCode::CLOSE && !name.is_empty() {
            let closed = client.statements.remove_entry(name.as_bytes());
            // Other clients may use the statement, so it must stay on the server. The Close message is sent with the name of a statement
            // that does not exist.
            self.outbox.put(&rewrite.with_statement(MISSING.into()));
            return self.note(frame, closed.map(|(name, statement)| Kind::CloseByClient(name, statement)));
        }
        if frame.code == MessageCode::CLOSE {
            (client.unnamed, self.unnamed) = (None, UNKNOWN);
            return self.forward_unchanged(frame, None);
        }
        if name.is_empty() {
            self.prepare_unnamed(client)?;
            return self.forward_unchanged(frame, None);
        }
        let Some(statement) = client.statements.get(name.as_bytes()) else {
            let text = format!("prepared statement \"{}\" does not exist", name.to_string_lossy());
            return self.reject(Kind::Reject(SqlState::INVALID_SQL_STATEMENT_NAME, text), client);
        };
        if !self.has(statement)? {
            self.outbox.put(&Frame {
                code: MessageCode::PARSE,
                body: &[statement.name.as_bytes(), b"\0", &statement.body].concat(),
            });
            self.note(
                Frame { code: MessageCode::PARSE, body: b"" },
                Some(Kind::Prepare(statement.id, None)),
            )?;
        }
        self.outbox.put(&rewrite.with_statement(statement.name.as_str().into()));
        self.note(frame, None)
    }

    /// Whether the server will have the statement when it executes the next request. If not, the caller must send a Parse message.
    fn has(&mut self, statement: &Statement) -> Result<bool, Failure> {
        match self.prepared.insert(statement.id, Sent::In(self.batch)) {
            Some(Sent::Done) => {
                self.prepared.insert(statement.id, Sent::Done);
                return Ok(true);
            }
            Some(Sent::In(batch)) if batch == self.batch => return Ok(true),
            // The server may already have the statement. It is closed first, because a Parse message for an existing name fails.
            Some(Sent::In(_) | Sent::Unknown) => self.close(Some(statement.id), &statement.name)?,
            None if self.prepared.len() > MOST_STATEMENTS => {
                let oldest = self.prepared.keys().copied().find(|id| *id != statement.id);
                if let Some(oldest) = oldest {
                    self.prepared.remove(&oldest);
                    self.close(Some(oldest), &statement_name(oldest))?;
                }
            }
            None => {}
        }
        Ok(false)
    }

    fn close(&mut self, id: Option<u64>, name: &str) -> Result<(), Failure> {
        self.send_as(&Close { target: Target::Statement, name: name.into() }, Some(Kind::Close(id)))
    }

    /// Makes the client's unnamed statement the unnamed statement of the server. If the client has no unnamed statement, closes the unnamed
    /// statement of the server.
    fn prepare_unnamed(&mut self, client: &Client) -> Result<(), Failure> {
        let Some((owner, body)) = client.unnamed() else {
            return match self.unnamed.take() {
                Some(_) => self.close(None, ""),
                None => Ok(()),
            };
        };
        if self
            .unnamed
            .is_some_and(|(has, sent)| has == owner && [Sent::Done, Sent::In(self.batch)].contains(&sent))
        {
            return Ok(());
        }
        self.unnamed = Some((owner, Sent::In(self.batch)));
        self.outbox.put(&Frame { code: MessageCode::PARSE, body: &[b"\0", body].concat() });
        self.note(Frame { code: MessageCode::PARSE, body: b"" }, Some(Kind::Unnamed(owner, false)))
    }

    /// Rejects a request of the extended protocol: sends a Parse message with a syntax error instead of the request.
    fn reject(&mut self, reason: Kind, client: &mut Client) -> Result<(), Failure> {
        (client.unnamed, self.unnamed) = (None, UNKNOWN);
        self.send_as(
            &Parse { statement: Text::EMPTY, sql: sql::REJECTED.into(), types: List::EMPTY },
            Some(reason),
        )
    }

    /// Processes a message of the server. Returns the form in which the message is forwarded to the client.
    pub(crate) fn reply(
        &mut self,
        frame: Frame<'_>,
        reply: Option<Reply>,
        mut client: Option<&mut Client>,
    ) -> Result<Forward, Failure> {
        if frame.code == MessageCode::ERROR_RESPONSE {
            let error = frame.decode::<ErrorResponse<'_>>()?;
            self.has_internal_error |= error.fields.sqlstate() == Some(SqlState::INTERNAL_ERROR);
        }
        let Some(reply) = reply else { return self.unasked(frame, client) };
        // The session is over, so this is the last message of the server.
        if self.state.over().is_some() {
            return Ok(Forward::Unchanged);
        }
        // After an error, the server discards requests and sends no replies to them. The effects of these requests are undone in reverse
        // order, because one name may have been closed and then prepared again.
        let mut discarded = Vec::new();
        while let Some(fix) = self.next_fix(|number| number < reply.number) {
            discarded.push(fix);
        }
        for fix in discarded.into_iter().rev() {
            self.not_executed(fix, client.as_deref_mut());
        }
        let tags = [&b"DISCARD ALL\0"[..], b"DEALLOCATE ALL\0"];
        if frame.code == MessageCode::COMMAND_COMPLETE && tags.contains(&frame.body) {
            self.prepared.clear();
            client.iter_mut().for_each(|client| client.statements.clear());
        }
        let Some(mut fix) = self.next_fix(|number| number == reply.number) else {
            return Ok(Forward::Unchanged);
        };
        let has_failed = frame.code == MessageCode::ERROR_RESPONSE;
        let forward = match &mut fix.kind {
            Kind::Settings if has_failed => return Err(Failure::settings(&frame.decode()?)),
            Kind::Settings => Forward::Not,
            Kind::Reject(state, text) if has_failed => Forward::Error(*state, std::mem::take(text)),
            Kind::Reject(..) => Forward::Unchanged,
            _ if has_failed => {
                if let (Kind::Unnamed(owner, true), Some(client)) = (&fix.kind, client.as_deref_mut()) {
                    client.forget_unnamed(*owner);
                }
                self.not_executed(fix, client);
                return Ok(Forward::Unchanged);
            }
            Kind::Prepare(id, name) => {
                if let Some(sent) = self.prepared.get_mut(id).filter(|sent| **sent == Sent::In(fix.batch)) {
                    *sent = Sent::Done;
                }
                if name.is_some() { Forward::Unchanged } else { Forward::Not }
            }
            Kind::HasStatement(_) => Forward::Empty(MessageCode::PARSE_COMPLETE),
            Kind::Close(_) => Forward::Not,
            Kind::CloseByClient(..) => Forward::Unchanged,
            Kind::Unnamed(owner, by_client) => {
                if self.unnamed == Some((*owner, Sent::In(fix.batch))) {
                    self.unnamed = Some((*owner, Sent::Done));
                }
                if *by_client { Forward::Unchanged } else { Forward::Not }
            }
        };
        if !reply.last {
            self.fixes.push_front(fix);
        }
        Ok(forward)
    }

    /// Removes and returns the first element of `fixes` if its number satisfies the condition.
    fn next_fix(&mut self, is_next: impl Fn(u64) -> bool) -> Option<Fix> {
        if is_next(self.fixes.front()?.number) { self.fixes.pop_front() } else { None }
    }

    /// Records that a request has failed or was discarded.
    fn not_executed(&mut self, fix: Fix, client: Option<&mut Client>) {
        match fix.kind {
            Kind::Prepare(id, name) => {
                if let Some(sent) = self.prepared.get_mut(&id).filter(|sent| **sent == Sent::In(fix.batch)) {
                    *sent = Sent::Unknown;
                }
                if let Some((name, client)) = name.zip(client) {
                    client.statements.remove(&name);
                }
            }
            Kind::HasStatement(name) => {
                client.into_iter().for_each(|client| drop(client.statements.remove(&name)))
            }
            Kind::CloseByClient(name, statement) => {
                if let Some(client) = client {
                    client.statements.entry(name).or_insert(statement);
                }
            }
            Kind::Close(Some(id)) => drop(self.prepared.entry(id).or_insert(Sent::Unknown)),
            Kind::Close(None) | Kind::Unnamed(..) | Kind::Reject(..) => self.unnamed = UNKNOWN,
            Kind::Settings => self.applied = None,
        }
    }

    /// Decides how to forward a message that is not a reply to a request: a notice, a notification or a changed parameter.
    fn unasked(&mut self, frame: Frame<'_>, client: Option<&mut Client>) -> Result<Forward, Failure> {
        if frame.code != MessageCode::PARAMETER_STATUS {
            return Ok(Forward::Unchanged);
        }
        // While the pooler sets the client's settings, the server reports their values. The client already knows these values, so the
        // reports are not forwarded.
        if matches!(self.fixes.front(), Some(Fix { kind: Kind::Settings, .. })) {
            return Ok(Forward::Not);
        }
        let ParameterStatus { name, value } = frame.decode()?;
        if let (Some(client), Ok(name), Ok(value)) = (client, name.to_str(), value.to_str()) {
            client.set(name, value);
            self.applied = Some(Arc::clone(&client.settings));
        } else {
            self.applied = None;
        }
        Ok(Forward::Unchanged)
    }
}
