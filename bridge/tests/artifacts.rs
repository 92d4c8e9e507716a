//! Hosted files against everything that robots, operators, disks and buckets do to them: `device-contract.md` 0.10
//! (whatever has a body is installed) and 3.2 (what a failed download costs).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::{Answer, Served};
use rollcall::artifacts::StartCheck;
use rollcall_proto::native::EcuDescription;
use rollcall_tests::lean::{Identity, Script, live};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(300);
const OPERATION: &str = "6f1c1f60-9d2c-5d0e-8a64-6a1f6e4f0a01";

fn file(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

fn upload(served: &Served, image: &str, file: &[u8]) -> Value {
    let path = format!("/v1/images/{image}/file?hardware=hw");
    let octets = [("content-type", "application/octet-stream")];
    served.send("POST", &path, &octets, file.to_vec()).ok()
}

fn path(image: &Value) -> String {
    let url = image["url"].as_str().unwrap();
    url[url.find("/artifacts/").unwrap()..].to_owned()
}

fn on_disk(served: &Served, image: &Value) -> PathBuf {
    let path = path(image);
    served.data().join(path.trim_start_matches('/'))
}

/// Asks again until the answer is as wanted.
fn until<T>(mut ask: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never happens");
        std::thread::yield_now();
    }
}

fn metric(served: &Served, name: &str) -> u64 {
    let metrics = served.get("/metrics").text();
    let line = metrics.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// What a refusal looks like: Content-Length 0, nothing behind it, nothing that keeps it.
fn no_body(answer: &Answer, status: u16) {
    assert_eq!((answer.status, answer.bytes.len()), (status, 0));
    assert_eq!(answer.header("content-length"), "0");
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// A GET whose body nobody reads yet.
fn ask(to: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").unwrap();
    stream
}

/// Everything until the server closes, as far as it comes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

fn body(answer: &[u8]) -> &[u8] {
    let head = answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    &answer[head + 4..]
}

#[test]
fn ranges_that_lie_get_416_or_the_whole_file_and_never_another_byte() {
    let served = Served::new();
    let file = file(1_000);
    let image = upload(&served, "fw@1", &file);
    let get = |range: &str| served.fetch("GET", &path(&image), &[("range", range)]);
    for range in [
        "bytes=1000-",
        "bytes=1000-1000",
        "bytes=99999999999999999999999999-",
        "bytes=18446744073709551615-18446744073709551615",
        "bytes=-0",
    ] {
        let answer = get(range);
        assert_eq!((answer.status, answer.bytes.len()), (416, 0), "{range}");
        assert_eq!(answer.header("content-range"), "bytes */1000", "{range}");
        assert_eq!(answer.header("content-length"), "0", "{range}");
    }
    let many = format!("bytes={}", vec!["0-0"; 1_000].join(","));
    for range in [
        "bytes=9-5",
        "bytes=0-0,0-0",
        "bytes=0-500,400-999",
        "bytes=0-,0-,0-",
        &many,
        "bytes=-1-5",
        "bytes=0x0-0x5",
        "bytes=\u{661}-5",
        "chars=0-5",
        "bytes 0-5",
    ] {
        let answer = get(range);
        assert_eq!((answer.status, &answer.bytes), (200, &file), "{range}");
        assert_eq!(answer.header("content-length"), "1000", "{range}");
    }
    for (range, from, to) in [
        ("bytes=0-18446744073709551615", 0, 999),
        ("bytes=999-99999999999999999999", 999, 999),
        ("bytes=-99999999999999999999", 0, 999),
        ("bytes=0-999", 0, 999),
    ] {
        let answer = get(range);
        assert_eq!(
            (answer.status, answer.bytes.as_slice()),
            (206, &file[from..=to]),
            "{range}"
        );
    }
    let twice = [("range", "bytes=0-1"), ("range", "bytes=5-6")];
    let answer = served.fetch("GET", &path(&image), &twice);
    assert_eq!((answer.status, answer.bytes.len()), (200, 1_000));
}

#[test]
fn conditional_requests_and_head_are_answered_as_rfc_9110_says() {
    let served = Served::new();
    let file = file(1_000);
    let image = upload(&served, "fw@1", &file);
    let path = path(&image);
    let whole = served.fetch("GET", &path, &[]);
    let etag = whole.header("etag").to_owned();
    assert!(
        etag.starts_with('"') && etag.ends_with('"'),
        "strong: {etag}"
    );
    assert!(whole.header("cache-control").contains("immutable"));
    for (name, value, range, status) in [
        ("if-none-match", etag.as_str(), None, 304),
        ("if-none-match", &format!("\"x\", W/{etag}"), None, 304),
        ("if-none-match", "*", None, 304),
        ("if-none-match", "\"x\"", None, 200),
        ("if-range", &etag, Some("bytes=0-1"), 206),
        ("if-range", &format!("W/{etag}"), Some("bytes=0-1"), 200),
        (
            "if-range",
            "Wed, 21 Oct 2015 07:28:00 GMT",
            Some("bytes=0-1"),
            200,
        ),
        ("if-range", "\"x\"", Some("bytes=2000-"), 200),
        ("if-range", &etag, Some("bytes=2000-"), 416),
    ] {
        let mut headers = vec![(name, value)];
        headers.extend(range.map(|range| ("range", range)));
        let answer = served.fetch("GET", &path, &headers);
        assert_eq!(answer.status, status, "{name}: {value}, {range:?}");
        let bytes = match status {
            200 => 1_000,
            206 => 2,
            _ => 0,
        };
        assert_eq!(answer.bytes.len(), bytes, "{name}: {value}");
    }
    let head = served.fetch("HEAD", &path, &[("range", "bytes=0-1")]);
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("content-length"), "1000");
    assert_eq!(head.header("etag"), etag);
    for method in ["POST", "PUT", "DELETE"] {
        let answer = served.fetch(method, &path, &[]);
        assert_eq!((answer.status, answer.bytes.len()), (405, 0), "{method}");
    }
    assert_eq!(served.fetch("GET", &path, &[]).bytes, file);
}

#[test]
fn names_that_are_paths_lead_nowhere() {
    let served = Served::new();
    let image = upload(&served, "fw@1", &file(10));
    let token = path(&image).trim_start_matches("/artifacts/").to_owned();
    let long = "a".repeat(20_000);
    for name in [
        "..",
        "../admin.token",
        "..%2fadmin.token",
        "%2e%2e/admin.token",
        "%2e%2e%2fadmin.token",
        "..%5cadmin.token",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "%00",
        &format!("{token}%00"),
        &format!("{token}%2f"),
        &format!("{token}/"),
        &format!("{token}/.."),
        &format!("{token}%231"),
        &format!(".%2f{token}"),
        &format!("../artifacts/{token}"),
        &token.to_uppercase(),
        &token[..63],
        "%c3%a9",
        "%ff%fe",
        "%F0%9F%A4%96",
        "CON",
        &long,
    ] {
        let line =
            format!("GET /artifacts/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = served.raw(served.device, line.as_bytes());
        let shown = &name[..name.len().min(100)];
        assert!(answer.starts_with("HTTP/1.1 404"), "{shown}: {answer}");
        assert_eq!(body(answer.as_bytes()), b"", "{shown}");
        assert!(answer.contains("content-length: 0"), "{shown}: {answer}");
    }
    // No name of an image is a path either: it becomes no name on the disk.
    for name in ["..%2f..%2fx@1", "fw@..", "fw@..%2f..", "%00@1", "a%2fb@1"] {
        let path = format!("/v1/images/{name}/file?hardware=hw");
        let answer = served.send("POST", &path, &[], b"x".to_vec());
        assert_ne!(answer.status, 500, "{name}");
    }
    assert!(!served.data().join("x@1").exists());
    assert_eq!(served.fetch("GET", &path(&image), &[]).bytes, file(10));
}

#[test]
fn downloads_are_counted_for_the_operation_that_they_name() {
    let served = Served::new();
    let image = upload(&served, "fw@1", &file(1_000));
    served.robot("r-1", "hw");
    let path = path(&image);
    let operation = ("x-edgehog-ota-id", OPERATION);
    served.fetch("GET", &path, &[operation]);
    served.fetch("GET", &path, &[operation, ("range", "bytes=0-9")]);
    served.fetch("GET", &path, &[operation, ("range", "bytes=990-")]);
    for garbage in [
        "",
        "x",
        "6f1c1f60-9d2c-5d0e-8a64",
        &"9".repeat(5_000),
        "{6f1c1f60-9d2c-5d0e-8a64-6a1f6e4f0a0}",
    ] {
        let answer = served.fetch("GET", &path, &[("x-edgehog-ota-id", garbage)]);
        assert_eq!(answer.status, 200, "{garbage:?}");
    }
    served.fetch("GET", "/artifacts/unknown", &[operation]);
    until(
        || metric(&served, "rollcall_downloads_total{end=\"finished\"}"),
        |count| *count == 8,
    );
    assert_eq!(metric(&served, "rollcall_download_bytes_total"), 6_020);
    assert_eq!(
        metric(&served, "rollcall_download_operations_ignored_total"),
        5
    );
    assert_eq!(
        metric(&served, "rollcall_downloads_total{end=\"unknown\"}"),
        1
    );
    let tally = served
        .artifacts()
        .downloaded(OPERATION.parse().unwrap())
        .unwrap();
    assert_eq!(
        serde_json::to_value(tally).unwrap(),
        json!({ "requests": 4, "bytes": 1_020, "completed": 2, "last_status": 404 })
    );
}

#[test]
fn why_and_the_robot_tell_what_was_downloaded_for_the_operation_under_way() {
    let served = Served::new();
    let image = upload(&served, "fw@1", &file(1_000));
    let credentials = served.robot("r-1", "hw");
    let rollout = json!({ "name": "r", "target": { "hardware": "hw" },
        "images": [{ "hardware_id": "hw", "image": "fw@1" }] });
    let rollout = served.post("/v1/rollouts", rollout).ok()["id"].to_string();
    served
        .post(&format!("/v1/rollouts/{rollout}/launch"), Value::Null)
        .ok();
    let ecu = EcuDescription {
        name: "main".to_owned(),
        hardware_id: "hw".to_owned(),
        primary: true,
    };
    let robot = Identity {
        realm: "fleet".to_owned(),
        id: "r-1".to_owned(),
        secret: credentials["credentials_secret"]
            .as_str()
            .unwrap()
            .to_owned(),
        ecus: vec![ecu],
    };
    // It takes the request and says nothing for long.
    let script = Arc::new(Script {
        pause: Duration::from_secs(3_600),
        ..Script::typical()
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = CancellationToken::new();
    runtime.spawn(live(
        robot,
        script,
        served.mqtt(),
        Arc::default(),
        stop.clone(),
    ));
    let why = || {
        let why = served.get(&format!("/v1/rollouts/{rollout}/robots/r-1/why"));
        why.ok()["ecus"][0].clone()
    };
    let before = until(why, |why| why["operation"].is_string());
    assert_eq!(before["downloads"], Value::Null);
    let operation = before["operation"].as_str().unwrap();
    served.fetch("GET", &path(&image), &[("X-Edgehog-OTA-ID", operation)]);
    let downloads = json!({ "requests": 1, "bytes": 1_000, "completed": 1, "last_status": 200 });
    until(why, |why| why["downloads"] == downloads);
    let robot = served.get("/v1/robots/r-1").ok();
    assert_eq!(robot["operation"]["downloads"], downloads);
    stop.cancel();
}

#[test]
fn as_many_downloads_run_as_may_and_the_next_waits_its_turn() {
    let served = Served::with(|config| {
        config.artifacts.max_downloads = 1;
        config.artifacts.download_wait = PATIENCE;
    });
    // More than the buffers of two sockets hold.
    let file = file(64 << 20);
    let path = path(&upload(&served, "fw@1", &file));
    let first = ask(served.device, &path, "connection: close\r\n");
    until(
        || metric(&served, "rollcall_downloads_running"),
        |running| *running == 1,
    );
    let second = ask(served.device, &path, "connection: close\r\n");
    until(
        || metric(&served, "rollcall_downloads_waiting"),
        |waiting| *waiting == 1,
    );
    let head = served.fetch("HEAD", &path, &[]);
    assert_eq!(head.status, 200, "HEAD needs no turn");
    let first = std::thread::spawn(move || rest(first));
    let second = rest(second);
    assert!(body(&second) == file, "the second");
    assert!(body(&first.join().unwrap()) == file, "the first");
}

#[test]
fn a_download_that_waited_too_long_is_refused_without_a_body() {
    let served = Served::with(|config| {
        config.artifacts.max_downloads = 1;
        config.artifacts.download_wait = Duration::from_millis(1);
    });
    let path = path(&upload(&served, "fw@1", &file(64 << 20)));
    let first = ask(served.device, &path, "");
    until(
        || metric(&served, "rollcall_downloads_running"),
        |running| *running == 1,
    );
    let refused = served.fetch("GET", &path, &[("x-edgehog-ota-id", OPERATION)]);
    no_body(&refused, 503);
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(metric(&served, "rollcall_downloads_total{end=\"busy\"}"), 1);
    let tally = served
        .artifacts()
        .downloaded(OPERATION.parse().unwrap())
        .unwrap();
    assert_eq!(
        (tally.requests, tally.bytes, tally.last_status),
        (1, 0, 503)
    );
    // A robot that goes away gives its turn back.
    drop(first);
    until(
        || served.fetch("GET", &path, &[("range", "bytes=0-0")]).status,
        |status| *status == 206,
    );
}

#[test]
fn a_robot_that_stops_reading_loses_its_turn_to_the_others() {
    let served = Served::with(|config| {
        config.artifacts.max_downloads = 1;
        config.artifacts.download_wait = PATIENCE;
        config.artifacts.stall = Duration::from_millis(50);
    });
    let file = file(64 << 20);
    let path = path(&upload(&served, "fw@1", &file));
    let stalled = ask(served.device, &path, "connection: close\r\n");
    until(
        || metric(&served, "rollcall_downloads_running"),
        |running| *running == 1,
    );
    let other = ask(
        served.device,
        &path,
        "range: bytes=0-9\r\nconnection: close\r\n",
    );
    assert_eq!(body(&rest(other)), &file[..10]);
    // The connection is broken off: what came can not be taken for the whole.
    let got = rest(stalled);
    assert!(body(&got).len() < file.len());
    assert_eq!(
        metric(&served, "rollcall_downloads_total{end=\"abandoned\"}"),
        1
    );
}

#[test]
fn a_bandwidth_cap_changes_no_byte() {
    let served = Served::with(|config| config.artifacts.max_bandwidth = Some(64 << 20));
    let file = file(1 << 20);
    let path = path(&upload(&served, "fw@1", &file));
    assert!(served.fetch("GET", &path, &[]).bytes == file);
}

/// Damages the file of `fw@1` while the server is down.
fn damaged(check: StartCheck, damage: impl FnOnce(PathBuf)) -> (Served, Value, Vec<u8>) {
    let served = Served::new();
    let file = file(300_000);
    let image = upload(&served, "fw@1", &file);
    let at = on_disk(&served, &image);
    let directory = served.stop();
    damage(at);
    let served = Served::in_directory(directory, |config| config.artifacts.check = check);
    (served, image, file)
}

fn digest() -> StartCheck {
    StartCheck::Digest {
        bytes_per_second: None,
    }
}

fn flip(at: PathBuf) {
    let mut bytes = std::fs::read(&at).unwrap();
    bytes[150_000] ^= 1;
    std::fs::write(at, bytes).unwrap();
}

#[test]
fn a_file_that_the_disk_has_damaged_is_found_after_the_start_and_never_given() {
    let (served, image, file) = damaged(digest(), flip);
    let show = || served.get("/v1/images/fw@1").ok();
    until(show, |image| image["file"] == "damaged");
    no_body(&served.fetch("GET", &path(&image), &[]), 503);
    no_body(
        &served.fetch("GET", &path(&image), &[("range", "bytes=0-9")]),
        503,
    );
    assert_eq!(served.fetch("HEAD", &path(&image), &[]).status, 503);
    assert_eq!(metric(&served, "rollcall_artifacts{file=\"damaged\"}"), 1);

    // An update that cannot succeed is not sent.
    served.robot("r-1", "hw");
    let rollout = json!({ "name": "r", "target": { "hardware": "hw" },
        "images": [{ "hardware_id": "hw", "image": "fw@1" }] });
    let rollout = served.post("/v1/rollouts", rollout).ok();
    let launch = format!("/v1/rollouts/{}/launch", rollout["id"]);
    let refused = served.post(&launch, Value::Null);
    assert_eq!(refused.refusal(), (409, "image_lost".to_owned()));

    // Only the same file puts it right.
    let put = |file: &[u8]| served.send("PUT", "/v1/images/fw@1/file", &[], file.to_vec());
    assert_eq!(put(b"other").refusal(), (422, "digest_mismatch".to_owned()));
    no_body(&served.fetch("GET", &path(&image), &[]), 503);
    assert_eq!(put(&file).ok()["file"], "whole");
    assert!(
        served.fetch("GET", &path(&image), &[]).bytes == file,
        "under the same URL"
    );
    served.post(&launch, Value::Null).ok();
    assert_eq!(put(b"x").refusal(), (409, "not_lost".to_owned()));
}

#[test]
fn a_file_that_is_gone_or_cut_off_is_found_by_its_size_alone() {
    let cut = |at: PathBuf| {
        let file = std::fs::File::options().write(true).open(at).unwrap();
        file.set_len(299_999).unwrap();
    };
    let (served, image, _) = damaged(StartCheck::Size, cut);
    no_body(&served.fetch("GET", &path(&image), &[]), 503);
    until(
        || served.get("/v1/images/fw@1").ok(),
        |image| image["file"] == "damaged",
    );
    let gone = |at: PathBuf| std::fs::remove_file(at).unwrap();
    let (served, image, _) = damaged(StartCheck::Size, gone);
    no_body(&served.fetch("GET", &path(&image), &[]), 503);
    until(
        || served.get("/v1/images/fw@1").ok(),
        |image| image["file"] == "missing",
    );
    no_body(&served.fetch("GET", &path(&image), &[]), 503);
}

#[test]
fn a_damaged_file_that_nobody_has_checked_is_never_given_whole() {
    let (served, image, file) = damaged(StartCheck::Size, flip);
    let answer = rest(ask(served.device, &path(&image), "connection: close\r\n"));
    assert!(answer.starts_with(b"HTTP/1.1 200"), "it was not known");
    assert!(body(&answer).len() < file.len(), "but it breaks off");
    no_body(&served.fetch("GET", &path(&image), &[]), 503);
    assert_eq!(served.get("/v1/images/fw@1").ok()["file"], "damaged");
}

#[test]
fn a_part_of_a_file_that_nobody_has_checked_is_answered_with_the_whole() {
    let (served, image, file) = damaged(StartCheck::Size, drop);
    let part = || served.fetch("GET", &path(&image), &[("range", "bytes=1-2")]);
    let whole = part();
    assert_eq!((whole.status, whole.header("content-range")), (200, ""));
    assert!(whole.bytes == file);
    let known = part();
    assert_eq!(known.status, 206, "all of it has passed by");
    assert!(known.bytes == file[1..3]);
    assert_eq!(
        known.header("connection"),
        "close",
        "idle connections of a fleet would fill the listener"
    );
}

#[test]
fn a_whole_file_is_known_to_be_whole_after_a_start() {
    let (served, image, file) = damaged(digest(), drop);
    until(
        || served.get("/v1/images/fw@1").ok(),
        |image| image["file"] == "whole",
    );
    assert!(served.fetch("GET", &path(&image), &[]).bytes == file);
}

#[test]
fn a_removed_image_takes_its_file_along_and_one_in_use_stays() {
    let served = Served::new();
    let image = upload(&served, "fw@1", &file(10));
    let rollout = json!({ "name": "r", "target": { "hardware": "hw" },
        "images": [{ "hardware_id": "hw", "image": "fw@1" }] });
    served.robot("r-1", "hw");
    let rollout = served.post("/v1/rollouts", rollout).ok();
    let remove = || served.call("DELETE", "/v1/images/fw@1", Value::Null);
    assert_eq!(remove().refusal(), (409, "image_in_use".to_owned()));
    assert_eq!(served.fetch("GET", &path(&image), &[]).status, 200);
    let delete = format!("/v1/rollouts/{}", rollout["id"]);
    served.call("DELETE", &delete, Value::Null).ok();
    assert_eq!(remove().ok(), json!({ "removed": "fw@1" }));
    no_body(&served.fetch("GET", &path(&image), &[]), 404);
    assert!(!on_disk(&served, &image).exists());
    assert_eq!(served.get("/v1/images").ok()["items"], json!([]));
    assert_eq!(remove().refusal(), (404, "unknown_image".to_owned()));
    let again = upload(&served, "fw@1", &file(20));
    assert_ne!(path(&again), path(&image), "another file has another URL");
    let served = Served::in_directory(served.stop(), |_| ());
    assert_eq!(served.fetch("GET", &path(&again), &[]).bytes, file(20));
    no_body(&served.fetch("GET", &path(&image), &[]), 404);
}

#[test]
fn an_upload_that_is_reset_in_the_middle_leaves_nothing() {
    let served = Served::new();
    let digest = Sha256::digest(b"x");
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    for head in ["content-length: 100000000", "transfer-encoding: chunked"] {
        let mut stream = TcpStream::connect(served.http()).unwrap();
        write!(
            stream,
            "POST /v1/images/fw@1/file?hardware=hw&sha256={digest} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{head}\r\n\r\n",
            served.token("admin")
        )
        .unwrap();
        stream.write_all(b"1000000\r\n").unwrap();
        stream.write_all(&file(1 << 20)).unwrap();
        let folder = served.data().join("artifacts");
        let count = || std::fs::read_dir(&folder).unwrap().count();
        until(count, |count| *count == 1);
        // Unread bytes at a close make a reset of it.
        drop(stream);
        until(count, |count| *count == 0);
        assert_eq!(served.get("/v1/images/fw@1").status, 404);
    }
}
