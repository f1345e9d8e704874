//! Options of the command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use pg_auth::SslMode;
use pg_wire::testing::{FaultKind, FaultTable};

use crate::address::Address;
use crate::faults::Plan;

/// A proxy between PostgreSQL clients and a server: decodes and traces every message
///
/// The proxy decodes every message of both directions, encodes the message again and compares the bytes. It forwards the bytes that it
/// has received. A trace shows SQL, rows and COPY data in full, but never passwords, SASL messages or cancel keys.
#[derive(Debug, Parser)]
#[command(
    name = "pg-proxy",
    version,
    after_long_help = "\
ADDR is HOST:PORT or the path of a Unix-domain socket. A path contains a slash; clients expect /DIR/.s.PGSQL.PORT. A leading @ \
stands for the abstract namespace of Linux. A socket file of an earlier process is replaced.

Malformed messages: a message that cannot be decoded is forwarded unchanged, and the receiver decides whether to accept the message. The \
message has a line in the trace and is counted in the summary. The proxy ends a connection for only two reasons: the header of a message \
is so wrong that the next message cannot be found, or the length in the header is above PostgreSQL's limit for this kind of message.

Memory: while one side does not read, the proxy does not read from the other side. In each direction a connection holds 1 MiB of \
buffers and at most one message that is larger than the buffers (PostgreSQL allows 1 GiB). Such a message is held twice, as received \
and encoded again; with --raw only as received. An idle connection takes about 16 KiB, and a connection that is not authenticated at \
most 80 KiB.

Connections: the hard limit on open files limits the number of connections. A connection needs one open file for a TCP socket and two \
for a Unix-domain socket, on each side. It needs another open file with %d in --trace, and another with --record. Clients above the \
limit wait.

Opening phase: until a client is authenticated, its packets may have at most 10,000 bytes, its response to an authentication request \
at most 64 KiB, and the phase may last as long as --opening-timeout. At most --opening-limit connections are in this phase. At the \
limit, a new client displaces the connection whose client has been silent for the longest time, if this time is at least a second. An \
encrypted connection leaves the opening phase when TLS begins, because the proxy cannot read the encrypted messages.

TLS: with --tls terminate and --upstream-tls, channel binding detects the proxy, because it detects every man in the middle. So clients \
that use TLS have to set channel_binding=disable, unless the proxy has the server's own certificate. For clients without TLS, the proxy \
removes SCRAM-SHA-256-PLUS from the methods that the server offers.

Faults: SPEC has the form SENDER:PLACE:ACTION. SENDER is client or server, PLACE is message#3, DataRow#3 (or another name of the \
trace), DataRow#* (every one) or byte#1000, and ACTION is cut, reset, half-close, stall, delay 50ms, split 3, corrupt 2, duplicate, swap, \
flood 1000, length -1 or count +1. Most actions may end with @K, which means after K bytes of the message. Examples: \
server:DataRow#3:cut@5, client:byte#1000:stall, server:message#*:split 1. Each injected fault is reported on standard error. The trace \
shows the messages as they were before the faults. A stall ends when the sender closes its connection. A Unix-domain socket is closed \
instead of reset. In an encrypted session, only faults at bytes are possible.

If the server cannot be reached, the proxy declines requests for encryption, and answers the start-up message with an error that \
contains the reason.

Ctrl-C or SIGTERM ends all connections and prints a summary. The proxy sends FATAL 57P01 to every client, except a client \
that is in the middle of receiving another message. A second signal ends the proxy without waiting for clients.

Exit status: 0; 1 if pg-proxy cannot listen or cannot write the trace, or if --check has found a fault; 2 for wrong usage."
)]
pub(crate) struct Arguments {
    /// Address that clients connect to; with port 0 the system picks a free port, which is reported on standard error
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Address,
    /// Mode of the file of a Unix-domain socket, in octal; a client needs write permission to connect
    #[arg(long, value_name = "MODE", default_value = "0777", value_parser = octal)]
    pub(crate) listen_mode: u32,
    /// Address of the server
    #[arg(long, value_name = "ADDR")]
    pub(crate) upstream: Address,
    /// Write a line for every message, in the format of libpq's PQtrace. The name - is standard output. If the name contains %d, each
    /// connection has its own file, and %d stands for the number of the connection. Only the user who runs pg-proxy can read the files
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<String>,
    /// Record each conversation as a transcript, which mock_server --replay and the module pg_wire::testing can play. Secrets are masked
    /// as in a trace. The first connection is written to FILE, and connection number N to FILE.N. If the name contains %d, each connection
    /// has its own file, and %d stands for the number of the connection
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<String>,
    /// After a client is authenticated, forward its messages without decoding them
    #[arg(long, conflicts_with_all = ["trace", "check", "record"])]
    pub(crate) raw: bool,
    /// At the end, exit with status 1 if the bytes of any message changed when the message was encoded again, or if a message of the server
    /// was not a reply to a request of the client
    #[arg(long)]
    pub(crate) check: bool,
    /// Action when a client requests encryption
    #[arg(long, value_enum, default_value_t = Tls::Passthrough)]
    #[arg(requires_if("terminate", "tls_cert"), requires_if("terminate", "tls_key"))]
    pub(crate) tls: Tls,
    /// File with the certificate that the proxy shows to clients, in PEM; the file may also contain the intermediate certificates
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// File with the private key of the certificate, in PEM; other users must not be able to read the file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Use of TLS for connections to the server, as in libpq's sslmode: disable, prefer, require, verify-ca or verify-full. Needs --tls
    /// terminate or refuse; with passthrough, the client itself speaks TLS with the server
    #[arg(long, value_name = "MODE", default_value_t = SslMode::Disable)]
    pub(crate) upstream_tls: SslMode,
    /// File with the certificates of the authorities that may sign the server's certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// Number of threads that serve clients. With 1 thread, pg-proxy takes the least CPU time; with more threads, it can use more CPUs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// Maximum time from accepting a client to its authentication
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) opening_timeout: u64,
    /// Maximum number of connections whose client is not authenticated yet; the limit protects the connections of the server. Even with a
    /// larger N, the limit is at most half of all connections that the limit on open files allows
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) opening_limit: u32,
    /// Inject this fault into every connection; may be given several times, and several faults may be separated by commas. See below
    #[arg(long, value_name = "SPEC")]
    pub(crate) fault: Vec<FaultTable>,
    /// Inject random faults; the value is the mean number of faults in a connection, and may be less than 1
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) fault_rate: Option<f64>,
    /// Seed of the random faults: with the same seed, connection number N has the same faults
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) fault_seed: u64,
    /// Kinds of the random faults, separated by commas
    #[arg(
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        default_value = "cut,reset,half-close,stall,delay,split"
    )]
    pub(crate) fault_kinds: Vec<FaultKind>,
    /// Time without traffic on a TCP connection before keepalive probes are sent; default: the system's setting
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=32767))]
    pub(crate) keepalive_idle: Option<u64>,
}

impl Arguments {
    /// Checks combinations of options that the parser cannot check.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.upstream_tls != SslMode::Disable && self.tls == Tls::Passthrough {
            return Err("--upstream-tls needs --tls terminate or --tls refuse");
        }
        if self.upstream_tls != SslMode::Disable && matches!(self.upstream, Address::Unix(_)) {
            return Err("--upstream-tls needs a server that is reached by TCP");
        }
        if self.faults().is_some() && (self.upstream_tls != SslMode::Disable || self.tls == Tls::Terminate) {
            return Err(
                "--fault and --fault-rate need --tls passthrough or --tls refuse, without --upstream-tls",
            );
        }
        Ok(())
    }

    /// Returns the faults to inject; `None` if there are none.
    pub(crate) fn faults(&self) -> Option<Plan> {
        let mut table = FaultTable::default();
        self.fault.iter().cloned().for_each(|faults| table.append(faults));
        let rate = self.fault_rate.unwrap_or_default();
        let any = rate > 0.0 || !table.faults().is_empty();
        any.then(|| Plan { table, seed: self.fault_seed, rate, kinds: self.fault_kinds.clone() })
    }
}

/// Action when a client requests TLS or GSSAPI encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tls {
    /// Forward the request to the server, which accepts or declines it; encrypted bytes are forwarded unchanged
    Passthrough,
    /// Decline the request
    Refuse,
    /// Speak TLS with the client, so that its messages can be decoded; clients without TLS are served as well
    Terminate,
}

/// Parses the mode of a file from octal digits.
fn octal(text: &str) -> Result<u32, &'static str> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("a mode is an octal number up to 0777"),
    }
}

/// Parses a mean number of faults.
fn rate(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(rate @ 0.0..=1000.0) => Ok(rate),
        _ => Err("a rate is a number from 0 to 1000"),
    }
}
