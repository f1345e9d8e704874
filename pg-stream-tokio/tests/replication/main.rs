//! Tests of replication with the oldest and the newest server: each command and its reply, and each message of pgoutput. Each message is
//! encoded again and compared with the received bytes.

mod changes;
mod commands;
mod conversation;
mod stream;
mod streamed;
// These tests do not use the helpers for logins.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
