//! Finds the position from which to continue the work of an earlier run.

use std::fs;
use std::path::Path;

use pg_wire::replication::Lsn;

use crate::failure::Failure;
use crate::report::say;
use crate::segment::SegmentSize;

/// Extension of a segment that is not complete.
pub(crate) const PARTIAL: &str = ".partial";

/// A WAL position, and its timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) timeline: u32,
    pub(crate) position: Lsn,
}

/// Finds the latest segment in a directory. If this segment is complete, the stream resumes after it. Otherwise the stream resumes at the
/// start of this segment. Returns `None` if the directory has no segments.
///
/// If several files have the same position, the file of the latest timeline counts. If a complete and a partial segment have the same
/// timeline and position, the complete segment counts.
pub(crate) fn find(directory: &Path, size: SegmentSize) -> Result<Option<Place>, Failure> {
    let failed = |error| Failure::file("cannot read", directory, error);
    let mut latest = None;
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (name, is_complete) = match name.strip_suffix(PARTIAL) {
            Some(name) => (name, false),
            None => (name, true),
        };
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".lz4"));
        if plain.is_some_and(|plain| size.parse_name(plain).is_some()) {
            return Err(Failure::Local(format!(
                "{} is compressed: pg-receive cannot find the position after compressed segments",
                entry.path().display()
            )));
        }
        let Some((timeline, begin)) = size.parse_name(name) else { continue };
        if is_complete {
            let length =
                entry.metadata().map_err(|error| Failure::file("cannot read", &entry.path(), error))?.len();
            if length != size.bytes() {
                say(format_args!(
                    "pg-receive: warning: {} has {length} bytes and not {}: the file is ignored",
                    entry.path().display(),
                    size.bytes()
                ));
                continue;
            }
        }
        latest = latest.max(Some((begin, timeline, is_complete)));
    }
    let Some((begin, timeline, is_complete)) = latest else { return Ok(None) };
    let position = match is_complete {
        true => begin.checked_add(size.bytes()).ok_or(Failure::Local(
            "the last segment ends after the largest possible position in the WAL".into(),
        ))?,
        false => begin,
    };
    Ok(Some(Place { timeline, position }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;

    #[track_caller]
    fn found(files: &[(&str, u64)], expected: Option<(u32, u64)>) {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, length) in files {
            let file = fs::File::create(directory.path().join(name)).expect("created");
            file.set_len(*length).expect("resized");
        }
        let size = SegmentSize::parse("1MB").expect("a size");
        let place =
            find(directory.path(), size).expect("readable").map(|place| (place.timeline, place.position.0));
        assert_eq!(place, expected, "{files:?}");
    }

    #[test]
    fn the_stream_resumes_after_the_last_complete_segment() {
        found(&[], None);
        found(&[("00000002.history", 10), ("000000010000000000000001x", SIZE), ("notes", 3)], None);
        found(&[("000000010000000000000001", SIZE)], Some((1, 2 * SIZE)));
        found(
            &[("000000010000000100000000", SIZE), ("000000010000000000000001", SIZE)],
            Some((1, (1 << 32) + SIZE)),
        );
        // A complete segment counts, although a partial segment with the same name exists.
        found(
            &[("000000010000000000000001", SIZE), ("000000010000000000000001.partial", SIZE)],
            Some((1, 2 * SIZE)),
        );
    }

    #[test]
    fn the_stream_resumes_at_the_start_of_a_partial_segment() {
        found(
            &[("000000010000000000000001", SIZE), ("000000010000000000000002.partial", SIZE)],
            Some((1, 2 * SIZE)),
        );
        // The file of the later timeline counts: after a switch of timelines, both timelines have this segment.
        found(
            &[("000000010000000000000002.partial", SIZE), ("000000020000000000000002.partial", 0)],
            Some((2, 2 * SIZE)),
        );
        found(
            &[("000000030000000000000002", SIZE), ("000000010000000000000003.partial", SIZE)],
            Some((1, 3 * SIZE)),
        );
    }

    #[test]
    fn a_segment_with_a_wrong_length_is_ignored() {
        found(
            &[("000000010000000000000001", SIZE), ("000000010000000000000002", SIZE - 1)],
            Some((1, 2 * SIZE)),
        );
    }

    #[test]
    fn a_directory_with_compressed_segments_is_rejected() {
        let directory = tempfile::tempdir().expect("a directory");
        let size = SegmentSize::parse("1MB").expect("a size");
        for name in ["000000010000000000000001.gz", "000000010000000000000001.lz4.partial"] {
            let path = directory.path().join(name);
            fs::write(&path, "x").expect("written");
            let error = find(directory.path(), size).expect_err("rejected").to_string();
            assert!(error.contains("compressed"), "{error}");
            fs::remove_file(path).expect("removed");
        }
    }
}
