//! Lines over sockets: a client each, the other end a replay server or PostgreSQL. The CPU time of the client counts.

mod apart;
pub(crate) mod clients;
mod contenders;
mod front;
mod lines;
pub(crate) mod place;
pub(crate) mod proxies;
mod replay;
mod tls;
mod tls_lines;

pub(crate) use lines::{Ends, ROUND_TRIPS, plans};
