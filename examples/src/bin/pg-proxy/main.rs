//! A man in the middle: every message between PostgreSQL clients and a server, decoded, encoded again and passed on.
//!
//! `cargo run -p examples --bin pg-proxy -- --listen 127.0.0.1:6432 --upstream 127.0.0.1:5432 --trace -`
//!
//! One connection is one task ([`session`]): it begins with the client's first packet and ends its [`opening`] with
//! AuthenticationOk. From there on the two directions are two [`pump`]s that know nothing of each other, and an [`inspector`]
//! in each looks at what passes.

mod address;
mod arguments;
mod failure;
mod inspector;
mod listener;
mod opening;
mod pump;
mod session;
mod tally;
mod trace;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use arguments::Arguments;
use listener::Listener;
use session::Proxy;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let check = arguments.check;
    match runtime(arguments.threads).and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(proxy) => {
            say(format_args!("{}", proxy.tally));
            let failed = check && proxy.tally.mismatches() > 0;
            if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            say(format_args!("pg-proxy: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One thread needs no other one woken, which costs as much as what is done in between: so it is by itself.
fn runtime(threads: u16) -> io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads.into()).enable_all().build(),
    }
}

/// Listens until told to stop, and returns what there is to tell about it.
async fn run(arguments: Arguments) -> io::Result<Arc<Proxy>> {
    let descriptors = raise_descriptor_limit();
    // From here on they no longer end the process, so before anybody can know that it listens.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = Listener::bind(&arguments.listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", arguments.listen))
    })?;
    let proxy = Arc::new(Proxy::new(arguments)?);
    say(format_args!("listening on {}", listener.address()));
    tokio::select! {
        never = listener.serve(&proxy, descriptors) => match never {},
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(proxy)
}

/// Raises the limit on open files as far as we may, and returns it.
fn raise_descriptor_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, the old one stands.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// A line to standard error. Where nobody reads it, that is no reason to stop.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
