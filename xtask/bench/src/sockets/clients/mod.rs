//! One program each, written as its users would write it for speed.
//!
//! They all do the same and find the same: [`Touch`](crate::micro::touch::Touch) sums over every value that came.

pub(crate) mod hand;
pub(crate) mod libpq;
pub(crate) mod ours;
pub(crate) mod pg_stream;
pub(crate) mod scram;
pub(crate) mod sqlx;
pub(crate) mod tokio_postgres;
pub(crate) mod xitca;

use anyhow::{Result, bail};

/// Data of a COPY: pieces, each sent in a call of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    /// One piece.
    pub(crate) piece: &'static [u8],
    /// How many times it is sent.
    pub(crate) times: u64,
}

/// Statements sent without waiting for the answers in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pipeline {
    /// Statements before their answers are waited for.
    pub(crate) depth: u64,
    /// How many times.
    pub(crate) batches: u64,
    /// A Sync behind every statement instead of one behind the batch.
    pub(crate) sync_each: bool,
}

/// The statement of pipelines and round trips.
pub(crate) const ONE: &str = "SELECT $1::int4";

/// A connection of one of the contenders, and what it can do. What it has no way to do is an error.
pub(crate) trait Client {
    /// Reads the rows of a statement by the simple protocol: text.
    fn read_text(&mut self, _: &str) -> Result<u64> {
        bail!("no way to do that")
    }
    /// Reads the rows of a statement by the extended protocol: binary.
    fn read_binary(&mut self, _: &str) -> Result<u64> {
        bail!("no way to do that")
    }
    /// Reads the data of a `COPY … TO STDOUT`.
    fn copy_out(&mut self, _: &str) -> Result<u64> {
        bail!("no way to do that")
    }
    /// Sends data to a `COPY … FROM STDIN`.
    fn copy_in(&mut self, _: &str, _: Pieces) -> Result<u64> {
        bail!("no way to do that")
    }
    /// Runs [`ONE`], prepared, many times at once.
    fn pipeline(&mut self, _: Pipeline) -> Result<u64> {
        bail!("no way to do that")
    }
    /// Runs [`ONE`], prepared, so many times, each after the answer to the one before.
    fn round_trips(&mut self, _: u64) -> Result<u64> {
        bail!("no way to do that")
    }
}
