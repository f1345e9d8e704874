//! Peers that misbehave. They play scripts over real sockets, against all runtimes of both adapters.
//!
//! - [`servers`]: a table of servers. Each row has the expected error of the client, and the memory that the client may take.
//! - [`middle`]: a man in the middle. Each row has the secrets that he receives in one attack.
//! - [`clients`]: a table of clients, against the accepting side of the adapters.
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
