//! The servers that are measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rollcall_broker::{
    Access, Broker, BrokerHandle, Config, ConnectRefusal, ConnectRequest, Event, Principal,
    PublishAccess, QoS, ReasonCode, SessionPolicy, SubscribeAccess, Ticket, Verdict,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::support::Offer;
use crate::support::site::Site;

/// Lets in whoever has the password, if there is one, and routes everything.
#[derive(Debug)]
struct Open {
    password: Option<&'static [u8]>,
}

impl Access for Open {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        if self.password.is_some() && connect.password != self.password {
            return Err(ConnectRefusal {
                code: ReasonCode::BadUserNameOrPassword,
                why: "wrong password".into(),
            });
        }
        Ok(Principal {
            client_id: connect.client_id.into(),
            tag: 0,
            sessions: SessionPolicy::AlwaysClean,
        })
    }

    fn publish(&self, _: &Principal, _: &str, _: QoS, _: bool) -> PublishAccess {
        PublishAccess::Route
    }

    fn subscribe(&self, _: &Principal, _: &str) -> SubscribeAccess {
        SubscribeAccess::Grant {
            max_qos: QoS::ExactlyOnce,
        }
    }
}

pub(crate) struct Server {
    pub(crate) url: String,
    _broker: Broker,
}

pub(crate) async fn open(password: Option<&'static [u8]>) -> Server {
    let (events, mut incoming) = mpsc::channel(64);
    tokio::spawn(async move { while incoming.recv().await.is_some() {} });
    let broker = Broker::new(Config::default(), Arc::new(Open { password }), events);
    listening(broker).await
}

/// The miniature server, which sends each robot a request as soon as it knows it.
pub(crate) async fn robots_server() -> (Site, String) {
    let offer = Offer {
        url: "http://127.0.0.1:9/none".to_owned(),
        size: 1,
        sha256: [0; 32],
    };
    let site = Site::open(offer).await;
    let url = format!("mqtt://127.0.0.1:{}", site.address.port);
    (site, url)
}

/// A server that takes in what is published, and answers with what `verdict` says to the message of this number.
pub(crate) async fn intake(verdict: impl Fn(u64) -> Verdict + Send + 'static) -> Server {
    let mut number = 0;
    taking(move |broker, ticket| {
        broker.settle(ticket, verdict(number));
        number += 1;
    })
    .await
}

/// A server that takes in what is published, and answers one message in the middle only after so many others. How long
/// it kept that one is told when it is over.
pub(crate) async fn stalling(place: u64, others: u64) -> (Server, oneshot::Receiver<Duration>) {
    let (tell, told) = oneshot::channel();
    let (mut number, mut kept, mut tell) = (0, None, Some(tell));
    let server = taking(move |broker, ticket| {
        number += 1;
        if number == place {
            kept = Some((ticket, Instant::now()));
            return;
        }
        broker.settle(ticket, Verdict::Accepted);
        if number == place + others {
            let (ticket, since) = kept.take().unwrap();
            broker.settle(ticket, Verdict::Accepted);
            tell.take().unwrap().send(since.elapsed()).unwrap();
        }
    })
    .await;
    (server, told)
}

/// A server that hands every publish to `take`.
async fn taking(mut take: impl FnMut(&BrokerHandle, Ticket) + Send + 'static) -> Server {
    let (events, mut incoming) = mpsc::channel(64);
    let broker = Broker::new(Config::default(), Arc::new(Intake), events);
    let handle = broker.handle();
    tokio::spawn(async move {
        while let Some(event) = incoming.recv().await {
            if let Event::Publish { ticket, .. } = event {
                take(&handle, ticket);
            }
        }
    });
    listening(broker).await
}

async fn listening(broker: Broker) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    broker.listen(listener);
    Server {
        url,
        _broker: broker,
    }
}

/// Takes everything in.
#[derive(Debug)]
struct Intake;

impl Access for Intake {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        Ok(Principal {
            client_id: connect.client_id.into(),
            tag: 1,
            sessions: SessionPolicy::AlwaysClean,
        })
    }

    fn publish(&self, _: &Principal, _: &str, _: QoS, _: bool) -> PublishAccess {
        PublishAccess::Intake
    }

    fn subscribe(&self, _: &Principal, _: &str) -> SubscribeAccess {
        SubscribeAccess::Grant {
            max_qos: QoS::ExactlyOnce,
        }
    }
}
