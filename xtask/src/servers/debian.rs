//! Programs of Debian's packages: those installed, or else unpacked below the cache, which starts no service and needs no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::user::User;
use crate::{paths, process};

/// Programs that are used together.
#[derive(Debug)]
pub(super) struct Programs {
    /// The root of the unpacked packages; none when the programs are installed.
    root: Option<PathBuf>,
}

impl Programs {
    /// Finds `programs`, which these packages have, or unpacks the packages to `directory` below the cache.
    pub(super) fn find(programs: &[&str], packages: &[&str], directory: &str) -> Result<Self> {
        if programs.iter().all(|program| installed(program).is_some()) {
            return Ok(Self { root: None });
        }
        let root = paths::cache().join(directory);
        if !root.exists() {
            let list = packages.join(" ");
            unpack(packages, &root).with_context(|| {
                format!("install them with `sudo apt-get update && sudo apt-get install -y {list}`")
            })?;
        }
        let found = Self { root: Some(root) };
        for program in programs {
            found.path(program).with_context(|| format!("no {program} in {}", packages.join(", ")))?;
        }
        Ok(found)
    }

    /// The same programs where `user` can run them: here, or copied below `home`.
    pub(super) fn within_reach(self, user: &User, home: &Path) -> Result<Self> {
        let Some(root) = &self.root else { return Ok(self) };
        if user.reaches(root) {
            return Ok(self);
        }
        let Some(name) = root.file_name() else { bail!("{} cannot be copied", root.display()) };
        let copy = home.join(format!("{}-programs", name.display()));
        process::succeed(Command::new("cp").arg("-R").arg("--preserve=mode,links").arg(root).arg(&copy))?;
        super::open_to_all(&copy)?;
        Ok(Self { root: Some(copy) })
    }

    /// One of the programs, with nothing of our environment that could change what it does.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program).unwrap_or_else(|| program.into()));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").current_dir("/");
        if let Some(libraries) = self.libraries() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// The directory of the unpacked shared libraries.
    pub(super) fn libraries(&self) -> Option<PathBuf> {
        let lib = self.root.as_ref()?.join("usr/lib");
        let entries = fs::read_dir(&lib).ok()?;
        // Named after the machine, as in `x86_64-linux-gnu`.
        entries.flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("-linux-gnu"))
    }

    fn path(&self, program: &str) -> Option<PathBuf> {
        match &self.root {
            None => installed(program),
            Some(root) => ["usr/sbin", "usr/bin"]
                .map(|bin| root.join(bin).join(program))
                .into_iter()
                .find(|path| path.is_file()),
        }
    }
}

/// A program on the PATH, or where Debian puts those of the system.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [Path::new("/usr/sbin"), Path::new("/sbin")].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|bin| bin.join(program)).find(|path| path.is_file())
}

/// Downloads the packages and what they need and the system does not have, and unpacks all beside the goal, then renames, so
/// that an interrupted run leaves nothing half done.
fn unpack(packages: &[&str], goal: &Path) -> Result<()> {
    if process::read(Command::new("apt-get").arg("--version")).is_err() {
        bail!("{} are missing, and there is no apt-get to download them with", packages.join(", "));
    }
    eprintln!("xtask: downloading {}", packages.join(", "));
    fs::create_dir_all(paths::cache())?;
    let temporary = tempfile::Builder::new().prefix("fetch-").tempdir_in(paths::cache())?;
    let (archives, root) = (temporary.path().join("archives"), temporary.path().join("root"));
    fs::create_dir_all(archives.join("partial"))?;
    let download = || {
        let mut apt_get = Command::new("apt-get");
        apt_get.args(["-qq", "-y", "--download-only", "--no-install-recommends"]);
        // Locks are for those who install, and only root may take them.
        apt_get
            .args(["-o", "Debug::NoLocking=1", "-o"])
            .arg(format!("Dir::Cache::archives={}", archives.display()));
        process::read(apt_get.arg("install").args(packages)).map(drop)
    };
    if let Err(error) = download() {
        // Lists may be missing, or older than what is offered; only root can mend that.
        if !rustix::process::getuid().is_root() {
            return Err(error);
        }
        process::read(Command::new("apt-get").args(["-qq", "update"]))?;
        download()?;
    }
    for entry in fs::read_dir(&archives)? {
        let archive = entry?.path();
        if archive.extension().is_some_and(|extension| extension == "deb") {
            process::read(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&root))?;
        }
    }
    super::open_to_all(&root)?;
    match fs::rename(&root, goal) {
        // Another run was faster.
        Err(_) if goal.exists() => Ok(()),
        renamed => renamed.with_context(|| format!("cannot make {}", goal.display())),
    }
}
