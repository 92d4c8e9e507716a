//! The broker's state in the writer's commits.

use rollcall_broker::Storage;
use tokio::sync::Notify;

/// Where the broker says that somebody waits for its changes to be durable.
#[derive(Debug, Default)]
pub(crate) struct SessionStorage {
    wanted: Notify,
}

impl Storage for SessionStorage {
    fn wanted(&self) {
        self.wanted.notify_one();
    }
}

impl SessionStorage {
    /// Resolves when somebody has been waiting since the last time.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }
}
