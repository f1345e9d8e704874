//! Replays the corpora of the targets of pg-auth.

#[macro_use]
#[path = "../../../pg-wire/fuzz/tests/replay/mod.rs"]
mod replay;

targets! { pg_auth_fuzz: certificate client_machine config first_packet scram server_machine }
