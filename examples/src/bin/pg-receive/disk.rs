//! Writes files durably: syncs the file first, and then its directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::failure::Failure;

/// Permissions of the files and directories that pg-receive makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modes {
    pub(crate) file: u32,
    pub(crate) directory: u32,
}

impl Modes {
    /// Returns permissions for the owner only or, if `for_group` is true, also for readers in the group.
    pub(crate) fn new(for_group: bool) -> Self {
        match for_group {
            true => Self { file: 0o640, directory: 0o750 },
            false => Self { file: 0o600, directory: 0o700 },
        }
    }

    /// Returns options that create a file for writing, with these permissions.
    pub(crate) fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(self.file);
        options
    }

    /// Makes a directory. Precondition: its parent exists.
    pub(crate) fn make_directory(self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(self.directory).create(path)
    }
}

/// Syncs a directory. After the call, new names and renames in the directory survive a crash of the system.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Failure> {
    sync(path).map_err(|error| Failure::file("cannot sync", path, error))
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Renames a file within its directory, and makes the new name durable. Precondition: the content of the file is durable.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(|error| Failure::file("cannot rename", from, error))?;
    sync_directory(to.parent().unwrap_or(Path::new(".")))
}

/// Writes a whole file durably. The file gets its name only after its content is durable.
pub(crate) fn write(path: &Path, modes: Modes, content: &[u8]) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let write = || {
        let mut file = modes.options().truncate(true).open(temporary)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| Failure::file("cannot write", temporary, error))?;
    rename(temporary, path)
}

/// Syncs a directory, and all files and directories below it. Does not follow symbolic links.
pub(crate) fn sync_tree(directory: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::file("cannot read", directory, error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            sync(&path).map_err(|error| Failure::file("cannot sync", &path, error))?;
        }
    }
    sync_directory(directory)
}

/// Makes a directory for a backup. If the directory exists, checks that it is empty. Returns true if the directory is new.
pub(crate) fn claim(directory: &Path, modes: Modes) -> Result<bool, Failure> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => {
                Err(Failure::Local(format!("directory {} exists but is not empty", directory.display())))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(modes.directory).create(directory);
            made.map(|()| true).map_err(|error| Failure::file("cannot make the directory", directory, error))
        }
        Err(error) => Err(Failure::file("cannot read", directory, error)),
    }
}
