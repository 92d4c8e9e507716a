//! What fuzzing has found interesting or wrong stays covered without a fuzzer: the kept corpus, through the same function.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "tests fail by panicking, and the modules are those of the fuzz target"
)]

#[path = "../../fuzz/src/payload.rs"]
mod payload;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn payloads_of_the_corpus_are_refused_or_mean_what_they_say() {
    replay::each("payload", payload::payload);
}
