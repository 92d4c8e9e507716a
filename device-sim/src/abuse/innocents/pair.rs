//! A publisher (3.1.1) and a subscriber (5.0) of QoS 1. Neither reconnects, so every message comes exactly once.

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::Innocent;
use crate::abuse::arena::subscribed;
use crate::abuse::attack::{Fault, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, PUBACK, QOS1, Version};
use crate::abuse::peer::Peer;

pub(super) async fn run(innocent: Innocent) -> Result<(), Fault> {
    let number = innocent.arena.number();
    let topic = innocent.arena.guests.topic(&format!("pair-{number}"));
    let (arrived, arrivals) = watch::channel(0);
    // The last message, once there is one.
    let (end, ended) = oneshot::channel();
    let subscriber = subscribe(&innocent, &topic).await?;
    // The publisher knows more about what is missing, so it may speak first.
    let mut patient = innocent.clone();
    patient.stall *= 2;
    let (published, received) = tokio::join!(
        publish(&innocent, &topic, arrivals, end),
        receive(&patient, subscriber, arrived, ended),
    );
    published.and(received)
}

async fn subscribe(innocent: &Innocent, topic: &str) -> Result<Peer, Fault> {
    let number = innocent.arena.number();
    let guests = &innocent.arena.guests;
    let connect = guests.connect(Version::V5, &format!("subscriber-{number}"));
    let mut peer = innocent.arena.accepted(&connect).await?;
    subscribed(&mut peer, topic, 1).await?;
    Ok(peer)
}

async fn publish(
    innocent: &Innocent,
    topic: &str,
    mut arrivals: watch::Receiver<u64>,
    end: oneshot::Sender<u64>,
) -> Result<(), Fault> {
    let number = innocent.arena.number();
    let guests = &innocent.arena.guests;
    let connect = guests.connect(Version::V4, &format!("publisher-{number}"));
    let mut peer = innocent.arena.accepted(&connect).await?;
    let mut sent = 0_u64;
    while !innocent.stopped() {
        sent += 1;
        let id = u16::try_from(sent % 60_000).unwrap_or(0) + 1;
        let began = Instant::now();
        let bytes = packet::publish(Version::V4, QOS1, topic, id, &sent.to_be_bytes());
        peer.send(&bytes).await?;
        let expected = Incoming::Ack {
            first: PUBACK,
            id,
            code: 0,
        };
        let heard = innocent.hear(&mut peer, "PUBACK").await?;
        ensure(heard == expected, || {
            format!("{heard:?} instead of the PUBACK of {id}")
        })?;
        let came = arrivals.wait_for(|arrived| *arrived >= sent);
        match tokio::time::timeout(innocent.stall, came).await {
            // The subscriber has ended and tells why.
            Ok(Err(_)) => return Ok(()),
            Ok(Ok(_)) => innocent.beat(began),
            Err(_) => {
                return Err(Fault::new(format!(
                    "message {sent} was acknowledged and has not arrived within {:.0?}",
                    innocent.stall
                )));
            }
        }
        innocent.pause().await;
    }
    let _ = end.send(sent);
    peer.send(&packet::GOODBYE).await?;
    Ok(())
}

async fn receive(
    innocent: &Innocent,
    mut peer: Peer,
    arrived: watch::Sender<u64>,
    mut ended: oneshot::Receiver<u64>,
) -> Result<(), Fault> {
    let mut expected = 1_u64;
    loop {
        let packet = tokio::select! {
            biased;
            packet = innocent.hear(&mut peer, "message") => packet?,
            last = &mut ended => {
                // An error: the publisher has ended and tells why.
                let Ok(last) = last else { return Ok(()) };
                return match expected > last {
                    true => Ok(peer.send(&packet::GOODBYE).await?),
                    false => Err(Fault::new(format!("acknowledged message {expected} is lost"))),
                };
            }
        };
        let Incoming::Publish { payload, id, .. } = packet else {
            return Err(Fault::new(format!("{packet:?} instead of a message")));
        };
        let number = payload.as_ref().try_into().map_or(0, u64::from_be_bytes);
        ensure(number == expected, || {
            let what = if number < expected {
                "came twice"
            } else {
                "came, and before it some are lost"
            };
            format!("message {number} {what} ({expected} was due)")
        })?;
        expected += 1;
        peer.send(&packet::ack(PUBACK, id)).await?;
        arrived.send_replace(number);
    }
}
