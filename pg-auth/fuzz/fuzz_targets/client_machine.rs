//! Runs the target `client_machine` with the inputs of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pg_auth_fuzz::client_machine(data));
