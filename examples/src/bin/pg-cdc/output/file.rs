//! Destination of the lines: a file, which can be cut, or standard output.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Stdout, Write};
use std::path::Path;

use super::Progress;
use super::scan::{Found, scan};
use super::state::sync_directory;
use crate::failure::Failure;
use crate::line::Format;

/// Destination of the lines.
#[derive(Debug)]
pub(super) enum Sink {
    /// A file, its name for error texts, and its current length.
    File { file: File, name: String, length: u64 },
    /// Standard output.
    Stdout(Stdout),
}

impl Sink {
    /// Opens the file, or standard output if `out` is `None`. Cuts the file to the end of its last complete transaction. This end is taken
    /// from `recorded`, or found by a scan of the file if `recorded` is `None`. Returns the progress up to this end.
    pub(super) fn open(
        out: Option<&Path>,
        recorded: Option<Progress>,
        format: Format,
    ) -> Result<(Self, Progress), Failure> {
        let Some(path) = out else {
            let progress = recorded.unwrap_or_default();
            if progress.length.is_some() {
                let reason = "--state records the state of a file, but --out is standard output";
                return Err(Failure::Refused(reason.into()));
            }
            return Ok((Self::Stdout(io::stdout()), progress));
        };
        let name = path.display().to_string();
        let failed = |error| Failure::file(&name, error);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::Refused(format!("another process has locked {name}")));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let actual = file.metadata().map_err(failed)?.len();
        let mut progress = match recorded {
            Some(progress) => progress,
            None => found(&mut file, format, &name)?,
        };
        let length = match progress.length {
            Some(length) => length,
            None => {
                return Err(Failure::Refused(
                    "--state records the state of standard output, but --out is a file".into(),
                ));
            }
        };
        if actual < length {
            return Err(Failure::Refused(format!(
                "{name} has {actual} bytes, but its recorded length is {length}: something else has cut or replaced the file"
            )));
        }
        progress.length = Some(length);
        let mut sink = Self::File { file, name: name.clone(), length: actual };
        sink.cut(progress.marker.or(progress.length))?;
        sink.sync()?;
        sync_directory(path).map_err(|error| Failure::file(&name, error))?;
        Ok((sink, progress))
    }

    /// Appends lines. Returns the length of the file before the call; `None` for standard output.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<Option<u64>, Failure> {
        match self {
            Self::File { file, name, length } => {
                file.write_all(lines).map_err(|error| Failure::file(name.as_str(), error))?;
                let before = *length;
                *length += lines.len() as u64;
                Ok(Some(before))
            }
            Self::Stdout(stdout) => {
                let written = stdout.write_all(lines).and_then(|()| stdout.flush());
                written.map_err(|error| Failure::file("standard output", error))?;
                Ok(None)
            }
        }
    }

    /// Cuts the file to the length `to`. Does nothing for standard output, or if `to` is `None`.
    pub(super) fn cut(&mut self, to: Option<u64>) -> Result<(), Failure> {
        if let (Self::File { file, name, length }, Some(to)) = (self, to) {
            if *length != to {
                file.set_len(to).map_err(|error| Failure::file(name.as_str(), error))?;
                *length = to;
            }
            file.seek(SeekFrom::Start(to)).map_err(|error| Failure::file(name.as_str(), error))?;
        }
        Ok(())
    }

    /// Makes the content of a file durable. Has no effect on standard output.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        match self {
            Self::File { file, name, .. } => {
                file.sync_data().map_err(|error| Failure::file(name.as_str(), error))
            }
            Self::Stdout(_) => Ok(()),
        }
    }
}

/// Finds the last complete transaction by a scan of the file, and returns the progress up to its end.
fn found(file: &mut File, format: Format, name: &str) -> Result<Progress, Failure> {
    let progress = |length, lsn| Progress { length: Some(length), lsn, ..Progress::default() };
    match scan(file, format).map_err(|error| Failure::file(name, error))? {
        Found::Complete(length, lsn) => Ok(progress(length, Some(lsn))),
        Found::InSnapshot(length, marker) => {
            Ok(Progress { in_snapshot: true, marker: Some(marker), ..progress(length, None) })
        }
        Found::Nothing => Ok(progress(0, None)),
        Found::Foreign => Err(Failure::Refused(format!(
            "{name} is not empty, and its first line is not a line of pg-cdc in this --format"
        ))),
    }
}
