//! Runs the target `server_machine` with the inputs of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pg_auth_fuzz::server_machine(data));
