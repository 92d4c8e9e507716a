//! What fuzzing has found interesting or wrong stays covered without a fuzzer: the kept corpus, through the same function.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "tests fail by panicking, and the modules are those of the fuzz target"
)]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/selector.rs"]
mod selector;

#[test]
fn selectors_of_the_corpus_are_refused_or_printed_with_the_same_meaning() {
    replay::each("selector", selector::selector);
}
