//! A certificate authority with a pairing API in miniature (device-contract 2), which can be told to
//! misbehave, and which serves artifacts in the ways in which servers serve them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    IsCa, KeyPair,
};
use rollcall_broker::{ClientCertificates, Tls, server_config};
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub const TOKEN: &str = "pairing-token";

/// What the server gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Every certificate comes with its issuer's.
    Chain,
    /// Certificates are for somebody else.
    OtherName,
    /// The broker's url has no port.
    NoPort,
    /// 500 to everything.
    Down,
    NotJson,
    /// More than anybody wants to read.
    Endless,
}

#[derive(Default)]
struct Books {
    secrets: BTreeMap<String, String>,
    /// Certificates that are no longer valid.
    revoked: BTreeSet<String>,
    issued: Vec<String>,
    fault: Fault,
    broker: String,
    downloads: Vec<String>,
}

#[derive(Clone)]
pub struct Authority {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
    books: Arc<Mutex<Books>>,
}

fn params(name: &str) -> CertificateParams {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub fn new() -> Self {
        let mut params = params("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self {
            issuer: Arc::new(issuer),
            books: Arc::default(),
        }
    }

    /// The file that clients trust.
    pub fn file(&self, folder: &std::path::Path) -> PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// A listener's settings that want a certificate of this authority.
    pub fn tls(&self) -> Tls {
        self.tls_for(self)
    }

    /// Settings that want a certificate of another authority.
    pub fn tls_for(&self, other: &Self) -> Tls {
        let clients = ClientCertificates::Required(other.roots());
        Tls::new(self.settings(clients))
    }

    /// Settings that want no certificate.
    pub fn open_tls(&self) -> Tls {
        let clients = ClientCertificates::Optional(self.roots());
        Tls::new(self.settings(clients))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    fn settings(&self, clients: ClientCertificates) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = params("server").signed_by(&key, &*self.issuer).unwrap();
        server_config(vec![certificate.into()], key.into(), clients).unwrap()
    }

    pub fn broker(&self, port: u16) {
        self.books.lock().broker = format!("mqtts://localhost:{port}");
    }

    pub fn misbehave(&self, fault: Fault) {
        self.books.lock().fault = fault;
    }

    /// All certificates of today are no longer valid.
    pub fn revoke_all(&self) {
        let mut books = self.books.lock();
        let issued = books.issued.clone();
        books.revoked.extend(issued);
    }

    /// Certificates issued so far.
    pub fn issued(&self) -> usize {
        self.books.lock().issued.len()
    }

    /// What downloads named as their operation.
    pub fn downloads(&self) -> Vec<String> {
        self.books.lock().downloads.clone()
    }

    /// Serves the pairing API, and artifacts, over plain HTTP. Answers with the base of both.
    pub async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    /// The same over HTTPS.
    pub async fn serve_tls(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let nobody = ClientCertificates::Optional(self.roots());
        let acceptor = TlsAcceptor::from(self.settings(nobody));
        let router = self.router();
        let secured = Secured { listener, acceptor };
        tokio::spawn(async move { axum::serve(secured, router).await });
        format!("https://localhost:{port}")
    }

    fn router(&self) -> Router {
        let device = "/pairing/v1/{realm}/devices/{robot}";
        let credentials = format!("{device}/protocols/astarte_mqtt_v1/credentials");
        Router::new()
            .route("/pairing/v1/{realm}/agent/devices", post(register))
            .route(device, get(info))
            .route(&credentials, post(issue))
            .route(&format!("{credentials}/verify"), post(verify))
            .route(&format!("{device}/refused"), get(|| async { refuse(404) }))
            .route("/artifact", get(artifact))
            .route("/moved", get(|| async { Redirect::temporary("/artifact") }))
            .route("/round", get(|| async { Redirect::temporary("/round") }))
            .route("/chunked", get(chunked))
            .with_state(self.clone())
    }
}

struct Secured {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

fn answer(status: u16, data: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({ "data": data }))).into_response()
}

fn refuse(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({ "errors": { "detail": "no" } }))).into_response()
}

fn bearer(headers: &HeaderMap) -> &str {
    let header = headers.get("authorization").unwrap().to_str().unwrap();
    header.strip_prefix("Bearer ").unwrap()
}

/// What a server that is out of order says.
fn disorder(fault: Fault) -> Option<Response> {
    match fault {
        Fault::Down => Some(refuse(500)),
        Fault::NotJson => Some((StatusCode::CREATED, "certainly").into_response()),
        Fault::Endless => {
            let much = vec![b' '; 1 << 20];
            Some((StatusCode::CREATED, much).into_response())
        }
        _ => None,
    }
}

async fn register(
    State(authority): State<Authority>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let mut books = authority.books.lock();
    if let Some(disorder) = disorder(books.fault) {
        return disorder;
    }
    if bearer(&headers) != TOKEN {
        return refuse(401);
    }
    let robot = body["data"]["hw_id"].as_str().unwrap().to_owned();
    if books.secrets.contains_key(&robot) {
        return refuse(422);
    }
    let secret = format!("secret of {robot}");
    books.secrets.insert(robot, secret.clone());
    answer(201, json!({ "credentials_secret": secret }))
}

async fn issue(
    State(authority): State<Authority>,
    Path((realm, robot)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let mut books = authority.books.lock();
    if books.secrets.get(&robot).map(String::as_str) != Some(bearer(&headers)) {
        return refuse(403);
    }
    let csr = body["data"]["csr"].as_str().unwrap();
    let mut csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
    csr.params.distinguished_name = rcgen::DistinguishedName::new();
    let name = match books.fault {
        Fault::OtherName => format!("{realm}/somebody"),
        _ => format!("{realm}/{robot}"),
    };
    csr.params.distinguished_name.push(DnType::CommonName, name);
    let mut pem = csr.signed_by(&*authority.issuer).unwrap().pem();
    if books.fault == Fault::Chain {
        pem.push_str(&authority.issuer.pem());
    }
    books.issued.push(pem.clone());
    answer(201, json!({ "client_crt": pem }))
}

async fn verify(
    State(authority): State<Authority>,
    Path((_, robot)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let books = authority.books.lock();
    if books.secrets.get(&robot).map(String::as_str) != Some(bearer(&headers)) {
        return refuse(403);
    }
    let pem = body["data"]["client_crt"].as_str().unwrap();
    let valid = !books.revoked.contains(pem);
    answer(
        200,
        json!({ "valid": valid, "timestamp": "2026-01-01T00:00:00Z" }),
    )
}

async fn info(
    State(authority): State<Authority>,
    Path((_, robot)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let books = authority.books.lock();
    if books.secrets.get(&robot).map(String::as_str) != Some(bearer(&headers)) {
        return refuse(403);
    }
    let mut broker = books.broker.clone();
    if books.fault == Fault::NoPort {
        broker.truncate(broker.rfind(':').unwrap());
    }
    let protocols = json!({ "astarte_mqtt_v1": { "broker_url": broker } });
    let (version, status) = ("1.3.0", "confirmed");
    answer(
        200,
        json!({ "version": version, "status": status, "protocols": protocols }),
    )
}

/// An artifact that says what it is.
pub fn bundle() -> Vec<u8> {
    let mut bundle = b"rollcall-image os@2.0.0+b7\n".to_vec();
    bundle.resize(5_000, 0);
    bundle
}

async fn artifact(State(authority): State<Authority>, headers: HeaderMap) -> Vec<u8> {
    let operation = headers.get("x-edgehog-ota-id").unwrap();
    let operation = operation.to_str().unwrap().to_owned();
    authority.books.lock().downloads.push(operation);
    bundle()
}

async fn chunked() -> Body {
    let pieces = [Ok::<_, std::io::Error>(bundle())];
    Body::from_stream(futures_util::stream::iter(pieces))
}
