//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use pg_auth::SslMode;

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
ADDR is HOST:PORT, or the path of a Unix-domain socket, which has a slash in it: clients expect /DIR/.s.PGSQL.PORT. A leading @ \
stands for the abstract namespace of Linux. A socket file that an earlier process left behind is replaced.

A message that cannot be decoded is passed on as it is, and the receiver decides about it; it has a line in the trace and is counted \
in the summary. Only a header after which the next message cannot be found, or one over PostgreSQL's limit for its kind, ends a \
connection.

Memory: bytes that one side does not read are not read from the other. In each direction a connection holds at most one message that \
is larger than its buffers (PostgreSQL allows 1 GiB), a second time while it is encoded again, and 1 MiB of buffers. With --raw it \
is held once. An idle connection takes about 16 KiB, and one that is not authenticated at most 80 KiB.

Connections: as many at once as the hard limit on open files allows, with two for each, or three with %d in --trace. Others wait.

Before a client is authenticated, its packets may have at most 10,000 bytes, its response to an authentication request at most 64 KiB, \
and the opening phase may take as long as --opening-timeout allows. At most --opening-limit connections are in that phase. When all \
places are taken, the one whose client has been silent the longest, for a second at least, gives way to the next client. An \
encrypted connection leaves the opening phase when TLS begins, because nothing of it can be read after that.

TLS: with --tls terminate and --upstream-tls, channel binding finds the proxy in the middle, as it is made to: clients with TLS have to set \
channel_binding=disable, unless the proxy has the server's own certificate. For clients in clear SCRAM-SHA-256-PLUS is taken out of the \
server's offer.

While the server cannot be reached, requests for encryption are answered with no, and the start-up message with the reason.

Ctrl-C or SIGTERM ends all connections and prints a summary: every client that is not in the middle of a message is sent FATAL 57P01. \
A second signal does not wait for them. Exit status: 0; 1 when pg-proxy cannot listen or cannot write the trace, and with --check \
when a message had other bytes once it was encoded again; 2 for wrong usage."
)]
pub(crate) struct Arguments {
    /// Where clients connect to; with port 0 a free port is used, and reported on standard error
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Address,
    /// Mode of the file of a Unix-domain socket, in octal; to connect takes the right to write
    #[arg(long, value_name = "MODE", default_value = "0777", value_parser = octal)]
    pub(crate) listen_mode: u32,
    /// Where the server is
    #[arg(long, value_name = "ADDR")]
    pub(crate) upstream: Address,
    /// Write a line for every message, as libpq's PQtrace does; - for standard output, and %d in the name for a file for each
    /// connection, by its number. Only the user who runs pg-proxy can read the files
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<String>,
    /// Pass messages on without decoding them, once the client is authenticated
    #[arg(long, conflicts_with_all = ["trace", "check"])]
    pub(crate) raw: bool,
    /// Exit with status 1, when stopped, if a message had other bytes once it was encoded again
    #[arg(long)]
    pub(crate) check: bool,
    /// What to do about encryption that a client asks for
    #[arg(long, value_enum, default_value_t = Tls::Passthrough)]
    #[arg(requires_if("terminate", "tls_cert"), requires_if("terminate", "tls_key"))]
    pub(crate) tls: Tls,
    /// The certificate that clients are shown, with those between it and its authority, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM; nobody else may be able to read the file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Whether to use TLS towards the server, as sslmode of libpq: disable, prefer, require, verify-ca or verify-full. Takes --tls
    /// terminate or refuse, because a client that speaks TLS with the server leaves no room for it
    #[arg(long, value_name = "MODE", default_value_t = SslMode::Disable)]
    pub(crate) upstream_tls: SslMode,
    /// The authorities that may have signed the server's certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// How many threads serve clients; one takes the least CPU time, and more serve more than one CPU can
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// How long it may take until a client is authenticated
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) opening_timeout: u64,
    /// How many connections may be in their opening phase, and so hold connections of the server that nobody has logged in on; never
    /// more than half of all connections
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) opening_limit: u32,
    /// How long a TCP connection may be without traffic before keepalive probes are sent; by default as the system is set
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=32767))]
    pub(crate) keepalive_idle: Option<u64>,
}

impl Arguments {
    /// Checks what the parser cannot.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.upstream_tls != SslMode::Disable && self.tls == Tls::Passthrough {
            return Err("--upstream-tls takes --tls terminate or --tls refuse");
        }
        if self.upstream_tls != SslMode::Disable && matches!(self.upstream, Address::Unix(_)) {
            return Err("--upstream-tls is for a server reached by TCP");
        }
        Ok(())
    }
}

/// What to do when a client asks for TLS or for GSSAPI encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tls {
    /// Let the server decide; encrypted bytes are passed on as they are
    Passthrough,
    /// Decline
    Refuse,
    /// Speak TLS with the client, so that its messages can be decoded; clients in clear are served, too
    Terminate,
}

/// The mode of a file, in octal digits.
fn octal(text: &str) -> Result<u32, &'static str> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("a mode is an octal number up to 0777"),
    }
}
