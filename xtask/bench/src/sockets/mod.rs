//! Measurements over sockets. Most measurements compare clients of PostgreSQL or of the replay server, by the CPU time of the client. The
//! other measurements compare proxies, poolers or programs for replication, by the CPU time of their process.

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
