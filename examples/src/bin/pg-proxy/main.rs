//! A proxy that decodes every message between PostgreSQL clients and a server, encodes the message again, and passes the received bytes on.
//!
//! `cargo run -p examples --bin pg-proxy -- --listen 127.0.0.1:6432 --upstream 127.0.0.1:5432 --trace -`
//!
//! A separate task serves each connection, in two phases ([`session`]). The first phase is the [`opening`], from the client's first packet
//! to AuthenticationOk; [`openings`] limits the number of connections in this phase. In the second phase each direction is an independent
//! [`pump`] with an [`inspector`]. A signal ends both phases, through [`stop`]. [`faults`] injects faults between the sockets and both
//! phases.

mod address;
mod arguments;
mod failure;
mod faults;
mod inspector;
mod listener;
mod opening;
mod openings;
mod pump;
mod record;
mod serve;
mod session;
mod stop;
mod tally;
mod tls;
mod trace;
mod watch;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use arguments::Arguments;
use listener::Listener;
use session::Proxy;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(problem) = arguments.check() {
        Arguments::command().error(ErrorKind::ArgumentConflict, problem).exit();
    }
    let check = arguments.check;
    match runtime(arguments.threads).and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(proxy) => {
            say(format_args!("{}", proxy.tally));
            let failed = check && proxy.tally.failures() > 0;
            if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            say(format_args!("pg-proxy: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Builds the runtime. The default is one thread, because with several threads most of the CPU time is spent on waking threads.
fn runtime(threads: u16) -> io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads.into()).enable_all().build(),
    }
}

/// Serves clients until a signal arrives.
async fn run(arguments: Arguments) -> io::Result<Arc<Proxy>> {
    let descriptors = raise_descriptor_limit();
    // Signals are received from here on, before the line "listening on" is printed. So after this line is printed, a signal stops the proxy
    // cleanly instead of killing the process.
    let mut signals = Signals::new()?;
    let (address, mode) = (arguments.listen.clone(), arguments.listen_mode);
    let openings = usize::try_from(arguments.opening_limit).unwrap_or(usize::MAX);
    let proxy = Arc::new(Proxy::new(arguments)?);
    let listener = Listener::bind(&address, mode, proxy.keepalive_idle)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    say(format_args!("listening on {}", listener.address()));

    let mut sessions = JoinSet::new();
    tokio::select! {
        never = serve::serve(&listener, &proxy, &mut sessions, descriptors, openings) => match never {},
        () = signals.next() => {}
    }
    // Closes the listening socket: the system now rejects new clients.
    drop(listener);
    proxy.stop.give();
    tokio::select! {
        () = async { while sessions.join_next().await.is_some() {} } => {}
        () = signals.next() => {}
    }
    Ok(proxy)
}

/// Receiver of the signals that end the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Raises the limit on open files as far as the system allows. Returns the new limit; `None` if there is no limit.
fn raise_descriptor_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // An error is ignored: the old limit then stays.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// Writes a line to standard error. A failure is ignored.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
