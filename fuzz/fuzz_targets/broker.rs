//! Clients of a whole broker: what they send, what the owner answers, kills and restarts.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::broker::script(data));
