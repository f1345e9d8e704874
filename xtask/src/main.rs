//! The tasks of a contributor as subcommands of `cargo xtask`, and the contributor guide.
//!
//! Each subcommand has a file of the same name. The module [`servers`] starts PostgreSQL servers for several subcommands. Progress is
//! printed on standard error, the result on standard output.
//!
//! # Where code belongs
//!
//! Dependencies have one direction: `examples` depends on the adapters `pg-stream-tokio` and `pg-stream-async-std`, the adapters on
//! `pg-auth`, and `pg-auth` on `pg-wire`. The files of a crate may not import each other in a cycle; `cargo xtask lint --arrows` prints the
//! imports.
//!
//! | code | place |
//! | --- | --- |
//! | the bytes of a message | `pg-wire/src/message`, one file for a message or a few that belong together |
//! | a field type that several messages have | `pg-wire/src/codec/field.rs` |
//! | a value to send; a received value | `pg-wire/src/param`; `pg-wire/src/value` |
//! | replication messages, which are sent inside CopyData | `pg-wire/src/replication` |
//! | a step of the login, for a client or a server | `pg-auth/src/handshake`, `pg-auth/src/accept`; without I/O |
//! | a setting | one row of the table in `pg-auth/src/config/parameters.rs` |
//! | dialling, accepting, cancelling | `pg-auth/src/connect`, over the traits of `pg-auth/src/runtime.rs` |
//! | poll functions, timers, threads, a TLS library | an adapter; its code may name no message, SQLSTATE or authentication method |
//! | a program with command-line options | `examples/src/bin` |
//! | a server or client that tests need | [`servers`], [`clients`] |
//! | a tool of the project | this crate |
//!
//! # How to add a message
//!
//! 1. Declare the message with `message!`, in a file in `pg-wire/src/message/backend` or `pg-wire/src/message/frontend`. The
//!    declaration has the fields in wire order, the layout, the link to PostgreSQL's manual, and a test with the bytes of the
//!    message (`testing::golden`).
//! 2. Add one row to the table in `backend/mod.rs` or `frontend/mod.rs`: code, byte, type, how the decoding is compiled (`Hot` for a
//!    message that is received very often, otherwise `Cold`), size class.
//! 3. For a message that the client sends, add a method to `pg-wire/src/client/protocol.rs`.
//!
//! The tests in `pg-wire/src/message/mod.rs` do these steps for an example message. `cargo xtask lint` reports a forgotten step.
//!
//! # Language
//!
//! A reader has not seen the code, and English may be the reader's second language.
//!
//! - The first sentence says what a thing is or does, with a noun: "Reads a frame header", "Row counter of a pipeline".
//! - Repeat the noun where "it", "one", "those" or "what" could mean two things.
//! - Use the usual words: report, return, arrive, reject, exist, after, expected. Use a term of the field where there is one: fast
//!   path, cache line, overflow, precondition, backpressure.
//! - Mark a precondition with the word "Precondition". Write a list as a list.
//! - A comment on speed names the mechanism, the figure, and the place where the measurement is described, such as `NOTES.md`.
//! - An error text names the value that was found, the value that was expected, and the remedy.
//! - Public documentation has byte layouts, counts, units, errors, and a link into PostgreSQL's manual.
//!
//! # Tests
//!
//! Plain `cargo test` needs no network and no server. A test that needs servers has the attribute
//! `#[ignore = "needs servers: cargo xtask test"]`. `cargo xtask test` starts the servers, runs every test, and fails if a
//! server cannot be started. Arguments after `--` are passed to `cargo test`: `cargo xtask test -- -p pg-auth --test live
//! name_of_the_test`. If there are no such arguments and cargo-nextest is installed, nextest runs the tests, and `cargo test --doc` runs
//! the examples in the documentation.
//!
//! # Chaos
//!
//! `cargo xtask chaos` starts two servers and the program `pg-chaos`: clients of both adapters execute transactions through
//! `pg-proxy`, while the proxies inject faults of a network, sessions and proxies are killed, and the servers are restarted. At the end,
//! every acknowledged transaction must be in the database, once, and no client may hang. `--seconds N` sets the duration, and `--seed S`
//! repeats the random choices of an earlier run. The times of the events also depend on the machine, so a failure may need several runs.
//! `cargo xtask ci` runs the chaos for half a minute.
//!
//! # Fuzzing
//!
//! A fuzz target is a function that takes any bytes and panics if a crate breaks a rule. The targets are in `pg-wire/fuzz` and
//! `pg-auth/fuzz`; `cargo xtask fuzz --list` prints their names. `cargo xtask fuzz --minutes 5` runs all targets with inputs that libFuzzer
//! generates, and `cargo xtask fuzz frames --minutes 5` runs one target. The command installs cargo-fuzz and a nightly compiler if they are
//! missing. If a target fails, the command prints the path of the input, and the command that repeats the failure. For each corrected
//! fault, add a test to the crate's own tests.
//!
//! Each target has a corpus, a small set of inputs, in `fuzz/corpus`. `cargo test --manifest-path pg-wire/fuzz/Cargo.toml` calls the
//! targets with their corpora, without libFuzzer and with any compiler. New inputs are kept in `target/fuzz`. `cargo xtask fuzz --minimize`
//! makes new corpora from these inputs and from seeds, which `xtask/src/fuzz/seeds.rs` makes from literals in the tests. The corpora
//! together have at most 300 kB.
//!
//! # Benchmarks
//!
//! `cargo xtask bench --quick --only micro` counts instructions; other programs on the machine do not change this number. Run the
//! command before and after a change to code that is executed for every row or every parameter. `cargo xtask bench -- --help` lists
//! the other groups of measurements. Compare a time only with other times of the same run. `xtask/bench/NOTES.md` explains code
//! that has an unusual form for speed.
//!
//! # Dependencies
//!
//! `cargo xtask supply` checks licences, advisories, unused dependencies, the oldest versions that the manifests allow, and the oldest
//! Rust. `xtask/deny.toml` has the rules, and each exception with its reason. Without access to the advisory database, the command prints
//! that the advisories were not checked; with `--require-advisories` the command fails. When a version in a manifest is too old, the
//! command prints the message of cargo or of the compiler: raise the version in the manifest.
//!
//! # Interop
//!
//! `cargo xtask interop --against URL` checks whether a server speaks the protocol as PostgreSQL's manual says. Without a URL, the servers
//! of the tests are checked: PostgreSQL, PgBouncer, Pgpool-II, PGlite, `mock_server`, `pg-proxy` and `pg-pooler`. `--list` prints the
//! checks with their links, `--only TEXT` selects checks. The program is `examples/src/bin/pg-interop`: a check is a row in a file in
//! `checks`, a server is a row in `servers.rs`, and `deviations.rs` has the known differences, each with its reason. The test
//! `examples/tests/interop.rs` fails if a server has a difference without an entry, or if an entry has no difference.
//!
//! # Releases
//!
//! `cargo xtask release` prints the steps of a release, with the packages in the order in which they are published. All packages have one
//! version. `cargo xtask release --dry-run` checks on a clean checkout that the packages can be published: metadata, licence texts, README
//! files, links and the changelog. The command also compiles each package from its archive, and builds the documentation as docs.rs does.
//! `cargo xtask ci` makes the same checks without compiling. After a release, `cargo xtask supply` compares the interfaces with the newest
//! tag `v*`.

mod bench;
mod chaos;
mod ci;
mod clients;
mod demo;
mod fuzz;
mod interop;
mod interrupt;
mod lint;
mod needs;
mod packages;
mod paths;
mod process;
mod psycopg;
mod release;
mod serve;
mod servers;
mod supply;
mod test;
mod wheels;
mod with;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The tasks of a contributor to this project.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    /// The task to run
    #[command(subcommand)]
    word: Option<Word>,
}

/// One subcommand.
#[derive(Debug, Subcommand)]
enum Word {
    /// Start servers and run every test, including the tests that need servers
    Test {
        /// Arguments for `cargo test`, as in `cargo xtask test -- -p pg-wire -- --nocapture`
        #[arg(last = true)]
        cargo: Vec<String>,
    },
    /// Run every check of a change: format, lints, the project's own rules, docs, dependencies, packages, feature combinations, other
    /// targets, fuzz targets, chaos, tests
    Ci,
    /// Check the project's own rules for messages, imports, adapters, file sizes and README files
    Lint {
        /// Print the imports of each crate instead of checking
        #[arg(long)]
        arrows: bool,
    },
    /// Check the dependencies (licences, advisories, unused dependencies, oldest versions, oldest Rust) and the changes of public
    /// interfaces since the last release
    Supply {
        /// Fail if the advisory database cannot be fetched
        #[arg(long)]
        require_advisories: bool,
    },
    /// Print the steps of a release; with --dry-run, check whether all packages can be published
    Release {
        /// Check whether all packages can be published, and publish nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Run the fuzz targets with generated inputs, as in `cargo xtask fuzz frames --minutes 5`
    Fuzz(fuzz::Options),
    /// Compare the speed with other libraries and hand-written loops, as in `cargo xtask bench --quick --only micro`
    Bench {
        /// Options of the benchmark, which `cargo xtask bench -- --help` lists
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Check the protocol of a server, or of all servers of the tests, as in `cargo xtask interop --against postgres://…`
    Interop {
        /// Connection string of the server; default: all servers of the tests
        #[arg(long, value_name = "URL")]
        against: Option<String>,
        /// Further options, which `cargo xtask interop -- --help` lists, such as --list, --only TEXT and --format markdown
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Run clients against servers through proxies, while connections, proxies and servers fail, and check that no transaction is lost
    Chaos {
        /// Duration of the chaos in minutes
        #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=10_000))]
        minutes: Option<u64>,
        /// Duration of the chaos in seconds; without a duration, the chaos takes five minutes
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        seconds: Option<u64>,
        /// Seed of the random choices; each run prints its seed
        #[arg(long, value_name = "S")]
        seed: Option<u64>,
    },
    /// Run the demo program with the server of DATABASE_URL, or with a PostgreSQL server started for the demo
    Demo,
    /// Start the servers of the tests, print their addresses, and stop them at Ctrl-C
    Serve,
    /// Start the servers of the tests, run one command, and stop them, as in `cargo xtask with cargo test -- --ignored`
    With {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Wait for the end of standard input, then stop the servers in DIR and remove DIR
    #[command(hide = true)]
    Watch {
        /// The directory of the servers
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

/// Runs one subcommand. When this function returns, every server that the subcommand has started is stopped.
fn run(word: Word) -> anyhow::Result<ExitCode> {
    if let Word::Watch { dir } = word {
        // The watcher installs no signal handlers. It does not receive Ctrl-C, because it has its own process group.
        return servers::watch(&dir);
    }
    interrupt::listen()?;
    match word {
        Word::Test { cargo } => test::run(&cargo),
        Word::Ci => ci::run(),
        Word::Lint { arrows } => lint::run(arrows),
        Word::Supply { require_advisories } => supply::run(require_advisories),
        Word::Release { dry_run } => release::run(dry_run),
        Word::Fuzz(options) => fuzz::run(&options),
        Word::Bench { options } => bench::run(&options),
        Word::Interop { against, options } => interop::run(against.as_deref(), &options),
        Word::Chaos { minutes, seconds, seed } => {
            chaos::run(seconds.unwrap_or_else(|| 60 * minutes.unwrap_or(5)), seed)
        }
        Word::Demo => demo::run(),
        Word::Serve => serve::run(),
        Word::With { command } => with::run(&command),
        Word::Watch { .. } => unreachable!("`watch` returned above"),
    }
}
