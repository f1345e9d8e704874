//! A session with a real server, and the model of the session: a [`SessionState`], which predicts the server's messages. Each prediction is
//! compared with the server's messages.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::pg_wire::backend::ServerError;
use pg_stream_tokio::pg_wire::session::{NotIdle, Over, Reply, Request, SessionState, Step, Waiting};
use pg_stream_tokio::pg_wire::{Frame, FrameBuf, SqlState};
use pg_stream_tokio::{
    CancelTarget, Config, Connection, Error, MessageCode, PgProtocol, Portal, Socket, cancel, connect,
};
use tokio::time::timeout;

use crate::sequence::{Action, Message, Sql};
use crate::support::Server;

/// Time limit for a message that the model expects. If the model is right, every message arrives earlier.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a test waits for a message that the model does not expect. Short, because the test waits the whole time if the model is right.
const SHORT: Duration = Duration::from_millis(3);

/// Maximum number of steps from any state to an idle session. A session that needs more steps fails the test.
const RECOVERY_STEPS: usize = 2_000;

/// Number of messages and answers of each kind that the sequences have produced.
#[derive(Debug, Default)]
pub(crate) struct Totals(BTreeMap<String, u64>);

impl Totals {
    /// Adds the numbers that the last sequence of a session has produced.
    pub(crate) fn add(&mut self, checked: &Checked) {
        for (name, count) in &checked.seen {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// Checks that the sequences have reached all states in `names`. A generator that misses a state proves nothing about this state.
    pub(crate) fn assert_seen(&self, names: &[&str]) {
        for name in names {
            assert!(self.0.contains_key(*name), "no sequence reached: {name}");
        }
    }
}

/// A session with a real server, and the model of the session, which predicts the server's messages.
pub(crate) struct Checked {
    conn: Connection<Socket>,
    state: SessionState,
    config: Config,
    target: CancelTarget,
    /// A WAL position from which the server can start to send WAL.
    place: String,
    /// Requests that were sent in this sequence. The key is the number of the request.
    sent: HashMap<u64, Message>,
    /// Messages of this sequence in both directions, as text.
    log: String,
    cancelled: bool,
    /// Code of the last received message.
    last: MessageCode,
    seen: BTreeMap<String, u64>,
}

/// Longest time that a login waits for the end of the recovery of a server.
const RECOVERY: Duration = Duration::from_secs(60);

type Checking = Result<(), String>;

impl Checked {
    /// Logs in. If `replication` is true, the session accepts replication commands.
    pub(crate) async fn connect(server: &Server, replication: bool) -> Self {
        // Connects by a Unix-domain socket. With TCP, a server that closes its socket before it has read all messages resets the
        // connection. The client's system then drops the server's last messages.
        let config =
            Config::new(if replication { "admin" } else { "trust" }).database("test").host(server.socket());
        let config = if replication { config.replication(Replication::Logical) } else { config };
        // If one of its processes crashes, PostgreSQL ends all sessions and rejects logins until the recovery has ended.
        let recovery = Instant::now() + RECOVERY;
        let (mut conn, session) = loop {
            match connect(&config).await {
                Err(error)
                    if error.server_error().and_then(ServerError::sqlstate)
                        == Some(SqlState::CANNOT_CONNECT_NOW)
                        && Instant::now() < recovery =>
                {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                connected => break connected.expect("connected"),
            }
        };
        let place = crate::support::query(&mut conn, "select pg_current_wal_flush_lsn()").await;
        let place = place.expect("a row").remove(0);
        let sql = "create temp table copied (line text); create temp table deferred (i int unique deferrable initially deferred); \
                   insert into deferred values (1)";
        crate::support::query(&mut conn, sql).await.expect("the session is prepared");
        if !replication {
            crate::support::query(&mut conn, "listen news").await.expect("the session listens");
        }
        let target = session.cancel_target().expect("a key");
        Self {
            conn,
            state: SessionState::new(),
            config,
            target,
            place,
            sent: HashMap::new(),
            log: String::new(),
            cancelled: false,
            last: MessageCode::READY_FOR_QUERY,
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.state.over().is_none()
    }

    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    fn saw(&mut self, name: impl Into<String>) {
        *self.seen.entry(name.into()).or_default() += 1;
    }

    /// Runs a sequence in an idle session. After the sequence, the session is idle or has ended.
    pub(crate) async fn run(&mut self, sequence: &[Action]) -> Checking {
        self.sent.clear();
        self.log.clear();
        self.seen.clear();
        self.cancelled = false;
        for action in sequence {
            if self.state.over().is_some() {
                break;
            }
            match action {
                Action::Send(messages) => self.send(messages).await?,
                Action::Receive(count) => {
                    for _ in 0..*count {
                        if !self.receive_expected().await? {
                            break;
                        }
                    }
                }
                Action::ReceiveAll => while self.receive_expected().await? {},
                Action::Quiet => self.quiet().await?,
                Action::Cancel => {
                    cancel(&self.config, &self.target).await.map_err(|error| format!("cancel: {error}"))?;
                    self.cancelled = true;
                    self.log.push_str(" cancel");
                }
                Action::Recover => self.recover().await?,
            }
            self.note_state();
        }
        if self.state.over().is_none() {
            self.count_ready().await?;
            self.recover().await?;
        }
        if self.state.over().is_some() { self.end().await } else { self.is_idle().await }
    }

    fn note_state(&mut self) {
        let waiting = format!("waiting {:?}", self.state.waiting());
        self.saw(waiting);
        if let Some(copy) = self.state.copy() {
            self.saw(format!("copy {copy:?}"));
        }
        if self.state.is_skipping() {
            self.saw("skipping");
        }
        if !self.state.is_certain() {
            self.saw("uncertain");
        }
    }

    async fn send(&mut self, messages: &[Message]) -> Checking {
        let mut batch = Vec::new();
        for message in messages {
            let (number, start) = (self.state.next_number(), batch.len());
            message.put(number, &self.place, &mut batch);
            let frame = frame(&batch[start..]);
            if let Some(sent) = self.state.sent(frame).map_err(|error| error.to_string())? {
                assert_eq!(sent, number, "the number that next_number announced");
                self.sent.insert(number, *message);
            }
            let _ = write!(self.log, " >{number}:{message:?}");
        }
        self.conn.outbox_mut().put_raw(&batch);
        match timeout(PATIENCE, self.conn.flush()).await {
            Err(_) => Err("the server does not read".to_owned()),
            // The server may close the connection first. The next receive then reports the error.
            Ok(Ok(()) | Err(Error::Io(_) | Error::Closed { .. } | Error::Poisoned(_))) => Ok(()),
            Ok(Err(error)) => Err(format!("flush: {error}")),
        }
    }

    /// Receives a message if the model expects one. Returns whether a message arrived.
    async fn receive_expected(&mut self) -> Result<bool, String> {
        match self.state.waiting() {
            Waiting::Reply => self.receive(PATIENCE).await?.map_or_else(
                || Err("the model expects a reply, and none arrives".to_owned()),
                |_| Ok(self.state.over().is_none()),
            ),
            Waiting::Unknown | Waiting::Replication => Ok(self.receive(SHORT).await?.is_some()),
            _ => Ok(false),
        }
    }

    /// Receives a message, and passes it to the model. Returns `None` if no message arrives in time, and `Some(None)` for a message that
    /// belongs to no request.
    async fn receive(&mut self, wait: Duration) -> Result<Option<Option<Reply>>, String> {
        let frame: FrameBuf = match timeout(wait, self.conn.recv_owned()).await {
            Err(_) => return Ok(None),
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return Err(format!("receiving: {error}")),
        };
        self.last = frame.code;
        let reply = self.state.received(frame.frame());
        let _ = write!(self.log, " <{:?}", frame.code);
        let reply = reply.map_err(|error| error.to_string())?;
        let Some(reply) = reply else { return Ok(Some(None)) };
        let _ = write!(
            self.log,
            "[{}{}{}]",
            reply.number,
            if reply.last { "!" } else { "" },
            if reply.certain { "" } else { "?" }
        );
        self.saw(format!("{:?} {:?}", reply.request, frame.code));
        self.compare(frame.frame(), reply)?;
        Ok(Some(Some(reply)))
    }

    /// Checks that the model assigns a reply to the right request. Each SQL text contains the number of its request, and the server repeats
    /// this number in rows and errors.
    fn compare(&mut self, frame: Frame<'_>, reply: Reply) -> Checking {
        let body = String::from_utf8_lossy(frame.body).into_owned();
        if frame.code == MessageCode::ERROR_RESPONSE {
            if self.state.over() == Some(Over::Fatal) {
                self.saw("fatal");
            }
            if body.contains("57014") {
                self.saw("cancelled");
            }
        }
        if !matches!(frame.code, MessageCode::DATA_ROW | MessageCode::ERROR_RESPONSE) || !reply.certain {
            return Ok(());
        }
        let Some(number) = number_in(&body) else { return Ok(()) };
        let fits = match reply.request {
            Request::Query | Request::Parse => number == reply.number,
            // A request other than Query and Parse has no SQL text. The rows and errors of such a request contain the number of the earlier
            // Parse that created the statement.
            _ => number < reply.number && !matches!(self.sent.get(&number), Some(Message::Query(_))),
        };
        if !fits {
            return Err(format!("the reply says request {number}, the model says {reply:?}"));
        }
        if let Some(Message::Query(sql) | Message::Parse(_, sql)) = self.sent.get(&number)
            && *sql == Sql::Empty
        {
            return Err("an empty query has no number in its reply".to_owned());
        }
        Ok(())
    }

    /// Checks that no reply arrives when the model expects none.
    async fn quiet(&mut self) -> Checking {
        let waiting = self.state.waiting();
        if matches!(waiting, Waiting::Reply | Waiting::Unknown | Waiting::Replication | Waiting::Over) {
            return Ok(());
        }
        let _ = write!(self.log, " quiet({waiting:?})");
        let mut replies = 0;
        while let Some(reply) = self.receive(SHORT).await? {
            match (reply, self.last) {
                // The model expects no reply before a Flush or a Sync. But an error, a notice or the start of a COPY FROM STDIN makes the
                // server send its whole buffer, with all replies in the buffer.
                (
                    _,
                    MessageCode::ERROR_RESPONSE
                    | MessageCode::NOTICE_RESPONSE
                    | MessageCode::COPY_IN_RESPONSE,
                ) if waiting == Waiting::Flush => return Ok(()),
                (Some(_), MessageCode::ERROR_RESPONSE) if self.cancelled && waiting == Waiting::CopyData => {
                    return Ok(());
                }
                _ if self.state.over().is_some() => return Ok(()),
                (Some(_), _) => replies += 1,
                (None, _) => {}
            }
        }
        if replies > 0 {
            return Err(format!("{replies} replies arrived, and the model said {waiting:?}"));
        }
        Ok(())
    }

    /// Performs the steps that the model proposes, up to an idle session.
    async fn recover(&mut self) -> Checking {
        self.log.push_str(" recover");
        for _ in 0..RECOVERY_STEPS {
            let step = match self.state.next_step() {
                Ok(Some(step)) => step,
                Ok(None) => return self.state.check_idle().map_err(|error| format!("idle, but: {error}")),
                Err(_) => return Ok(()),
            };
            let _ = write!(self.log, " {step:?}");
            match step {
                Step::CopyFail => self.send_step(|conn| _ = conn.copy_fail("abandoned")).await?,
                Step::CopyDone => self.send_step(|conn| _ = conn.copy_done()).await?,
                Step::Sync => self.send_step(|conn| _ = conn.sync()).await?,
                Step::Query(sql) => self.send_step(|conn| _ = conn.query(sql)).await?,
                Step::ClosePortal => self.send_step(|conn| _ = conn.close_portal(Portal::UNNAMED)).await?,
                Step::Receive => {
                    if self.receive(PATIENCE).await?.is_none() {
                        return Err(format!("no message arrives; waiting: {:?}", self.state.waiting()));
                    }
                }
                step => return Err(format!("unknown step {step:?}")),
            }
        }
        Err("the steps do not end".to_owned())
    }

    async fn send_step(&mut self, put: impl FnOnce(&mut Connection<Socket>)) -> Checking {
        put(&mut self.conn);
        let batch = self.conn.outbox().batch().to_vec();
        self.state.sent(frame(&batch)).map_err(|error| error.to_string())?;
        match timeout(PATIENCE, self.conn.flush()).await {
            Err(_) => Err("the server does not read".to_owned()),
            Ok(_) => Ok(()),
        }
    }

    /// Compares the model's `outstanding_ready` with the number of ReadyForQuery messages that arrive. No comparison takes place if a
    /// request fails or a COPY ignores a Sync, because `outstanding_ready` assumes that neither happens.
    async fn count_ready(&mut self) -> Checking {
        if !self.state.is_certain() || self.state.copy().is_some() {
            return Ok(());
        }
        let expected = self.state.outstanding_ready();
        let before = self.seen.clone();
        while self.receive_expected().await? {}
        let arrived = |code: &str| {
            let count = |seen: &BTreeMap<String, u64>| -> u64 {
                seen.iter().filter(|(name, _)| name.ends_with(code)).map(|(_, count)| count).sum()
            };
            count(&self.seen) - count(&before)
        };
        let ready = arrived(&format!("{:?}", MessageCode::READY_FOR_QUERY));
        let exceptions = arrived(&format!("{:?}", MessageCode::ERROR_RESPONSE))
            + arrived(&format!("{:?}", MessageCode::COPY_IN_RESPONSE))
            + arrived(&format!("{:?}", MessageCode::COPY_BOTH_RESPONSE));
        if exceptions == 0 && self.state.over().is_none() {
            self.saw("outstanding ReadyForQuery");
            if !expected.contains(&ready) {
                return Err(format!("outstanding_ready was {expected:?}, and {ready} ReadyForQuery arrived"));
            }
        }
        Ok(())
    }

    /// Checks that the session is idle: the next query receives its own reply and nothing else.
    async fn is_idle(&mut self) -> Checking {
        self.state.check_idle().map_err(|error: NotIdle| format!("not idle: {error}"))?;
        self.saw("idle");
        self.sent.clear();
        let number = self.state.next_number();
        let sql = format!("select 'q{number}' || current_setting('application_name')");
        let mut message = Vec::new();
        message.query(sql.as_str()).expect("a sound message");
        self.state.sent(frame(&message)).map_err(|error| error.to_string())?;
        self.conn.outbox_mut().put_raw(&message);
        self.conn.flush().await.map_err(|error| format!("an idle session: {error}"))?;
        let name = self.state.parameters().get("application_name").map(|name| name.to_string());
        let mut codes = Vec::new();
        let mut is_known_fault = false;
        while self.state.check_idle().is_err() {
            let frame = timeout(PATIENCE, self.conn.recv_owned()).await;
            let frame = frame.map_err(|_| "no reply")?.map_err(|error| error.to_string())?;
            let reply = self.state.received(frame.frame()).map_err(|error| format!("idle, but {error}"))?;
            if reply.is_some() {
                codes.push(frame.code);
            }
            let body = String::from_utf8_lossy(frame.frame().body).into_owned();
            // A fault of PostgreSQL 18: after an Execute and a Query without a Sync between them, the first query after the next
            // ReadyForQuery can fail with this internal error.
            is_known_fault |= frame.code == MessageCode::ERROR_RESPONSE
                && body.contains("CXX000")
                && body.contains("unexpected state STARTED");
            if frame.code == MessageCode::DATA_ROW {
                let expected = format!("q{number}{}", name.as_deref().unwrap_or_default());
                if !body.ends_with(&expected) {
                    return Err(format!("expected {expected:?}, received {body:?}"));
                }
            }
        }
        use MessageCode as C;
        if is_known_fault && codes == [C::ERROR_RESPONSE, C::READY_FOR_QUERY] {
            self.saw("fault of PostgreSQL 18");
            return Ok(());
        }
        let expected = [C::ROW_DESCRIPTION, C::DATA_ROW, C::COMMAND_COMPLETE, C::READY_FOR_QUERY];
        if codes != expected {
            return Err(format!("an idle session replied {codes:?}"));
        }
        Ok(())
    }

    /// Checks that the server closes the connection, and that the model explains all messages before the end.
    async fn end(&mut self) -> Checking {
        loop {
            match timeout(PATIENCE, self.conn.recv_owned()).await {
                Err(_) => {
                    return Err(format!("{:?}, and the connection stays open", self.state.over()));
                }
                Ok(Err(_)) => return Ok(()),
                Ok(Ok(frame)) => {
                    let _ = write!(self.log, " <{:?}", frame.code);
                    self.state.received(frame.frame()).map_err(|error| error.to_string())?;
                }
            }
        }
    }
}

/// Returns the only frame in `bytes`.
fn frame(bytes: &[u8]) -> Frame<'_> {
    let (code, body) = (bytes[0], &bytes[5..]);
    Frame { code: MessageCode(code), body }
}

/// Returns the number after the first `q` or `e` that is followed by digits.
fn number_in(body: &str) -> Option<u64> {
    let bytes = body.as_bytes();
    (1..bytes.len()).find_map(|place| {
        let start = matches!(bytes[place - 1], b'q' | b'e') && bytes[place].is_ascii_digit();
        let digits = body.get(place..)?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        start.then(|| digits[..end].parse().ok())?
    })
}
