//! Questions whose answers nobody reads: they must not pile up in the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, VERSIONS};
use crate::abuse::peer::Sent;

pub(super) const ATTACK: Attack = Attack {
    name: "ping-flood",
    what: "sends PINGREQ and SUBSCRIBE without end and reads no answer",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let (mut sent, mut stopped, mut ended) = (0_usize, 0, 0);
    let count = arena.attackers(4);
    for index in 0..count {
        let version = VERSIONS[index % 2];
        let topic = arena.topic("x");
        let question = match index / 2 % 2 {
            0 => packet::PING.to_vec(),
            _ => packet::subscribe(version, 1, &[&topic], 0),
        };
        let bytes = question.repeat(4_096);
        let mut peer = arena.client(version).await?;
        let deadline = Instant::now() + arena.effort.time;
        loop {
            // What takes longer than this is not read any more, which is a good answer.
            match peer.offer_within(Duration::from_millis(200), &bytes).await {
                Sent::Done => sent += bytes.len(),
                Sent::Closed => {
                    ended += 1;
                    break;
                }
                Sent::Stalled => {
                    stopped += 1;
                    break;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
    }
    Ok(Findings::said(format!(
        "of {count} stopped reading {stopped} and hung up on {ended}, after {} kB in all",
        sent.div_ceil(1_000)
    )))
}
