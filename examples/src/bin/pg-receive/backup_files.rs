//! Writes the files of a base backup: the archives, unpacked or as received, and the manifest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use clap::ValueEnum;

use crate::disk::Modes;
use crate::failure::Failure;
use crate::tar;
use crate::unpack::{Tablespace, Unpack};

/// The form of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A data directory
    Plain,
    /// The tar archives that the server sends
    Tar,
}

/// Writes the files of a backup.
#[derive(Debug)]
pub(crate) struct Files<'t> {
    directory: PathBuf,
    format: Format,
    modes: Modes,
    tablespaces: &'t [Tablespace],
    part: Part<'t>,
    has_manifest: bool,
}

/// The part of the backup that is being received.
#[derive(Debug)]
enum Part<'t> {
    Nothing,
    /// An archive that is being unpacked.
    Unpack(Box<(tar::Reader, Unpack<'t>)>),
    /// An archive or the manifest, written to this file as received.
    Copy(File, PathBuf),
}

impl<'t> Files<'t> {
    /// Name of the manifest in a complete backup.
    pub(crate) const MANIFEST: &'static str = "backup_manifest";

    /// Name of the manifest until the backup is complete.
    pub(crate) const UNFINISHED_MANIFEST: &'static str = "backup_manifest.tmp";

    pub(crate) fn new(directory: &Path, format: Format, modes: Modes, tablespaces: &'t [Tablespace]) -> Self {
        let directory = directory.to_owned();
        Self { directory, format, modes, tablespaces, part: Part::Nothing, has_manifest: false }
    }

    /// Begins an archive. If `location` is empty, this is the main archive `base.tar`. Otherwise it is the archive of a tablespace, and
    /// `location` is the directory of this tablespace on the server.
    pub(crate) fn archive(&mut self, name: &str, location: &str) -> Result<(), Failure> {
        self.end_part()?;
        let unexpected = || {
            Failure::Answer(format!(
                "the server sent an archive {name} of \"{location}\", which is no tablespace of the backup"
            ))
        };
        let tablespace = self.tablespaces.iter().find(|tablespace| tablespace.location == location);
        let expected = match tablespace {
            None if location.is_empty() => "base.tar".to_owned(),
            None => return Err(unexpected()),
            Some(tablespace) => format!("{}.tar", tablespace.oid),
        };
        if name != expected {
            return Err(unexpected());
        }
        self.part = match (self.format, tablespace) {
            (Format::Tar, _) => self.new_file(name)?,
            (Format::Plain, None) => unpack(&self.directory, self.tablespaces),
            (Format::Plain, Some(tablespace)) => unpack(&tablespace.copy, &[]),
        };
        Ok(())
    }

    /// Begins the file of the manifest.
    pub(crate) fn manifest(&mut self) -> Result<(), Failure> {
        self.end_part()?;
        self.part = self.new_file(Self::UNFINISHED_MANIFEST)?;
        self.has_manifest = true;
        Ok(())
    }

    /// Writes a piece of the archive or manifest that began last.
    pub(crate) fn content(&mut self, piece: &[u8]) -> Result<(), Failure> {
        match &mut self.part {
            Part::Nothing => {
                Err(Failure::Answer("the server sent data before the name of an archive".into()))
            }
            Part::Unpack(unpack) => {
                let (reader, unpack) = &mut **unpack;
                reader.read(piece, unpack)
            }
            Part::Copy(file, path) => {
                file.write_all(piece).map_err(|error| Failure::file("cannot write", path, error))
            }
        }
    }

    /// Ends the current file, and checks that the manifest has been received.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.end_part()?;
        match self.has_manifest {
            true => Ok(()),
            false => Err(Failure::Answer("the server sent no manifest".into())),
        }
    }

    fn end_part(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.part, Part::Nothing) {
            Part::Unpack(unpack) => Ok(unpack.0.finish()?),
            Part::Nothing | Part::Copy(..) => Ok(()),
        }
    }

    fn new_file(&self, name: &str) -> Result<Part<'t>, Failure> {
        let path = self.directory.join(name);
        let file = self.modes.options().create_new(true).open(&path);
        let file = file.map_err(|error| Failure::file("cannot make", &path, error))?;
        Ok(Part::Copy(file, path))
    }
}

fn unpack<'t>(directory: &Path, tablespaces: &'t [Tablespace]) -> Part<'t> {
    Part::Unpack(Box::new((tar::Reader::new(), Unpack::new(directory, tablespaces))))
}

/// Packs the WAL directory of a backup into an archive, and removes the directory.
pub(crate) fn pack(directory: &Path, archive: &Path, modes: Modes) -> Result<(), Failure> {
    let pack = || {
        let mut out = modes.options().create_new(true).open(archive)?;
        add(directory, "", modes, &mut out)?;
        out.write_all(tar::TRAILER)?;
        fs::remove_dir_all(directory)
    };
    pack().map_err(|error| Failure::file("cannot write", archive, error))
}

/// Adds the files of a directory to an archive, sorted by their names.
fn add(directory: &Path, prefix: &str, modes: Modes, out: &mut File) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().display());
        if entry.file_type()?.is_dir() {
            add(&entry.path(), &format!("{name}/"), modes, out)?;
            continue;
        }
        let mut file = File::open(entry.path())?;
        let metadata = file.metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        out.write_all(&tar::header(&name, modes.file, metadata.len(), modified))?;
        let copied = io::copy(&mut file, out)?;
        io::copy(&mut io::Read::take(io::repeat(0), tar::padding(copied)), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path, format: Format) -> Files<'static> {
        let copy = directory.join("copy");
        let tablespaces = vec![Tablespace { oid: 16384, location: "/srv/t".into(), copy }];
        Files::new(directory, format, Modes::new(false), tablespaces.leak())
    }

    #[test]
    fn an_archive_with_an_unexpected_name_is_rejected() {
        let root = tempfile::tempdir().expect("a directory");
        for format in [Format::Plain, Format::Tar] {
            for (name, location) in [
                ("../base.tar", ""),
                ("base.tar.gz", ""),
                ("backup_manifest", ""),
                ("16384.tar", ""),
                ("base.tar", "/srv/t"),
                ("16384.tar", "/srv/other"),
                ("/tmp/16384.tar", "/srv/t"),
            ] {
                assert!(files(root.path(), format).archive(name, location).is_err(), "{name} of {location}");
            }
        }
        assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_backup_without_a_manifest_or_with_half_an_archive_is_rejected() {
        let root = tempfile::tempdir().expect("a directory");
        let mut backup = files(root.path(), Format::Plain);
        assert!(backup.content(b"x").is_err(), "data before an archive");
        backup.archive("base.tar", "").expect("begun");
        backup.content(&tar::header("1", 0o600, 3, 0)).expect("written");
        backup.content(b"ab").expect("written");
        assert!(backup.manifest().is_err(), "the archive ends inside a file");

        let mut backup = files(root.path(), Format::Tar);
        backup.archive("base.tar", "").expect("begun");
        backup.content(tar::TRAILER).expect("written");
        assert!(backup.finish().is_err(), "no manifest");
        backup.manifest().expect("begun");
        backup.content(b"{}").expect("written");
        backup.finish().expect("complete");
        assert_eq!(fs::read(root.path().join(Files::UNFINISHED_MANIFEST)).expect("readable"), b"{}");
    }

    #[test]
    fn packed_wal_is_an_archive_of_all_files() {
        let root = tempfile::tempdir().expect("a directory");
        let wal = root.path().join("pg_wal");
        fs::create_dir_all(wal.join("archive_status")).expect("made");
        fs::write(wal.join("2"), [7; 700]).expect("written");
        fs::write(wal.join("1"), "one").expect("written");
        fs::write(wal.join("archive_status/1.done"), "").expect("written");
        let archive = root.path().join("pg_wal.tar");
        pack(&wal, &archive, Modes::new(false)).expect("packed");
        assert!(!wal.exists());

        let goal = root.path().join("goal");
        fs::create_dir_all(goal.join("archive_status")).expect("made");
        let (mut reader, mut unpack) = (tar::Reader::new(), Unpack::new(&goal, &[]));
        reader.read(&fs::read(&archive).expect("readable"), &mut unpack).expect("well-formed");
        reader.finish().expect("complete");
        let read = |name: &str| fs::read(goal.join(name)).expect("readable");
        assert_eq!(
            (read("1"), read("2"), read("archive_status/1.done")),
            (b"one".to_vec(), vec![7; 700], vec![])
        );
    }
}
