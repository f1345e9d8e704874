//! Tests of `pg-pooler`. The clients connect to the pooler, and the pooler connects to a server, PostgreSQL 15 or 18.

#[path = "pooler/clients.rs"]
mod clients;
#[path = "pooler/kill.rs"]
mod kill;
#[path = "pooler/lab.rs"]
mod lab;
#[path = "pooler/load.rs"]
mod load;
#[path = "pooler/misbehaving.rs"]
mod misbehaving;
#[path = "pooler/sessions.rs"]
mod sessions;
#[path = "pooler/statements.rs"]
mod statements;
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;
