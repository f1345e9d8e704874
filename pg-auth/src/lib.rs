//! The connection phase of the PostgreSQL wire protocol as a machine free of I/O: start-up, negotiation, cleartext, MD5 and SCRAM.
//!
//! No socket, runtime or clock is known here. What takes time is handed out as a value to be run elsewhere, such as
//! [`scram::Derivation`].

pub mod cleartext;
pub mod config;
pub mod error;
pub mod md5;
pub mod saslprep;
pub mod scram;
pub mod secret;
