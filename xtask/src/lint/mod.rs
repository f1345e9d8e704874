//! `cargo xtask lint`: checks the rules of this project that no other tool checks.
//!
//! | rule | file |
//! | --- | --- |
//! | the table of a direction has each message code only once | `messages/table.rs` |
//! | each message has a test with golden bytes | `messages/goldens.rs` |
//! | the documentation of a message links its paragraph of the manual | `messages/links.rs` |
//! | the layout in a message's documentation agrees with its fields | `messages/layout.rs` |
//! | the files of a crate do not import each other in a cycle | `imports/cycles.rs` |
//! | the code of an adapter contains no names of messages, SQLSTATEs or authentication methods | `adapters.rs` |
//! | a source file has at most 600 lines; the lines of tests do not count | `size.rs` |
//! | a program in a README is a copy of a file that is compiled and run | `readme.rs` |
//!
//! `cargo xtask lint --arrows` prints the imports of each crate. The rules parse the Rust code instead of searching the text of the files.

mod adapters;
mod finding;
mod imports;
mod messages;
mod readme;
mod size;
pub(crate) mod source;

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::paths;
use finding::Finding;
use source::{Source, read_folder};

/// The library crates. The files of each of these crates must not import each other in a cycle.
const LAYERED: [&str; 4] = ["pg-wire/src", "pg-auth/src", "pg-stream-tokio/src", "pg-stream-async-std/src"];

/// The adapters: the library crates for one async runtime each.
const ADAPTERS: [&str; 2] = ["pg-stream-tokio/src", "pg-stream-async-std/src"];

/// Folders with the source code of programs.
const OTHERS: [&str; 5] =
    ["examples/src", "xtask/src", "xtask/bench/src", "pg-wire/fuzz/src", "pg-auth/fuzz/src"];

/// The folder with all messages.
const MESSAGES: &str = "pg-wire/src/message/";

/// Checks all rules, and prints the failures and their number. If `arrows` is true, checks nothing and prints the imports.
pub(crate) fn run(arrows: bool) -> Result<ExitCode> {
    if arrows {
        let mut out = String::new();
        for folder in LAYERED {
            let (imports, _) = imports::imports(&read_folder(paths::root(), folder)?)?;
            out += &imports::arrows(folder, &imports);
            out.push('\n');
        }
        // A write error is ignored: a reader such as `head` may close the pipe before it has read everything.
        let _ = std::io::stdout().write_all(out.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    println!("lint: {} failures", findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks all rules as a step of `ci`: a failure is an error.
pub(crate) fn succeed() -> Result<()> {
    let findings = findings()?;
    if findings.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    bail!("{} failures\n{}", findings.len(), lines.join("\n"));
}

/// The failures of all rules, sorted by file and line.
fn findings() -> Result<Vec<Finding>> {
    let root = paths::root();
    let layered: Vec<(&str, Vec<Source>)> =
        LAYERED.iter().map(|folder| Ok((*folder, read_folder(root, folder)?))).collect::<Result<_>>()?;
    let is_message = |source: &Source| source.path.starts_with(MESSAGES);
    let mut findings = Vec::new();
    let mut names = Vec::new();
    for (folder, sources) in &layered {
        findings.extend(imports::check(&imports::imports(sources)?.0));
        findings.extend(size::check(sources));
        if *folder == "pg-wire/src" {
            let messages: Vec<&Source> = sources.iter().filter(|source| is_message(source)).collect();
            findings.extend(messages::check(&messages)?);
            names = messages::names(&messages)?;
        }
    }
    for (_, sources) in layered.iter().filter(|(folder, _)| ADAPTERS.contains(folder)) {
        findings.extend(adapters::check(sources, &names)?);
    }
    for folder in OTHERS {
        findings.extend(size::check(&read_folder(root, folder)?));
    }
    let read = |file: &str| fs::read_to_string(root.join(file)).ok();
    for path in readme::READMES {
        let readme = read(path).with_context(|| format!("{path} is missing"))?;
        findings.extend(readme::check_programs(path, &readme, read));
        if path == "README.md" {
            findings.extend(readme::check_table(&readme, read));
        }
    }
    findings.sort();
    Ok(findings)
}
