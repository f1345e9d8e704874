//! A transaction pooler: many clients share few connections to a server.
//!
//! `cargo run --release -p examples --bin pg-pooler -- --listen 127.0.0.1:6432 --upstream 127.0.0.1:5432 --users users.txt`
//!
//! Each client is one task ([`client`]). When the client sends a request, the task takes a connection out of a [`pool`]. The task forwards
//! messages in both directions, and returns the connection when the [`session`] is idle. So a query wakes only the task of the client, and
//! wakes it twice: the first time for the request and the second time for the reply, each with one read and one write.

mod arguments;
mod client;
mod failure;
mod login;
mod pool;
mod pooler;
mod server;
mod session;
mod settings;
mod socket;
mod sql;
mod statements;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{interval, sleep};

use arguments::Arguments;
use pooler::Pooler;

fn main() -> ExitCode {
    // The runtime has one thread. With several threads, most of the CPU time would be spent on waking threads.
    let runtime = Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(run(&Arguments::parse()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pg-pooler: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves clients until a signal arrives.
async fn run(arguments: &Arguments) -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // An error is ignored: the old limit then stays.
    let _ = setrlimit(Resource::Nofile, limit);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let pooler = Arc::new(Pooler::new(arguments)?);
    let listener = TcpListener::bind(arguments.listen).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    tokio::select! {
        () = accept(&listener, &pooler) => {}
        () = expire(&pooler) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn accept(listener: &TcpListener, pooler: &Arc<Pooler>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(login::serve(Arc::clone(pooler), stream))),
            // `accept` fails if no file descriptor is free, or if the client has already disconnected. The pause limits the CPU time while
            // no descriptor is free.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn expire(pooler: &Pooler) {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        pooler.expire();
    }
}
