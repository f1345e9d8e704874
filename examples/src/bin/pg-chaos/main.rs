//! Checks the adapters under failures: clients of `pg-stream-tokio` and `pg-stream-async-std` work on real servers through `pg-proxy`,
//! while connections, proxies, sessions and servers fail. At the end, every acknowledged transaction must be in the database exactly once.
//!
//! `cargo xtask chaos` starts the servers and this program. The modules:
//!
//! - [`client`]: a client, which repeats each transaction until its outcome is known;
//! - [`work`]: the transactions: one message at a time, in a pipeline, and with COPY;
//! - [`fence`]: the look-up of a transaction whose outcome is unclear;
//! - [`proxies`]: the proxies, which inject random faults;
//! - [`trouble`]: kills sessions and proxies, and requests restarts of servers;
//! - [`verdict`]: compares the database with the clients' lists;
//! - [`usage`]: memory and file descriptors of this process.

mod arguments;
mod client;
mod direct;
mod fence;
mod proxies;
mod random;
mod tally;
mod trouble;
mod usage;
mod verdict;
mod work;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use pg_stream_async_std::Smol;
use pg_stream_tokio::Tokio;

use arguments::Arguments;
use client::{Client, Ledger};
use direct::Database;
use proxies::Proxies;
use tally::Tally;
use usage::Usage;

/// Result of this program. The error is a text for the user.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Longest time between the end of the injected failures and the end of the last client. It is twice the time limit of an operation (60 s),
/// so a client that has not ended after this time hangs.
const LAST: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!("seed {}", arguments.seed);
    match run(&arguments) {
        Ok(()) => {
            println!("verdict: passed; every acknowledged transaction is in its table once");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("verdict: FAILED with seed {}: {error}", arguments.seed);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let tally = Arc::new(Tally::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let databases: Vec<Database> =
        arguments.server.iter().map(|address| Database::new(*address, &arguments.user)).collect();
    for database in &databases {
        runtime.block_on(fence::prepare(database, arguments.clients_of_a_server()))?;
    }
    let proxies = Arc::new(Proxies::start(arguments, &tally)?);
    let before = Usage::now()?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);

    let (send, ended) = mpsc::channel();
    let mut names = Vec::new();
    for (server, _) in databases.iter().enumerate() {
        for (slot, proxy) in proxies.of_server(server).iter().enumerate() {
            for number in 0..arguments.clients {
                for adapter in Adapter::ALL {
                    let id = arguments.id(slot, number, adapter as usize);
                    let client = Client::new(id, proxy, arguments, end, &tally);
                    names.push(client.place(server));
                    let (send, handle) = (send.clone(), runtime.handle().clone());
                    thread::Builder::new().spawn(move || {
                        let ledger = match adapter {
                            Adapter::Tokio => handle.block_on(client.run(Tokio)),
                            Adapter::AsyncStd => smol::block_on(client.run(Smol)),
                        };
                        // An error is ignored: the receiver is dropped early only after another failure, which the program reports.
                        let _ = send.send((server, ledger));
                    })?;
                }
            }
        }
    }
    drop(send);
    runtime.block_on(trouble::make(arguments, &databases, &proxies, &tally, end))?;

    let ledgers = collect(&ended, &names, end + LAST)?;
    let after = runtime.block_on(usage::settled(&before));
    proxies.stop();
    let checked = runtime.block_on(verdict::check(&databases, &ledgers));
    println!("{tally}");
    println!("client process: {before} at the start, {after} at the end");
    checked?;
    tally.check()?;
    let lists = ledgers.iter().map(|(_, ledger)| ledger.memory()).sum();
    usage::check(&before, &after, lists)
}

/// Receives the lists of all clients. Returns an error if a client has failed, or has not ended at the time `limit`, which means that the
/// client hangs.
fn collect(
    ended: &mpsc::Receiver<(usize, Result<Ledger>)>,
    names: &[client::Place],
    limit: Instant,
) -> Result<Vec<(usize, Ledger)>> {
    let mut ledgers = Vec::new();
    for _ in names {
        match ended.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok((server, ledger)) => ledgers.push((server, ledger?)),
            Err(_) => {
                let hanging: Vec<String> = names.iter().filter_map(client::Place::hanging).collect();
                return Err(format!("these clients hang: {}", hanging.join("; ")).into());
            }
        }
    }
    Ok(ledgers)
}

/// The adapter that a client uses: `pg-stream-tokio` or `pg-stream-async-std`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    Tokio = 0,
    AsyncStd = 1,
}

impl Adapter {
    const ALL: [Self; 2] = [Self::Tokio, Self::AsyncStd];
}
