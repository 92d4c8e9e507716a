//! A whole broker and its clients, driven by a script of bytes.
//!
//! Clients are pipes within the process, the owner is here: it judges publishes in any order, collects what is to be
//! stored, loses everything else and starts again. After every step everybody does what can be done at once. Asserted
//! is what holds whatever clients send:
//!
//! - the server speaks MQTT, and in the version that was agreed on;
//! - no acknowledgement without a verdict, and PUBACKs in the order of their PUBLISHes;
//! - no packet identifier twice under way to a client, and no more of them than its window;
//! - what is malformed ends its connection, and who is not ended is answered;
//! - tables keep to their bounds, and a client who has done nothing wrong is served at the end;
//! - time passes where the script says so: then who was silent for too long is gone, and so are old sessions; what has expired
//!   is not sent; and no will is published twice.

mod checks;
mod good;
mod life;
mod link;
mod rules;

use life::Life;
use link::World;
use rollcall_broker::{Limits, StoredKey, StoredTable};
use std::collections::BTreeMap;
use std::time::Duration;

/// Clients at one time.
const CLIENTS: usize = 3;
/// Rounds in which nobody has anything to say before a step is over.
const QUIET: u32 = 5;
/// Longest script, bytes: what follows is ignored.
const SCRIPT_MAX: usize = 2_048;
const SEND_WINDOW: u16 = 4;
/// Bytes.
const MAX_PACKET: usize = 512;
/// How long the server waits for a CONNECT, and then for what CONNECT waits for, seconds.
const CONNECT_S: u64 = 60;
/// How long a session lasts at most, seconds.
const SESSION_S: u64 = 1_000;

fn limits() -> Limits {
    Limits {
        max_packet_size: MAX_PACKET,
        max_connections: 16,
        max_handshaking: 64,
        intake_window: 4,
        receive_maximum: 8,
        send_window: SEND_WINDOW,
        queue_messages: 8,
        queue_bytes: 2_048,
        max_subscriptions: 4,
        max_retained_messages: 8,
        max_retained_bytes: 1_024,
        max_sessions: 1_024,
        max_topic_levels: 8,
        send_buffer: 1_024,
        connect_timeout: Duration::from_secs(CONNECT_S),
        max_session_expiry: Duration::from_secs(SESSION_S),
        ..Limits::default()
    }
}

/// The rest of the script.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: u8) -> &[u8] {
        let (bytes, rest) = self.0.split_at(usize::from(count).min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// Plays a script.
pub fn script(data: &[u8]) {
    let mut script = Script(&data[..data.len().min(SCRIPT_MAX)]);
    let mut rows = BTreeMap::new();
    let mut world = World::default();
    let mut more = true;
    while more {
        // Everything that lives dies with its runtime, as with a process.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        more = runtime.block_on(async {
            let mut life = Life::begin(rows.clone(), std::mem::take(&mut world));
            let restart = life.play(&mut script).await;
            if !restart {
                life.end().await;
            }
            rows = std::mem::take(&mut life.rows);
            world = std::mem::take(&mut life.world);
            // What is stored expires by the wall clock, which stands still here.
            world.was_held_up |= world.now > 0;
            restart
        });
    }
}

type Rows = BTreeMap<(StoredTable, StoredKey), Vec<u8>>;
