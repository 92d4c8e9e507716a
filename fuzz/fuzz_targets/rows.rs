//! Rows of the engine from a broken disk, and the memory that they ask for.
#![no_main]

#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    rollcall_fuzz::rows::rows(data);
    let most = ALLOCATOR.peak_usage() - before;
    assert!(
        most <= rollcall_fuzz::rows::most_memory(data),
        "{most} bytes of memory"
    );
});
