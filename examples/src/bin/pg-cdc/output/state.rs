//! The state file, which records the position up to which the output is complete.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pg_wire::replication::Lsn;
use serde_json::{Value, json};

use crate::failure::Failure;

/// Progress of the output, as the state file records it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The position from which to continue after a restart. The output contains all transactions that end before this position. `None`
    /// before the first transaction.
    pub(crate) lsn: Option<Lsn>,
    /// Length of the output up to the end of the last complete transaction; `None` for standard output.
    pub(crate) length: Option<u64>,
    /// Whether a snapshot has begun and has not ended. If so, the next start has to create the slot again.
    pub(crate) in_snapshot: bool,
    /// Length of the output up to the end of the first line of an unfinished snapshot; `None` if the output does not contain this line.
    pub(crate) marker: Option<u64>,
    /// `system_identifier` of the server at the last connection; empty before the first connection.
    pub(crate) system: String,
    /// The server's timeline at the last connection; 0 if it is not known.
    pub(crate) timeline: u32,
}

/// The path of a state file, and the slot that the file belongs to.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    slot: String,
}

impl StateFile {
    pub(crate) fn new(path: PathBuf, slot: &str) -> Self {
        Self { path, slot: slot.into() }
    }

    /// Reads the progress. Returns `None` if the file does not exist.
    pub(crate) fn load(&self) -> Result<Option<Progress>, Failure> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file(self.name(), error)),
        };
        let state = parse(&text)
            .ok_or_else(|| Failure::Refused(format!("{} is not a state file of pg-cdc", self.name())))?;
        if state.0 != self.slot {
            return Err(Failure::Refused(format!(
                "{} is the state of slot {}, not of slot {}",
                self.name(),
                state.0,
                self.slot
            )));
        }
        Ok(Some(state.1))
    }

    /// Replaces the file as a whole: even after a crash, it has either the old content or the new content.
    pub(crate) fn save(&self, progress: &Progress) -> Result<(), Failure> {
        self.replace(progress).map_err(|error| Failure::file(self.name(), error))
    }

    fn replace(&self, progress: &Progress) -> io::Result<()> {
        let state = json!({
            "slot": self.slot,
            "system": progress.system,
            "timeline": progress.timeline,
            "lsn": progress.lsn.map(|lsn| lsn.to_string()),
            "length": progress.length,
            "in_snapshot": progress.in_snapshot,
        });
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let mut file = File::create(&name)?;
        file.write_all(format!("{state}\n").as_bytes())?;
        file.sync_data()?;
        fs::rename(&name, &self.path)?;
        sync_directory(&self.path)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn parse(text: &str) -> Option<(String, Progress)> {
    let state: Value = serde_json::from_str(text).ok()?;
    let lsn = match state.get("lsn")? {
        Value::Null => None,
        lsn => Some(lsn.as_str()?.parse().ok()?),
    };
    let length = match state.get("length")? {
        Value::Null => None,
        length => Some(length.as_u64()?),
    };
    let progress = Progress {
        lsn,
        length,
        in_snapshot: state.get("in_snapshot")?.as_bool()?,
        marker: None,
        system: state.get("system")?.as_str()?.into(),
        timeline: state.get("timeline")?.as_u64()?.try_into().ok()?,
    };
    Some((state.get("slot")?.as_str()?.into(), progress))
}

/// Makes the directory entry of a new or renamed file durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_saved() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = StateFile::new(dir.path().join("state"), "s");
        assert_eq!(file.load().expect("no error"), None);
        let progress = Progress {
            lsn: Some(Lsn(0x16b_2d50)),
            length: Some(u64::MAX),
            in_snapshot: true,
            marker: None,
            system: "7".into(),
            timeline: 3,
        };
        for progress in [Progress::default(), progress] {
            file.save(&progress).expect("saved");
            assert_eq!(file.load().expect("valid"), Some(progress));
        }
        let other = StateFile::new(dir.path().join("state"), "t").load();
        assert!(matches!(other, Err(Failure::Refused(_))), "the state of another slot");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_of_another_program_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        for text in [
            "",
            "{}",
            "[1]",
            "{\"slot\":\"s\",\"timeline\":1,\"lsn\":7,\"length\":1,\"in_snapshot\":false,\"system\":\"\"}",
        ] {
            fs::write(dir.path().join("state"), text).expect("written");
            let loaded = StateFile::new(dir.path().join("state"), "s").load();
            assert!(matches!(loaded, Err(Failure::Refused(_))), "{text}");
        }
    }
}
