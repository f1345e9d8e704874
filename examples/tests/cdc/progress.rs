//! Time limit for a wait. The time without progress is limited; the total time is not, because it depends on the amount of WAL.

use std::time::{Duration, Instant};

use pg_wire::replication::Lsn;

use crate::database::Session;
use crate::process::Cdc;
use crate::support::PATIENCE;

/// Shortest time between two queries to the server.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches the progress of the program. There is progress if the output file grows, or if a position of the slot or of its walsender
/// advances. The walsender is the server process that sends the WAL.
///
/// All these values are read, because sometimes only one of them changes. At the start, the walsender decodes old WAL from `restart_lsn` on
/// but sends nothing; only `sent_lsn` advances. While the walsender sends a large transaction, only the output file grows.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    cdc: &'a Cdc,
    session: Option<Session>,
    /// Largest length of the output file so far, in bytes.
    length: u64,
    /// Latest known positions of the slot and of its walsender: `restart_lsn`, `confirmed_flush_lsn`, `sent_lsn`.
    positions: [Lsn; 3],
    /// Time of the last progress.
    since: Instant,
    next_query: Instant,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(cdc: &'a Cdc) -> Self {
        let now = Instant::now();
        let next_query = now + PAUSE;
        Self { cdc, session: None, length: 0, positions: [Lsn::INVALID; 3], since: now, next_query }
    }

    /// Returns a text with the current positions if there was no progress for longer than [`PATIENCE`]. Returns `None` otherwise.
    pub(crate) fn stalled(&mut self) -> Option<String> {
        if Instant::now() < self.next_query {
            return None;
        }
        let length = self.length.max(self.cdc.length());
        let mut positions = self.positions;
        for (position, now) in positions.iter_mut().zip(self.ask().unwrap_or_default()) {
            *position = now.max(*position);
        }
        self.next_query = Instant::now() + PAUSE;
        if (length, positions) != (self.length, self.positions) {
            (self.length, self.positions) = (length, positions);
            self.since = Instant::now();
        }
        let [restart, confirmed, sent] = positions;
        (self.since.elapsed() > PATIENCE).then(|| {
            format!(
                "no progress within {PATIENCE:?}: the output has {length} bytes, restart_lsn is {restart}, confirmed_flush_lsn is \
                 {confirmed}, sent_lsn is {sent}"
            )
        })
    }

    /// Reads the positions. Returns `None` if the server does not answer, for example after a crash.
    fn ask(&mut self) -> Option<Vec<Lsn>> {
        let database = &self.cdc.database;
        if self.session.is_none() {
            self.session = Session::try_open(database.server, &database.name);
        }
        let sql = format!(
            "SELECT unnest(ARRAY[restart_lsn, confirmed_flush_lsn, coalesce(sent_lsn, '0/0')]) FROM pg_replication_slots \
             LEFT JOIN pg_stat_replication ON pid = active_pid WHERE slot_name = '{}'",
            self.cdc.slot()
        );
        let Some(rows) = self.session.as_mut()?.try_query(&sql) else {
            self.session = None;
            return None;
        };
        rows.ok()?.into_iter().map(|mut row| row.pop()??.parse().ok()).collect()
    }
}
