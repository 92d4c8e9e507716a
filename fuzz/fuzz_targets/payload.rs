//! Everything that robots say in payloads and topics.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::payload::payload(data));
