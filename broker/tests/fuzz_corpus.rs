//! What fuzzing has found interesting or wrong stays covered without a fuzzer: the kept corpus, through the same functions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "tests fail by panicking, and the modules are those of the fuzz targets"
)]

#[path = "../../fuzz/src/broker/mod.rs"]
mod broker;
#[path = "../../fuzz/src/codec.rs"]
mod codec;
#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/stored.rs"]
mod stored;
#[path = "../../fuzz/src/websocket.rs"]
mod websocket;

#[test]
fn packets_of_the_corpus_are_refused_or_mean_what_they_say() {
    replay::each("packet", codec::packet);
    replay::each("stream", codec::stream);
}

#[test]
fn filters_of_the_corpus_match_as_a_naive_matcher_says() {
    replay::each("filter", codec::filter);
}

#[test]
fn scripts_of_the_corpus_break_no_promise_of_the_broker() {
    replay::each("broker", broker::script);
}

#[test]
fn frames_and_requests_of_the_corpus_are_heard_in_any_pieces() {
    replay::each("frames", websocket::frames);
    replay::each("head", websocket::head);
}

#[test]
fn stored_sessions_of_the_corpus_are_refused_or_speak_mqtt() {
    replay::each("stored", stored::stored);
}
