//! What fuzzing has found of stored rows stays covered without a fuzzer, and so does every byte of good ones being another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "tests fail by panicking, and the modules are those of the fuzz target"
)]

#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/rows.rs"]
mod rows;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn bounded(data: &[u8]) {
    rows::bounded(&ALLOCATOR, data);
}

/// The input cut at every place, and with every byte replaced; at every seventh place unless there is time.
fn mangled(data: &[u8]) {
    let every = match std::env::var_os("ROLLCALL_LONG") {
        Some(_) => 1,
        None => 7,
    };
    for at in (0..data.len()).step_by(every) {
        bounded(&data[..at]);
        let mut other = data.to_vec();
        for byte in [0, 1, 0x7f, 0x80, 0xff, data[at] ^ 1, data[at] ^ 0x40] {
            other[at] = byte;
            bounded(&other);
        }
    }
}

/// One test, since the allocator counts what all threads take.
#[test]
fn stored_rows_are_refused_or_make_a_state_and_take_no_more_memory_than_they_may() {
    replay::each("rows", bounded);
    replay::each("rows", mangled);
}
