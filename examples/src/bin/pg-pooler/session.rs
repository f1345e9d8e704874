//! The session of a server connection: changes the requests of the current client, because other clients have used the session.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pg_wire::backend::ParameterStatus;
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

/// Largest number of prepared statements on one connection. For another statement the oldest is closed.
const MOST_STATEMENTS: usize = 500;

/// The session of a server connection.
pub(crate) struct Session {
    pub(crate) state: SessionState,
    /// Requests to be sent.
    pub(crate) outbox: Outbox,
    /// Requests whose replies are not forwarded unchanged, in the order of their numbers.
    fixes: VecDeque<Fix>,
    /// Statements by id.
    prepared: BTreeMap<u64, Sent>,
    unnamed: Option<(Unnamed, Sent)>,
    /// Number of Syncs sent.
    batch: u64,
    /// Whether a batch has been sent that changes names of the client.
    barrier: bool,
    /// Settings that the session has.
    applied: Option<Arc<Settings>>,
}

/// A version of an unnamed statement: process id of the client, and number of the client's versions.
pub(crate) type Unnamed = (i32, u64);

/// Whether a Parse that was sent has been executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Executed.
    Done,
    /// Not known: if a request before it in this batch fails, the server discards it.
    In(u64),
    /// Not known: the server may have the statement or not.
    Unknown,
}

/// A request whose replies are not forwarded unchanged.
struct Fix {
    number: u64,
    batch: u64,
    kind: Kind,
}

enum Kind {
    /// The query that restores the client's settings.
    Settings,
    /// A Parse, and the client's name for the statement if the client has sent it.
    Prepare(u64, Option<Box<[u8]>>),
    /// A Close in place of a Parse, because the server has the statement; and the client's name for it.
    HasStatement(Box<[u8]>),
    /// A Close that the client has not sent, of a statement or of the unnamed statement.
    Close(Option<u64>),
    /// A Close that the client has sent, with its name for the statement and the statement.
    CloseByClient(Box<[u8]>, Arc<Statement>),
    /// A Parse of the unnamed statement, and whether the client has sent it.
    Unnamed(Unnamed, bool),
    /// A syntax error in place of a rejected request, and the error for the client.
    Reject(SqlState, String),
}

/// The unnamed statement is not known.
const UNKNOWN: Option<(Unnamed, Sent)> = Some(((0, 0), Sent::Unknown));

/// The form in which a message is forwarded to the client.
pub(crate) enum Forward {
    Unchanged,
    Not,
    /// As this message without a body.
    Empty(MessageCode),
    /// As this error.
    Error(SqlState, String),
}

fn unsupported(reason: &str) -> Kind {
    Kind::Reject(SqlState::FEATURE_NOT_SUPPORTED, reason.into())
}

/// Whether a reply can change the session beyond the state that `SessionState` follows.
#[inline]
pub(crate) fn is_special(code: MessageCode) -> bool {
    code == MessageCode::PARAMETER_STATUS || code == MessageCode::COMMAND_COMPLETE
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
        }
    }

    /// Whether [`reply`](Self::reply) has to be called for each reply.
    #[inline]
    pub(crate) fn has_fixes(&self) -> bool {
        !self.fixes.is_empty()
    }

    /// Whether the next batch has to wait. If the server discards the Parse or Close of a name in the batch before, the name means another
    /// statement in the next batch.
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

    /// The settings that the server reports.
    pub(crate) fn settings(&self) -> Settings {
        let all = self.state.parameters().iter();
        let texts = all.filter_map(|(name, value)| Some((name.to_str().ok()?, value.to_str().ok()?)));
        texts.collect()
    }

    /// Takes note of a message that arrived while the connection was idle.
    ///
    /// # Errors
    /// When the session is over.
    pub(crate) fn received_idle(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        self.applied = None;
        self.state.received(frame).map_err(|_| Failure::ServerLost)?;
        if self.state.over().is_some() { Err(Failure::ServerLost) } else { Ok(()) }
    }

    /// Prepares the session for a client: puts a query in front of the client's first request if the settings differ.
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

    /// Sends a request that no client has sent, and whose replies are not forwarded.
    pub(crate) fn send<M: Message>(&mut self, message: &M) -> Result<(), Failure> {
        self.send_as(message, None)
    }

    fn send_as<M: Message>(&mut self, message: &M, kind: Option<Kind>) -> Result<(), Failure> {
        self.outbox.put(message);
        // The state reads the body of a Describe only.
        self.note(Frame { code: message.code().unwrap_or_default(), body: b"" }, kind)
    }

    /// Takes note of a request that was put into the outbox.
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

    /// Sends a request of a client, after the requests that the session needs for it.
    pub(crate) fn forward(&mut self, frame: Frame<'_>, client: &mut Client) -> Result<(), Failure> {
        match frame.code {
            MessageCode::QUERY => {
                // The server drops the unnamed statement.
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

    /// Sends a Bind, Describe or Close with the server's name of the statement.
    fn forward_named(&mut self, frame: Frame<'_>, client: &mut Client) -> Result<(), Failure> {
        let rewrite = Rewrite::frontend(frame)?;
        let Some(name) = rewrite.statement() else { return self.forward_unchanged(frame, None) };
        if frame.code == MessageCode::CLOSE && !name.is_empty() {
            let closed = client.statements.remove_entry(name.as_bytes());
            // The server keeps the statement, for other clients.
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

    /// Whether the server will have a statement when it executes the next request. If not, the caller has to send a Parse.
    fn has(&mut self, statement: &Statement) -> Result<bool, Failure> {
        match self.prepared.insert(statement.id, Sent::In(self.batch)) {
            Some(Sent::Done) => {
                self.prepared.insert(statement.id, Sent::Done);
                return Ok(true);
            }
            Some(Sent::In(batch)) if batch == self.batch => return Ok(true),
            // Closed first, because the server may have the statement.
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

    /// Gives the server the client's unnamed statement, or none if the client has none.
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

    /// Sends a syntax error in place of a request of the extended query protocol.
    fn reject(&mut self, reason: Kind, client: &mut Client) -> Result<(), Failure> {
        (client.unnamed, self.unnamed) = (None, UNKNOWN);
        self.send_as(
            &Parse { statement: Text::EMPTY, sql: sql::REJECTED.into(), types: List::EMPTY },
            Some(reason),
        )
    }

    /// Decides in which form a message of the server is forwarded to the client.
    pub(crate) fn reply(
        &mut self,
        frame: Frame<'_>,
        reply: Option<Reply>,
        mut client: Option<&mut Client>,
    ) -> Result<Forward, Failure> {
        let Some(reply) = reply else { return self.unasked(frame, client) };
        // The last message of the server.
        if self.state.over().is_some() {
            return Ok(Forward::Unchanged);
        }
        // After an error the server has discarded requests without a reply. Undone in reverse order, because a name may have been closed and prepared again.
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
            Kind::Settings if has_failed => return Err(Failure::Settings),
            Kind::Settings => Forward::Not,
            Kind::Reject(state, text) if has_failed => Forward::Error(*state, std::mem::take(text)),
            Kind::Reject(..) => Forward::Unchanged,
            _ if has_failed => {
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

    /// Takes the first of the fixes, if its number satisfies the condition.
    fn next_fix(&mut self, is_next: impl Fn(u64) -> bool) -> Option<Fix> {
        if is_next(self.fixes.front()?.number) { self.fixes.pop_front() } else { None }
    }

    /// Takes note of a request that has failed or was discarded.
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

    /// Decides about a message that belongs to no request: a notice, or a parameter.
    fn unasked(&mut self, frame: Frame<'_>, client: Option<&mut Client>) -> Result<Forward, Failure> {
        if frame.code != MessageCode::PARAMETER_STATUS {
            return Ok(Forward::Unchanged);
        }
        // The client knows the values that are restored.
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
