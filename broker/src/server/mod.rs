//! The tokio shell: sockets, tasks, timers and the hub that they share.

mod ending;
mod handle;
mod hub;
mod listener;
mod mailbox;
mod opening;
mod pipe;
mod places;
mod refusals;
mod securing;
mod serving;
mod socket;
mod subscribing;
mod task;
mod upgrading;
mod wire;

pub use handle::{Broker, BrokerHandle, SendError};
pub(crate) use mailbox::Mailbox;
pub use pipe::Pipe;
