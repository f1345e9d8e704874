//! Who the servers run as: PostgreSQL refuses to run as root.

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
    /// Whoever runs us.
    Ourselves,
    /// We are root, so somebody else.
    Other {
        /// User number.
        uid: u32,
        /// Group number.
        gid: u32,
    },
}

impl User {
    /// Ourselves unless we are root; then `postgres`, which its Debian package makes, or `nobody`.
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
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as"
        )
    }

    /// Makes a command run as this user.
    pub(crate) fn take(self, command: &mut Command) -> &mut Command {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Can this user enter this directory?
    pub(crate) fn reaches(self, dir: &Path) -> bool {
        process::read(self.take(Command::new("ls").arg("-d").arg(dir.join(".")).current_dir("/"))).is_ok()
    }

    /// Gives a file or directory to this user.
    pub(crate) fn own(self, dir: &Path) -> Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(dir, Some(uid), Some(gid))
                .with_context(|| format!("cannot give {} away", dir.display())),
        }
    }
}

/// Lets every user, so also the servers' user, enter a directory.
pub(super) fn open_to_all(dir: &Path) -> Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot open {}", dir.display()))
}
