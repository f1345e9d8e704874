//! The loop that accepts clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::listener::Listener;
use crate::openings::Openings;
use crate::say;
use crate::session::{self, Proxy};

/// Longest pause after a failed attempt to accept a client. The pause also ends when a connection ends, because the connection then frees a
/// file descriptor.
const PAUSE: Duration = Duration::from_secs(1);

/// Number of file descriptors that connections may not use: for the standard streams, for the runtime, and for name lookups.
const RESERVED: u64 = 32;

/// Accepts clients forever. `descriptors` is the limit on open files. `openings` is the limit on the number of connections whose client is
/// not authenticated yet.
pub(crate) async fn serve(
    listener: &Listener,
    proxy: &Arc<Proxy>,
    sessions: &mut JoinSet<()>,
    descriptors: Option<u64>,
    openings: usize,
) -> Infallible {
    let room_in = |descriptors: u64| descriptors.saturating_sub(RESERVED) / proxy.descriptors_each();
    let most = descriptors.map_or(u64::MAX, room_in).max(1);
    // At most half of all connections may be in their opening phase, before the client is authenticated. Otherwise silent clients could use
    // up all connections.
    let openings = Openings::new(openings.min(usize::try_from(most / 2).unwrap_or(usize::MAX)));
    let (mut reported, mut failed) = (false, false);
    loop {
        let room = (sessions.len() as u64) < most;
        if !room && !std::mem::replace(&mut reported, true) {
            say(format_args!(
                "pg-proxy: the limit of {most} connections is reached; other clients wait until a connection ends"
            ));
        }
        tokio::select! {
            client = listener.accept(), if room && !failed => match client {
                Ok(client) => {
                    let place = openings.place().await;
                    sessions.spawn(session::run(Arc::clone(proxy), client, place));
                }
                // Most likely the machine has no free file descriptor. The new client waits in the queue of the socket until a descriptor
                // is free.
                Err(error) => {
                    say(format_args!("pg-proxy: cannot accept a client, trying again when a connection ends: {error}"));
                    failed = true;
                }
            },
            Some(_) = sessions.join_next() => failed = false,
            () = sleep(PAUSE), if failed => failed = false,
        }
    }
}
