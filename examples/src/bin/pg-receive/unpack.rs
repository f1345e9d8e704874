//! Unpacks the archives of a base backup into directories.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::disk::Modes;
use crate::failure::Failure;
use crate::tar::{Entry, Kind, Malformed, Sink};

/// A tablespace: its directory on the server, and the directory for its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tablespace {
    pub(crate) oid: u32,
    pub(crate) location: String,
    pub(crate) copy: PathBuf,
}

/// Directories that may exist before their entries in the archive are unpacked. While the archive is received, a second connection writes
/// the WAL into these directories.
const SHARED: [&str; 2] = ["pg_wal", "pg_wal/archive_status"];

/// Unpacks one archive into a directory. No entry is written outside of this directory:
///
/// - The directory was empty, and only this program writes into it. So its only symbolic links are the links to tablespaces, which this
///   program makes.
/// - An entry below such a link is rejected.
#[derive(Debug)]
pub(crate) struct Unpack<'t> {
    directory: PathBuf,
    /// The tablespaces to which symbolic links in this archive may lead.
    tablespaces: &'t [Tablespace],
    links: Vec<PathBuf>,
    open: Option<(File, PathBuf)>,
}

impl<'t> Unpack<'t> {
    pub(crate) fn new(directory: &Path, tablespaces: &'t [Tablespace]) -> Self {
        Self { directory: directory.to_owned(), tablespaces, links: Vec::new(), open: None }
    }

    /// Returns the tablespace to which a symbolic link leads. A valid link has the name `pg_tblspc/OID` and leads to the server's directory
    /// of the tablespace with this OID. Any other link is an error.
    fn linked(&self, path: &Path, target: &Path) -> Result<&'t Tablespace, Failure> {
        let found = self.tablespaces.iter().find(|tablespace| {
            path == Path::new("pg_tblspc").join(tablespace.oid.to_string())
                && target == Path::new(&tablespace.location)
        });
        found.ok_or_else(|| {
            Failure::Answer(format!(
                "the archive has a symbolic link {} to {}, which is not the link of a tablespace",
                path.display(),
                target.display()
            ))
        })
    }
}

impl Sink for Unpack<'_> {
    type Error = Failure;

    fn begin(&mut self, Entry { path, mode, kind }: Entry) -> Result<(), Failure> {
        if self.links.iter().any(|link| path.starts_with(link)) {
            return Err(Failure::Answer(format!(
                "the archive has an entry {} below a symbolic link",
                path.display()
            )));
        }
        // Users outside of the group must not read a backup, so their permissions in the archive are ignored.
        let modes = Modes::new(mode & 0o040 != 0);
        let goal = self.directory.join(&path);
        match kind {
            Kind::File(_) => {
                let open = || {
                    let file = modes.options().create_new(true).open(&goal)?;
                    // The umask may have removed permissions when the file was created, so the permissions are set again.
                    file.set_permissions(Permissions::from_mode(modes.file))?;
                    Ok(file)
                };
                let file = open().map_err(|error| Failure::file("cannot make", &goal, error))?;
                self.open = Some((file, goal));
                Ok(())
            }
            Kind::Directory => {
                let make = || {
                    match modes.make_directory(&goal) {
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_shared(&path) => {}
                        made => made?,
                    }
                    std::fs::set_permissions(&goal, Permissions::from_mode(modes.directory))
                };
                make().map_err(|error| Failure::file("cannot make the directory", &goal, error))
            }
            Kind::Link(target) => {
                let tablespace = self.linked(&path, &target)?;
                symlink(&tablespace.copy, &goal)
                    .map_err(|error| Failure::file("cannot link", &goal, error))?;
                self.links.push(path);
                Ok(())
            }
        }
    }

    fn content(&mut self, piece: &[u8]) -> Result<(), Failure> {
        match &mut self.open {
            Some((file, path)) => {
                file.write_all(piece).map_err(|error| Failure::file("cannot write", path, error))
            }
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.open = None;
        Ok(())
    }
}

fn is_shared(path: &Path) -> bool {
    SHARED.iter().any(|shared| path == Path::new(shared))
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        Self::Answer(error.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: path.into(), mode: 0o644, kind }
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("the file exists").permissions().mode() & 0o7777
    }

    #[test]
    fn entries_are_made_with_the_permissions_of_a_data_directory() {
        let root = tempfile::tempdir().expect("a directory");
        let mut unpack = Unpack::new(root.path(), &[]);
        unpack.begin(Entry { path: "base".into(), mode: 0o777, kind: Kind::Directory }).expect("made");
        unpack.begin(Entry { path: "base/1".into(), mode: 0o777, kind: Kind::File(3) }).expect("made");
        unpack.content(b"abc").expect("written");
        unpack.end().expect("written");
        unpack.begin(Entry { path: "base/2".into(), mode: 0o600, kind: Kind::File(0) }).expect("made");
        unpack.begin(Entry { path: "pg_wal".into(), mode: 0o700, kind: Kind::Directory }).expect("made");
        unpack
            .begin(Entry { path: "pg_wal".into(), mode: 0o700, kind: Kind::Directory })
            .expect("an existing pg_wal is accepted");
        assert_eq!(fs::read(root.path().join("base/1")).expect("readable"), b"abc");
        let modes = ["base", "base/1", "base/2", "pg_wal"].map(|name| mode(&root.path().join(name)));
        assert_eq!(modes, [0o750, 0o640, 0o600, 0o700]);
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("1"), "before").expect("written");
        symlink("/tmp/nowhere", root.path().join("2")).expect("linked");
        let mut unpack = Unpack::new(root.path(), &[]);
        for path in ["1", "2"] {
            assert!(unpack.begin(entry(path, Kind::File(3))).is_err(), "{path}");
            assert!(unpack.begin(entry(path, Kind::Directory)).is_err(), "{path}");
        }
        assert_eq!(fs::read(root.path().join("1")).expect("readable"), b"before");
        assert!(!Path::new("/tmp/nowhere").exists());
    }

    #[test]
    fn only_links_of_tablespaces_are_made_and_nothing_is_written_through_them() {
        let (root, copy) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let tablespace = Tablespace { oid: 16384, location: "/srv/t".into(), copy: copy.path().to_owned() };
        let tablespaces = [tablespace];
        let mut unpack = Unpack::new(root.path(), &tablespaces);
        unpack.begin(entry("pg_tblspc", Kind::Directory)).expect("made");
        for (path, target) in [
            ("pg_tblspc/16384", "/etc"),
            ("pg_tblspc/16385", "/srv/t"),
            ("pg_tblspc/../16384", "/srv/t"),
            ("base", "/srv/t"),
        ] {
            let link = entry(path, Kind::Link(target.into()));
            assert!(unpack.begin(link).is_err(), "{path} to {target}");
        }
        unpack.begin(entry("pg_tblspc/16384", Kind::Link("/srv/t".into()))).expect("linked");
        assert_eq!(fs::read_link(root.path().join("pg_tblspc/16384")).expect("a link"), copy.path());
        for path in ["pg_tblspc/16384/x", "pg_tblspc/16384"] {
            assert!(unpack.begin(entry(path, Kind::File(0))).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(copy.path()).expect("readable").count(), 0);
    }
}
