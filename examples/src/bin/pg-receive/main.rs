//! Receives the WAL of a server into segment files, as `pg_receivewal` does, or makes a base backup, as `pg_basebackup` does.
//!
//! `cargo run -p examples --bin pg-receive -- postgres://user:secret@localhost -D wal`
//! `cargo run -p examples --bin pg-receive -- postgres://user:secret@localhost --base-backup copy`

// The server can be hostile, so no message must cause a panic.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod archive;
mod arguments;
mod ask;
mod backup;
mod backup_files;
mod backup_wal;
mod disk;
mod failure;
mod follow;
mod report;
mod resume;
mod segment;
mod stop;
mod stream;
mod tar;
mod unpack;

use std::process::ExitCode;

use pg_stream_tokio::{Config, PgProtocol};
use pg_wire::SqlState;
use pg_wire::replication::command::{CreateReplicationSlot, DropReplicationSlot};
use tokio::runtime::Builder;

use arguments::Task;
use ask::{ask, walsender};
use failure::Failure;
use report::say;
use stop::Stop;

fn main() -> ExitCode {
    let task = arguments::task();
    let outcome = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Local(format!("cannot start: {error}")))
        .and_then(|runtime| runtime.block_on(run(task)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(format_args!("pg-receive: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(task: Task) -> Result<(), Failure> {
    let stop =
        Stop::listen().map_err(|error| Failure::Local(format!("cannot listen for signals: {error}")))?;
    match task {
        Task::Follow(task) => follow::follow(&task, stop).await,
        Task::BackUp(task) => backup::back_up(&task, stop).await,
        Task::CreateSlot { config, slot, if_not_exists } => create_slot(&config, &slot, if_not_exists).await,
        Task::DropSlot { config, slot } => drop_slot(&config, &slot).await,
    }
}

async fn create_slot(config: &Config, slot: &str, if_not_exists: bool) -> Result<(), Failure> {
    let (mut conn, _) = walsender(config).await?;
    let done = match ask(&mut conn, &CreateReplicationSlot::physical(slot)).await {
        Err(Failure::Server(error))
            if if_not_exists && error.sqlstate() == Some(SqlState::DUPLICATE_OBJECT) =>
        {
            Ok(())
        }
        done => done.map(drop),
    };
    let _ = conn.terminate().close().await;
    done
}

async fn drop_slot(config: &Config, slot: &str) -> Result<(), Failure> {
    let (mut conn, _) = walsender(config).await?;
    let done = ask(&mut conn, &DropReplicationSlot { slot, wait: false }).await;
    let _ = conn.terminate().close().await;
    done.map(drop)
}
