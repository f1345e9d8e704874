//! A limit on the number of openings. An opening is a connection in its opening phase, which ends when the client is authenticated.
//!
//! Everyone who can reach the port can begin an opening. Each opening takes file descriptors of the proxy. After its start-up message is
//! passed on, it also takes a connection slot of the server. So the number of openings is limited. When the limit is reached, the opening
//! that has waited for its client the longest has to end, to make room for the next client. An opening that waits for the server is never
//! ended for this reason.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Time for which a client may be silent in its opening phase before the proxy may end its connection. The time is longer than a round trip
/// to a distant client. So if many honest clients connect at once, the later clients wait, and no earlier client is disconnected.
const GRACE: Duration = Duration::from_secs(1);

/// The connections that are in their opening phase.
#[derive(Debug)]
pub(crate) struct Openings {
    most: usize,
    running: Mutex<Vec<Arc<Opening>>>,
    /// Wakes the task that waits until another connection may begin its opening phase.
    ended: Notify,
}

/// A place among the limited number of connections in their opening phase. Dropping this value makes the place free for another connection.
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

/// The side (client or server) for which a connection in its opening phase waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The connection has waited for the client since this time.
    Client(Instant),
    Server,
    /// The connection waits for no side: it has been asked to end.
    Over,
}

impl Openings {
    /// Sets the limit to `most` connections in their opening phase, but at least to one.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), running: Mutex::default(), ended: Notify::new() })
    }

    /// Waits until fewer connections than the limit are in their opening phase, and reserves a place for one more connection. Only one task
    /// may call this method at a time: when a place becomes free, only one waiting task is woken.
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
            // No wake-up is lost: `Notify` stores a wake-up that is sent before this call.
            let _ = timeout(wait, self.ended.notified()).await;
        }
    }
}

/// Chooses the connection that has waited for its client the longest, and asks it to end if this wait is at least `GRACE`. Returns the time
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
    /// Records that the connection waits for the client. If it already waits for the client, the start of the wait does not change. So a
    /// client that sends byte by byte gains no time.
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
