//! A DCL node in this process, as Cosmos SDK's gateway answers, that can be told to misbehave. It serves the vendor's
//! files too.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and each uses its own part of this"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub const VID: u16 = 0xfff1;
pub const PID: u16 = 0x8000;
pub const LIST: &str = "/dcl/model/versions/65521/32768";
pub const ALL: &str = "/dcl/model/versions";

/// What is answered at a path.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With a status, a body and its length.
    Body(u16, Vec<u8>),
    /// A length that is not reached.
    Half(Vec<u8>),
    /// A body without a length, which ends with the connection.
    Unannounced(Vec<u8>),
    /// Nothing, until there is another answer.
    Held,
    /// Nothing, while the node lives.
    Silence,
    /// A body that begins, and then nothing.
    Stall(Vec<u8>),
    /// A byte now and then, without an end.
    Drip,
    /// Elsewhere.
    Redirect(String),
    /// A page with another key each time, or ever the same.
    Pages { fresh: bool },
}

#[derive(Debug, Default)]
struct Script {
    answers: BTreeMap<String, Answer>,
    seen: Vec<String>,
    stopped: bool,
}

#[derive(Debug)]
pub struct Node {
    pub url: String,
    script: Arc<Mutex<Script>>,
}

pub fn json_answer(body: &Value) -> Answer {
    Answer::Body(200, body.to_string().into_bytes())
}

/// What a node says of what it does not have.
pub fn not_found() -> Answer {
    let body = json!({"code": 5, "message": "not found", "details": []});
    Answer::Body(404, body.to_string().into_bytes())
}

impl Drop for Node {
    fn drop(&mut self) {
        self.script.lock().unwrap().stopped = true;
        // Wakes the listener.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl Node {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().stopped {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || drop(serve(stream.unwrap(), &shared)));
            }
        });
        let node = Self { url, script };
        node.list(&[]);
        node
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        let mut script = self.script.lock().unwrap();
        script.answers.insert(path.to_owned(), answer);
    }

    /// How often the path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let script = self.script.lock().unwrap();
        script.seen.iter().filter(|seen| *seen == path).count()
    }

    /// The node lists these versions.
    pub fn list(&self, numbers: &[u32]) {
        let list = json!({"modelVersions": {"vid": VID, "pid": PID, "softwareVersions": numbers}});
        self.answer(LIST, json_answer(&list));
    }

    pub fn record(&self, record: &Value) {
        let number = &record["softwareVersion"];
        let body = json!({ "modelVersion": record });
        self.answer(&format!("{LIST}/{number}"), json_answer(&body));
    }

    /// A file, and the record of the version that it is.
    pub fn file(&self, number: u32, bytes: &[u8]) -> Value {
        let path = format!("/files/{number}.ota");
        self.answer(&path, Answer::Body(200, bytes.to_vec()));
        json!({
            "vid": VID, "pid": PID, "softwareVersion": number,
            "softwareVersionString": format!("{number}.0.0"), "cdVersionNumber": 1,
            "firmwareInformation": "", "softwareVersionValid": true,
            "otaUrl": format!("{}{path}", self.url), "otaFileSize": bytes.len().to_string(),
            "otaChecksum": BASE64.encode(Sha256::digest(bytes)), "otaChecksumType": 1,
            "minApplicableSoftwareVersion": 0, "maxApplicableSoftwareVersion": number.saturating_sub(1),
            "releaseNotesUrl": "", "creator": "cosmos1abc", "schemaVersion": 0,
            "specificationVersion": 0,
        })
    }

    /// A record without a file.
    pub fn bare(number: u32) -> Value {
        json!({
            "vid": VID, "pid": PID, "softwareVersion": number,
            "softwareVersionString": format!("{number}.0.0"), "cdVersionNumber": 1,
            "firmwareInformation": "", "softwareVersionValid": true, "otaUrl": "",
            "otaFileSize": "0", "otaChecksum": "", "otaChecksumType": 0,
            "minApplicableSoftwareVersion": 0, "maxApplicableSoftwareVersion": 9,
            "releaseNotesUrl": "", "creator": "cosmos1abc", "schemaVersion": 0,
        })
    }
}

fn serve(mut stream: TcpStream, script: &Mutex<Script>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let bare = path.split('?').next().unwrap_or_default();
    script.lock().unwrap().seen.push(path.clone());
    let answer = loop {
        let script = script.lock().unwrap();
        let exact = script.answers.get(&path);
        let answer = exact.or_else(|| script.answers.get(bare)).cloned();
        if !matches!(answer, Some(Answer::Held)) || script.stopped {
            break answer;
        }
        drop(script);
        thread::sleep(Duration::from_millis(5));
    };
    let head = |status: u16, more: &str| {
        format!(
            "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\nconnection: close\r\n{more}\r\n"
        )
    };
    let alive = || !script.lock().unwrap().stopped;
    match answer.unwrap_or_else(not_found) {
        Answer::Body(status, body) => {
            let length = format!("content-length: {}\r\n", body.len());
            stream.write_all(head(status, &length).as_bytes())?;
            stream.write_all(&body)
        }
        Answer::Half(body) => {
            let length = format!("content-length: {}\r\n", body.len());
            stream.write_all(head(200, &length).as_bytes())?;
            stream.write_all(&body[..body.len() / 2])
        }
        Answer::Unannounced(body) => {
            stream.write_all(head(200, "").as_bytes())?;
            stream.write_all(&body)
        }
        Answer::Held | Answer::Silence => {
            while alive() {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        Answer::Stall(body) => {
            stream.write_all(head(200, "content-length: 1000000\r\n").as_bytes())?;
            stream.write_all(&body)?;
            while alive() {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        Answer::Drip => {
            stream.write_all(head(200, "content-length: 1000000\r\n").as_bytes())?;
            while alive() {
                stream.write_all(b" ")?;
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        Answer::Redirect(to) => stream
            .write_all(head(302, &format!("location: {to}\r\ncontent-length: 0\r\n")).as_bytes()),
        Answer::Pages { fresh } => {
            let count = script.lock().unwrap().seen.len();
            let key = if fresh { count } else { 7 };
            let key = BASE64.encode(key.to_string());
            let body = json!({
                "modelVersions": {"vid": VID, "pid": PID, "softwareVersions": []},
                "modelVersion": [], "pagination": {"next_key": key, "total": "0"},
            });
            let body = body.to_string();
            let length = format!("content-length: {}\r\n", body.len());
            stream.write_all(head(200, &length).as_bytes())?;
            stream.write_all(body.as_bytes())
        }
    }
}
