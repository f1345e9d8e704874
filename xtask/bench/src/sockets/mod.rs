//! Measurements over sockets. Each compared implementation is a client of PostgreSQL or of the replay server; the CPU time of the client is
//! measured.

mod apart;
pub(crate) mod clients;
mod contenders;
mod front;
mod lines;
pub(crate) mod place;
mod poolers;
pub(crate) mod proxies;
mod replay;
mod replication;
mod tls;
mod tls_lines;
pub(crate) mod typed;

pub(crate) use lines::{Ends, ROUND_TRIPS, plans};
