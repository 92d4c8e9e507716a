//! Topic names and filters against a matcher of another kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::codec::filter(data));
