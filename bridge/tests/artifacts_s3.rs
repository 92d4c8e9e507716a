//! Hosted files in a bucket: robots fetch them from us, and whatever the bucket does, nobody takes a part for the whole.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "tests fail by panicking, and not all of the support is used here"
)]

mod api_support;
mod bucket;

use api_support::{Answer, Served};
use bucket::{BUCKET, Bucket, Fault, KEY_ID, SECRET};
use rollcall::artifacts::{S3Settings, StorageSettings};
use rollcall::config::Config;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for anything; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(300);
/// A bucket that is silent for so long is given up; every test that meets a silent one waits for it.
const SILENCE: Duration = Duration::from_secs(1);

fn file(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

fn settings(directory: &Path, bucket: &Bucket, timeout: Duration) -> S3Settings {
    let credentials = directory.join("credentials");
    let text = format!("access_key_id = \"{KEY_ID}\"\nsecret_access_key = \"{SECRET}\"\n");
    std::fs::write(&credentials, text).unwrap();
    std::fs::set_permissions(&credentials, PermissionsExt::from_mode(0o600)).unwrap();
    S3Settings {
        bucket: BUCKET.to_owned(),
        region: None,
        endpoint: Some(format!("http://{}", bucket.address)),
        prefix: "rollcall/a".to_owned(),
        credentials_file: Some(credentials),
        timeout,
    }
}

fn served_in(directory: TempDir, bucket: &Bucket) -> Served {
    patient(directory, bucket, SILENCE)
}

fn patient(directory: TempDir, bucket: &Bucket, timeout: Duration) -> Served {
    let s3 = settings(directory.path(), bucket, timeout);
    Served::in_directory(directory, |config: &mut Config| {
        config.artifacts.storage = StorageSettings::S3(s3);
    })
}

fn served(bucket: &Bucket) -> Served {
    served_in(tempfile::tempdir().unwrap(), bucket)
}

fn upload(served: &Served, image: &str, file: &[u8]) -> Answer {
    let path = format!("/v1/images/{image}/file?hardware=hw");
    let octets = [("content-type", "application/octet-stream")];
    served.send("POST", &path, &octets, file.to_vec())
}

fn path(image: &Value) -> String {
    let url = image["url"].as_str().unwrap();
    url[url.find("/artifacts/").unwrap()..].to_owned()
}

fn key(image: &Value) -> String {
    path(image).replace("/artifacts/", "rollcall/a/")
}

fn notes(served: &Served) -> usize {
    std::fs::read_dir(served.data().join("artifact-notes"))
        .unwrap()
        .count()
}

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

/// Everything that comes, until the server closes.
fn fetch_raw(served: &Served, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(served.device).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn a_file_goes_through_the_bucket_and_comes_back_byte_for_byte() {
    let bucket = Bucket::start();
    let served = patient(tempfile::tempdir().unwrap(), &bucket, PATIENCE);
    // Three parts, the last one short.
    let file = file((16 << 20) + 77);
    let image = upload(&served, "fw@1", &file).ok();
    assert_eq!(image["size"], file.len());
    assert_eq!(bucket.objects(), [key(&image)]);
    assert_eq!((bucket.unfinished(), notes(&served)), (0, 0));
    let whole = served.fetch("GET", &path(&image), &[]);
    assert_eq!(
        (whole.status, whole.header("content-length")),
        (200, file.len().to_string().as_str())
    );
    assert!(whole.bytes == file);
    let part = served.fetch("GET", &path(&image), &[("range", "bytes=8388600-8388620")]);
    assert_eq!(
        (part.status, part.bytes.as_slice()),
        (206, &file[8_388_600..=8_388_620])
    );
    assert_eq!(served.fetch("HEAD", &path(&image), &[]).status, 200);
    // Nothing of a robot's request reaches the bucket but the range.
    assert!(
        bucket
            .requests()
            .iter()
            .all(|request| request.contains("rollcall/a/"))
    );

    let served = patient(served.stop(), &bucket, PATIENCE);
    until(
        || served.get("/v1/images/fw@1").ok(),
        |image| image["file"] == "whole",
    );
    assert!(served.fetch("GET", &path(&image), &[]).bytes == file);
    served.call("DELETE", "/v1/images/fw@1", Value::Null).ok();
    assert_eq!((bucket.objects().len(), notes(&served)), (0, 0));
    assert_eq!(served.fetch("GET", &path(&image), &[]).status, 404);
}

#[test]
fn an_upload_that_the_bucket_does_not_take_is_refused_and_leaves_nothing() {
    for fault in [
        Fault::Down,
        Fault::Hangs,
        Fault::RefusesParts,
        Fault::RefusesCompletion,
    ] {
        let bucket = Bucket::start();
        let served = served(&bucket);
        bucket.fail(fault);
        let refused = upload(&served, "fw@1", &file(100));
        assert_eq!(
            refused.refusal(),
            (502, "storage_failed".to_owned()),
            "{fault:?}"
        );
        assert!(!refused.text().contains(SECRET), "{fault:?}");
        assert_eq!(served.get("/v1/images/fw@1").status, 404);
        bucket.fail(Fault::None);
        upload(&served, "fw@1", &file(100)).ok();
        let image = served.get("/v1/images/fw@1").ok();
        assert_eq!(bucket.objects(), [key(&image)], "{fault:?}");
        let served = served_in(served.stop(), &bucket);
        assert_eq!(notes(&served), 0, "{fault:?}");
        assert_eq!(bucket.objects(), [key(&image)], "{fault:?}");
    }
}

#[test]
fn an_upload_that_the_operator_breaks_off_is_taken_back_from_the_bucket() {
    let bucket = Bucket::start();
    let served = patient(tempfile::tempdir().unwrap(), &bucket, PATIENCE);
    let mut stream = TcpStream::connect(served.http()).unwrap();
    write!(
        stream,
        "POST /v1/images/fw@1/file?hardware=hw HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: 100000000\r\n\r\n",
        served.token("admin")
    )
    .unwrap();
    stream.write_all(&file(9 << 20)).unwrap();
    until(|| bucket.requests().len(), |requests| *requests >= 2);
    assert_eq!((bucket.unfinished(), notes(&served)), (1, 1));
    drop(stream);
    until(
        || (bucket.unfinished(), notes(&served)),
        |left| *left == (0, 0),
    );
    assert!(bucket.objects().is_empty());
}

#[test]
fn a_download_that_the_bucket_cuts_off_never_ends_as_if_it_were_whole() {
    let file = file(1 << 20);
    for fault in [
        Fault::CutsBodies(1_000),
        Fault::CutsBodies(0),
        Fault::StallsBodies(1_000),
    ] {
        let bucket = Bucket::start();
        let served = served(&bucket);
        let image = upload(&served, "fw@1", &file).ok();
        bucket.fail(fault);
        let answer = fetch_raw(&served, &path(&image));
        let announced = format!("content-length: {}\r\n", file.len());
        assert!(
            String::from_utf8_lossy(&answer[..200]).contains(&announced),
            "{fault:?}"
        );
        assert!(answer.len() < file.len(), "{fault:?}: {}", answer.len());
        bucket.fail(Fault::None);
        assert!(
            served.fetch("GET", &path(&image), &[]).bytes == file,
            "{fault:?}"
        );
    }
}

#[test]
fn a_bucket_that_is_gone_gives_no_body() {
    let bucket = Bucket::start();
    let served = served(&bucket);
    let image = upload(&served, "fw@1", &file(100)).ok();
    for fault in [Fault::Down, Fault::Hangs] {
        bucket.fail(fault);
        let answer = served.fetch("GET", &path(&image), &[]);
        assert_eq!((answer.status, answer.bytes.len()), (503, 0), "{fault:?}");
        assert_eq!(answer.header("content-length"), "0", "{fault:?}");
        // It says nothing about the file.
        assert_eq!(served.get("/v1/images/fw@1").ok()["file"], "whole");
    }
    bucket.fail(Fault::None);
    assert_eq!(served.fetch("GET", &path(&image), &[]).bytes, file(100));
    bucket.put(&key(&image), &file(99));
    assert_eq!(served.fetch("GET", &path(&image), &[]).status, 503);
    assert_eq!(served.get("/v1/images/fw@1").ok()["file"], "damaged");
}

#[test]
fn the_server_starts_without_its_bucket_and_finds_what_was_lost_in_it() {
    let bucket = Bucket::start();
    let served = served(&bucket);
    let images = ["fw@1", "fw@2", "fw@3"].map(|image| upload(&served, image, &file(100)).ok());
    let directory = served.stop();
    bucket.fail(Fault::Hangs);
    let served = served_in(directory, &bucket);
    assert_eq!(served.get("/v1/images/fw@1").ok()["file"], "unchecked");
    let directory = served.stop();
    bucket.fail(Fault::None);
    let mut other = file(100);
    other[50] ^= 1;
    bucket.put(&key(&images[1]), &other);
    bucket.remove(&key(&images[2]));
    let served = served_in(directory, &bucket);
    for (image, condition) in [("fw@1", "whole"), ("fw@2", "damaged"), ("fw@3", "missing")] {
        let show = || served.get(&format!("/v1/images/{image}")).ok();
        until(show, |image| image["file"] == condition);
    }
    let answer = served.fetch("GET", &path(&images[2]), &[]);
    assert_eq!((answer.status, answer.bytes.len()), (503, 0));
}

#[test]
fn a_start_removes_only_what_an_interrupted_upload_left_in_the_bucket() {
    let bucket = Bucket::start();
    let served = served(&bucket);
    let image = upload(&served, "fw@1", &file(100)).ok();
    let data = served.data();
    let directory = served.stop();
    let (left, strange) = ("1".repeat(64), "2".repeat(64));
    for token in [&left, &strange] {
        bucket.put(&format!("rollcall/a/{token}"), b"x");
    }
    bucket.put("someone-elses", b"y");
    let noted = |token: &str| std::fs::write(data.join("artifact-notes").join(token), "").unwrap();
    noted(&left);
    noted(path(&image).trim_start_matches("/artifacts/"));
    let served = served_in(directory, &bucket);
    let mut expected = vec![
        key(&image),
        format!("rollcall/a/{strange}"),
        "someone-elses".to_owned(),
    ];
    expected.sort();
    assert_eq!(bucket.objects(), expected);
    assert_eq!(notes(&served), 0);
    assert_eq!(
        served
            .fetch("GET", &format!("/artifacts/{strange}"), &[])
            .status,
        404
    );
}

#[test]
fn credentials_are_refused_when_others_can_read_them_and_never_shown() {
    let bucket = Bucket::start();
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), &bucket, PATIENCE);
    let file = settings.credentials_file.clone().unwrap();
    let open = || {
        let settings = rollcall::artifacts::Settings {
            storage: StorageSettings::S3(settings.clone()),
            ..Default::default()
        };
        rollcall::artifacts::Artifacts::open(directory.path(), "http://x", settings)
    };
    let shown = format!("{:?} {:?}", open().unwrap(), settings);
    assert!(!shown.contains(SECRET), "{shown}");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    for content in [
        "",
        "secret_access_key = \"hush\"\n",
        "access_key_id hush",
        "access_key_id = 1\nhush = \"x\"",
    ] {
        std::fs::write(&file, content).unwrap();
        let error = open().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("not valid") && !shown.contains("hush"),
            "{shown}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    assert!(open().unwrap_err().to_string().contains("cannot be read"));
}
