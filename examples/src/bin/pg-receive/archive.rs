//! Writes WAL into segment files.
//!
//! Before WAL is written into a segment, the file is filled with zeros up to the size of a segment. So a full disk is noticed early, and a
//! later sync has to write only the WAL. Work that may wait for the disk runs on separate threads, so that the task of the stream can send
//! status updates in the meantime.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pg_wire::replication::Lsn;
use tokio::task::spawn_blocking;

use crate::disk::{self, Modes};
use crate::failure::Failure;
use crate::resume::PARTIAL;
use crate::segment::{SegmentSize, history_name};

/// The purpose of the segments, which determines the names of the segment files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// An archive that grows: a segment has the extension `.partial` until it is complete.
    Archive,
    /// The WAL of a base backup: a segment has its final name from the start. An empty file in `archive_status` marks each segment as
    /// archived. Without this file, a server that starts from the backup would archive the segment again.
    Backup,
}

/// A directory of WAL segments, and the segment that is being written.
#[derive(Debug)]
pub(crate) struct Archive {
    directory: PathBuf,
    size: SegmentSize,
    modes: Modes,
    purpose: Use,
    open: Option<Segment>,
    /// WAL position after the last byte that was written.
    written: Lsn,
    /// WAL position before which all WAL is durable.
    durable: Lsn,
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    name: String,
    begin: Lsn,
}

impl Archive {
    pub(crate) fn new(directory: &Path, size: SegmentSize, modes: Modes, purpose: Use) -> Self {
        let directory = directory.to_owned();
        Self { directory, size, modes, purpose, open: None, written: Lsn::INVALID, durable: Lsn::INVALID }
    }

    /// Prepares the archive for a WAL stream that begins at this position.
    ///
    /// Precondition: all WAL before the position is durable. This WAL is in complete segments, or belongs to an earlier timeline.
    pub(crate) fn begin(&mut self, position: Lsn) {
        (self.written, self.durable) = (position, position);
    }

    /// Returns the size of the segments.
    pub(crate) fn size(&self) -> SegmentSize {
        self.size
    }

    /// Returns the WAL position after the last byte that was written.
    pub(crate) fn written(&self) -> Lsn {
        self.written
    }

    /// Returns the WAL position before which all WAL is durable.
    pub(crate) fn durable(&self) -> Lsn {
        self.durable
    }

    /// Whether some of the written WAL is not durable yet.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.durable < self.written
    }

    /// Writes WAL that begins at `at`, at most to the end of the segment. Returns the number of bytes that were written.
    ///
    /// Precondition: the first write begins at the start of a segment, and each later write begins where the previous write ended.
    pub(crate) async fn write(&mut self, timeline: u32, at: Lsn, data: &[u8]) -> Result<usize, Failure> {
        let offset = self.size.offset(at);
        if self.open.is_none() {
            if offset != 0 {
                return Err(Failure::Answer(format!(
                    "WAL from {at} on has arrived, and no segment is open for it"
                )));
            }
            self.open = Some(self.open_segment(timeline, at).await?);
        }
        let Some(segment) = &self.open else { return Ok(0) };
        let room = usize::try_from(self.size.bytes() - offset).unwrap_or(usize::MAX);
        let now = data.get(..room).unwrap_or(data);
        if segment.begin != self.size.begin(at) {
            return Err(Failure::Answer(format!("WAL from {at} on has arrived after {}", self.written)));
        }
        // This write only fills the page cache and does not wait for the disk, unlike `sync`.
        segment
            .file
            .write_all_at(now, offset)
            .map_err(|error| Failure::file("cannot write", &self.path(segment), error))?;
        self.written = Lsn(at.0.saturating_add(now.len() as u64));
        if now.len() == room {
            self.finish_segment(true).await?;
        }
        Ok(now.len())
    }

    /// Syncs the open segment. Everything that was written is durable when the call returns.
    pub(crate) async fn sync(&mut self) -> Result<(), Failure> {
        if let Some(segment) = &self.open {
            let (file, path) = (Arc::clone(&segment.file), self.path(segment));
            blocking(move || sync(&file, &path)).await?;
        }
        self.durable = self.written;
        Ok(())
    }

    /// Syncs and closes the open segment. With [`Use::Archive`], an incomplete segment keeps the extension `.partial`.
    pub(crate) async fn close(&mut self) -> Result<(), Failure> {
        self.finish_segment(false).await
    }

    /// Writes the history file of a timeline. Does nothing if the file exists.
    pub(crate) async fn write_history(&self, timeline: u32, content: &[u8]) -> Result<(), Failure> {
        let (path, modes, content) = (self.history(timeline), self.modes, content.to_owned());
        let done = self.done_file(&history_name(timeline));
        blocking(move || {
            disk::write(&path, modes, &content)?;
            mark(done, modes)
        })
        .await
    }

    /// Whether the history file of a timeline exists. Returns true for the first timeline, which has no history.
    pub(crate) fn has_history(&self, timeline: u32) -> bool {
        timeline == 1 || self.history(timeline).exists()
    }

    fn history(&self, timeline: u32) -> PathBuf {
        self.directory.join(history_name(timeline))
    }

    fn path(&self, segment: &Segment) -> PathBuf {
        let extension = if self.purpose == Use::Archive { PARTIAL } else { "" };
        self.directory.join(format!("{}{extension}", segment.name))
    }

    /// Returns the path of the file that marks the file `name` as archived. Returns `None` if the segments are not for a backup.
    fn done_file(&self, name: &str) -> Option<PathBuf> {
        let is_marked = self.purpose == Use::Backup;
        is_marked.then(|| self.directory.join("archive_status").join(format!("{name}.done")))
    }

    async fn open_segment(&self, timeline: u32, begin: Lsn) -> Result<Segment, Failure> {
        let (modes, size) = (self.modes, self.size.bytes());
        let name = self.size.name(timeline, begin);
        let directory = self.directory.clone();
        let extension = if self.purpose == Use::Archive { PARTIAL } else { "" };
        let path = directory.join(format!("{name}{extension}"));
        let file = blocking(move || {
            let failed = |error| Failure::file("cannot open", &path, error);
            let file = modes.options().open(&path).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            if length > size {
                return Err(Failure::Local(format!(
                    "{} has {length} bytes, more than a segment of {size} bytes",
                    path.display()
                )));
            }
            // An existing file is too short if an earlier run ended before it had filled the file with zeros.
            fill(&file, length, size).map_err(|error| Failure::file("cannot write", &path, error))?;
            sync(&file, &path)?;
            disk::sync_directory(&directory)?;
            Ok(file)
        })
        .await?;
        Ok(Segment { file: Arc::new(file), name, begin })
    }

    async fn finish_segment(&mut self, is_complete: bool) -> Result<(), Failure> {
        let Some(segment) = self.open.take() else { return Ok(()) };
        let (path, goal) = (self.path(&segment), self.directory.join(&segment.name));
        let (done, modes, purpose) = (self.done_file(&segment.name), self.modes, self.purpose);
        blocking(move || {
            sync(&segment.file, &path)?;
            if is_complete && purpose == Use::Archive {
                disk::rename(&path, &goal)?;
            }
            mark(done, modes)
        })
        .await?;
        self.durable = self.written;
        Ok(())
    }
}

fn sync(file: &File, path: &Path) -> Result<(), Failure> {
    file.sync_all().map_err(|error| Failure::file("cannot sync", path, error))
}

/// Makes the empty file `done`, which marks a segment or a history file as archived. Does nothing if `done` is `None`.
fn mark(done: Option<PathBuf>, modes: Modes) -> Result<(), Failure> {
    done.map_or(Ok(()), |path| disk::write(&path, modes, b""))
}

/// Fills a file with zeros from offset `from` to offset `to`.
fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 1 << 16];
    let mut at = from;
    while at < to {
        let left = usize::try_from(to - at).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..left).unwrap_or(ZEROS);
        file.write_all_at(zeros, at)?;
        at += zeros.len() as u64;
    }
    Ok(())
}

/// Runs `work`, which may wait for the disk, on a separate thread, and waits for its result.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work).await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(Failure::Interrupted),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SIZE: u64 = 1 << 20;

    fn archive(directory: &Path, purpose: Use) -> Archive {
        let size = SegmentSize::parse("1MB").expect("a size");
        Archive::new(directory, size, Modes::new(false), purpose)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("readable");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII")).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_position_is_durable_only_after_a_sync() {
        let root = tempfile::tempdir().expect("a directory");
        let mut archive = archive(root.path(), Use::Archive);
        archive.begin(Lsn(2 * SIZE));
        assert_eq!(archive.write(1, Lsn(2 * SIZE), b"abc").await.expect("written"), 3);
        assert_eq!((archive.written(), archive.durable()), (Lsn(2 * SIZE + 3), Lsn(2 * SIZE)));
        assert!(archive.is_unsynced());
        archive.sync().await.expect("synced");
        assert_eq!(archive.durable(), Lsn(2 * SIZE + 3));
        // The first write has created the whole segment: its bytes after the WAL are zeros.
        let segment = fs::read(root.path().join("000000010000000000000002.partial")).expect("a segment");
        assert_eq!((segment.len() as u64, &segment[..4]), (SIZE, &b"abc\0"[..]));

        // `rest` is longer than the rest of the segment: `write` must stop at the end of the segment.
        let rest = vec![b'x'; segment.len() + 10];
        assert_eq!(archive.write(1, Lsn(2 * SIZE + 3), &rest).await.expect("written") as u64, SIZE - 3);
        assert_eq!(archive.durable(), Lsn(3 * SIZE));
        assert_eq!(names(root.path()), ["000000010000000000000002"]);
        archive.write(1, Lsn(3 * SIZE), b"next").await.expect("written");
        archive.close().await.expect("closed");
        assert_eq!(archive.durable(), Lsn(3 * SIZE + 4));
        assert_eq!(names(root.path()), ["000000010000000000000002", "000000010000000000000003.partial"]);
    }

    #[tokio::test]
    async fn wal_with_a_gap_is_rejected() {
        let root = tempfile::tempdir().expect("a directory");
        let mut archive = archive(root.path(), Use::Archive);
        assert!(archive.write(1, Lsn(2 * SIZE + 5), b"abc").await.is_err(), "no segment is open");
        archive.write(1, Lsn(2 * SIZE), b"abc").await.expect("written");
        assert!(archive.write(1, Lsn(3 * SIZE), b"abc").await.is_err(), "another segment is open");
    }

    #[tokio::test]
    async fn a_file_that_is_longer_than_a_segment_is_rejected() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("000000010000000000000002.partial");
        fs::write(&path, vec![7; 1 + (1 << 20)]).expect("written");
        let mut archive = archive(root.path(), Use::Archive);
        let error = archive.write(1, Lsn(2 * SIZE), b"abc").await.expect_err("rejected").to_string();
        assert!(error.contains("more than a segment of 1048576 bytes"), "{error}");
        assert_eq!(fs::read(&path).expect("readable"), vec![7; 1 + (1 << 20)]);
    }

    #[tokio::test]
    async fn a_segment_of_a_backup_is_never_named_partial_and_is_marked_as_archived() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("archive_status")).expect("made");
        let mut archive = archive(root.path(), Use::Backup);
        assert!(archive.has_history(1) && !archive.has_history(2));
        archive.write_history(2, b"1\t0/200000\tno recovery target specified\n").await.expect("written");
        assert!(archive.has_history(2));
        archive.write(2, Lsn(2 * SIZE), b"abc").await.expect("written");
        assert_eq!(names(root.path()), ["00000002.history", "000000020000000000000002", "archive_status"]);
        archive.close().await.expect("closed");
        let marks = names(&root.path().join("archive_status"));
        assert_eq!(marks, ["00000002.history.done", "000000020000000000000002.done"]);
    }
}
