//! The project's chores, as `cargo xtask WORD`.
//!
//! What a word does stands in the file of its name; [`servers`] starts the PostgreSQL servers they
//! share. Progress goes to standard error, so that standard output stays with what was asked for.

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
