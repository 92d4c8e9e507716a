//! A stream of packets as a connection reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::codec::stream(data));
