//! Channels that follow a ledger: what is read of a node and of files, and what becomes of files (requirements, section 2:
//! G2, G11, the rules of the DCL's record).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;
mod ledger_node;

use api_support::Served;
use base64::Engine as _;
use ledger_node::{ALL, Answer, LIST, Node, PID, VID, json_answer, not_found};
use rollcall::ledger::Settings;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LEDGER: &str = "/v1/channels/production/ledger";
const SYNC: &str = "/v1/channels/production/ledger/sync";
const IMPORT: &str = "/v1/channels/production/ledger/import";
const SOURCE: &str = "/v1/channels/production/source";

/// Waits that end soon, for nodes that say nothing. Others have the usual ones, so that a slow machine is no failure.
const HASTY: Settings = Settings {
    connect: Duration::from_secs(5),
    silence: Duration::from_millis(300),
    answer: Duration::from_millis(900),
    listing: Duration::from_secs(60),
    file: Duration::from_millis(900),
    slowest: u64::MAX,
};

fn served() -> Served {
    with(Settings::default())
}

fn with(settings: Settings) -> Served {
    let served = Served::with(|config| config.ledger = settings);
    if served.get("/v1/channels/production").status == 404 {
        served
            .post("/v1/channels", json!({"name": "production"}))
            .ok();
    }
    served
}

fn source(url: Option<&str>) -> Value {
    json!({"source": "ledger", "url": url, "vid": VID, "pid": PID, "hardware_ids": ["hw"]})
}

fn follow(served: &Served, url: Option<&str>) {
    served.call("PUT", SOURCE, source(url)).ok();
}

fn sync(served: &Served) -> Value {
    served.post(SYNC, Value::Null).ok()
}

fn version(served: &Served, number: u32) -> Value {
    let ledger = served.get(LEDGER).ok();
    let versions = ledger["versions"].as_array().unwrap().iter();
    let mut found = versions.filter(|version| version["version"] == number);
    found.next().cloned().unwrap_or_default()
}

/// Waits until the version is in this state.
fn until(served: &Served, number: u32, state: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let found = version(served, number);
        if found["state"] == state {
            return found;
        }
        assert!(Instant::now() < end, "never {state}: {found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the file was asked for once more, and what came of it is known.
fn until_tried(served: &Served, node: &Node, path: &str, asked: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while node.asked(path) <= asked || !served.get(LEDGER).ok()["sync"]["fetching"].is_null() {
        assert!(Instant::now() < end, "never tried again");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn states(served: &Served) -> Vec<String> {
    let ledger = served.get(LEDGER).ok();
    let versions = ledger["versions"].as_array().unwrap().iter();
    let text = |version: &Value| {
        format!(
            "{} {}",
            version["version"],
            version["state"].as_str().unwrap()
        )
    };
    versions.map(text).collect()
}

/// Files that lie in the store.
fn files(served: &Served) -> usize {
    std::fs::read_dir(served.data().join("artifacts"))
        .unwrap()
        .count()
}

/// A node with versions 1, 2 and 3, of which 2 has a file, and a channel that has read it.
fn followed() -> (Served, Node) {
    let (served, node) = (served(), Node::new());
    for number in [1, 3] {
        node.record(&Node::bare(number));
    }
    node.record(&node.file(2, b"the second version"));
    node.list(&[1, 2, 3]);
    follow(&served, Some(&node.url));
    until(&served, 2, "ready");
    (served, node)
}

/// G2: from the ledger's record to a file that robots fetch from us.
#[test]
fn a_version_on_the_ledger_becomes_an_image_whose_file_is_here() {
    let (served, node) = followed();
    assert_eq!(states(&served), ["1 no_file", "2 ready", "3 no_file"]);
    let image = served.get("/v1/images/dcl-fff1-8000@2.0.0").ok();
    assert_eq!(image["hosted"], true);
    assert_eq!(image["size"], 18);
    assert_eq!(image["hardware_ids"], json!(["hw"]));
    let url = image["url"].as_str().unwrap();
    let path = &url[url.find("/artifacts/").unwrap()..];
    let file = served.fetch("GET", path, &[]);
    assert_eq!(
        (file.status, file.bytes),
        (200, b"the second version".to_vec())
    );
    // What is there is not fetched twice, and what is known is no news.
    let again = sync(&served);
    assert_eq!(again["unchanged"], 3);
    assert_eq!(again["changed"], json!([]));
    assert_eq!(node.asked("/files/2.ota"), 1);
    assert_eq!(served.get(SOURCE).ok()["every_ms"], 3_600_000);
    let shown = served.get("/v1/channels/production").ok();
    assert_eq!(shown["source"]["source"], "ledger");
    // G11: read-only, with the reason.
    let removed = served.call("DELETE", "/v1/images/dcl-fff1-8000@2.0.0", Value::Null);
    assert_eq!(removed.refusal(), (409, "image_of_ledger".to_owned()));
    assert_eq!(served.fetch("GET", path, &[]).status, 200);
}

#[test]
fn a_bad_record_is_named_and_the_others_are_imported() {
    let (served, node) = (served(), Node::new());
    let mut bad = Node::bare(2);
    bad["minApplicableSoftwareVersion"] = json!(10);
    node.record(&Node::bare(1));
    node.record(&bad);
    let mut unreadable = Node::bare(3);
    unreadable["softwareVersionValid"] = json!("yes");
    node.record(&unreadable);
    let mut other = Node::bare(5);
    other["softwareVersion"] = json!(6);
    node.answer(
        &format!("{LIST}/5"),
        json_answer(&json!({ "modelVersion": other })),
    );
    node.answer(&format!("{LIST}/6"), Answer::Body(400, b"oops".to_vec()));
    node.answer(&format!("{LIST}/7"), Answer::Body(200, b"<html>".to_vec()));
    node.record(&Node::bare(8));
    node.list(&[1, 2, 3, 4, 5, 6, 7, 8]);
    follow(&served, Some(&node.url));
    let report = sync(&served);
    assert_eq!(states(&served), ["1 no_file", "8 no_file"]);
    let refused = report["refused"].as_array().unwrap();
    let of = |number: u32| {
        let found = refused.iter().find(|refused| refused["version"] == number);
        found.unwrap()["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused.len(), 6, "{report}");
    assert!(
        of(2).contains("minApplicableSoftwareVersion 10"),
        "{}",
        of(2)
    );
    assert!(of(3).contains("boolean"), "{}", of(3));
    assert!(of(4).contains("404"), "{}", of(4));
    assert!(of(5).contains("speaks of 6"), "{}", of(5));
    assert!(of(6).contains("400"), "{}", of(6));
    assert!(of(7).contains("JSON"), "{}", of(7));
}

/// What cannot be read changes nothing that was imported, and the message says what is wrong.
#[test]
fn a_ledger_that_fails_changes_nothing() {
    let (served, node) = followed();
    let before = served.get(LEDGER).ok()["versions"].clone();
    let list = json!({"modelVersions": {"vid": VID, "pid": PID, "softwareVersions": [9]}});
    let of_another = json!({"modelVersions": {"vid": 1, "pid": PID, "softwareVersions": []}});
    let cut = json!({"modelVersions": {"vid": VID, "pid": PID}});
    let empty = json!({"modelVersions": {"vid": VID, "pid": PID, "softwareVersions": []}});
    let many: Vec<u32> = (0..1_001).collect();
    let many = json!({"modelVersions": {"vid": VID, "pid": PID, "softwareVersions": many}});
    for (answer, words) in [
        (Answer::Body(500, b"{}".to_vec()), "500"),
        (
            Answer::Body(404, b"<html>nginx</html>".to_vec()),
            "check the URL",
        ),
        (not_found(), "no product 0xFFF1/0x8000"),
        (
            Answer::Body(200, b"<html>hello</html>".to_vec()),
            "not the JSON",
        ),
        (Answer::Body(200, b"{}".to_vec()), "not the JSON"),
        (
            Answer::Body(200, b"{\"modelVersions\":{}}".to_vec()),
            "not the JSON",
        ),
        (
            Answer::Half(list.to_string().into_bytes()),
            "cannot be reached",
        ),
        (json_answer(&of_another), "vid 1"),
        // Nothing said is not nothing there.
        (json_answer(&cut), "not the JSON"),
        (json_answer(&empty), "lists no version"),
        (json_answer(&many), "more than 1000 versions"),
        (
            Answer::Body(200, vec![b' '; (1 << 20) + 1]),
            "more than 1048576 bytes",
        ),
        (
            Answer::Unannounced(vec![b' '; 3 << 20]),
            "more than 1048576 bytes",
        ),
        (Answer::Redirect(LIST.to_owned()), "redirects"),
        (
            Answer::Redirect("ftp://elsewhere/".to_owned()),
            "cannot be reached",
        ),
        (Answer::Pages { fresh: false }, "without an end"),
        (Answer::Pages { fresh: true }, "without an end"),
    ] {
        node.answer(LIST, answer);
        let failed = served.post(SYNC, Value::Null);
        let text = failed.text();
        assert_eq!(failed.refusal(), (502, "ledger_failed".to_owned()));
        assert!(text.contains(words), "{words}: {text}");
        let now = served.get(LEDGER).ok();
        assert_eq!(now["versions"], before, "{words}");
        assert!(now["sync"]["failures"].as_u64() > Some(0));
        // Asked again soon.
        assert!(now["sync"]["next_in_s"].as_u64() < Some(3_600), "{now}");
    }
    node.list(&[1, 2, 3]);
    assert_eq!(sync(&served)["unchanged"], 3);
    assert_eq!(served.get(LEDGER).ok()["sync"]["failures"], 0);
}

#[test]
fn a_ledger_that_hangs_or_drips_is_given_up() {
    let (served, node) = (with(HASTY), Node::new());
    node.record(&Node::bare(1));
    node.list(&[1]);
    follow(&served, Some(&node.url));
    until(&served, 1, "no_file");
    for answer in [Answer::Silence, Answer::Stall(b"{".to_vec()), Answer::Drip] {
        node.answer(LIST, answer.clone());
        let failed = served.post(SYNC, Value::Null);
        assert!(
            failed.text().contains("did not answer within"),
            "{}",
            failed.text()
        );
        assert_eq!(failed.status, 502);
        node.list(&[1, 2]);
        node.answer(&format!("{LIST}/2"), answer);
        let failed = served.post(SYNC, Value::Null);
        assert!(
            failed.text().contains("did not answer within"),
            "{}",
            failed.text()
        );
        // It was never whole, so nothing has vanished.
        assert_eq!(states(&served), ["1 no_file"]);
    }
}

/// Section 2: `softwareVersionValid=false` withdraws a version, and so does a complete list without it.
#[test]
fn a_version_that_is_withdrawn_or_vanishes_is_not_offered_and_may_come_back() {
    let (served, node) = followed();
    let rollout = |served: &Served| {
        let body = json!({
            "name": "r", "target": {"hardware": "hw"},
            "images": [{"hardware_id": "hw", "image": "dcl-fff1-8000@2.0.0"}],
        });
        served.post("/v1/rollouts/preview", body)
    };
    served.robot("r1", "hw");
    rollout(&served).ok();
    let mut invalid = node.file(2, b"the second version");
    invalid["softwareVersionValid"] = json!(false);
    node.record(&invalid);
    assert_eq!(sync(&served)["changed"], json!([2]));
    assert_eq!(states(&served), ["1 no_file", "2 invalid", "3 no_file"]);
    assert_eq!(
        rollout(&served).refusal(),
        (409, "image_withdrawn".to_owned())
    );
    node.record(&node.file(2, b"the second version"));
    assert_eq!(sync(&served)["changed"], json!([2]));
    rollout(&served).ok();
    node.list(&[1, 3]);
    assert_eq!(sync(&served)["withdrawn"], json!([2]));
    assert_eq!(version(&served, 2)["state"], "vanished");
    assert_eq!(
        rollout(&served).refusal(),
        (409, "image_withdrawn".to_owned())
    );
    node.list(&[1, 2, 3]);
    assert_eq!(sync(&served)["changed"], json!([2]));
    assert_eq!(version(&served, 2)["state"], "ready");
    rollout(&served).ok();
    assert_eq!(node.asked("/files/2.ota"), 1, "its file stayed here");
}

/// Section 2: size, checksum and type never change. Who changes them is not believed.
#[test]
fn a_record_whose_checksum_changes_is_refused_and_the_old_one_stands() {
    let (served, node) = followed();
    node.record(&node.file(2, b"another second version"));
    let report = sync(&served);
    assert_eq!(report["refused"][0]["version"], 2);
    let why = report["refused"][0]["why"].as_str().unwrap();
    assert!(why.contains("otaFileSize differs"), "{why}");
    assert_eq!(version(&served, 2)["state"], "ready");
    assert_eq!(version(&served, 2)["record"]["otaFileSize"], 18);
}

/// A wrong size or checksum: named, and nothing kept.
#[test]
fn a_file_that_is_not_the_ledgers_is_refused_and_not_kept() {
    let (served, node) = (served(), Node::new());
    let file = b"the second version".to_vec();
    node.record(&node.file(2, &file));
    node.list(&[2]);
    let other = b"the secund version".to_vec();
    follow(&served, Some(&node.url));
    let wrong = [
        (Answer::Body(404, Vec::new()), "answered 404"),
        (Answer::Body(200, other.clone()), "SHA-256 is"),
        (Answer::Unannounced(other), "SHA-256 is"),
        (
            Answer::Body(200, file[1..].to_vec()),
            "17 bytes, and the ledger says 18",
        ),
        (
            Answer::Unannounced(file[1..].to_vec()),
            "17 bytes, and the ledger says 18",
        ),
        (
            Answer::Unannounced(vec![b'x'; 1 << 20]),
            "more than the 18 bytes",
        ),
        (Answer::Half(file.clone()), "cannot be fetched"),
        (Answer::Redirect("/files/4.ota".to_owned()), "redirects"),
    ];
    // The first try was with the right file.
    until(&served, 2, "ready");
    node.record(&node.file(4, &file));
    node.answer("/files/4.ota", Answer::Body(200, Vec::new()));
    node.list(&[2, 4]);
    for (answer, words) in wrong {
        node.answer("/files/4.ota", answer);
        let asked = node.asked("/files/4.ota");
        sync(&served);
        until_tried(&served, &node, "/files/4.ota", asked);
        let found = version(&served, 4);
        let problem = found["problem"].as_str().unwrap_or_default();
        assert!(problem.contains(words), "{words}: {found}");
        assert!(problem.contains("/files/4.ota"), "{problem}");
        assert_eq!(found["state"], "failed");
        assert_eq!(files(&served), 1, "{words}");
    }
    node.answer("/files/4.ota", Answer::Redirect("/files/2.ota".to_owned()));
    sync(&served);
    let found = until(&served, 4, "ready");
    assert_eq!(found["problem"], Value::Null);
    assert_eq!(files(&served), 2);
}

#[test]
fn a_file_that_does_not_come_is_given_up() {
    let (served, node) = (with(HASTY), Node::new());
    let size = 1_000_000;
    for (number, answer) in [
        (1, Answer::Silence),
        (2, Answer::Stall(vec![b' '; 100])),
        (3, Answer::Drip),
    ] {
        node.record(&node.file(number, &vec![b' '; size]));
        node.answer(&format!("/files/{number}.ota"), answer);
    }
    node.list(&[1, 2, 3]);
    follow(&served, Some(&node.url));
    for (number, words) in [(1, "silent"), (2, "silent"), (3, "was not there after")] {
        let found = until(&served, number, "failed");
        let problem = found["problem"].as_str().unwrap();
        assert!(problem.contains(words), "{problem}");
    }
    assert_eq!(files(&served), 0);
}

#[test]
fn a_file_larger_than_may_be_is_not_begun() {
    let served = Served::with(|config| config.device_http.max_artifact_size = 10);
    let node = Node::new();
    if served.get("/v1/channels/production").status == 404 {
        served
            .post("/v1/channels", json!({"name": "production"}))
            .ok();
    }
    node.record(&node.file(2, b"the second version"));
    node.list(&[2]);
    follow(&served, Some(&node.url));
    let problem = until(&served, 2, "failed")["problem"].clone();
    assert!(
        problem.as_str().unwrap().contains("larger than 10 bytes"),
        "{problem}"
    );
}

/// Each of the ledger's digests is checked over the whole file.
#[test]
fn files_are_checked_with_the_digest_that_the_ledger_names() {
    use sha2::{Digest, Sha384, Sha512};
    use sha3::{Sha3_256, Sha3_384, Sha3_512};
    let (served, node) = (served(), Node::new());
    let file = b"a version";
    let digests = [
        (7, Sha384::digest(file).to_vec()),
        (8, Sha512::digest(file).to_vec()),
        (10, Sha3_256::digest(file).to_vec()),
        (11, Sha3_384::digest(file).to_vec()),
        (12, Sha3_512::digest(file).to_vec()),
    ];
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut numbers = Vec::new();
    for (kind, mut digest) in digests {
        let mut record = node.file(kind, file);
        record["otaChecksumType"] = json!(kind);
        record["otaChecksum"] = json!(base64.encode(&digest));
        node.record(&record);
        let mut bad = node.file(kind + 100, file);
        digest[0] ^= 1;
        bad["otaChecksumType"] = json!(kind);
        bad["otaChecksum"] = json!(base64.encode(&digest));
        node.record(&bad);
        numbers.extend([kind, kind + 100]);
    }
    node.list(&numbers);
    follow(&served, Some(&node.url));
    for kind in [7, 8, 10, 11, 12] {
        until(&served, kind, "ready");
        until(&served, kind + 100, "failed");
    }
    assert_eq!(files(&served), 5);
}

/// A node that does not list one product is looked through, page by page.
#[test]
fn a_node_without_a_list_of_one_product_is_searched_page_by_page() {
    let (served, node) = (served(), Node::new());
    let unimplemented = json!({"code": 12, "message": "Not Implemented", "details": []});
    node.answer(
        LIST,
        Answer::Body(501, unimplemented.to_string().into_bytes()),
    );
    let page = |records: Value, next: Value| {
        json_answer(
            &json!({"modelVersion": records, "pagination": {"next_key": next, "total": "4"}}),
        )
    };
    let mut other = Node::bare(9);
    other["pid"] = json!(1);
    let limit = "pagination.limit=100";
    node.answer(
        &format!("{ALL}?{limit}"),
        page(json!([Node::bare(1), other]), json!("a+/b==")),
    );
    node.answer(
        &format!("{ALL}?{limit}&pagination.key=a%2B%2Fb%3D%3D"),
        page(json!([Node::bare(2)]), json!("c")),
    );
    node.answer(
        &format!("{ALL}?{limit}&pagination.key=c"),
        page(json!([Node::bare(3)]), Value::Null),
    );
    follow(&served, Some(&node.url));
    until(&served, 3, "no_file");
    assert_eq!(states(&served), ["1 no_file", "2 no_file", "3 no_file"]);
    // A record of which not even the number can be read: then nobody knows what is missing.
    node.answer(
        &format!("{ALL}?{limit}&pagination.key=c"),
        page(json!([{"vid": VID, "pid": PID}]), Value::Null),
    );
    let report = sync(&served);
    assert_eq!(report["refused"].as_array().unwrap().len(), 1);
    assert_eq!(report["withdrawn"], json!([]));
    node.answer(
        &format!("{ALL}?{limit}&pagination.key=c"),
        page(json!([]), json!("")),
    );
    assert_eq!(sync(&served)["withdrawn"], json!([3]));
    node.answer(&format!("{ALL}?{limit}"), page(json!([]), Value::Null));
    let failed = served.post(SYNC, Value::Null);
    assert!(failed.text().contains("no product"), "{}", failed.text());
    assert_eq!(
        states(&served),
        ["1 no_file", "2 no_file", "3 vanished"],
        "nothing found is nothing withdrawn"
    );
    // The same page for ever.
    node.answer(&format!("{ALL}?{limit}"), Answer::Pages { fresh: true });
    node.answer(ALL, Answer::Pages { fresh: true });
    let failed = served.post(SYNC, Value::Null);
    assert!(
        failed.text().contains("without an end"),
        "{}",
        failed.text()
    );
}

/// A search keeps at most 16 MiB of what it finds.
#[test]
fn a_search_that_finds_too_much_is_given_up() {
    let (served, node) = (served(), Node::new());
    let unimplemented = json!({"code": 12, "message": "Not Implemented", "details": []});
    node.answer(
        LIST,
        Answer::Body(501, unimplemented.to_string().into_bytes()),
    );
    let mut large = Node::bare(1);
    large["firmwareInformation"] = json!("x".repeat(1_000_000));
    let of = |key: u32| match key {
        0 => format!("{ALL}?pagination.limit=100"),
        key => format!("{ALL}?pagination.limit=100&pagination.key={key}"),
    };
    for key in 0..20 {
        let pagination = json!({"next_key": (key + 1).to_string()});
        let page = json!({"modelVersion": [large], "pagination": pagination});
        node.answer(&of(key), json_answer(&page));
    }
    follow(&served, Some(&node.url));
    let failed = served.post(SYNC, Value::Null);
    let text = failed.text();
    assert!(text.contains("more than 16777216 bytes"), "{text}");
    assert_eq!(node.asked(&of(17)), 0, "the eighteenth page");
    let long = json!({"modelVersion": [], "pagination": {"next_key": "x".repeat(5_000)}});
    node.answer(&of(0), json_answer(&long));
    let failed = served.post(SYNC, Value::Null);
    assert!(failed.text().contains("4096 bytes"), "{}", failed.text());
}

/// What is not taken is named up to a bound.
#[test]
fn a_file_of_nonsense_makes_a_short_report() {
    let served = served();
    follow(&served, None);
    let report = served.post(IMPORT, json!(vec!["x"; 150])).ok();
    assert_eq!(report["refused"].as_array().unwrap().len(), 100);
    assert_eq!(report["refused_more"], 50);
    let refused = served.post(IMPORT, json!(vec!["x"; 1_001])).refusal();
    assert_eq!(refused, (422, "invalid_value".to_owned()));
}

/// A node that is overloaded in the middle of a reading is asked again later, and what it had said is kept.
#[test]
fn a_node_that_fails_in_the_middle_of_a_reading_ends_it() {
    for status in [429, 500, 503] {
        let (served, node) = (served(), Node::new());
        node.record(&Node::bare(1));
        node.list(&[1]);
        follow(&served, Some(&node.url));
        until(&served, 1, "no_file");
        node.record(&Node::bare(2));
        node.answer(&format!("{LIST}/3"), Answer::Body(status, Vec::new()));
        node.list(&[2, 3]);
        let failed = served.post(SYNC, Value::Null);
        assert_eq!(failed.refusal(), (502, "ledger_failed".to_owned()));
        assert!(failed.text().contains("until then was taken"));
        assert_eq!(states(&served), ["1 no_file", "2 no_file"], "{status}");
        let sync = served.get(LEDGER).ok()["sync"].clone();
        assert_eq!(sync["failures"], 1, "{sync}");
        assert!(sync["next_in_s"].as_u64() <= Some(30), "{sync}");
    }
}

/// A record that is refused for what it changes withdraws its version all the same.
#[test]
fn what_the_vendor_withdraws_is_withdrawn_though_its_record_is_refused() {
    for (field, value, words) in [
        ("cdVersionNumber", json!(7), "cdVersionNumber differs"),
        ("otaFileSize", json!("many"), "64 bits"),
    ] {
        let (served, node) = followed();
        let mut record = node.file(2, b"the second version");
        record[field] = value;
        node.record(&record);
        let report = sync(&served);
        assert_eq!(report["refused"].as_array().unwrap().len(), 1);
        assert_eq!(version(&served, 2)["state"], "ready");
        record["softwareVersionValid"] = json!(false);
        node.record(&record);
        let report = sync(&served);
        let why = report["refused"][0]["why"].as_str().unwrap();
        assert!(why.contains(words), "{why}");
        assert_eq!(report["changed"], json!([2]));
        let found = version(&served, 2);
        assert_eq!(found["state"], "invalid");
        assert_eq!(found["record"]["cdVersionNumber"], 1);
        assert_eq!(sync(&served)["changed"], json!([]), "only once");
    }
}

/// An image that only has the name is not the ledger's, and the file is not fetched again and again.
#[test]
fn a_file_whose_image_has_its_name_taken_is_not_fetched() {
    let (served, node) = (served(), Node::new());
    let own = json!({
        "image": "dcl-fff1-8000@2.0.0", "hardware_ids": ["hw"], "url": "https://example.org/x",
        "size": 18, "sha256": "00".repeat(32),
    });
    served.post("/v1/images", own).ok();
    node.record(&node.file(2, b"the second version"));
    node.list(&[2]);
    follow(&served, Some(&node.url));
    let found = until(&served, 2, "failed");
    let problem = found["problem"].as_str().unwrap();
    assert!(
        problem.contains("rollcall image rm dcl-fff1-8000@2.0.0"),
        "{problem}"
    );
    assert_eq!(node.asked("/files/2.ota"), 0);
    served
        .call("DELETE", "/v1/images/dcl-fff1-8000@2.0.0", Value::Null)
        .ok();
    sync(&served);
    until(&served, 2, "ready");
}

/// A product that is followed again finds its file here.
#[test]
fn a_product_that_comes_back_is_not_fetched_again() {
    let (served, node) = followed();
    let mut other = source(None);
    other["pid"] = json!(1);
    served.call("PUT", SOURCE, other).ok();
    follow(&served, Some(&node.url));
    until(&served, 2, "ready");
    assert_eq!(node.asked("/files/2.ota"), 1);
    assert_eq!(files(&served), 1);
}

/// What an old source says after the channel got another one does not touch what that said.
#[test]
fn the_end_of_a_reading_of_a_former_source_withdraws_nothing() {
    let (served, node) = followed();
    served.robot("r1", "hw");
    let release = json!({"channel": "production", "ledger": true});
    let release = served.post("/v1/releases", release).ok();
    let release = format!("/v1/releases/{}", release["id"]);
    let former = Node::new();
    former.list(&[1]);
    let first = format!("{LIST}/1");
    former.answer(&first, Answer::Held);
    follow(&served, Some(&former.url));
    let end = Instant::now() + Duration::from_secs(60);
    while former.asked(&first) == 0 {
        assert!(Instant::now() < end, "never read");
        std::thread::sleep(Duration::from_millis(5));
    }
    follow(&served, Some(&node.url));
    former.record(&Node::bare(1));
    // Waits for the former reading.
    assert_eq!(sync(&served)["unchanged"], 3);
    assert_eq!(served.get(&release).ok()["status"], "LIVE");
    let ledger = served.get(LEDGER).ok();
    assert_eq!(ledger["sync"]["failures"], 0, "{ledger}");
    assert_eq!(ledger["sync"]["last"]["listed"], 3, "{ledger}");
}

#[test]
fn files_of_versions_are_brought_by_hand() {
    let (served, node) = (served(), Node::new());
    follow(&served, None);
    let mut bad = Node::bare(3);
    bad["softwareVersionString"] = json!("");
    let file =
        json!({"modelVersion": [Node::bare(1), node.file(2, b"the second version"), bad, "x"]});
    let report = served.post(IMPORT, file).ok();
    assert_eq!(report["listed"], 4);
    assert_eq!(report["changed"], json!([1, 2]));
    let refused = report["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 2, "{report}");
    assert_eq!(
        (&refused[0]["place"], &refused[0]["version"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(
        (&refused[1]["place"], &refused[1]["version"]),
        (&json!(4), &Value::Null)
    );
    until(&served, 2, "ready");
    // A single answer of a node; what a file does not name has not vanished.
    let mut one = Node::bare(1);
    one["softwareVersionValid"] = json!(false);
    let report = served.post(IMPORT, json!({ "modelVersion": one })).ok();
    assert_eq!(report["changed"], json!([1]));
    assert_eq!(states(&served), ["1 invalid", "2 ready"]);
    assert_eq!(served.get(LEDGER).ok()["sync"]["last"]["listed"], 1);
    let node_wanted = served.post(SYNC, Value::Null).refusal();
    assert_eq!(node_wanted, (409, "no_ledger_node".to_owned()));
    for (body, refusal) in [
        ("{", (422, "invalid_value")),
        ("[]", (422, "invalid_value")),
        ("7", (422, "invalid_value")),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = served.send("POST", IMPORT, &headers, body.into());
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()));
    }
    let headers = [("content-type", "application/json")];
    let large = vec![b' '; rollcall::api::IMPORT_LIMIT + 1];
    let answer = served.send("POST", IMPORT, &headers, large);
    assert_eq!(answer.refusal(), (413, "body_too_large".to_owned()));
}

#[test]
fn what_was_imported_outlives_a_restart_and_the_ledger_is_read_at_the_start() {
    let (served, node) = followed();
    let before = served.get(LEDGER).ok();
    let directory = served.stop();
    node.record(&Node::bare(4));
    node.list(&[1, 2, 3, 4]);
    let served = Served::in_directory(directory, |_| ());
    until(&served, 4, "no_file");
    let now = served.get(LEDGER).ok();
    for (n, version) in before["versions"].as_array().unwrap().iter().enumerate() {
        assert_eq!(now["versions"][n], *version);
    }
    assert_eq!(node.asked("/files/2.ota"), 1);
}

#[test]
fn a_source_that_makes_no_sense_is_refused() {
    let served = served();
    let put = |change: Value| {
        let mut source = source(None);
        for (key, value) in change.as_object().unwrap() {
            source[key] = value.clone();
        }
        served.call("PUT", SOURCE, source).refusal()
    };
    for (change, status, code) in [
        (json!({"vid": 0}), 422, "no_such_product"),
        (json!({"vid": 65_536}), 422, "invalid_value"),
        (json!({"hardware_ids": []}), 422, "product_without_hardware"),
        (json!({"hardware_ids": ["a b"]}), 422, "invalid_value"),
        (json!({"every_ms": 1}), 422, "out_of_range"),
        (json!({"url": "on.dcl.csa-iot.org"}), 422, "bad_ledger_url"),
        (json!({"source": "github"}), 422, "invalid_value"),
        (json!({"branch": "main"}), 422, "invalid_value"),
    ] {
        assert_eq!(put(change.clone()), (status, code.to_owned()), "{change}");
    }
    let console = served
        .call("PUT", SOURCE, json!({"source": "console"}))
        .ok();
    assert_eq!(console, json!({"source": "console"}));
    let refused = served.post(SYNC, Value::Null).refusal();
    assert_eq!(refused, (409, "not_from_ledger".to_owned()));
    let unknown = served.get("/v1/channels/nobody/ledger").refusal();
    assert_eq!(unknown, (404, "unknown_channel".to_owned()));
    let unknown = served.call("PUT", "/v1/channels/nobody/source", source(None));
    assert_eq!(unknown.refusal(), (404, "unknown_channel".to_owned()));
    let unknown = served.post("/v1/channels/nobody/ledger/sync", Value::Null);
    assert_eq!(unknown.refusal(), (404, "unknown_channel".to_owned()));
}

/// G17: what a channel follows no longer is neither read nor fetched.
#[test]
fn a_channel_that_no_longer_follows_a_ledger_does_not_read_it() {
    let (served, node) = followed();
    served
        .call("PUT", SOURCE, json!({"source": "console"}))
        .ok();
    let asked = node.asked(LIST);
    let refused = served.post(SYNC, Value::Null).refusal();
    assert_eq!(refused, (409, "not_from_ledger".to_owned()));
    assert_eq!(node.asked(LIST), asked);
    // The image is ours to remove now.
    served
        .call("DELETE", "/v1/images/dcl-fff1-8000@2.0.0", Value::Null)
        .ok();
    assert_eq!(files(&served), 0);
    follow(&served, Some(&node.url));
    until(&served, 2, "ready");
}

/// Section 2: a version that turns invalid, or is no longer listed, stops its release; G17: so does another source.
#[test]
fn a_release_of_the_ledger_ends_with_its_version_and_with_the_source() {
    let (served, node) = followed();
    served.robot("r1", "hw");
    let publish = || {
        let release = json!({"channel": "production", "ledger": true});
        served.post("/v1/releases", release).ok()
    };
    let status = |id: u64| {
        let release = served.get(&format!("/v1/releases/{id}")).ok();
        release["status"].as_str().unwrap().to_owned()
    };
    let endings: [(&str, &dyn Fn()); 3] = [
        ("invalid", &|| {
            let mut invalid = node.file(2, b"the second version");
            invalid["softwareVersionValid"] = json!(false);
            node.record(&invalid);
            sync(&served);
        }),
        ("vanished", &|| {
            node.list(&[1, 3]);
            sync(&served);
        }),
        ("console", &|| {
            served
                .call("PUT", SOURCE, json!({"source": "console"}))
                .ok();
        }),
    ];
    for (how, end) in endings {
        node.record(&node.file(2, b"the second version"));
        node.list(&[1, 2, 3]);
        sync(&served);
        let release = publish();
        let id = release["id"].as_u64().unwrap();
        assert_eq!(
            (status(id).as_str(), &release["ledger"]),
            ("LIVE", &json!(2))
        );
        end();
        assert_eq!(status(id), "INACTIVE", "{how}");
    }
}
