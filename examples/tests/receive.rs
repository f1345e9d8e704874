//! Tests of `pg-receive` against servers of both versions. The files that it writes are compared with the files that PostgreSQL's own
//! programs write.

#[path = "receive/backup.rs"]
mod backup;
#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod cluster;
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;
#[path = "receive/wal.rs"]
mod wal;
