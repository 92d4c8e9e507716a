//! What an Edgehog device answers to a Cancel, and to an Update that is not the first
//! (device-contract 0.3 to 0.6, and the matrix of 3.2).

use device_sim::model::Violation;
use rollcall_proto::native::RequestKind::{Cancel, Update};
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use crate::bench::{Bench, ONE, TWO, URL};

const OTHER_URL: &str = "http://127.0.0.1/b";

type Answer = (Uuid, Status, Option<Code>);

fn internal(operation: Uuid) -> Answer {
    (operation, Status::Failure, Some(Code::InternalError))
}

fn canceled(operation: Uuid) -> Answer {
    (operation, Status::Failure, Some(Code::Canceled))
}

/// A device so many milliseconds into an update.
fn at_work(since: u64) -> Bench {
    let mut bench = Bench::edgehog("");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(since);
    bench.take();
    bench
}

/// Times into the bench's update at which the device is in each of its states.
const EARLY: [(&str, u64); 2] = [("Acknowledged", 50), ("Downloading", 500)];
const LATE: [(&str, u64); 2] = [("Deploying", 6_000), ("Rebooting", 12_000)];

#[test]
fn contract_3_2_a_matching_cancel_in_time_ends_the_update() {
    for (state, since) in EARLY {
        let mut bench = at_work(since);
        bench.edgehog_request(Cancel, ONE, URL);
        assert_eq!(bench.edgehog_events(), [canceled(ONE)], "{state}");
        assert_eq!(bench.robot.running(), None);
        bench.run_for(120_000);
        assert_eq!(bench.edgehog_events(), [], "nothing follows");
        assert_eq!(bench.version("main"), "1.0.0");
    }
}

#[test]
fn contract_3_2_a_matching_cancel_between_two_downloads_ends_the_update() {
    let mut bench = Bench::edgehog("[failures]\ndownload = 100\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(1_500);
    bench.take();
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), [canceled(ONE)]);
}

#[test]
fn contract_0_4_a_late_cancel_is_silent_once_and_then_looks_like_a_failure() {
    for (state, since) in LATE {
        let mut bench = at_work(since);
        bench.edgehog_request(Cancel, ONE, URL);
        assert_eq!(bench.take(), [], "{state}");
        bench.edgehog_request(Cancel, ONE, URL);
        assert_eq!(bench.edgehog_events(), [internal(ONE)], "{state}");
        bench.edgehog_request(Cancel, TWO, URL);
        assert_eq!(
            bench.edgehog_events(),
            [internal(TWO)],
            "{state}: request is empty"
        );
        bench.run_for(60_000);
        assert_eq!(bench.version("main"), "2.0.0", "the update went on");
    }
}

#[test]
fn contract_0_3_a_cancel_with_another_url_looks_like_a_failure_and_changes_nothing() {
    for (state, since) in EARLY.into_iter().chain(LATE) {
        let mut bench = at_work(since);
        for url in [OTHER_URL, ""] {
            bench.edgehog_request(Cancel, ONE, url);
            assert_eq!(bench.edgehog_events(), [internal(ONE)], "{state} {url:?}");
        }
        bench.edgehog_request(Cancel, TWO, URL);
        assert_eq!(bench.edgehog_events(), [internal(TWO)], "{state}");
        bench.run_for(60_000);
        assert_eq!(bench.version("main"), "2.0.0", "{state}");
    }
}

#[test]
fn contract_3_2_an_idle_device_fails_what_it_never_had() {
    let mut bench = Bench::edgehog("");
    bench.take();
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), [internal(ONE)]);
    let mut bench = at_work(60_000);
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), [internal(ONE)], "after the reboot");
    let mut bench = at_work(500);
    bench.edgehog_request(Cancel, ONE, URL);
    bench.take();
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), [internal(ONE)], "after a Cancel");
}

/// The released code looks at what it was last asked, whether or not that has ended.
#[test]
fn a_cancel_after_a_failure_in_the_same_process_is_silent_once() {
    let mut bench = Bench::edgehog("[failures]\ninstall = 100\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(20_000);
    assert_eq!(bench.robot.running(), None);
    bench.take();
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), []);
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), [internal(ONE)]);
}

#[test]
fn contract_0_5_the_same_request_again_is_ignored_without_a_word() {
    for (state, since) in EARLY.into_iter().chain(LATE) {
        let mut bench = at_work(since);
        bench.edgehog_request(Update, ONE, URL);
        assert_eq!(bench.take(), [], "{state}");
        assert_eq!(bench.robot.truth().violations(), []);
    }
}

#[test]
fn contract_0_5_the_same_uuid_with_another_url_fails_the_running_operation_in_words() {
    let mut bench = at_work(500);
    bench.edgehog_request(Update, ONE, OTHER_URL);
    let refused = |operation| {
        let code = Some(Code::UpdateAlreadyInProgress);
        (operation, Status::Failure, code)
    };
    assert_eq!(bench.edgehog_events(), [refused(ONE)]);
    let changed = Violation::ChangedRequest { operation: ONE };
    assert_eq!(bench.robot.truth().violations(), [changed]);
    bench.edgehog_request(Update, TWO, URL);
    assert_eq!(bench.edgehog_events(), [refused(TWO)]);
    bench.run_for(60_000);
    assert_eq!(bench.version("main"), "2.0.0", "the first went on");
}

#[test]
fn contract_0_6_a_finished_operation_that_is_requested_again_runs_again() {
    let mut bench = at_work(60_000);
    bench.edgehog_request(Update, ONE, URL);
    assert_eq!(bench.robot.running(), Some(ONE));
    let seen = Violation::RequestAfterCompletion { operation: ONE };
    assert_eq!(bench.robot.truth().violations(), [seen]);
}

/// Without its request the device takes the next one, and begins it when the first has failed.
#[test]
fn an_update_after_a_late_cancel_waits_for_the_end_of_the_first() {
    let mut bench = Bench::edgehog("[failures]\ninstall = 100\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(2_000);
    bench.edgehog_request(Cancel, ONE, URL);
    bench.edgehog_request(Update, TWO, URL);
    bench.take();
    bench.run_for(10_000);
    let of_two = bench.edgehog_steps(TWO);
    assert_eq!(of_two[0].0, Status::Acknowledged);
    assert_eq!(bench.robot.running(), Some(TWO));
}

#[test]
fn a_waiting_update_that_is_canceled_fails_as_canceled_when_its_turn_comes() {
    let mut bench = Bench::edgehog("[failures]\ninstall = 100\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(2_000);
    bench.edgehog_request(Cancel, ONE, URL);
    bench.edgehog_request(Update, TWO, URL);
    bench.edgehog_request(Cancel, TWO, URL);
    bench.take();
    bench.run_for(10_000);
    let code = Some(Code::Canceled);
    assert_eq!(bench.edgehog_steps(TWO), [(Status::Failure, 0, code)]);
    assert_eq!(bench.robot.running(), None);
}
