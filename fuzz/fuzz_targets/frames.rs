//! WebSocket: what a client sends after its request, in whatever pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::websocket::frames(data));
