//! Finds the programs of a PostgreSQL server, and installs or downloads them if they are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::servers::debian::install;
use crate::servers::fetch;
use crate::servers::user::{User, open_to_all};

/// A major version of PostgreSQL.
pub(crate) type Major = u8;

/// The oldest version of PostgreSQL that the tests use.
pub(crate) const V15: Major = 15;

/// The newest version of PostgreSQL that the tests use, with protocol 3.2 and direct TLS.
pub(crate) const V18: Major = 18;

/// The programs of one version of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    /// The directory that contains `bin`, `lib` and `share`. A program in `bin` finds `lib` and `share` relative to its own path.
    prefix: PathBuf,
    /// Whether `lib` contains all libraries that the programs need. The programs then use these libraries instead of the system's
    /// libraries, which may be missing or too new.
    own_libraries: bool,
}

impl Binaries {
    /// Finds the programs of a version, or installs them.
    pub(crate) fn find(major: Major) -> Result<Self> {
        // The download is preferred to an installed PostgreSQL 18, so that all contributors test with the same build.
        if major == V18 && cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Ok(Self { prefix: fetch::postgres_18()?, own_libraries: true });
        }
        if let Some(found) = Self::installed(major) {
            return Ok(found);
        }
        install(&format!("postgresql-{major}"))?;
        match Self::installed(major) {
            Some(found) => Ok(found),
            None => bail!(
                "initdb and postgres of version {major} are neither on the PATH nor in {}",
                debian(major).display()
            ),
        }
    }

    /// Finds the programs in Debian's directory or on the PATH.
    fn installed(major: Major) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::iter::once(debian(major)).chain(std::env::split_paths(&path)).find_map(|bin| {
            // A `postgres` on the PATH may be a symbolic link. The other programs are in the directory of the link's target.
            let bin = bin.join("postgres").canonicalize().ok()?.parent()?.to_path_buf();
            let version = process::read(Command::new(bin.join("postgres")).arg("--version")).ok()?;
            let is_usable = version_of(&version) == Some(major) && bin.join("initdb").exists();
            is_usable.then(|| {
                bin.parent().map(|prefix| Self { prefix: prefix.to_path_buf(), own_libraries: false })
            })?
        })
    }

    /// Returns `self` if `user` can run the programs. If not, copies the programs to `home` and returns the copy.
    ///
    /// A copy is needed if the work tree is in a directory that only its owner may enter, such as root's home.
    pub(crate) fn within_reach(self, user: &User, home: &Path) -> Result<Self> {
        let runs = process::read(user.take(self.command("postgres").arg("--version"))).is_ok();
        if runs {
            return Ok(self);
        }
        let Some(name) = self.prefix.file_name() else { bail!("{} cannot be copied", self.prefix.display()) };
        let prefix = home.join(name);
        process::succeed(
            Command::new("cp").arg("-R").arg("--preserve=mode,links").arg(&self.prefix).arg(&prefix),
        )?;
        open_to_all(&prefix)?;
        Ok(Self { prefix, ..self })
    }

    /// The directory of the programs.
    pub(crate) fn directory(&self) -> PathBuf {
        self.prefix.join("bin")
    }

    /// The command for one of the programs. The program does not get the environment variables of xtask, because they could change the
    /// program's behaviour.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory().join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        if self.own_libraries {
            command.env("LD_LIBRARY_PATH", self.prefix.join("lib"));
        }
        command
    }
}

/// The directory in which Debian installs the programs of a version.
fn debian(major: Major) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))
}

/// The major version in the output of `postgres --version`.
fn version_of(printed: &str) -> Option<Major> {
    let number = printed.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn the_major_version_is_read_from_the_output_of_postgres() {
        assert_eq!(version_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(version_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(version_of("psql (PostgreSQL) 15.18\n"), None);
        assert_eq!(version_of("postgres (PostgreSQL) devel"), None);
    }
}
