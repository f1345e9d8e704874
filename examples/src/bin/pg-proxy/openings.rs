//! A limit on the number of connections in their opening phase.
//!
//! Everyone who can reach the port can begin an opening. Each opening takes file descriptors here and, once its start-up message is passed
//! on, a connection slot of the server. So the number of openings is limited. When the limit is reached, the opening that has waited for
//! its client the longest has to end, to make room for the next client. An opening that waits for the server is never ended for this
//! reason.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Time that a client may be silent before its opening may be ended. It is longer than a round trip to a distant client: in a burst of
/// honest clients the later clients wait, and no earlier client is displaced.
const GRACE: Duration = Duration::from_secs(1);

/// The openings that are running.
#[derive(Debug)]
pub(crate) struct Openings {
    most: usize,
    running: Mutex<Vec<Arc<Opening>>>,
    /// Wakes the task that waits for a free place.
    ended: Notify,
}

/// The place of one opening. Dropping this value makes the place free for another opening.
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

/// The side that an opening waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The opening has waited for the client since this time.
    Client(Instant),
    Server,
    /// The opening waits for no side: it has been asked to end.
    Over,
}

impl Openings {
    /// Creates room for `most` openings, but at least for one.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), running: Mutex::default(), ended: Notify::new() })
    }

    /// Waits for a free place. Only one task may wait at a time.
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

/// Asks the opening that has waited for its client the longest to end, if it has waited for `GRACE`. Returns the time until the next check.
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
    /// Records that the opening waits for the client. If the opening already waits for the client, the start of the wait does not change: a
    /// client that sends byte by byte gains no time.
    pub(crate) fn waits_for_client(&self) {
        let mut turn = lock(&self.opening.turn);
        if *turn == Turn::Server {
            *turn = Turn::Client(Instant::now());
        }
    }

    /// Records that the opening waits for the server.
    pub(crate) fn waits_for_server(&self) {
        let mut turn = lock(&self.opening.turn);
        if *turn != Turn::Over {
            *turn = Turn::Server;
        }
    }

    /// Waits until this opening has to end.
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
