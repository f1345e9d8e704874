//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;

/// A transaction pooler: many clients share few connections to a server
///
/// A client has a server connection from the beginning of a transaction to its end.
#[derive(Debug, Parser)]
#[command(
    name = "pg-pooler",
    version,
    after_long_help = "\
Clients log in with SCRAM-SHA-256; their keys are used for the login to the server, which must have the same verifiers. Write the file with

  psql -Atc \"select rolname || ':' || rolpassword from pg_authid where rolpassword like 'SCRAM-SHA-256$%'\" > FILE

Prepared statements of the protocol work as without a pooler. Parameters that the server reports, such as client_encoding and TimeZone, are \
restored for each client. Rejected, because they need a session of their own: LISTEN, LOAD, PREPARE, cursors WITH HOLD, temporary tables \
without ON COMMIT DROP, and SET of other parameters, but not SET LOCAL. Not recognised: functions such as pg_advisory_lock and set_config.

There is no TLS in either direction."
)]
pub(crate) struct Arguments {
    /// Address for clients; with port 0 a free port is used, and reported on standard error
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Address of the server
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) upstream: String,
    /// Users and their verifiers: NAME:SCRAM-SHA-256$… in each line
    #[arg(long, value_name = "FILE")]
    pub(crate) users: PathBuf,
    /// Largest number of server connections for each user in each database
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) pool_size: NonZeroUsize,
    /// Longest time that a client waits for a server connection
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    pub(crate) reserve_timeout: u64,
}
