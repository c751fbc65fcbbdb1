//! `dgm_core_fuzz::master_tcp` under cargo-fuzz.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| dgm_core_fuzz::master_tcp::run(input));
