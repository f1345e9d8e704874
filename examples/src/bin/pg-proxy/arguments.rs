//! The command line.

use clap::{Parser, ValueEnum};

use crate::address::Address;

/// A man in the middle between PostgreSQL clients and a server
///
/// Every message of both directions is decoded, encoded again and passed on byte for byte. SQL, rows and COPY data appear in a
/// trace as they are; passwords, SASL messages and cancel keys never do.
#[derive(Debug, Parser)]
#[command(
    name = "pg-proxy",
    version,
    after_long_help = "\
ADDR is HOST:PORT, or the path of a Unix-domain socket, which has a slash in it: clients expect /DIR/.s.PGSQL.PORT.

Memory: what one side does not take is not read from the other. In each direction a connection holds at most one message that is \
larger than its buffers (PostgreSQL allows 1 GiB), a second time while it is encoded again, and 1 MiB of buffers. With --raw it \
is held once. An idle connection takes about 40 KiB.

Connections: as many at once as the hard limit on open files allows, with two for each, or three with %d in --trace. Others wait.

Before the server has let a client in, no packet may be longer than 10,000 bytes, no answer to a request for authentication longer \
than 64 KiB, and all of it may take as long as --opening-timeout says.

Ctrl-C or SIGTERM ends all connections and prints a summary. Exit status: 0; 1 when it cannot listen, and with --check when a \
message was not the same again; 2 for wrong usage."
)]
pub(crate) struct Arguments {
    /// Where clients connect to; with port 0 a free one is taken, and told on standard error
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Address,
    /// Where the server is
    #[arg(long, value_name = "ADDR")]
    pub(crate) upstream: Address,
    /// Write a line for every message, as libpq's PQtrace does; - for standard output, and %d in the name for a file of its own for
    /// each connection, by its number
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<String>,
    /// Pass messages on without decoding them, once the client is let in
    #[arg(long, conflicts_with_all = ["trace", "check"])]
    pub(crate) raw: bool,
    /// Exit with status 1, when stopped, if a message was not the same bytes once it was encoded again
    #[arg(long)]
    pub(crate) check: bool,
    /// What to do about encryption
    #[arg(long, value_enum, default_value_t = Tls::Passthrough)]
    pub(crate) tls: Tls,
    /// How many threads serve clients; one takes the least CPU time, and more serve more than one CPU can
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// How long a client and the server may take until the client is let in
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) opening_timeout: u64,
}

/// What to do when a client asks for TLS or for GSSAPI encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tls {
    /// Let the server decide; what is then encrypted is passed on as it is
    Passthrough,
    /// Say no
    Refuse,
}
