//! Tests of replication with the oldest and the newest tested version of PostgreSQL: each command and its reply, and each message of
//! pgoutput. Each message is encoded again and compared with the received bytes.

mod changes;
mod commands;
mod conversation;
mod stream;
mod streamed;
// The module also contains helpers for logins, which these tests do not use.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
