//! Tests of `pg-receive` against PostgreSQL 15 and 18. PostgreSQL's own programs receive the same data, and the tests compare the files.

#[path = "receive/backup.rs"]
mod backup;
#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod cluster;
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;
#[path = "receive/wal.rs"]
mod wal;
