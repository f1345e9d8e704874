//! Where a server's programs are: installed already, installed by us, or fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::servers::debian::install;
use crate::servers::fetch;
use crate::servers::user::{User, open_to_all};

/// PostgreSQL's major version.
pub(crate) type Major = u8;

/// The oldest server the tests run against.
pub(crate) const V15: Major = 15;

/// The newest one: protocol 3.2, direct TLS.
pub(crate) const V18: Major = 18;

/// The programs of one PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    /// Holds `bin`, and `lib` and `share`, which the programs find from there.
    prefix: PathBuf,
    /// Does it bring the libraries it needs? The system's may then be missing or too new.
    own_libraries: bool,
}

impl Binaries {
    /// Finds the programs of this version, getting them where that takes no choice of the user's.
    pub(crate) fn find(major: Major) -> Result<Self> {
        // Fetched even where an 18 is installed: the one that everybody else tests against.
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
                "no initdb and postgres of version {major} on the PATH or in {}",
                debian(major).display()
            ),
        }
    }

    /// The programs where Debian puts them, or on the PATH.
    fn installed(major: Major) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::iter::once(debian(major)).chain(std::env::split_paths(&path)).find_map(|bin| {
            // Links lead out of the PATH's directories to where the other programs are.
            let bin = bin.join("postgres").canonicalize().ok()?.parent()?.to_path_buf();
            let version = process::read(Command::new(bin.join("postgres")).arg("--version")).ok()?;
            let suits = version_of(&version) == Some(major) && bin.join("initdb").exists();
            suits.then(|| {
                bin.parent().map(|prefix| Self { prefix: prefix.to_path_buf(), own_libraries: false })
            })?
        })
    }

    /// The same programs where `user` can run them: here, or copied below `home`.
    ///
    /// A work tree under a closed directory, such as root's home, cannot be entered by the servers' user.
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

    /// One of the programs, with nothing of our environment that could change what it does.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.prefix.join("bin").join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        if self.own_libraries {
            command.env("LD_LIBRARY_PATH", self.prefix.join("lib"));
        }
        command
    }
}

/// Where Debian's packages put the programs of a version.
fn debian(major: Major) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))
}

/// The major version in what `postgres --version` prints.
fn version_of(printed: &str) -> Option<Major> {
    let number = printed.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        assert_eq!(version_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(version_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(version_of("psql (PostgreSQL) 15.18\n"), None);
        assert_eq!(version_of("postgres (PostgreSQL) devel"), None);
    }
}
