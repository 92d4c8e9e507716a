//! `peer-bare ADDRESS`: the least that a server can do for a client of MQTT 3.1.1 that only connects. One thread accepts,
//! answers whatever comes first with the same CONNACK, and looks nobody up. No server can accept connections faster from the
//! same clients on the same machine, except with more cores: a bound for what a comparison of connects can show.

use anyhow::Context;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};

const LISTENER: Token = Token(usize::MAX);
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: peer-bare IP:PORT")?
        .parse()
        .context("write an address such as 127.0.0.1:1883")?;
    let mut listener = TcpListener::bind(address)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut clients = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() != LISTENER {
                answer(&mut clients, event.token().0);
                continue;
            }
            loop {
                match listener.accept() {
                    Ok((mut client, _)) => {
                        let token = Token(clients.len());
                        poll.registry()
                            .register(&mut client, token, Interest::READABLE)?;
                        clients.push(Some(client));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// Answers what has arrived; whoever has left is let go.
fn answer(clients: &mut [Option<mio::net::TcpStream>], number: usize) {
    let Some(place) = clients.get_mut(number) else {
        return;
    };
    let stays = place.as_mut().is_some_and(|client| {
        let mut bytes = [0; 4096];
        matches!(client.read(&mut bytes), Ok(1..)) && client.write_all(&CONNACK).is_ok()
    });
    if !stays {
        *place = None;
    }
}
