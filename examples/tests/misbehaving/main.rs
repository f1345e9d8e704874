//! Peers that misbehave, played by scripts over real sockets, against both adapters.
//!
//! [`servers`] is a table of servers with the error each one has to lead to and the memory that it may cost, [`middle`] a man in the
//! middle with the secrets that he receives, [`clients`] a table of clients of the accepting side. Nothing here needs PostgreSQL.

// Some peers listen on a Unix-domain socket.
#![cfg(unix)]

mod adapters;
mod certificates;
mod clients;
mod middle;
mod peer;
mod servers;
mod wire;
