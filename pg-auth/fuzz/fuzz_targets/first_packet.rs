//! Runs the target `first_packet` with the inputs of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pg_auth_fuzz::first_packet(data));
