//! A new topic with every message.

use std::sync::Arc;

use super::flood::publish;
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{QOS1, Version};

pub(super) const ATTACK: Attack = Attack {
    name: "topic-flood",
    what: "publishes to thousands of different topics, with a subscriber for all",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut publisher = arena.client(Version::V5).await?;
    let flood = publish(
        &mut publisher,
        QOS1,
        arena.effort.things,
        |number, payload| {
            payload.extend(number.to_be_bytes());
            arena.topic(&format!(
                "topic/{}/{}/{number}",
                number % 97,
                number % 1_009
            ))
        },
    )
    .await?;
    Ok(Findings::said(format!(
        "acknowledged {}, refused {}{}",
        flood.acknowledged,
        flood.refused,
        if flood.closed { ", hung up" } else { "" }
    )))
}
