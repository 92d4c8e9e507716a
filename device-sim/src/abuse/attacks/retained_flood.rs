//! Retained messages without end. They may be kept or refused, but not without bound.

use std::sync::Arc;

use super::flood::{Flood, publish};
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{QOS1, RETAIN, Version};

pub(super) const ATTACK: Attack = Attack {
    name: "retained-flood",
    what: "retains a message on thousands of topics, then removes them",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let flood = retain(&arena, 1_024).await?;
    let removed = retain(&arena, 0).await?;
    Ok(Findings::said(format!(
        "took {}, refused {}{}; took back {}",
        flood.acknowledged,
        flood.refused,
        if flood.closed { ", hung up" } else { "" },
        removed.acknowledged
    )))
}

async fn retain(arena: &Arena, size: usize) -> Result<Flood, Fault> {
    let mut publisher = arena.client(Version::V5).await?;
    publish(
        &mut publisher,
        QOS1 | RETAIN,
        arena.effort.things,
        |number, payload| {
            payload.resize(size, b'r');
            arena.topic(&format!("retained/{number}"))
        },
    )
    .await
}
