//! WebSocket: the request that asks for it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::websocket::head(data));
