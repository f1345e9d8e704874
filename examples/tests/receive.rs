//! Tests of `pg-receive` against servers of both versions. Its files are compared with the files of PostgreSQL's programs.

#[path = "receive/backup.rs"]
mod backup;
#[path = "receive/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;
#[path = "receive/wal.rs"]
mod wal;
