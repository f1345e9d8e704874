//! Kills sessions and proxies, and requests restarts of servers, at random moments.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::Result;
use crate::arguments::Arguments;
use crate::direct::Database;
use crate::proxies::Proxies;
use crate::random::Random;
use crate::tally::Tally;

/// Longest pause, in milliseconds, between two kills or restarts. Each pause is a random time up to this limit.
const PAUSE: u64 = 600;

/// Shortest time between two restarts of the same server. A restart takes less than a second, so clients can work for most of this time.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(3);

/// At random moments until `end`: restarts a proxy, requests the restart of a server, or ends a session of a client.
pub(crate) async fn make(
    arguments: &Arguments,
    databases: &[Database],
    proxies: &Proxies,
    tally: &Tally,
    end: Instant,
) -> Result<()> {
    let mut random = Random::new(arguments.seed);
    let mut restarted = vec![Instant::now(); databases.len()];
    loop {
        let pause = Duration::from_millis(random.below(PAUSE));
        let left = end.saturating_duration_since(Instant::now());
        tokio::time::sleep(pause.min(left)).await;
        if Instant::now() >= end {
            return Ok(());
        }
        let server = random.below(databases.len() as u64) as usize;
        match random.below(4) {
            0 => {
                proxies.restart(&mut random)?;
                tally.killed_proxies.add();
            }
            1 if arguments.restarts => {
                let fast = random.below(2) == 0;
                let Some(last) = restarted.get_mut(server) else { continue };
                if last.elapsed() < BETWEEN_RESTARTS {
                    continue;
                }
                *last = Instant::now();
                ask_for_restart(server, fast)?;
                if fast { &tally.fast_restarts } else { &tally.immediate_restarts }.add();
            }
            _ => {
                let sql = "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
                           WHERE application_name = 'pg-chaos' ORDER BY random() LIMIT 1) AS one";
                // The server may be unreachable because of a restart.
                if let Some(database) = databases.get(server)
                    && let Ok(rows) = database.try_sql(sql).await
                    && !rows.is_empty()
                {
                    tally.terminated.add();
                }
            }
        }
    }
}

/// Prints the line that asks the parent process (`cargo xtask chaos`) to restart a server.
fn ask_for_restart(server: usize, fast: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "restart {server} {}", if fast { "fast" } else { "immediate" })?;
    out.flush()
}
