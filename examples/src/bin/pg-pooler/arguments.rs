//! Command line of pg-pooler.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;

/// A transaction pooler: many clients share few connections to a server
///
/// A client uses a server connection only from the beginning to the end of a transaction.
#[derive(Debug, Parser)]
#[command(
    name = "pg-pooler",
    version,
    after_long_help = "\
Clients log in with SCRAM-SHA-256. The pooler logs in to the server with the keys from the client's login, so the file of users must \
have the same verifiers as the server. This command writes the file:

  psql -Atc \"select rolname || ':' || rolpassword from pg_authid where rolpassword like 'SCRAM-SHA-256$%'\" > FILE

Prepared statements of the protocol work as they do without a pooler. Parameters that the server reports, such as client_encoding and \
TimeZone, are restored for each client. The pooler rejects SQL that changes other state of the session: LISTEN, LOAD, PREPARE, cursors \
WITH HOLD, temporary tables without ON COMMIT DROP, and SET of other parameters. It accepts SET LOCAL. It does not detect functions \
that change the state of the session, such as pg_advisory_lock and set_config.

TLS is not supported in either direction."
)]
pub(crate) struct Arguments {
    /// Address that clients connect to. With port 0 the system picks a free port, and the program prints the address on standard error
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Address of the server
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) upstream: String,
    /// File of users and their verifiers. Each line is NAME:SCRAM-SHA-256$…
    #[arg(long, value_name = "FILE")]
    pub(crate) users: PathBuf,
    /// Maximum number of server connections for each user in each database
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) pool_size: NonZeroUsize,
    /// Maximum time that a client waits for a server connection
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    pub(crate) reserve_timeout: u64,
}
