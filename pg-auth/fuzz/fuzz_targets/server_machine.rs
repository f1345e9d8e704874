#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pg_auth_fuzz::server_machine(data));
