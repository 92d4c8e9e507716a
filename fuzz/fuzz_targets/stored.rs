//! Rows of sessions and retained messages from a broken disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::stored::stored(data));
