//! Server connections of one user in one database, and the clients that wait for a connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use pg_auth::scram::ScramKeys;
use pg_stream_tokio::{CancelKey, cancel_over};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::pooler::Pooler;
use crate::server::{self, Server};
use crate::settings::Interned;
use crate::statements::Statements;

/// Longest time for a cancel request to reach the server. Until the request has ended, no other client can use the connection. After this
/// time, the pooler gives up the request.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Server connections of one user in one database.
pub(crate) struct Pool {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) settings: Interned,
    pub(crate) statements: Statements,
    size: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Idle server connections. The connection that was returned last is at the end, and is used first.
    #[expect(clippy::vec_box, reason = "a connection moves in and out with each transaction")]
    idle: Vec<Box<Server>>,
    /// Number of server connections: the sum of idle connections, connections in use, and connections that are being made.
    total: usize,
    waiting: VecDeque<(Arc<Seat>, Instant)>,
    /// SCRAM keys of the client that logged in last. New server connections log in with these keys.
    keys: Option<ScramKeys>,
    /// Parameters that the server reported on the newest connection.
    defaults: Option<Arc<Vec<(String, String)>>>,
}

/// State that the pool keeps for a client: the key and the destination of its cancel requests, and the connection that the client receives
/// after a wait.
pub(crate) struct Seat {
    /// Key that this client sends in a cancel request.
    pub(crate) key: CancelKey,
    state: Mutex<Seated>,
}

#[derive(Default)]
struct Seated {
    /// Destination of the client's cancel requests: the server connection that the client uses.
    route: Option<Arc<Route>>,
    granted: Option<Result<Lease, Failure>>,
    waker: Option<Waker>,
}

/// The destination of cancel requests for a server connection.
pub(crate) struct Route {
    key: Option<CancelKey>,
    state: Mutex<Routed>,
}

#[derive(Default)]
struct Routed {
    /// Number of cancel requests that are on their way to the server. Until it is 0, no other client gets the connection, because a late
    /// request would cancel the query of this other client.
    cancelling: usize,
    parked: Option<Lease>,
}

/// The right of a client to use one of the pool's server connections. `server` is `None` if this connection still has to be made. Dropping
/// a lease closes the connection, and gives the right to the next waiting client.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    server: Option<Box<Server>>,
    /// Whether the connection has been returned to the pool.
    returned: bool,
}

impl Pool {
    pub(crate) fn new(user: &str, database: &str, size: usize) -> Self {
        Self {
            user: user.into(),
            database: database.into(),
            settings: Interned::default(),
            statements: Statements::default(),
            size,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_keys(&self, keys: ScramKeys) {
        self.state().keys = Some(keys);
    }

    pub(crate) fn keys(&self) -> Option<ScramKeys> {
        self.state().keys.clone()
    }

    /// Stores the parameters that the server reported on a new connection.
    pub(crate) fn set_defaults(&self, defaults: Vec<(String, String)>) {
        self.state().defaults = Some(Arc::new(defaults));
    }

    /// Returns the parameters that the server reported on the newest connection. Returns `None` before the first connection.
    pub(crate) fn defaults(&self) -> Option<Arc<Vec<(String, String)>>> {
        self.state().defaults.clone()
    }

    /// Gives a client an idle server connection, or the right to make a connection. If all connections of the pool are in use, waits until
    /// a connection becomes free.
    ///
    /// # Errors
    /// No connection becomes free in time.
    pub(crate) async fn acquire(self: &Arc<Self>, seat: &Arc<Seat>) -> Result<Lease, Failure> {
        let mut lease = match self.take(seat) {
            Some(lease) => lease,
            None => poll_fn(|cx| seat.poll_granted(cx.waker())).await?,
        };
        // The server may have closed the idle connection after a restart or a timeout. In this case the caller makes a new connection.
        if lease.server.as_mut().is_some_and(|server| !server.is_alive()) {
            lease.server = None;
        }
        Ok(lease)
    }

    /// Returns an idle connection, or the right to make a connection. If all connections are in use, puts the client into the queue and
    /// returns `None`.
    fn take(self: &Arc<Self>, seat: &Arc<Seat>) -> Option<Lease> {
        let mut state = self.state();
        let server = state.idle.pop();
        if server.is_none() {
            if state.total == self.size {
                state.waiting.push_back((Arc::clone(seat), Instant::now()));
                return None;
            }
            state.total += 1;
        }
        Some(Lease { pool: Arc::clone(self), server, returned: false })
    }

    /// Ends the wait of each client that has waited for a connection for at least `limit`. The client's call of `acquire` returns an error.
    pub(crate) fn expire(&self, limit: Duration) {
        loop {
            let mut state = self.state();
            let late = state.waiting.front().is_some_and(|(_, since)| since.elapsed() >= limit);
            let Some((seat, _)) = late.then(|| state.waiting.pop_front()).flatten() else { return };
            drop(state);
            seat.grant(Err(Failure::NoServer(limit)));
        }
    }
}

impl Lease {
    /// Returns the server connection; `None` if it is not made yet.
    pub(crate) fn server(&mut self) -> Option<&mut Server> {
        self.server.as_deref_mut()
    }

    /// Makes the server connection.
    ///
    /// # Errors
    /// The server cannot be reached or rejects the login.
    pub(crate) async fn connect(&mut self, pooler: &Pooler) -> Result<(), Failure> {
        self.server = Some(Box::new(server::dial(&self.pool, pooler).await?));
        Ok(())
    }

    /// Returns an idle connection to the pool, or gives it to the next waiting client. If the server has reported an internal error, closes
    /// the connection instead.
    pub(crate) fn release(mut self) {
        let Some(server) = self.server.as_ref().filter(|server| !server.session.has_internal_error) else {
            return;
        };
        let route = Arc::clone(server.route());
        let mut routed = route.state();
        if routed.cancelling > 0 {
            routed.parked = Some(self);
            return;
        }
        drop(routed);
        let pool = Arc::clone(&self.pool);
        let mut state = pool.state();
        match state.waiting.pop_front() {
            Some((seat, _)) => {
                drop(state);
                seat.grant(Ok(self));
            }
            None => {
                state.idle.extend(self.server.take());
                self.returned = true;
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.returned {
            return;
        }
        let mut state = self.pool.state();
        match state.waiting.pop_front() {
            Some((seat, _)) => {
                drop(state);
                seat.grant(Ok(Self { pool: Arc::clone(&self.pool), server: None, returned: false }));
            }
            None => state.total -= 1,
        }
    }
}

impl Seat {
    pub(crate) fn new(key: CancelKey) -> Arc<Self> {
        Arc::new(Self { key, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, Seated> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the server connection to which the client's cancel requests are sent. `None`: the client uses no connection.
    pub(crate) fn set_route(&self, route: Option<Arc<Route>>) {
        self.state().route = route;
    }

    fn grant(&self, lease: Result<Lease, Failure>) {
        let mut state = self.state();
        let old = state.granted.replace(lease);
        let waker = state.waker.take();
        drop(state);
        drop(old);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_granted(&self, waker: &Waker) -> Poll<Result<Lease, Failure>> {
        let mut state = self.state();
        match state.granted.take() {
            Some(lease) => Poll::Ready(lease),
            None => {
                state.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Cancels the running query of the client, if there is one.
    pub(crate) async fn cancel(&self, pooler: &Pooler) {
        let route = {
            let state = self.state();
            // While this state is locked, the client cannot release its connection. After a later release, `cancelling` keeps other clients
            // from this connection. So the cancel request cannot reach the query of another client.
            let Some(route) = &state.route else { return };
            route.state().cancelling += 1;
            Arc::clone(route)
        };
        route.cancel(pooler).await;
        let parked = {
            let mut routed = route.state();
            routed.cancelling -= 1;
            if routed.cancelling == 0 { mem::take(&mut routed.parked) } else { None }
        };
        if let Some(lease) = parked {
            lease.release();
        }
    }
}

impl Route {
    pub(crate) fn new(key: Option<CancelKey>) -> Arc<Self> {
        Arc::new(Self { key, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, Routed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a cancel request to the server. Returns after the server has closed the connection of the cancel request.
    pub(crate) async fn cancel(&self, pooler: &Pooler) {
        let Some(key) = &self.key else { return };
        let request = async {
            let stream = TcpStream::connect(&pooler.upstream).await?;
            cancel_over(stream, key).await.map_err(io::Error::other)
        };
        // An error is ignored: a cancel request has no reply, so the client cannot be informed.
        let _ = timeout(CANCEL_LIMIT, request).await;
    }
}
