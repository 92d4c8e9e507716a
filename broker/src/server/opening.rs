//! From an accepted socket to an accepted CONNECT.

use super::hub::Opening;
use super::mailbox::SessionRef;
use super::places::Place;
use super::refusals::cut;
use super::securing;
use super::serving::Served;
use super::socket::count_breach;
use super::task::{Line, Wake, Want, with_output};
use super::upgrading;
use crate::access::{
    ConnectRefusal, ConnectRequest, Principal, PublishAccess, SessionPolicy, SubscribeAccess,
};
use crate::clock;
use crate::codec::{
    Connect, Packet, PacketType, PropertyId, ProtocolVersion, ReasonCode, Will, topic,
};
use crate::connection::{Close, Connection, Offer, Terms, connack, refuse, refuse_undecodable};
use crate::event::Event;
use crate::message::Message;
use crate::metrics::Count;
use crate::routing::{Claim, Ready, Testament};
use crate::storage::{Mark, SessionJournal, Waiter};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;

/// Waits for a complete CONNECT, but not long. Every failure is counted here.
pub(super) async fn receive_connect(line: &mut Line) -> Option<Box<Connect>> {
    line.set_timer(clock::now().checked_add(line.hub.limits.connect_timeout));
    if line.socket.is_handshaking() && !Box::pin(securing::secure(line)).await {
        return None;
    }
    if line.socket.is_upgrading() && !Box::pin(upgrading::upgrade(line)).await {
        return None;
    }
    loop {
        // WebSocket has answers before there is a connection; who does not read them is not read either.
        let want = Want {
            packets: line.socket.backlog() < line.hub.limits.send_buffer,
            messages: false,
        };
        let failure = match try_connect(line) {
            Ok(Some(connect)) => return Some(connect),
            Err(failure) => failure,
            Ok(None) => match more(line, want).await {
                Ok(()) => continue,
                Err(failure) => failure?,
            },
        };
        line.hub.metrics.one(failure);
        tracing::debug!(peer = %line.peer, reason = failure.name(), "no connect");
        return None;
    }
}

/// Waits until a client that has not connected yet has sent or taken something. Otherwise what counts the end, which
/// nothing does if the broker ordered it.
pub(super) async fn more(line: &mut Line, want: Want) -> Result<(), Option<Count>> {
    match line.wake(want, &mut None).await {
        Wake::Read(Ok(count)) if count > 0 => {
            line.count_in(count);
            Ok(())
        }
        Wake::Writable(Ok(())) if line.socket.flush().is_ok() => Ok(()),
        Wake::Read(read) => {
            let breach = read.err().as_ref().and_then(count_breach);
            Err(Some(breach.unwrap_or(Count::ConnectAbandoned)))
        }
        Wake::Writable(_) => Err(Some(Count::ConnectAbandoned)),
        Wake::Timer => Err(Some(Count::ConnectTimeout)),
        Wake::Mail(_) | Wake::Room(_) => Err(None),
    }
}

fn try_connect(line: &mut Line) -> Result<Option<Box<Connect>>, Count> {
    let packet = line
        .socket
        .packet(line.hub.limits.max_packet_size)
        .map_err(|_| Count::ConnectMalformed)?;
    let Some((first, body)) = packet else {
        return Ok(None);
    };
    if PacketType::from_first_byte(first) != Some(PacketType::Connect) {
        return Err(Count::ConnectMalformed);
    }
    line.hub.metrics.one(Count::PacketsIn);
    match Packet::decode(ProtocolVersion::V5, first, body.clone()) {
        Ok(Packet::Connect(connect)) => Ok(Some(connect)),
        Ok(_) => Err(Count::ConnectMalformed),
        Err(error) => {
            with_output(|out| {
                refuse_undecodable(error, &body, out);
                // The connection ends anyway.
                let _ = line.socket.write(out);
            });
            Err(Count::ConnectMalformed)
        }
    }
}

/// Bytes that any CONNACK of ours has room in, but for an assigned client id that is very long.
const CONNACK_ROOM: usize = 512;

/// Why a CONNECT is refused, and what counts it.
struct Refused(Count, ConnectRefusal);

impl Refused {
    fn new(count: Count, code: ReasonCode, why: impl Into<crate::access::Why>) -> Self {
        Self(
            count,
            ConnectRefusal {
                code,
                why: why.into(),
            },
        )
    }
}

/// Decides about a CONNECT and opens the session.
pub(super) async fn open(line: &mut Line, connect: Box<Connect>) -> Option<Box<Served>> {
    let Some(place) = Place::take(&line.hub.established, line.hub.limits.max_connections) else {
        let refused = Refused::new(
            Count::ConnectionLimit,
            ReasonCode::ServerBusy,
            "too many connections",
        );
        refuse_connect(line, &connect, &refused);
        return None;
    };
    let opened = match examine(line, &connect) {
        Ok(examined) => establish(line, &connect, examined, place).await,
        Err(refused) => {
            drop(place);
            Err(refused)
        }
    };
    match opened {
        Ok(served) => {
            line.hub.metrics.one(Count::ConnectionsOpened);
            tracing::debug!(peer = %line.peer, client_id = cut(&served.principal.client_id), "connected");
            Some(served)
        }
        Err(refused) => {
            refuse_connect(line, &connect, &refused);
            None
        }
    }
}

fn refuse_connect(line: &mut Line, connect: &Connect, Refused(count, refusal): &Refused) {
    line.hub.metrics.one(*count);
    let why = refusal.why.to_string();
    let (peer, client_id) = (line.peer, cut(&connect.client_id));
    let (code, why) = (refusal.code, cut(&why));
    if let Some(unsaid) = line.hub.refused_connects.may_log() {
        tracing::info!(%peer, client_id, %code, why, unsaid, "connect refused");
    } else {
        tracing::debug!(%peer, client_id, %code, why, "connect refused");
    }
    with_output(|out| {
        refuse(connect, refusal, out);
        // The connection ends anyway.
        let _ = line.socket.write(out);
    });
}

/// A CONNECT that passed every check.
struct Examined {
    principal: Principal,
    terms: Terms,
    will: Option<Testament>,
    is_assigned: bool,
}

fn examine(line: &Line, connect: &Connect) -> Result<Examined, Refused> {
    let hub = &line.hub;
    // Checked before the owner sees anything, and again once it has said whether sessions are kept.
    Terms::agree(connect, &hub.limits, true)
        .map_err(|refusal| Refused(Count::ClientIdRefused, refusal))?;
    let proposed = connect.client_id.is_empty().then(|| hub.propose_id());
    let request = ConnectRequest {
        client_id: &connect.client_id,
        proposed_id: proposed.as_deref(),
        username: connect.username.as_deref(),
        password: connect.password.as_deref(),
        certificate: line.socket.certificate(),
        peer: line.peer,
        version: connect.version,
        clean_start: connect.clean_start,
    };
    let principal = hub
        .access
        .authenticate(&request)
        .map_err(|refusal| Refused(Count::ConnectRefused, refusal))?;
    if principal.client_id.is_empty() {
        return Err(Refused::new(
            Count::ClientIdRefused,
            ReasonCode::ClientIdentifierNotValid,
            "an empty client id was not replaced",
        ));
    }
    let keeps_sessions = principal.sessions == SessionPolicy::Persistent;
    let terms = Terms::agree(connect, &hub.limits, keeps_sessions)
        .map_err(|refusal| Refused(Count::ClientIdRefused, refusal))?;
    let will = match &connect.will {
        Some(will) => Some(testament(line, &principal, will)?),
        None => None,
    };
    let is_assigned = *principal.client_id != *connect.client_id;
    if terms.max_packet < CONNACK_ROOM {
        let offer = Offer {
            session_present: false,
            assigned_id: is_assigned.then_some(&*principal.client_id),
            connect,
        };
        connack(&offer, &terms, &hub.limits, &mut Vec::new())
            .map_err(|refusal| Refused(Count::PacketTooLarge, refusal))?;
    }
    Ok(Examined {
        is_assigned,
        principal,
        terms,
        will,
    })
}

/// A will is a publish that comes later, so it is judged like one.
fn testament(line: &Line, principal: &Principal, will: &Will) -> Result<Testament, Refused> {
    let refused = |why: String| Refused::new(Count::WillRefused, ReasonCode::NotAuthorized, why);
    if topic::is_reserved(&will.topic) {
        return Err(refused("a will may not go to a topic of the server".into()));
    }
    if topic::levels(&will.topic) > line.hub.limits.max_topic_levels {
        return Err(Refused::new(
            Count::TopicTooDeep,
            ReasonCode::TopicNameInvalid,
            "the topic of the will has too many levels",
        ));
    }
    match line
        .hub
        .access
        .publish(principal, &will.topic, will.qos, will.retain)
    {
        PublishAccess::Route => {}
        PublishAccess::Intake => {
            return Err(refused(format!(
                "a will may not go to {}, which takes only live publishes",
                will.topic
            )));
        }
        PublishAccess::Deny { why } => {
            return Err(refused(format!("will to {} denied: {why}", will.topic)));
        }
    }
    let delay = will
        .properties
        .number(PropertyId::WillDelayInterval)
        .unwrap_or(0);
    let expiry = will.properties.number(PropertyId::MessageExpiryInterval);
    let properties = will
        .properties
        .without(&[PropertyId::MessageExpiryInterval]);
    Ok(Testament {
        message: Message::copied(&will.topic, &will.payload, &properties, clock::now()),
        expiry: expiry.map(|seconds| Duration::from_secs(u64::from(seconds))),
        qos: will.qos,
        retain: will.retain,
        delay: Duration::from_secs(u64::from(delay)),
    })
}

async fn establish(
    line: &mut Line,
    connect: &Connect,
    examined: Examined,
    place: Place,
) -> Result<Box<Served>, Refused> {
    let Examined {
        principal,
        terms,
        will,
        is_assigned,
    } = examined;
    let clean = connect.clean_start || principal.sessions == SessionPolicy::AlwaysClean;
    let claim = Claim {
        name: &principal.client_id,
        clean_start: clean,
        keep: terms.session_expiry,
        will: will.as_ref(),
        connection: line.mailbox.id(),
    };
    // One bound for everything that a CONNECT waits for: who gave up long ago must not keep the places of others.
    let deadline = tokio::time::Instant::now() + line.hub.limits.connect_timeout;
    let (mut ready, noted) = loop {
        match line.hub.open(&claim, &line.mailbox) {
            // Ends with an error when the older connection is gone; either way it is time to try again.
            Ok(Opening::Wait(ended)) => {
                if tokio::time::timeout_at(deadline, ended).await.is_err() {
                    return Err(Refused::new(
                        Count::TakeOverTimeout,
                        ReasonCode::ServerBusy,
                        "an older connection of the client does not end; try again later",
                    ));
                }
            }
            Ok(Opening::Ready(ready, noted)) => break (ready, noted),
            Err(_) => {
                return Err(Refused::new(
                    Count::SessionLimit,
                    ReasonCode::QuotaExceeded,
                    "too many sessions",
                ));
            }
        }
    };
    let journal = line.hub.journal_of(ready.durable);
    if !is_stored(line, noted, deadline).await {
        give_back(line, terms, *ready, journal);
        return Err(Refused::new(
            Count::StorageUnavailable,
            ReasonCode::ServerUnavailable,
            "sessions cannot be stored at present; try again later",
        ));
    }
    line.mailbox.serve(SessionRef {
        key: ready.key,
        number: ready.number,
    });
    if principal.tag != 0 {
        announce(line, connect, &principal).await;
    }
    restore_subscriptions(line, &principal, &mut ready).await;
    let offer = Offer {
        session_present: ready.present,
        assigned_id: is_assigned.then_some(&*principal.client_id),
        connect,
    };
    let limits = Arc::clone(&line.hub.limits);
    let connection = Connection::new(terms, ready.session, journal, clock::now());
    with_output(|out| {
        match connack(&offer, connection.terms(), &limits, out) {
            // A broken socket shows at the next read.
            Ok(()) => drop(line.socket.write(out)),
            Err(refusal) => line
                .mailbox
                .order(Close::by_server(refusal.code, refusal.why)),
        }
    });
    Ok(Box::new(Served::new(
        connection, ready.key, principal, will, place,
    )))
}

/// Waits until the session is stored, but not long, and not if a newer connection wants it: a client that is told of its
/// session finds it again, and one that began anew never finds the old one.
async fn is_stored(line: &Line, noted: Mark, deadline: tokio::time::Instant) -> bool {
    let (sender, stored) = oneshot::channel();
    if noted == 0 || !line.hub.wait(noted, Waiter::Task(sender)) {
        return true;
    }
    let ordered = std::future::poll_fn(|cx| {
        if line.mailbox.is_ordered_to_end(cx) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    tokio::select! {
        // The sender's end is the message.
        _ = stored => true,
        () = ordered => false,
        () = tokio::time::sleep_until(deadline) => false,
    }
}

/// Gives a session back that was not used. One that has just begun ends.
fn give_back(line: &Line, terms: Terms, ready: Ready, journal: SessionJournal) {
    let keep = if ready.present {
        terms.session_expiry
    } else {
        Duration::ZERO
    };
    let now = clock::now();
    let connection = Connection::new(terms, ready.session, journal, now);
    // The client was not let in, so the will of its last connection is still to come.
    let will = ready.will.map(|(due, will)| Testament {
        delay: due.saturating_duration_since(now),
        ..will
    });
    let retained = VecDeque::new();
    line.hub
        .close(ready.key, &line.mailbox, connection, keep, will, retained);
}

async fn announce(line: &Line, connect: &Connect, principal: &Principal) {
    let event = Event::Connected {
        connection: line.mailbox.id(),
        tag: principal.tag,
        client_id: Arc::clone(&principal.client_id),
        version: connect.version,
        clean_start: connect.clean_start,
    };
    // A dropped receiver has chosen not to hear.
    let _ = line.hub.events.send(event).await;
}

/// Puts a resumed session's subscriptions in force again, as far as they are still allowed. What others brought goes with
/// them.
async fn restore_subscriptions(line: &Line, principal: &Principal, ready: &mut Ready) {
    let mut denied = false;
    for (filter, granted) in std::mem::take(&mut ready.subscriptions) {
        if let SubscribeAccess::Deny { .. } = line
            .hub
            .access
            .subscribe(principal, topic::unshared(&filter))
        {
            line.hub.metrics.one(Count::SubscribeDenied);
            line.hub.unsubscribe(ready.key, &filter);
            denied = true;
            continue;
        }
        line.mailbox.subscribed(&filter, granted);
        if principal.tag != 0 {
            let event = Event::Subscribed {
                connection: line.mailbox.id(),
                tag: principal.tag,
                filter: filter.into(),
                granted,
            };
            // A dropped receiver has chosen not to hear.
            let _ = line.hub.events.send(event).await;
        }
    }
    if denied {
        line.hub.save(ready.key);
        let journal = line.hub.journal_of(ready.durable);
        for unwanted in line.mailbox.take_unwanted() {
            journal.finished(&unwanted);
        }
    }
}
