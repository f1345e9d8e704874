//! The fuzz targets of pg-auth.
//!
//! Each target is a function that takes any bytes, and panics if the crate breaks a rule. `cargo xtask fuzz` calls the targets with inputs
//! that libFuzzer generates. The tests of this crate call each target with the inputs in `corpus`.
//!
//! To add a target: write its function in a file of the same name, and add the target to `fuzz_targets`, `Cargo.toml` and
//! `tests/corpus.rs`. For seeds, add a row to `xtask/src/fuzz/seeds.rs`.

mod certificate;
mod client_machine;
mod config;
mod first_packet;
// This module of pg-wire's fuzz targets also reads the inputs of the targets in this crate.
#[path = "../../../pg-wire/fuzz/src/input.rs"]
#[allow(dead_code, reason = "shared with the targets of pg-wire, which also read numbers")]
mod input;
mod scram;
mod secrets;
mod server_machine;

pub use certificate::certificate;
pub use client_machine::client_machine;
pub use config::config;
pub use first_packet::first_packet;
pub use scram::scram;
pub use server_machine::server_machine;
