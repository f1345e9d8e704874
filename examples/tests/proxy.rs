//! Tests of `pg-proxy`. In some tests, clients of other projects connect through the proxy to PostgreSQL 15 or 18. In other tests, a
//! scripted client or a scripted server misbehaves.

#[path = "proxy/bouncer.rs"]
mod bouncer;
#[path = "proxy/clients.rs"]
mod clients;
#[path = "proxy/faults.rs"]
mod faults;
#[path = "proxy/load.rs"]
mod load;
#[path = "proxy/malformed.rs"]
mod malformed;
#[path = "proxy/opening.rs"]
mod opening;
#[path = "proxy/peers.rs"]
mod peers;
#[path = "proxy/process.rs"]
#[allow(dead_code, reason = "shared with the tests of hostile clients, which use other parts of it")]
mod process;
#[path = "proxy/recording.rs"]
mod recording;
#[path = "proxy/starting.rs"]
mod starting;
#[path = "proxy/stopping.rs"]
mod stopping;
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;
#[path = "proxy/tls.rs"]
mod tls;
#[path = "proxy/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of hostile clients, which use other parts of it")]
mod wire;
