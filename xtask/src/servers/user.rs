//! The user that the servers run as. PostgreSQL does not run as root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The user that the servers' programs run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// The user that runs xtask.
    Ourselves,
    /// A user other than the user that runs xtask. This is necessary if root runs xtask, because PostgreSQL does not run as root.
    Other {
        /// The id of this user.
        uid: u32,
        /// The id of the user's group.
        gid: u32,
    },
}

impl User {
    /// The user that runs xtask. If this is root: `postgres`, a user that Debian's PostgreSQL package makes, or else `nobody`.
    pub(crate) fn find() -> Result<Self> {
        if !rustix::process::getuid().is_root() {
            return Ok(Self::Ourselves);
        }
        for name in ["postgres", "nobody"] {
            let number = |flag| process::read(Command::new("id").args([flag, name]));
            if let (Ok(uid), Ok(gid)) = (number("-u"), number("-g")) {
                let parse = |text: String| text.trim().parse().with_context(|| format!("id of {name}"));
                return Ok(Self::Other { uid: parse(uid)?, gid: parse(gid)? });
            }
        }
        bail!(
            "PostgreSQL does not run as root, and neither of the users `postgres` and `nobody` exists; \
             add one of them, or do not run xtask as root"
        )
    }

    /// Makes `command` run its program as this user.
    pub(crate) fn take(self, command: &mut Command) -> &mut Command {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Whether this user can enter a directory.
    pub(crate) fn reaches(self, dir: &Path) -> bool {
        process::read(self.take(Command::new("ls").arg("-d").arg(dir.join(".")).current_dir("/"))).is_ok()
    }

    /// Makes this user the owner of a file or directory.
    pub(crate) fn own(self, dir: &Path) -> Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(dir, Some(uid), Some(gid))
                .with_context(|| format!("cannot change the owner of {}", dir.display())),
        }
    }
}

/// Lets every user enter a directory. The servers' user needs this permission.
pub(super) fn open_to_all(dir: &Path) -> Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot change the permissions of {}", dir.display()))
}
