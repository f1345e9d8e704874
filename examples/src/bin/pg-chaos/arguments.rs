//! Options of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;

use crate::Adapter;
use crate::proxies::PER_SERVER;

/// Runs clients against real servers through proxies that inject faults, and checks that the database has every acknowledged transaction
/// exactly once
///
/// The proxies inject faults of a network: cuts, resets, half-closes, stalls, delays, and data in small pieces. They never change bytes,
/// because with changed bytes no client could promise that a transaction is executed exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "pg-chaos",
    version,
    after_long_help = "\
The program creates the tables chaos_rows and chaos_fence in the database postgres of each server.

With --restarts, pg-chaos writes lines such as \"restart 0 fast\" to standard output. The program that has started pg-chaos, such as \
cargo xtask chaos, has to restart the server with this number, by a fast or an immediate shutdown. The first --server has the number 0.

Exit status: 0 if every acknowledged transaction is in its table exactly once, no client hangs, and pg-chaos at the end uses hardly more \
memory and file descriptors than at the start; otherwise 1."
)]
pub(crate) struct Arguments {
    /// Address of a server; may be given several times. On each server, the user must be a superuser who can log in without a password
    #[arg(long, value_name = "ADDR", required = true)]
    pub(crate) server: Vec<SocketAddr>,
    /// Name of the database user
    #[arg(long, default_value = "postgres")]
    pub(crate) user: String,
    /// Path of the program pg-proxy
    #[arg(long, value_name = "FILE")]
    pub(crate) proxy: PathBuf,
    /// Duration of the chaos in seconds
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Seed of all random choices: the faults of each connection, the kills and the restarts. The times of the events also depend on the
    /// machine. By default, the seed is taken from the clock
    #[arg(long, value_name = "N", default_value_t = clock())]
    pub(crate) seed: u64,
    /// Number of clients for each adapter and each proxy. There are two adapters, and each server has two proxies
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) clients: u32,
    /// Mean number of faults in a connection
    #[arg(long, value_name = "R", default_value_t = 0.7)]
    pub(crate) fault_rate: f64,
    /// Request restarts of servers at random moments. The requests are lines on standard output, for the program that started this program
    #[arg(long)]
    pub(crate) restarts: bool,
    /// Commit without waiting for the disk. This option tests pg-chaos itself: an immediate shutdown then loses acknowledged transactions,
    /// and pg-chaos has to report the loss
    #[arg(long)]
    pub(crate) asynchronous_commit: bool,
}

impl Arguments {
    /// Number of clients of each server.
    pub(crate) fn clients_of_a_server(&self) -> i32 {
        i32::try_from(self.clients).unwrap_or(i32::MAX) * (PER_SERVER * Adapter::ALL.len()) as i32
    }

    /// Returns the number of a client. The number is unique among the clients of a server.
    pub(crate) fn id(&self, proxy: usize, number: u32, adapter: usize) -> i32 {
        i32::try_from(number).unwrap_or(i32::MAX) * (PER_SERVER * Adapter::ALL.len()) as i32
            + (proxy * Adapter::ALL.len() + adapter) as i32
    }
}

fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_micros() as u64 % 1_000_000_000
}
