//! Runs the target `certificate` with the inputs of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pg_auth_fuzz::certificate(data));
