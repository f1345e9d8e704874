//! Receives WAL over all timelines, and writes it into an archive.

use std::future::pending;
use std::time::Duration;

use pg_stream_tokio::{Connection, PgProtocol, ReplicationStream};
use pg_wire::replication::command::{StartPhysical, TimelineHistory};
use pg_wire::replication::reply::{NextTimeline, TimelineHistoryFile};
use pg_wire::replication::{Lsn, StreamErrorKind};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::archive::Archive;
use crate::ask::ask;
use crate::failure::Failure;
use crate::report::say;
use crate::resume::Place;
use crate::segment::history_name;
use crate::stop::Stop;

/// Time without new WAL after which the received WAL is synced and its position is confirmed. The time is short, because a server that
/// shuts down waits until all WAL is confirmed.
const IDLE: Duration = Duration::from_secs(1);

/// Settings of a WAL stream.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) slot: Option<String>,
    /// Whether WAL is synced and reported as soon as it is received.
    pub(crate) is_synchronous: bool,
    /// Interval at which status updates are sent to the server.
    pub(crate) interval: Duration,
    /// Whether a line is printed for each segment.
    pub(crate) is_verbose: bool,
}

impl Settings {
    /// Whether the program reports durable positions to the server. Without a slot, the server needs these positions only if it waits for
    /// this program as a synchronous standby.
    fn reports_durable(&self) -> bool {
        self.slot.is_some() || self.is_synchronous
    }
}

/// Receiver of the position at which a stream ends. The value is `None` while the position is not known yet.
pub(crate) type Goal = watch::Receiver<Option<Lsn>>;

/// Receives a stream of WAL, and writes it into an archive.
pub(crate) struct Stream<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) archive: &'a mut Archive,
    pub(crate) goal: Goal,
    pub(crate) stop: Stop,
}

/// The reason why the WAL stream of a timeline has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// This program stops: the end position of the stream is reached, or a signal has arrived.
    Stopped,
    /// The server has ended the copy, because it has no more WAL on this timeline.
    Timeline,
}

/// A piece of WAL, and the position of its first byte.
#[derive(Debug, Default)]
struct Piece {
    at: Lsn,
    data: Vec<u8>,
}

impl Stream<'_> {
    /// Streams WAL from the start of the segment that contains the position of `from`. Ends when the end position is reached, or when a
    /// signal arrives.
    pub(crate) async fn run(&mut self, mut conn: Connection, from: Place) -> Result<(), Failure> {
        let mut place = from;
        loop {
            place.position = self.archive.size().begin(place.position);
            self.fetch_history(&mut conn, place.timeline).await?;
            if self.is_over(place, false) {
                // An error is ignored, because the connection is not needed any more.
                let _ = conn.terminate().close().await;
                return Ok(());
            }
            let mut command = StartPhysical::new(place.position).timeline(place.timeline);
            if let Some(slot) = &self.settings.slot {
                command = command.slot(slot);
            }
            let mut stream = match ReplicationStream::start(conn, &command).await {
                Ok(stream) => stream.interval(self.settings.interval),
                Err(error) => {
                    let StreamErrorKind::TimelineEnds(next) = error.error.kind else {
                        return Err(error.error.into());
                    };
                    place = self.switch(place, place.position, next)?;
                    conn = *error.connection;
                    continue;
                }
            };
            self.archive.begin(place.position);
            stream.status_mut().set_written(place.position)?;
            self.confirm(&mut stream)?;
            let copied = self.copy(&mut stream, place).await;
            // The archive is closed even after a failure, so that all received WAL is durable.
            let closed = self.archive.close().await;
            let end = copied?;
            closed?;
            self.confirm(&mut stream)?;
            let received = stream.status().received();
            let finished = stream.finish().await?;
            conn = finished.connection;
            match (end, finished.next_timeline) {
                (End::Stopped, _) => {
                    let _ = conn.terminate().close().await;
                    return Ok(());
                }
                (End::Timeline, Some(next)) => place = self.switch(place, received, next)?,
                (End::Timeline, None) => return Err(Failure::Ended(received)),
            }
        }
    }

    /// Receives and writes WAL on one timeline, until this program stops or the server ends the timeline.
    async fn copy(&mut self, stream: &mut ReplicationStream, place: Place) -> Result<End, Failure> {
        let mut piece = Piece::default();
        let mut position = place.position;
        loop {
            if self.is_over(Place { position, ..place }, false) {
                return Ok(End::Stopped);
            }
            match self.receive(stream, &mut piece).await? {
                Event::Wal => {}
                Event::Wake => continue,
                Event::End => return Ok(End::Timeline),
            }
            let mut rest = &piece.data[..];
            position = piece.at;
            while !rest.is_empty() {
                let written =
                    stream.keep_alive_while(self.archive.write(place.timeline, position, rest)).await?;
                rest = rest.get(written..).unwrap_or_default();
                position = self.archive.written();
                stream.status_mut().set_written(position)?;
                if self.archive.size().offset(position) == 0 {
                    self.confirm(stream)?;
                    stream.report().await?;
                    if self.is_over(Place { position, ..place }, true) {
                        return Ok(End::Stopped);
                    }
                }
            }
        }
    }

    /// Waits for WAL. If written WAL is not synced yet, syncs it during the wait: at once if the stream is synchronous, otherwise after a
    /// second without new WAL.
    async fn receive(&mut self, stream: &mut ReplicationStream, piece: &mut Piece) -> Result<Event, Failure> {
        tokio::select! {
            biased;
            event = next(stream, piece) => return event,
            // The branches are polled in their order (`biased`), so this branch is taken only if no WAL is buffered.
            () = std::future::ready(()) => {}
        }
        let is_unsynced = self.settings.reports_durable() && self.archive.is_unsynced();
        if is_unsynced && self.settings.is_synchronous {
            return self.sync(stream).await;
        }
        let is_idle = tokio::select! {
            biased;
            event = next(stream, piece) => return event,
            () = self.stop.given() => false,
            () = changed(&mut self.goal) => false,
            () = sleep(IDLE), if is_unsynced => true,
        };
        if is_idle { self.sync(stream).await } else { Ok(Event::Wake) }
    }

    async fn sync(&mut self, stream: &mut ReplicationStream) -> Result<Event, Failure> {
        stream.keep_alive_while(self.archive.sync()).await?;
        self.confirm(stream)?;
        stream.report().await?;
        Ok(Event::Wake)
    }

    /// Passes the durable position to the stream, which reports it to the server in its next status update.
    fn confirm(&self, stream: &mut ReplicationStream) -> Result<(), Failure> {
        if self.settings.reports_durable() {
            stream.set_flushed(self.archive.durable())?;
        }
        Ok(())
    }

    /// Whether the stream has to end at this position, because the end position is reached or a signal has arrived. If `is_verbose` is set,
    /// prints a line for a complete segment, and a line for the end of the stream.
    fn is_over(&self, place: Place, is_segment_complete: bool) -> bool {
        let Place { timeline, position } = place;
        let is_reached = self.goal.borrow().is_some_and(|goal| goal <= position);
        if self.settings.is_verbose {
            if is_segment_complete {
                say(format_args!("pg-receive: finished segment at {position} (timeline {timeline})"));
            }
            if is_reached {
                say(format_args!("pg-receive: stopped log streaming at {position} (timeline {timeline})"));
            } else if self.stop.is_given() {
                say("pg-receive: received interrupt signal, exiting");
            }
        }
        is_reached || self.stop.is_given()
    }

    /// Checks that the server may switch to the timeline `next`. Returns this timeline and the position at which it begins.
    fn switch(&self, from: Place, received: Lsn, next: NextTimeline) -> Result<Place, Failure> {
        if next.timeline <= from.timeline || next.start > received {
            return Err(Failure::Answer(format!(
                "the server ended timeline {} at {received}, and reported timeline {} from {} on as the next timeline",
                from.timeline, next.timeline, next.start
            )));
        }
        if self.settings.is_verbose {
            say(format_args!("pg-receive: switched to timeline {} at {}", next.timeline, next.start));
        }
        Ok(Place { timeline: next.timeline, position: next.start })
    }

    async fn fetch_history(&self, conn: &mut Connection, timeline: u32) -> Result<(), Failure> {
        if self.archive.has_history(timeline) {
            return Ok(());
        }
        let reply = ask(conn, &TimelineHistory(timeline)).await?;
        let history: TimelineHistoryFile<'_> = reply.row(0)?;
        if history.name != history_name(timeline) {
            return Err(Failure::Answer(format!(
                "the server named the history of timeline {timeline} \"{}\"",
                history.name
            )));
        }
        self.archive.write_history(timeline, history.content).await
    }
}

/// The result of waiting for WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// WAL was received.
    Wal,
    /// No WAL was received. The end position or the durable position has changed, or a signal has arrived. The caller checks all three.
    Wake,
    /// The server has ended the WAL stream of this timeline.
    End,
}

/// Receives the next piece of WAL. Dropping the future loses no WAL, because the piece is taken only after the last `await`.
async fn next(stream: &mut ReplicationStream, piece: &mut Piece) -> Result<Event, Failure> {
    let Some(wal) = stream.next().await? else { return Ok(Event::End) };
    piece.at = wal.start;
    piece.data.clear();
    piece.data.extend_from_slice(wal.data.0);
    Ok(Event::Wal)
}

/// Waits until the end position of the stream changes. Waits forever if the position cannot change any more.
async fn changed(goal: &mut Goal) {
    if goal.changed().await.is_err() {
        pending().await
    }
}
