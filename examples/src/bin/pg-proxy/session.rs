//! One client and the server, from beginning to end.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use pg_auth::stream::{close, read, write_all};
use pg_stream_tokio::{Connection, Socket};
use pg_wire::{Direction, Inbox, Split};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use crate::address::Address;
use crate::arguments::{Arguments, Tls};
use crate::failure::{Failure, Party};
use crate::inspector::Inspector;
use crate::opening::{self, Opened};
use crate::pump::{End, Passing, Pump, Reader, Writer};
use crate::say;
use crate::tally::Tally;
use crate::trace::{Destination, Trace};

/// How long a client may take to hear the last word.
const PARTING: Duration = Duration::from_secs(2);

/// What all connections share.
pub(crate) struct Proxy {
    listen: Address,
    pub(crate) upstream: Address,
    pub(crate) tls: Tls,
    pub(crate) tally: Tally,
    raw: bool,
    opening_timeout: Duration,
    trace: Destination,
}

/// What belongs to one connection.
pub(crate) struct Context {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) trace: Trace,
    number: u64,
}

impl Proxy {
    pub(crate) fn new(arguments: Arguments) -> io::Result<Self> {
        Ok(Self {
            trace: Destination::open(arguments.trace.as_deref())?,
            listen: arguments.listen,
            upstream: arguments.upstream,
            tls: arguments.tls,
            tally: Tally::default(),
            raw: arguments.raw,
            opening_timeout: Duration::from_secs(arguments.opening_timeout),
        })
    }

    /// How many descriptors a connection takes at most: what each side does, and one for a trace of its own.
    pub(crate) fn descriptors_each(&self) -> u64 {
        let trace = u64::from(matches!(self.trace, Destination::PerConnection(_)));
        self.listen.descriptors() + self.upstream.descriptors() + trace
    }
}

impl Context {
    fn new(proxy: Arc<Proxy>) -> Self {
        let number = proxy.tally.connection();
        let (trace, failure) = match proxy.trace.connection(number) {
            Ok(trace) => (trace, None),
            Err(error) => (Trace::NONE, Some(error)),
        };
        let context = Self { proxy, trace, number };
        if let Some(error) = failure {
            context.say(format_args!("it has no trace: {error}"));
        }
        context
    }

    /// A line to standard error about this connection.
    pub(crate) fn say(&self, what: fmt::Arguments<'_>) {
        say(format_args!("connection {}: {what}", self.number));
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.proxy.tally
    }
}

/// Serves one client to its end.
pub(crate) async fn run(proxy: Arc<Proxy>, client: Socket) {
    let context = Arc::new(Context::new(proxy));
    let mut client = Connection::new(client, opening::CLIENT);
    let opened = timeout(context.proxy.opening_timeout, opening::open(&context, &mut client)).await;
    let (end, from, to) = match opened.unwrap_or(Err(Failure::Timeout)) {
        Ok(Opened::Over) => part_in(client, Ok(End::Clean)),
        Ok(Opened::Session(server)) => session(&context, client, server, false).await,
        Ok(Opened::Opaque(server)) => session(&context, client, server, true).await,
        Err(failure) => part_in(client, Err((failure, End::Clean))),
    };
    let mut answer = None;
    if let Err((failure, end)) = end {
        if end == End::Clean {
            answer = failure.answer(&context.trace);
            context.trace.flush();
        }
        if failure.is_worth_telling() {
            context.say(format_args!("{failure}"));
        }
    }
    if let Some(to) = to {
        part(from, to, answer).await;
    }
}

/// How both directions ended: why, if before their time, and where in what the client was being told.
type Ended = Result<End, (Failure, End)>;

/// Passes on what comes from either side, from where the opening has left off.
///
/// Each direction is a task of its own: where it is not woken, nobody looks at it.
async fn session(
    context: &Arc<Context>,
    client: Connection<Socket>,
    server: Connection<Socket>,
    opaque: bool,
) -> (Ended, Reader, Option<Writer>) {
    if opaque || context.proxy.raw {
        context.tally().not_decoded();
    }
    let (mut up, mut down) = pumps(client, server);
    let forth = async {
        let end = up.run(passing(context, opaque, Direction::Frontend)).await;
        // Also where it has failed: the server is to answer what came before that, and then leave.
        up.close().await;
        end
    };
    let shared = Arc::clone(context);
    let mut back = Task(tokio::spawn(async move {
        let end = down.run(passing(&shared, opaque, Direction::Backend)).await;
        (end, down.to)
    }));
    let (end, to) = both(forth, &mut back).await;
    (end, up.from, to)
}

/// How much is looked at in a session.
fn passing(context: &Context, opaque: bool, direction: Direction) -> Passing<'_> {
    match (opaque, context.proxy.raw) {
        (true, _) => Passing::Opaque,
        (false, true) => Passing::Framed,
        (false, false) => Passing::Decoded(Inspector::new(context, direction)),
    }
}

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)).map_err(JoinError::try_into_panic) {
            Ok(result) => Poll::Ready(result),
            // It goes on here.
            Err(Ok(panic)) => resume_unwind(panic),
            // The runtime ends, and whoever waits with it.
            Err(Err(_)) => Poll::Pending,
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A pump from the client to the server, and one back.
fn pumps(client: Connection<Socket>, server: Connection<Socket>) -> (Pump, Pump) {
    let (client_inbox, client_reader, client_writer) = halves(client);
    let (server_inbox, server_reader, server_writer) = halves(server);
    let up =
        Pump { direction: Direction::Frontend, inbox: client_inbox, from: client_reader, to: server_writer };
    let down =
        Pump { direction: Direction::Backend, inbox: server_inbox, from: server_reader, to: client_writer };
    (up, down)
}

/// What has come, and the stream in its two directions. Everything that was put into the connection has left it.
fn halves(connection: Connection<Socket>) -> (Inbox, Reader, Writer) {
    let (socket, inbox, _) = connection.into_parts();
    let (reader, writer) = socket.split();
    (inbox, reader, writer)
}

/// Both directions, until the server has nothing more to say or nobody listens; and where bytes for the client go, if it is there.
async fn both(
    up: impl Future<Output = Result<End, Failure>>,
    down: &mut Task<(Result<End, Failure>, Writer)>,
) -> (Ended, Option<Writer>) {
    tokio::select! {
        end = up => match end {
            Err(failure @ Failure::Gone(Party::Client)) => (Err((failure, End::MidMessage)), None),
            // The client has no more to say, or nothing that can be understood, or the server takes no more. What came before is
            // still answered: the server has been told that this was all.
            end => {
                let (answered, to) = down.await;
                let ended = match (end, answered) {
                    (Ok(_), Ok(end)) => Ok(end),
                    (Err(failure), Ok(end)) => Err((failure, end)),
                    (_, Err(failure)) => Err((failure, End::MidMessage)),
                };
                (ended, Some(to))
            }
        },
        (end, to) = &mut *down => (end.map_err(|failure| (failure, End::MidMessage)), Some(to)),
    }
}

/// Ends a client that has not got as far as a session.
fn part_in(client: Connection<Socket>, end: Ended) -> (Ended, Reader, Option<Writer>) {
    let (_, from, to) = halves(client);
    (end, from, Some(to))
}

/// The last word to the client, if there is one, and the end.
async fn part(mut from: Reader, mut to: Writer, answer: Option<Vec<u8>>) {
    let parting = async {
        write_all(&mut to, &answer.unwrap_or_default()).await?;
        close(&mut to).await?;
        // To close with bytes unread would reset the connection, and with that what was said last could be lost.
        while read(&mut from, &mut [0; 1024]).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that has not heard it by now does not listen.
    let _ = timeout(PARTING, parting).await;
}
