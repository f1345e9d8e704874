//! A limit on the number of openings. An opening is a connection in its opening phase, which ends when the client is authenticated.
//!
//! Everyone who can reach the port can begin an opening. Each opening takes file descriptors of the proxy, and after its start-up message
//! also a connection slot of the server. So the number of openings is limited.
//!
//! When the limit is reached, the opening that has waited for its client the longest has to end, to make room for the next client. An
//! opening that waits for the server is never ended for this reason.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Time for which a client may be silent in its opening phase before the proxy may end its connection. The time is longer than a round trip
/// to a distant client, so a client that answers without delay is not disconnected. If many such clients connect at the same time, the
/// later clients wait.
const GRACE: Duration = Duration::from_secs(1);

/// The connections that are in their opening phase.
#[derive(Debug)]
pub(crate) struct Openings {
    most: usize,
    running: Mutex<Vec<Arc<Opening>>>,
    /// Wakes the task that waits until another connection may begin its opening phase.
    ended: Notify,
}

/// A place for one connection in its opening phase. The number of places is limited. Dropping this value lets another connection begin its
/// opening phase.
#[derive(Debug)]
pub(crate) struct Place {
    openings: Arc<Openings>,
    opening: Arc<Opening>,
}

#[derive(Debug)]
struct Opening {
    turn: Mutex<Turn>,
    give_way: Notify,
}

/// The side (client or server) that has to send the next message to a connection in its opening phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The connection has waited for the client since this time.
    Client(Instant),
    Server,
    /// The connection was asked to end, to make room for another client.
    Over,
}

impl Openings {
    /// Creates the list of connections in their opening phase. `most` is the limit for their number; 0 counts as 1.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), running: Mutex::default(), ended: Notify::new() })
    }

    /// Waits until the number of connections in their opening phase is below the limit, and reserves a place for one more connection.
    ///
    /// Precondition: only one task calls this method at a time. When a place becomes free, only one waiting task is woken.
    pub(crate) async fn place(self: &Arc<Self>) -> Place {
        loop {
            let wait = {
                let mut running = lock(&self.running);
                if running.len() < self.most {
                    let turn = Mutex::new(Turn::Client(Instant::now()));
                    let opening = Arc::new(Opening { turn, give_way: Notify::new() });
                    running.push(Arc::clone(&opening));
                    return Place { openings: Arc::clone(self), opening };
                }
                displace(&running)
            };
            // The timeout is no error. A wake-up before this call is not lost, because `Notify` stores it.
            let _ = timeout(wait, self.ended.notified()).await;
        }
    }
}

/// Finds the connection that has waited for its client the longest. Asks it to end if it has waited for at least `GRACE`. Returns the time
/// until the next check.
fn displace(running: &[Arc<Opening>]) -> Duration {
    let silent = running.iter().filter_map(|opening| match *lock(&opening.turn) {
        Turn::Client(since) => Some((since, opening)),
        Turn::Server | Turn::Over => None,
    });
    let Some((since, oldest)) = silent.min_by_key(|(since, _)| *since) else { return GRACE };
    let left = GRACE.saturating_sub(since.elapsed());
    if !left.is_zero() {
        return left;
    }
    *lock(&oldest.turn) = Turn::Over;
    oldest.give_way.notify_one();
    GRACE
}

impl Place {
    /// Records that the connection waits for the client. If it waits for the client already, the start of the wait does not change, so that
    /// a client gains no time by sending byte by byte.
    pub(crate) fn waits_for_client(&self) {
        let mut turn = lock(&self.opening.turn);
        if *turn == Turn::Server {
            *turn = Turn::Client(Instant::now());
        }
    }

    /// Records that the connection waits for the server.
    pub(crate) fn waits_for_server(&self) {
        let mut turn = lock(&self.opening.turn);
        if *turn != Turn::Over {
            *turn = Turn::Server;
        }
    }

    /// Waits until this connection is asked to end, to make room for another client.
    pub(crate) async fn displaced(&self) {
        self.opening.give_way.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.openings.running).retain(|opening| !Arc::ptr_eq(opening, &self.opening));
        self.openings.ended.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
