//! Peers that misbehave: scripts over real sockets, against all runtimes of both adapters.
//!
//! - [`servers`]: a table of servers, each with the expected error and the largest allowed amount of memory.
//! - [`middle`]: a man in the middle, with the secrets that he receives in each attack.
//! - [`clients`]: a table of clients, for the accepting side.
//!
//! These tests do not need PostgreSQL.

// Some peers listen on a Unix-domain socket.
#![cfg(unix)]

mod adapters;
mod certificates;
mod clients;
mod middle;
mod peer;
mod servers;
mod wire;
