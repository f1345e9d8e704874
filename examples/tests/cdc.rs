//! Tests of `pg-cdc` against the oldest and the newest supported server. They cover the command line, the written lines, interruptions and
//! a failover. Another test runs random transactions and replays them from the lines.

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod cluster;
#[path = "cdc/database.rs"]
mod database;
#[path = "cdc/failover.rs"]
mod failover;
#[path = "cdc/kills.rs"]
mod kills;
#[path = "cdc/lines.rs"]
mod lines;
#[path = "cdc/memory.rs"]
mod memory;
#[path = "cdc/process.rs"]
mod process;
#[path = "cdc/progress.rs"]
mod progress;
#[path = "cdc/recvlogical.rs"]
mod recvlogical;
#[path = "cdc/replay.rs"]
mod replay;
#[path = "cdc/resuming.rs"]
mod resuming;
#[path = "cdc/snapshots.rs"]
mod snapshots;
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;
#[path = "cdc/usage.rs"]
mod usage;
#[path = "cdc/workload.rs"]
mod workload;
