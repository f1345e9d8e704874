//! A bound on the connections that are in their opening phase.
//!
//! Whoever can reach the port can begin an opening, and each one takes descriptors here and, once the start-up message is passed
//! on, a connection slot of the server. So there is room for a fixed number. When it is used up, the opening that has waited for
//! its client the longest gives way to the next client. An opening that waits for the server never gives way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a client may be silent before its opening can give way: longer than the round trip of a client that is far away, so that
/// a burst of honest clients waits for its turn instead.
const GRACE: Duration = Duration::from_secs(1);

/// The openings that are under way.
#[derive(Debug)]
pub(crate) struct Openings {
    most: usize,
    running: Mutex<Vec<Arc<Opening>>>,
    /// Wakes the one task that waits for room.
    ended: Notify,
}

/// The place of one opening. Dropping this makes room.
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
    /// The client, since then.
    Client(Instant),
    Server,
    /// Neither: it has been told to give way.
    Over,
}

impl Openings {
    /// Room for this many; at least one.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), running: Mutex::default(), ended: Notify::new() })
    }

    /// A place, as soon as there is one. Only one task may wait at a time.
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
            // An end is remembered if nobody waits for it yet.
            let _ = timeout(wait, self.ended.notified()).await;
        }
    }
}

/// Tells the opening that has waited for its client the longest to give way, if that is long enough. Returns after what time to look
/// again.
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
    /// The next message is the client's. Its time begins now, unless it has begun already: a client that sends byte by byte gains
    /// none.
    pub(crate) fn waits_for_client(&self) {
        let mut turn = lock(&self.opening.turn);
        if *turn == Turn::Server {
            *turn = Turn::Client(Instant::now());
        }
    }

    /// The next message is the server's.
    pub(crate) fn waits_for_server(&self) {
        let mut turn = lock(&self.opening.turn);
        if *turn != Turn::Over {
            *turn = Turn::Server;
        }
    }

    /// Waits until this opening has to give way.
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
