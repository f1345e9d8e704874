//! Tests of `pg-pooler` between clients and servers of both versions.

#[path = "pooler/clients.rs"]
mod clients;
#[path = "pooler/kill.rs"]
mod kill;
#[path = "pooler/lab.rs"]
mod lab;
#[path = "pooler/load.rs"]
mod load;
#[path = "pooler/sessions.rs"]
mod sessions;
#[path = "pooler/statements.rs"]
mod statements;
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;
