//! Gets programs from Debian packages, in two ways:
//!
//! - [`Programs`] unpacks missing packages to the cache directory. This starts no service and needs no root user.
//! - [`install`] installs packages on the system. Only root can install packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::servers::user::{User, open_to_all};
use crate::{paths, process};

/// A set of programs that the same Debian packages contain.
#[derive(Debug)]
pub(super) struct Programs {
    /// The directory of the unpacked packages. `None` if the programs are installed on the system.
    root: Option<PathBuf>,
}

impl Programs {
    /// Finds `programs` on the system, or unpacks the packages with these programs to `directory` in the cache directory.
    pub(super) fn find(programs: &[&str], packages: &[&str], directory: &str) -> Result<Self> {
        if programs.iter().all(|program| installed(program).is_some()) {
            return Ok(Self { root: None });
        }
        let root = paths::cached(directory, |temporary| {
            let list = packages.join(" ");
            unpack(packages, temporary).with_context(|| {
                format!("install them with `sudo apt-get update && sudo apt-get install -y {list}`")
            })
        })?;
        let found = Self { root: Some(root) };
        for program in programs {
            found.path(program).with_context(|| {
                format!("the unpacked packages {} do not contain {program}", packages.join(", "))
            })?;
        }
        Ok(found)
    }

    /// Returns `self` if `user` can run the programs. If not, copies the programs to `home` and returns the copy.
    pub(super) fn within_reach(self, user: &User, home: &Path) -> Result<Self> {
        let Some(root) = &self.root else { return Ok(self) };
        if user.reaches(root) {
            return Ok(self);
        }
        let Some(name) = root.file_name() else { bail!("{} cannot be copied", root.display()) };
        let copy = home.join(format!("{}-programs", name.display()));
        process::succeed(Command::new("cp").arg("-R").arg("--preserve=mode,links").arg(root).arg(&copy))?;
        open_to_all(&copy)?;
        Ok(Self { root: Some(copy) })
    }

    /// The command for one of the programs. The program does not get the environment variables of xtask.
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
        // The name of the directory depends on the architecture, as in `x86_64-linux-gnu`, so the directory is searched.
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

/// The path of a program on the PATH or in the system's `sbin` directories.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [Path::new("/usr/sbin"), Path::new("/sbin")].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|bin| bin.join(program)).find(|path| path.is_file())
}

/// Downloads the packages and their missing dependencies, and unpacks all of them. Returns the directory of the unpacked files.
fn unpack(packages: &[&str], temporary: &Path) -> Result<PathBuf> {
    if process::read(Command::new("apt-get").arg("--version")).is_err() {
        bail!(
            "the packages {} are missing, and apt-get, which downloads them, is missing too",
            packages.join(", ")
        );
    }
    eprintln!("xtask: downloading {}", packages.join(", "));
    let (archives, root) = (temporary.join("archives"), temporary.join("root"));
    fs::create_dir_all(archives.join("partial"))?;
    let download = || {
        let mut apt_get = Command::new("apt-get");
        apt_get.args(["-qq", "-y", "--download-only", "--no-install-recommends"]);
        // apt-get runs without its locks. Only root may take the locks, and they are not needed, because this command installs nothing.
        apt_get
            .args(["-o", "Debug::NoLocking=1", "-o"])
            .arg(format!("Dir::Cache::archives={}", archives.display()));
        process::read(apt_get.arg("install").args(packages)).map(drop)
    };
    if let Err(error) = download() {
        // The download may have failed because the package lists are missing or outdated. Only root can update the package lists.
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
    open_to_all(&root)?;
    Ok(root)
}

/// Installs Debian packages. If xtask does not run as root, or if apt-get is missing, returns an error with the command for installing the
/// packages.
pub(crate) fn install(packages: &str) -> Result<()> {
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    if !rustix::process::getuid().is_root() || process::read(&mut apt_get(&["--version"])).is_err() {
        bail!("install the packages with `sudo apt-get update && sudo apt-get install -y {packages}`");
    }
    eprintln!("xtask: installing {packages}");
    // The output of apt-get, which is hundreds of lines, is shown only after a failure.
    process::read(&mut apt_get(&["-qq", "update"]))?;
    process::read(apt_get(&["-qq", "install", "-y"]).args(packages.split(' ')))?;
    Ok(())
}
