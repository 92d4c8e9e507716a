//! Images by URL and by upload, and what robots fetch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::{Answer, Served};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;

const FILE: &[u8] = b"not really firmware, but 42 bytes of a file";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn upload(served: &Served, path: &str, file: &[u8]) -> Answer {
    served.send(
        "POST",
        &format!("/v1/images/{path}"),
        &[("content-type", "application/octet-stream")],
        file.to_vec(),
    )
}

fn path(image: &Value) -> String {
    let url = image["url"].as_str().unwrap();
    url[url.find("/artifacts/").unwrap()..].to_owned()
}

fn artifacts(served: &Served) -> usize {
    std::fs::read_dir(served.data().join("artifacts"))
        .unwrap()
        .count()
}

#[test]
fn an_uploaded_file_is_hashed_hosted_and_fetched_byte_for_byte() {
    let served = Served::new();
    let answer = upload(
        &served,
        "fw@1.0.0+b7/file?hardware=hw-a,hw-b&model=mk2&build_id=b%2B7",
        FILE,
    );
    assert_eq!(answer.status, 201);
    let image = answer.json();
    assert_eq!(image["image"], "fw@1.0.0+b7");
    assert_eq!(image["hardware_ids"], json!(["hw-a", "hw-b"]));
    assert_eq!(
        (&image["model"], &image["build_id"]),
        (&json!("mk2"), &json!("b+7"))
    );
    assert_eq!(
        (&image["size"], &image["hosted"]),
        (&json!(FILE.len()), &json!(true))
    );
    assert_eq!(image["sha256"], hex(&Sha256::digest(FILE)));
    assert_eq!(served.get("/v1/images/fw@1.0.0+b7").ok(), image);
    assert!(
        image["url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("http://{}/artifacts/", served.device))
    );

    let fetched = served.fetch("GET", &path(&image), &[]);
    assert_eq!((fetched.status, fetched.bytes.as_slice()), (200, FILE));
    assert_eq!(fetched.header("content-length"), FILE.len().to_string());
    assert_eq!(fetched.header("accept-ranges"), "bytes");
    let head = served.fetch("HEAD", &path(&image), &[]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, FILE.len().to_string().as_str())
    );
    assert_eq!(head.bytes, b"");
}

#[test]
fn a_download_can_be_continued_with_a_range() {
    let served = Served::new();
    let image = upload(&served, "fw@1/file?hardware=hw", FILE).ok();
    let path = path(&image);
    let size = FILE.len();
    for (range, from, to) in [
        ("bytes=5-9", 5, 9),
        ("bytes=30-", 30, size - 1),
        ("bytes=-4", size - 4, size - 1),
    ] {
        let part = served.fetch("GET", &path, &[("range", range)]);
        assert_eq!(
            (part.status, part.bytes.as_slice()),
            (206, &FILE[from..=to]),
            "{range}"
        );
        assert_eq!(
            part.header("content-range"),
            format!("bytes {from}-{to}/{size}")
        );
        assert_eq!(part.header("content-length"), (to - from + 1).to_string());
    }
    let beyond = served.fetch("GET", &path, &[("range", "bytes=999-")]);
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, format!("bytes */{size}").as_str())
    );
    for ignored in ["bytes=0-1,3-4", "bytes=9-5", "lines=1-2", "bytes=x-"] {
        assert_eq!(
            served.fetch("GET", &path, &[("range", ignored)]).bytes,
            FILE,
            "{ignored}"
        );
    }
    let etag = served.fetch("GET", &path, &[]).header("etag").to_owned();
    let same = [("range", "bytes=0-0"), ("if-range", etag.as_str())];
    assert_eq!(served.fetch("GET", &path, &same).status, 206);
    let other = [("range", "bytes=0-0"), ("if-range", "\"other\"")];
    assert_eq!(served.fetch("GET", &path, &other).status, 200);
    assert_eq!(
        served
            .fetch("GET", &path, &[("if-none-match", &etag)])
            .status,
        304
    );
}

#[test]
fn an_unknown_artifact_is_not_found_with_an_empty_body() {
    let served = Served::new();
    upload(&served, "fw@1/file?hardware=hw", FILE).ok();
    let zeros = "0".repeat(64);
    for path in [
        "/",
        "/artifacts",
        "/artifacts/",
        &format!("/artifacts/{zeros}"),
        "/artifacts/..%2f..%2ftokens.json",
        "/artifacts/%2e%2e/%2e%2e/admin.token",
        "/artifacts/..",
        "/artifacts/%00",
        "/artifacts/%ff",
        "/v1/robots",
        "/artifacts/upload-x",
        "/healthz",
    ] {
        let answer = served.fetch("GET", path, &[]);
        assert_eq!((answer.status, answer.bytes.len()), (404, 0), "{path}");
    }
    let raw = served.raw(
        served.device,
        b"GET /artifacts/../../data/admin.token HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );
    assert!(raw.starts_with("HTTP/1.1 404"), "{raw}");
}

#[test]
fn the_url_of_an_image_survives_a_restart_and_leftovers_do_not() {
    let served = Served::new();
    let image = upload(&served, "fw@1/file?hardware=hw", FILE).ok();
    std::fs::write(served.data().join("artifacts").join("f".repeat(64)), "left").unwrap();
    let device = served.device;
    let directory = served.stop();
    let served = Served::in_directory(directory, |config| {
        config.device_http.public_url = Some(format!("http://{device}"))
    });
    assert_eq!(artifacts(&served), 1);
    assert_eq!(served.get("/v1/images/fw@1").ok()["url"], image["url"]);
    assert_eq!(served.fetch("GET", &path(&image), &[]).bytes, FILE);
}

#[test]
fn a_refused_upload_leaves_no_file() {
    let served = Served::with(|config| config.device_http.max_artifact_size = 100);
    upload(&served, "fw@1/file?hardware=hw", FILE).ok();
    let wrong = format!("fw@2/file?hardware=hw&sha256={}", "0".repeat(64));
    for (path, file, status, code) in [
        ("fw@1/file?hardware=hw", FILE, 409, "image_exists"),
        (wrong.as_str(), FILE, 422, "digest_mismatch"),
        (
            "fw@2/file?hardware=hw&sha256=xyz",
            FILE,
            422,
            "invalid_value",
        ),
        ("fw@2/file?hardware=", FILE, 422, "invalid_value"),
        ("fw@2/file", FILE, 400, "invalid_query"),
        (
            "fw@2/file?hardware=hw&colour=red",
            FILE,
            400,
            "invalid_query",
        ),
        ("fw/file?hardware=hw", FILE, 422, "invalid_value"),
        ("fw@2/file?hardware=hw", b"", 422, "empty_image"),
        ("fw@2/file?hardware=hw", &[b'x'; 101], 413, "file_too_large"),
    ] {
        assert_eq!(
            upload(&served, path, file).refusal(),
            (status, code.to_owned()),
            "{path}"
        );
        assert_eq!(artifacts(&served), 1, "{path}");
    }
    let named = format!(
        "fw@2/file?hardware=hw&sha256={}",
        hex(&Sha256::digest(FILE)).to_uppercase()
    );
    assert_eq!(upload(&served, &named, FILE).status, 201);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let served = Served::new();
    let head = format!(
        "POST /v1/images/fw@1/file?hardware=hw HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000000\r\n\
         connection: close\r\n\r\nonly this",
        served.token("admin")
    );
    let mut stream = TcpStream::connect(served.http()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // The server closes when it is done with the request.
    let _ = stream.read_to_end(&mut Vec::new());
    assert_eq!(served.get("/v1/images/fw@1").status, 404);
    let directory = served.stop();
    let served = Served::in_directory(directory, |_| ());
    assert_eq!(artifacts(&served), 0);
}

#[test]
fn an_upload_is_refused_before_the_disk_is_too_full() {
    let served = Served::with(|config| config.device_http.max_artifact_size = u64::MAX);
    let head = format!(
        "POST /v1/images/fw@1/file?hardware=hw HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: 4000000000000000\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        served.token("admin")
    );
    let answer = served.raw(served.http(), head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 507"), "{answer}");
    assert!(answer.contains("disk_full"), "{answer}");
}

#[test]
fn an_image_that_lies_elsewhere_keeps_its_url() {
    let served = Served::new();
    let image = served.image("fw@1", "hw");
    assert_eq!(
        (&image["url"], &image["hosted"]),
        (&json!("http://127.0.0.1/x"), &json!(false))
    );
    let body = |change: Value| {
        let mut body = json!({
            "image": "fw@2", "hardware_ids": ["hw"], "url": "https://h/x", "size": 3, "sha256": "0".repeat(64),
        });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        body
    };
    for (change, status, code) in [
        (json!({ "image": "fw@1" }), 409, "image_exists"),
        (json!({ "image": "fw" }), 422, "invalid_value"),
        (json!({ "hardware_ids": [] }), 422, "image_without_hardware"),
        (json!({ "hardware_ids": ["a b"] }), 422, "invalid_value"),
        (json!({ "url": "ftp://h/x" }), 422, "bad_url"),
        (json!({ "url": "http://h/x\n" }), 422, "bad_url"),
        (json!({ "size": 0 }), 422, "empty_image"),
        (json!({ "size": -1 }), 422, "invalid_value"),
        (json!({ "sha256": "abc" }), 422, "invalid_value"),
        (json!({ "build_id": "" }), 422, "invalid_value"),
        (json!({ "hosted": true }), 422, "invalid_value"),
    ] {
        assert_eq!(
            served.post("/v1/images", body(change.clone())).refusal(),
            (status, code.to_owned()),
            "{change}"
        );
    }
    served.post("/v1/images", body(json!({}))).ok();
    let first = served.get("/v1/images?limit=1").ok();
    assert_eq!(first["items"][0]["image"], "fw@1");
    let rest = served
        .get(&format!(
            "/v1/images?after={}",
            first["next"].as_str().unwrap()
        ))
        .ok();
    assert_eq!(
        (&rest["items"][0]["image"], &rest["next"]),
        (&json!("fw@2"), &json!(null))
    );
}

/// E17: what an image asks of the version that it replaces is kept with it, and a wrong requirement is shown where it is.
#[test]
fn an_image_can_ask_for_the_version_that_it_replaces() {
    let served = Served::new();
    let sha256 = "00".repeat(32);
    let image = |version: &str, from: &str| {
        json!({
            "image": format!("fw@{version}"), "hardware_ids": ["hw"], "url": "http://x/y", "size": 1, "sha256": sha256,
            "from_version": from,
        })
    };
    let added = served.post("/v1/images", image("2.0.0", ">= 1.0.0 and < 2.0.0"));
    assert_eq!(added.status, 201);
    let shown = served.get("/v1/images/fw@2.0.0").ok();
    assert_eq!(shown["from_version"], ">= 1.0.0 and < 2.0.0");
    let refused = served.post("/v1/images", image("3.0.0", ">= 1.0.0 && < 2.0.0"));
    assert_eq!(
        refused.refusal(),
        (422, "invalid_version_requirement".to_owned())
    );
    assert!(
        refused.text().contains("\"column\":10"),
        "{}",
        refused.text()
    );
    assert_eq!(served.get("/v1/images/fw@3.0.0").status, 404);
}

/// X5, X7: the preview of ECUs that have said nothing yet promises nothing.
#[test]
fn a_preview_counts_who_will_fail_and_who_is_forced() {
    let served = Served::new();
    served.robot("r1", "hw");
    let sha256 = "00".repeat(32);
    let image = json!({
        "image": "fw@2.0.0", "hardware_ids": ["hw"], "url": "http://x/y", "size": 1, "sha256": sha256,
    });
    assert_eq!(served.post("/v1/images", image).status, 201);
    let rollout = json!({
        "name": "n",
        "target": { "hardware": "hw" },
        "images": [{ "hardware_id": "hw", "image": "fw@2.0.0" }],
        "mechanism": { "force_downgrade": "within_requirement" },
    });
    let preview = served.post("/v1/rollouts/preview", rollout.clone()).ok();
    assert_eq!(
        (&preview["will_fail"], &preview["lifted"]),
        (&json!(0), &json!(0))
    );
    let ecu = &preview["items"][0]["ecus"][0];
    assert_eq!(ecu["at_dispatch"], json!({ "would": "unreported" }));
    let created = served.post("/v1/rollouts", rollout);
    assert_eq!(created.status, 201);
    let edited = served
        .call(
            "PATCH",
            "/v1/rollouts/1",
            json!({ "force_downgrade": "all" }),
        )
        .ok();
    assert_eq!(edited["mechanism"]["force_downgrade"], "all");
    let unknown = served.call(
        "PATCH",
        "/v1/rollouts/1",
        json!({ "force_downgrade": "yes" }),
    );
    assert_eq!(unknown.refusal(), (422, "invalid_value".to_owned()));
    let why = served.get("/v1/rollouts/1/robots/r1/why").ok();
    assert_eq!(
        why["ecus"][0]["at_dispatch"],
        json!({ "would": "unreported" })
    );
}
