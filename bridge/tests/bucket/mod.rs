//! A stand-in for a service that speaks S3: as much as hosted files need, and every way to fail that they must survive.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) const BUCKET: &str = "updates";
pub(crate) const KEY_ID: &str = "AKIDTEST";
pub(crate) const SECRET: &str = "a-secret-that-nobody-logs";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Every request is answered with 503.
    Down,
    /// Requests are read and never answered.
    Hangs,
    /// Parts are answered with 500.
    RefusesParts,
    /// An upload cannot be completed; S3 says so with status 200.
    RefusesCompletion,
    /// Bodies of objects break off after so many bytes.
    CutsBodies(usize),
    /// Bodies of objects stop after so many bytes, and the connection stays open.
    StallsBodies(usize),
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    begun: usize,
    fault: Fault,
    requests: Vec<String>,
    /// Kept open for as long as the bucket lives.
    hanging: Vec<TcpStream>,
}

/// The bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    key: String,
    query: String,
    range: Option<(usize, usize)>,
    signed: bool,
    body: Vec<u8>,
}

impl Bucket {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bucket = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let serving = bucket.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bucket = serving.clone();
                std::thread::spawn(move || bucket.serve(stream));
            }
        });
        bucket
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    pub(crate) fn objects(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.state.lock().unwrap().uploads.len()
    }

    pub(crate) fn put(&self, key: &str, object: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.objects.insert(key.to_owned(), object.to_vec());
    }

    pub(crate) fn remove(&self, key: &str) {
        self.state.lock().unwrap().objects.remove(key);
    }

    /// Method and key of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(request) = read(&mut reader) {
            if !self.answer(&request, &mut stream) {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    fn answer(&self, request: &Request, stream: &mut TcpStream) -> bool {
        let mut state = self.state.lock().unwrap();
        let line = format!("{} {}?{}", request.method, request.key, request.query);
        state.requests.push(line);
        match state.fault {
            Fault::Down => return say(stream, 503, "", b"<Error><Code>SlowDown</Code></Error>"),
            Fault::Hangs => {
                state.hanging.push(stream.try_clone().unwrap());
                return false;
            }
            _ if !request.signed => return say(stream, 403, "", b""),
            _ => {}
        }
        let upload = request
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix("uploadId="));
        match (request.method.as_str(), upload) {
            ("POST", None) => {
                state.begun += 1;
                let id = format!("upload-{}", state.begun);
                state.uploads.insert(id.clone(), BTreeMap::new());
                let xml = format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                say(stream, 200, "", xml.as_bytes())
            }
            ("PUT", Some(id)) => {
                if state.fault == Fault::RefusesParts {
                    return say(stream, 500, "", b"");
                }
                let number = request
                    .query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("partNumber="));
                let parts = state.uploads.get_mut(id).unwrap();
                parts.insert(number.unwrap().parse().unwrap(), request.body.clone());
                say(stream, 200, "etag: \"part\"\r\n", b"")
            }
            ("POST", Some(id)) => {
                if state.fault == Fault::RefusesCompletion {
                    return say(
                        stream,
                        200,
                        "",
                        b"<Error><Code>InternalError</Code></Error>",
                    );
                }
                let parts = state.uploads.remove(id).unwrap();
                let parts: Vec<_> = parts.into_values().collect();
                let object = parts.concat();
                state.objects.insert(request.key.clone(), object);
                let xml = b"<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>";
                say(stream, 200, "", xml)
            }
            ("DELETE", Some(id)) => {
                state.uploads.remove(id);
                say(stream, 204, "", b"")
            }
            ("DELETE", None) => {
                state.objects.remove(&request.key);
                say(stream, 204, "", b"")
            }
            ("GET" | "HEAD", None) => {
                let Some(object) = state.objects.get(&request.key) else {
                    return say(stream, 404, "", b"");
                };
                give(stream, request, object, state.fault)
            }
            _ => say(stream, 400, "", b""),
        }
    }
}

fn give(stream: &mut TcpStream, request: &Request, object: &[u8], fault: Fault) -> bool {
    let (status, from, to) = match request.range {
        Some((from, to)) => (206, from, (to + 1).min(object.len())),
        None => (200, 0, object.len()),
    };
    let body = &object[from..to];
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\netag: \"whole\"\r\n\
         last-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\ncontent-range: bytes {from}-{}/{}\r\n\r\n",
        body.len(),
        to.saturating_sub(1),
        object.len()
    );
    let mut bytes = head.into_bytes();
    if request.method == "HEAD" {
        return stream.write_all(&bytes).is_ok();
    }
    match fault {
        Fault::CutsBodies(after) => {
            bytes.extend_from_slice(&body[..after.min(body.len())]);
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            false
        }
        Fault::StallsBodies(after) => {
            bytes.extend_from_slice(&body[..after.min(body.len())]);
            stream.write_all(&bytes).is_ok()
        }
        _ => {
            bytes.extend_from_slice(body);
            stream.write_all(&bytes).is_ok()
        }
    }
}

fn say(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> bool {
    let head = format!(
        "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).is_ok()
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let (method, target) = line.split_once(' ')?;
    let target = target.split(' ').next()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        key: path.trim_start_matches(&format!("/{BUCKET}/")).to_owned(),
        query: query.to_owned(),
        range: None,
        signed: false,
        body: Vec::new(),
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => request.signed = value.contains(&format!("Credential={KEY_ID}/")),
            "range" => {
                let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
                request.range = Some((from.parse().ok()?, to.parse().unwrap_or(usize::MAX - 1)));
            }
            _ => {}
        }
    }
    reader.take(length).read_to_end(&mut request.body).ok()?;
    Some(request)
}
