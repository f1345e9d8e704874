//! The project's chores, as `cargo xtask WORD`, and the guide for contributors.
//!
//! Each word has a file of its name. [`servers`] starts the PostgreSQL servers that several words share. Progress goes to
//! standard error; standard output has only the result.
//!
//! # Where code belongs
//!
//! A crate knows only the crates to the right of it, and a folder of a crate only the folders that `cargo xtask lint --arrows`
//! lists for it: `examples` → `pg-stream-tokio`, `pg-stream-async-std` → `pg-auth` → `pg-wire`.
//!
//! | code | place |
//! | --- | --- |
//! | the bytes of a message | `pg-wire/src/message`, one file for a message or a few that belong together |
//! | a field type that several messages have | `pg-wire/src/codec/field.rs` |
//! | a value to send; a received value | `pg-wire/src/param`; `pg-wire/src/value` |
//! | messages inside CopyData for replication | `pg-wire/src/replication` |
//! | a step of the login, for a client or a server | `pg-auth/src/handshake`, `pg-auth/src/accept`; without I/O |
//! | a setting | one row of the table in `pg-auth/src/config/parameters.rs` |
//! | dialling, accepting, cancelling | `pg-auth/src/connect`, over the traits of `pg-auth/src/runtime.rs` |
//! | poll functions, timers, threads, a TLS library | an adapter. An adapter names no message, no SQLSTATE and no authentication method |
//! | a program with command-line options | `examples/src/bin` |
//! | a server or client that tests need | [`servers`], [`clients`] |
//! | a tool of the project | this crate |
//!
//! # How to add a message
//!
//! 1. Declare the message in a file of its direction below `pg-wire/src/message`, with `message!`: fields in wire order, the
//!    layout, the link into PostgreSQL's manual, and a test with its bytes (`testing::golden`).
//! 2. Add one row to the table in `backend/mod.rs` or `frontend/mod.rs`: code, byte, type, hot or cold, size class.
//! 3. For a message of the client, add a method to `pg-wire/src/client/protocol.rs`.
//!
//! The tests in `pg-wire/src/message/mod.rs` do these steps for a message of their own. `cargo xtask lint` reports a step that
//! was forgotten.
//!
//! # Language
//!
//! A reader has not seen the code, and English may be the reader's second language.
//!
//! - The first sentence says what a thing is or does, with a noun: "Reads a frame header", "Row counter of a pipeline".
//! - Repeat the noun where "it", "one", "those" or "what" could mean two things.
//! - Use the usual words: report, return, arrive, reject, exist, after, expected. Use a term of the field where there is one: fast
//!   path, cache line, overflow, precondition, backpressure.
//! - Say that a precondition is a precondition. Write a list as a list.
//! - A comment on speed has the mechanism, the figure and where the figure was measured.
//! - An error says what was found, what was expected and what to do.
//! - Public documentation has byte layouts, counts, units, errors, and a link into PostgreSQL's manual.
//!
//! # Tests
//!
//! Plain `cargo test` needs no network and no server. A test that needs servers has
//! `#[ignore = "needs servers: cargo xtask test"]`; `cargo xtask test` starts the servers, runs every test, and fails when a
//! server is missing. Words after `--` are passed on: `cargo xtask test -- -p pg-auth --test live name_of_the_test`. Where
//! cargo-nextest is installed, nextest runs the tests, and `cargo test --doc` the examples of the documentation.
//!
//! # Benchmarks
//!
//! `cargo xtask bench --quick --only micro` counts instructions, which are the same on a busy machine; run it before and after a
//! change to code that every row or every parameter passes. `--help` after `bench --` lists the other groups of lines. Times are
//! ratios within one run. `xtask/bench/NOTES.md` has the reasons for code that looks odd.
//!
//! # Releases
//!
//! 1. `cargo xtask ci` passes on a clean checkout, and `CHANGELOG.md` has a section for the version.
//! 2. Set `version` in the workspace's `Cargo.toml`, in `workspace.package` and in the four `workspace.dependencies`.
//! 3. `cargo publish --dry-run -p pg-wire`, then without `--dry-run`; then the same for `pg-auth`, `pg-stream-tokio` and
//!    `pg-stream-async-std`. This is the order of their dependencies.
//! 4. Tag the commit with the version.

mod bench;
mod ci;
mod clients;
mod demo;
mod interrupt;
mod lint;
mod needs;
mod paths;
mod process;
mod psycopg;
mod serve;
mod servers;
mod test;
mod with;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    /// What to do.
    #[command(subcommand)]
    word: Option<Word>,
}

/// One chore.
#[derive(Debug, Subcommand)]
enum Word {
    /// Run every test, those that need servers too
    Test {
        /// Passed on to `cargo test`, as in `cargo xtask test -- -p pg-wire -- --nocapture`
        #[arg(last = true)]
        cargo: Vec<String>,
    },
    /// Everything a change has to pass: format, lints, docs, the project's own rules, feature combinations, other targets, tests
    Ci,
    /// Check the project's own rules: messages, imports, adapters, sizes, README
    Lint {
        /// Print the imports of each crate instead
        #[arg(long)]
        arrows: bool,
    },
    /// Compare with peers and with hand-written loops, as in `cargo xtask bench --quick --only micro`
    Bench {
        /// Passed on to the benchmark; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Run the demo program, against DATABASE_URL or a PostgreSQL started for it
    Demo,
    /// Start the servers that tests use, and keep them until Ctrl-C
    Serve,
    /// Run a command with the servers started, as in `cargo xtask with cargo test -- --ignored`
    With {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Wait for the end of standard input, then stop the servers under DIR and remove it
    #[command(hide = true)]
    Watch {
        /// The directory to clear
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let Some(word) = Arguments::parse().word else {
        return match Arguments::command().print_help() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    };
    match run(word) {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<interrupt::Interrupted>() {
            Some(interrupted) => {
                eprintln!("xtask: {interrupted}");
                interrupted.exit_code()
            }
            None => {
                eprintln!("xtask: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Does one chore. Every guard is dropped when this returns, so that `main` may exit.
fn run(word: Word) -> anyhow::Result<ExitCode> {
    if let Word::Watch { dir } = word {
        // Outlives the signals that end its parent, so it does not listen to them.
        return servers::watch(&dir);
    }
    interrupt::listen()?;
    match word {
        Word::Test { cargo } => test::run(&cargo),
        Word::Ci => ci::run(),
        Word::Lint { arrows } => lint::run(arrows),
        Word::Bench { options } => bench::run(&options),
        Word::Demo => demo::run(),
        Word::Serve => serve::run(),
        Word::With { command } => with::run(&command),
        Word::Watch { .. } => unreachable!("answered above"),
    }
}
