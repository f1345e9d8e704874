//! Serves one client, from the opening phase to the close of its connections.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use pg_auth::stream::{close, read, write_all};
use pg_stream_tokio::rustls::RustlsAcceptor;
use pg_wire::{Direction, Frame, Inbox, Split};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use crate::address::{Address, Connection};
use crate::arguments::{Arguments, Tls};
use crate::failure::{Failure, Party};
use crate::faults::{self, Plan, Relays};
use crate::inspector::Inspector;
use crate::opening::{Opened, Opening};
use crate::openings::Place;
use crate::pump::{Passing, Pump, Reader, Writer};
use crate::record::{Record, Recordings};
use crate::say;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::tls::{self, ClientStream, Upstream};
use crate::trace::{Destination, Trace};
use crate::watch::Watch;

/// Longest time that a client may take to read its last message and to close its connection.
const PARTING: Duration = Duration::from_secs(2);

/// State that all connections share.
pub(crate) struct Proxy {
    listen: Address,
    pub(crate) upstream: Address,
    pub(crate) tls: Tls,
    /// Settings for TLS with the server; `None` if the server is always reached in clear.
    pub(crate) upstream_tls: Option<Upstream>,
    /// Acceptor of TLS from clients; `None` if the proxy has no certificate.
    acceptor: Option<RustlsAcceptor>,
    pub(crate) tally: Tally,
    pub(crate) stop: Stop,
    /// Time without traffic on a connection before the first keepalive probe; `None` for the setting of the system.
    pub(crate) keepalive_idle: Option<Duration>,
    raw: bool,
    check: bool,
    opening_timeout: Duration,
    trace: Destination,
    recordings: Recordings,
    /// Faults to inject; `None` if the command line has no faults.
    faults: Option<Plan>,
}

/// State of one connection.
pub(crate) struct Context {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) trace: Trace,
    /// Checks the messages of the session with a `SessionState`; `None` without `--check`.
    watch: Option<Watch>,
    number: u64,
    /// The relays that inject faults; `None` without faults.
    pub(crate) faults: Option<Relays>,
}

/// A client whose connection is about to be closed.
struct Leaving {
    from: Reader,
    to: Writer,
    /// Whether the client may receive a last message: it expects messages, and the previous message to it is complete.
    expects_messages: bool,
}

impl Proxy {
    pub(crate) fn new(arguments: Arguments) -> io::Result<Self> {
        let root = arguments.upstream_ca.as_deref();
        Ok(Self {
            acceptor: tls::acceptor(&arguments)?,
            upstream_tls: Upstream::new(arguments.upstream_tls, root, &arguments.upstream),
            trace: Destination::open(arguments.trace.as_deref())?,
            faults: arguments.faults(),
            recordings: Recordings::open(arguments.record)?,
            listen: arguments.listen,
            upstream: arguments.upstream,
            tls: arguments.tls,
            tally: Tally::default(),
            stop: Stop::default(),
            keepalive_idle: arguments.keepalive_idle.map(Duration::from_secs),
            raw: arguments.raw,
            check: arguments.check,
            opening_timeout: Duration::from_secs(arguments.opening_timeout),
        })
    }

    /// Maximum number of file descriptors of one connection: the client's socket, the server's socket, its trace file, its recording, and
    /// its relays.
    pub(crate) fn descriptors_each(&self) -> u64 {
        let trace = u64::from(matches!(self.trace, Destination::PerConnection(_)));
        let record = u64::from(self.recordings.is_on());
        let relays = if self.faults.is_some() { faults::DESCRIPTORS } else { 0 };
        self.listen.descriptors() + self.upstream.descriptors() + trace + record + relays
    }
}

impl Context {
    fn new(proxy: Arc<Proxy>) -> Self {
        let number = proxy.tally.connection();
        let (record, unrecorded) = match proxy.recordings.connection(number) {
            Ok(record) => (record, None),
            Err(error) => (Record::NONE, Some(error)),
        };
        let (trace, failure) = match proxy.trace.connection(number, record) {
            Ok(trace) => (trace, None),
            Err(error) => (Trace::NONE, Some(error)),
        };
        let watch = proxy.check.then(Watch::new);
        let faults = proxy.faults.as_ref().map(|plan| plan.connection(number));
        let context = Self { proxy, trace, watch, number, faults };
        if let Some(error) = failure {
            context.say(format_args!("cannot write its trace: {error}"));
        }
        if let Some(error) = unrecorded {
            context.say(format_args!("cannot write its recording: {error}"));
        }
        context
    }

    /// Writes a line about this connection to standard error.
    pub(crate) fn say(&self, what: fmt::Arguments<'_>) {
        say(format_args!("connection {}: {what}", self.number));
    }

    /// Passes messages to the check of the session, a `SessionState`. Reports a message that the `SessionState` does not expect.
    pub(crate) fn watch<'f>(&self, direction: Direction, frames: impl IntoIterator<Item = Frame<'f>>) {
        if let Some(watch) = &self.watch
            && let Err(disagreement) = watch.feed(direction, frames)
        {
            self.tally().unexplained();
            self.say(format_args!("the message does not match the state of the session: {disagreement}"));
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.proxy.tally
    }
}

/// Serves one client until its connection ends.
///
/// `place` counts the connection as one of the connections in their opening phase, whose number is limited. `place` is dropped after the
/// opening phase, so that another client can begin.
///
/// Each phase is boxed, so that a connection needs memory only for its current phase.
pub(crate) async fn run(proxy: Arc<Proxy>, client: ClientStream, place: Place) {
    let context = Arc::new(Context::new(proxy));
    let Some(relays) = &context.faults else { return serve(&context, client, place).await };
    match relays.client(client) {
        Ok(client) => serve(&context, client, place).await,
        Err(error) => context.say(format_args!("cannot inject faults: {error}")),
    }
    relays.finish().await;
}

/// Serves one client as [`run`] does. If faults are injected, `client` is a stream to a relay.
async fn serve(context: &Arc<Context>, client: ClientStream, place: Place) {
    let (result, client) = match Box::pin(open(context, client, place)).await {
        Open::Session(sides) => Box::pin(session(context, *sides)).await,
        Open::Over(result, client) => (result, Some(client)),
        Open::Gone(failure) => (Err(failure), None),
    };
    if let Err(failure) = &result
        && failure.is_worth_a_line()
    {
        context.say(format_args!("{failure}"));
    }
    let Some(client) = client else { return };
    let answer =
        result.as_ref().err().and_then(|failure| failure.answer(client.expects_messages, &context.trace));
    context.trace.flush();
    Box::pin(part(client, answer, !matches!(result, Err(Failure::Stopping)))).await;
}

/// Outcome of the opening phase of a connection, with the streams that are open at its end.
enum Open {
    Session(Box<Sides>),
    Over(Result<(), Failure>, Leaving),
    /// The client's stream is lost, so no message can be sent.
    Gone(Failure),
}

/// The connections of a session: to the client and to the server.
struct Sides {
    client: Connection,
    server: Connection,
    /// Whether the session cannot be decoded, because its bytes are encrypted or of an old protocol version.
    opaque: bool,
}

/// Runs the opening phase of a connection: TLS with the client, and all messages up to the end of authentication.
async fn open(context: &Context, client: ClientStream, place: Place) -> Open {
    let (client, taken) = match &context.proxy.acceptor {
        None => (tls::clear(client), Vec::new()),
        Some(acceptor) => {
            let accepted = Box::pin(async { tls::accept(acceptor, client).await.map_err(Failure::NoTls) });
            match until_something_ends_it(context, &place, accepted).await {
                Ok(accepted) => accepted,
                Err(failure) => return Open::Gone(failure),
            }
        }
    };
    let mut opening = Opening::new(context, &place, client, &taken);
    let opened = until_something_ends_it(context, &place, opening.run()).await;
    let expects_messages = opening.expects_messages();
    let opaque = matches!(opened, Ok(Opened::Opaque));
    let session = opaque || matches!(opened, Ok(Opened::Session));
    match (opened, opening.into_connections(session)) {
        (Ok(Opened::Session | Opened::Opaque), (client, Some(server))) => {
            Open::Session(Box::new(Sides { client, server, opaque }))
        }
        (opened, (client, _)) => {
            let (_, from, to) = halves(client);
            Open::Over(opened.map(drop), Leaving { from, to, expects_messages })
        }
    }
}

/// Runs a part of an opening phase. Returns an error when the timeout expires, when this connection has to end to make room for another
/// client, or when the proxy stops.
async fn until_something_ends_it<T>(
    context: &Context,
    place: &Place,
    part: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let proxy = &context.proxy;
    let opened = async {
        tokio::select! {
            opened = part => opened,
            () = sleep(proxy.opening_timeout) => Err(Failure::Timeout),
            () = place.displaced() => Err(Failure::Displaced),
        }
    };
    proxy.stop.unless_given(opened).await.unwrap_or(Err(Failure::Stopping))
}

/// Passes bytes on in both directions. Begins with the bytes that are already buffered.
///
/// Each direction runs in a separate task, so that an event of one direction does not poll the other direction.
async fn session(context: &Arc<Context>, sides: Sides) -> (Result<(), Failure>, Option<Leaving>) {
    let Sides { client, server, opaque } = sides;
    if opaque || context.proxy.raw {
        context.tally().not_decoded();
        context.trace.record().opaque();
    }
    let (mut up, mut down) = pumps(client, server);
    let forth = async {
        let end = up.run(passing(context, opaque, Direction::Frontend)).await;
        // Half-closes the connection to the server even after a failure. The server then answers the messages that it has received, and
        // closes its connection.
        up.close().await;
        end
    };
    let shared = Arc::clone(context);
    let mut back = Task(tokio::spawn(async move {
        let passing = passing(&shared, opaque, Direction::Backend);
        let end = shared.proxy.stop.unless_given(down.run(passing)).await;
        (end.unwrap_or(Err(Failure::Stopping)), down)
    }));
    let (result, down) = both(forth, &mut back).await;
    let leaving =
        down.map(|down| Leaving { from: up.from, to: down.to, expects_messages: down.between_messages });
    (result, leaving)
}

/// Decides how much of a session the proxy decodes.
fn passing(context: &Context, opaque: bool, direction: Direction) -> Passing<'_> {
    match (opaque, context.proxy.raw) {
        (true, _) => Passing::Opaque,
        (false, true) => Passing::Framed,
        (false, false) => Passing::Decoded(Inspector::new(context, direction)),
    }
}

/// Handle of a spawned task. Dropping this value aborts the task.
struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)).map_err(JoinError::try_into_panic) {
            Ok(result) => Poll::Ready(result),
            Err(Ok(panic)) => resume_unwind(panic),
            // The task was cancelled because the runtime shuts down. The task that polls this future is cancelled too, so the future need
            // not complete.
            Err(Err(_)) => Poll::Pending,
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Creates the pump from the client to the server, and the pump from the server to the client.
fn pumps(client: Connection, server: Connection) -> (Pump, Pump) {
    let (client_inbox, client_reader, client_writer) = halves(client);
    let (server_inbox, server_reader, server_writer) = halves(server);
    let pump = |direction, inbox, from, to| Pump { direction, inbox, from, to, between_messages: true };
    let up = pump(Direction::Frontend, client_inbox, client_reader, server_writer);
    let down = pump(Direction::Backend, server_inbox, server_reader, client_writer);
    (up, down)
}

/// Splits a connection into the received bytes and the two directions of its stream. Precondition: the outbox is empty.
fn halves(connection: Connection) -> (Inbox, Reader, Writer) {
    let (socket, inbox, _) = connection.into_parts();
    let (reader, writer) = socket.split();
    (inbox, reader, writer)
}

/// Runs both directions until the server closes its connection, or a connection is lost. If the client is still connected, returns the pump
/// to the client.
async fn both(
    up: impl Future<Output = Result<(), Failure>>,
    down: &mut Task<(Result<(), Failure>, Pump)>,
) -> (Result<(), Failure>, Option<Pump>) {
    tokio::select! {
        end = up => match end {
            Err(failure @ Failure::Gone(Party::Client)) => (Err(failure), None),
            // The client has closed its connection or sent an invalid header, or the server has stopped reading. Now the connection to the
            // server is half-closed, so the server sends its remaining answers, and then closes the connection.
            end => {
                let (answered, pump) = down.await;
                (answered.and(end), Some(pump))
            }
        },
        (end, pump) = &mut *down => (end, Some(pump)),
    }
}

/// Sends the client its last message, if there is one, and closes the connection. If `lingers` is true, waits until the client has closed
/// the connection too.
async fn part(client: Leaving, answer: Option<Vec<u8>>, lingers: bool) {
    let Leaving { mut from, mut to, .. } = client;
    let parting = async {
        write_all(&mut to, &answer.unwrap_or_default()).await?;
        close(&mut to).await?;
        if lingers {
            // The system resets a connection that is closed with unread bytes, and the client may then lose its last message. So the bytes
            // are read. They are overwritten later, because they may contain a password.
            let mut unread = Zeroizing::new([0; 512]);
            while read(&mut from, unread.as_mut_slice()).await? > 0 {}
        }
        io::Result::Ok(())
    };
    // A timeout is no error: the client had enough time to read the message.
    let _ = timeout(PARTING, parting).await;
}
