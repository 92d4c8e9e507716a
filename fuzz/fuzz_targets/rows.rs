//! Rows of the engine from a broken disk, and the memory that they ask for.
#![no_main]

#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_fuzz::rows::bounded(&ALLOCATOR, data));
