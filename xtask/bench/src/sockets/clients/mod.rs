//! The clients: one program for each library, written for speed with the library's public interface.
//!
//! All clients do the same work. A sum over all received values ([`Touch`](crate::micro::touch::Touch)) must be equal for all clients.

pub(crate) mod hand;
pub(crate) mod libpq;
pub(crate) mod ours;
pub(crate) mod pg_stream;
pub(crate) mod scram;
pub(crate) mod sqlx;
pub(crate) mod tokio_postgres;
pub(crate) mod xitca;

use anyhow::{Result, bail};

/// The data of a COPY: equal pieces. The client sends each piece by a separate call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    /// The bytes of a piece.
    pub(crate) piece: &'static [u8],
    /// The number of pieces.
    pub(crate) times: u64,
}

/// Batches of statements. All statements of a batch are sent before their results are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pipeline {
    /// The number of statements in a batch.
    pub(crate) depth: u64,
    /// The number of batches.
    pub(crate) batches: u64,
    /// Whether a Sync follows every statement. If not, one Sync follows each batch.
    pub(crate) sync_each: bool,
}

/// The SQL statement in measurements of pipelines and round trips.
pub(crate) const ONE: &str = "SELECT $1::int4";

/// A connection of one of the compared clients. A method that the client does not support returns an error.
pub(crate) trait Client {
    /// Runs a statement by the simple protocol, and reads its rows in text format.
    fn read_text(&mut self, _: &str) -> Result<u64> {
        bail!("this client does not support this operation")
    }
    /// Runs a statement by the extended protocol, and reads its rows in binary format.
    fn read_binary(&mut self, _: &str) -> Result<u64> {
        bail!("this client does not support this operation")
    }
    /// Reads the data of a `COPY … TO STDOUT`.
    fn copy_out(&mut self, _: &str) -> Result<u64> {
        bail!("this client does not support this operation")
    }
    /// Sends data to a `COPY … FROM STDIN`.
    fn copy_in(&mut self, _: &str, _: Pieces) -> Result<u64> {
        bail!("this client does not support this operation")
    }
    /// Runs [`ONE`] as a prepared statement, in a pipeline.
    fn pipeline(&mut self, _: Pipeline) -> Result<u64> {
        bail!("this client does not support this operation")
    }
    /// Runs [`ONE`] as a prepared statement; the argument is the number of runs. Each run waits for its result.
    fn round_trips(&mut self, _: u64) -> Result<u64> {
        bail!("this client does not support this operation")
    }
    /// Begins to wait for a message that the server sends without a request, such as a notification, and returns at once. Does nothing for
    /// a client that can only wait for replies.
    fn wait(&mut self) {}
}
