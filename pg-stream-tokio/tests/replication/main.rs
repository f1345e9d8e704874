//! Replication against real servers, the oldest and the newest: each command and its reply, and each message of pgoutput, which encodes
//! to the bytes that it was decoded from.

mod changes;
mod commands;
mod conversation;
// The helpers for logins are not used here.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
