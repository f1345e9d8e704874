//! Runs the target `session` with the inputs of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pg_wire_fuzz::session(data));
