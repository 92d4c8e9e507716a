//! Selectors as people write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::selector::selector(data));
