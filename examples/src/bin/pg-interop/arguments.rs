//! Options of the command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::check::{Area, Check, Feature};

/// Checks whether a server speaks PostgreSQL's protocol as the manual says
#[derive(Debug, Parser)]
#[command(
    name = "pg-interop",
    version,
    after_long_help = "\
A check that fails shows the expected and the received message. \"not supported\": the server reports SQLSTATE 0A000 \
(feature_not_supported), or the option --without names the feature. \"not checked\": a precondition is not fulfilled, for example the \
version of the server.

The checks create temporary tables only, and end only sessions of their own. For all checks the user has to authenticate with a \
password, and may log in without TLS.

Exit status: 0; 1 if a check failed; 2 if the server cannot be reached, or for wrong usage."
)]
pub(crate) struct Arguments {
    /// Connection string of the server. Default: all servers in the environment variables that `cargo xtask serve` prints
    pub(crate) url: Option<String>,
    /// Print the checks and their places in PostgreSQL's manual, and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// Run only the checks whose area or name contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// A feature that the server lacks according to its own documentation
    #[arg(long, value_name = "FEATURE", value_enum, requires = "url")]
    pub(crate) without: Vec<Feature>,
    /// Print the passed checks too
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Longest time to wait for one message; default: 10, or 60 without a URL, because then all servers share the machine
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: Option<u64>,
}

impl Arguments {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.unwrap_or(if self.url.is_some() { 10 } else { 60 }))
    }

    /// Whether `--only` selects this check.
    pub(crate) fn selects(&self, area: &Area, check: &Check) -> bool {
        let Some(text) = &self.only else { return true };
        format!("{}: {}", area.title, check.name).contains(text.as_str())
    }
}

/// Form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for a terminal
    Text,
    /// A table in Markdown
    Markdown,
}
