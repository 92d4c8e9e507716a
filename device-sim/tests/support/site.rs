//! A real broker and a real HTTP server on loopback, with the miniature server behind them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use device_sim::driver::{Broker as Address, Report, RunOptions, Stats, run};
use parking_lot::Mutex;
use rollcall_broker::{
    Access, Broker, Config, ConnectRefusal, ConnectRequest, ConnectionId, Event, Limits, Principal,
    PublishAccess, QoS, SessionPolicy, SubscribeAccess, Tls, Verdict,
};
use rollcall_proto::topic::{Base, is_device_publishable};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::{MiniServer, Offer};

/// Longest time for anything.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a fleet until it comes to rest.
pub async fn run_to_the_end(options: RunOptions) -> Report {
    let (_stop, stopped) = watch::channel(false);
    let run = run(options, Arc::new(Stats::default()), stopped);
    tokio::time::timeout(PATIENCE, run)
        .await
        .expect("the fleet comes to rest")
        .unwrap()
}

#[derive(Debug)]
struct Robots;

impl Access for Robots {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        let named = match connect.certificate {
            // As Astarte: a certificate takes the place of user name and password.
            Some(der) => connect.username.is_none() && common_name(der) == connect.client_id,
            None => connect.username == Some(connect.client_id) && connect.password == Some(b"dev"),
        };
        if !named || Base::parse(connect.client_id).is_err() {
            return Err(ConnectRefusal {
                code: rollcall_broker::ReasonCode::BadUserNameOrPassword,
                why: "not a robot".into(),
            });
        }
        let number = connect
            .client_id
            .rsplit('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let sessions = SessionPolicy::AlwaysClean;
        Ok(Principal {
            client_id: connect.client_id.into(),
            tag: number,
            sessions,
        })
    }

    fn publish(&self, who: &Principal, topic: &str, _: QoS, _: bool) -> PublishAccess {
        if is_device_publishable(&Base::parse(&who.client_id).unwrap(), topic) {
            PublishAccess::Intake
        } else {
            PublishAccess::Deny {
                why: "not its own".into(),
            }
        }
    }

    fn subscribe(&self, who: &Principal, filter: &str) -> SubscribeAccess {
        if Base::parse(&who.client_id).unwrap().may_subscribe(filter) {
            SubscribeAccess::Grant {
                max_qos: QoS::ExactlyOnce,
            }
        } else {
            SubscribeAccess::Deny {
                why: "not its own".into(),
            }
        }
    }
}

fn common_name(der: &[u8]) -> String {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    let name = certificate.subject().iter_common_name().next().unwrap();
    name.as_str().unwrap().to_owned()
}

/// A broker with the miniature server behind it.
pub struct Site {
    pub address: Address,
    pub server: Arc<Mutex<MiniServer>>,
    _broker: Broker,
}

impl Site {
    pub async fn open(offer: Offer) -> Self {
        Self::open_with(offer, None).await
    }

    /// One that speaks TLS.
    pub async fn open_tls(offer: Offer, tls: Tls) -> Self {
        Self::open_with(offer, Some(tls)).await
    }

    async fn open_with(offer: Offer, tls: Option<Tls>) -> Self {
        let secured = tls.is_some();
        let (sender, mut events) = mpsc::channel(1_024);
        let broker = Broker::new(
            Config {
                limits: Limits::default(),
            },
            Arc::new(Robots),
            sender,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        match tls {
            Some(tls) => broker.listen_tls(listener, tls),
            None => broker.listen(listener),
        }
        let handle = broker.handle();
        let server = Arc::new(Mutex::new(MiniServer::new(offer)));
        let behind = server.clone();
        tokio::spawn(async move {
            let mut live: HashMap<u64, ConnectionId> = HashMap::new();
            while let Some(event) = events.recv().await {
                match event {
                    Event::Connected {
                        connection, tag, ..
                    } => {
                        live.insert(tag, connection);
                    }
                    Event::Publish {
                        ticket,
                        tag,
                        topic,
                        payload,
                        ..
                    } => {
                        let down = behind.lock().uplink(&topic, &payload);
                        handle.settle(ticket, Verdict::Accepted);
                        for message in down {
                            // A robot that has just gone asks again when it is back.
                            let _ = handle.send(
                                live[&tag],
                                &message.topic,
                                message.payload.into(),
                                QoS::AtLeastOnce,
                            );
                        }
                    }
                    _ => {}
                }
            }
        });
        Self {
            address: Address {
                host: "127.0.0.1".to_owned(),
                port,
                tls: secured,
            },
            server,
            _broker: broker,
        }
    }
}

/// Serves one artifact, whatever is asked for.
pub async fn serve(artifact: Vec<u8>) -> (Offer, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/artifact", listener.local_addr().unwrap());
    let (size, sha256) = (artifact.len() as u64, Sha256::digest(&artifact).into());
    let artifact = Arc::new(artifact);
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let artifact = artifact.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let length = artifact.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.write_all(&artifact).await;
            });
        }
    });
    (Offer { url, size, sha256 }, task)
}
