//! One packet of either version and direction: decoded, written, decoded again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::codec::packet(data));
