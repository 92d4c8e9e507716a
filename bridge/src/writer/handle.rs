//! The way in for everything but robots: commands that are answered once durable, and questions about what is.

use super::View;
use super::status::Status;
use crate::history::{self, Record};
use crate::store;
use rollcall_engine::{Actor, Command, Refusal, Reply, RobotKey, RolloutId};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Commands and questions that may wait for the writer; more wait in front of the channel.
pub(crate) const CONTROL_QUEUE: usize = 256;

/// What people and the shell ask of the writer.
pub(crate) enum Control {
    Command {
        by: Actor,
        command: Command,
        answer: oneshot::Sender<Result<Reply, CommandError>>,
    },
    Query(Box<dyn FnOnce(&View<'_>) + Send>),
    Shutdown,
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The engine's rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing is taken in at present.
    #[error("intake is stopped: {why}")]
    IntakeStopped {
        /// Why, and what to do.
        why: String,
    },
    /// The writer is gone.
    #[error("the server is shutting down; try again when it is back")]
    ShuttingDown,
}

/// Speaks to the writer; cheap to clone.
#[derive(Debug, Clone)]
pub struct Bridge {
    control: mpsc::Sender<Control>,
    history: store::History,
    status: Arc<Status>,
}

impl Bridge {
    pub(crate) const fn new(
        control: mpsc::Sender<Control>,
        history: store::History,
        status: Arc<Status>,
    ) -> Self {
        Self {
            control,
            history,
            status,
        }
    }

    /// Carries `command` out. The answer comes when it is durable.
    ///
    /// # Errors
    /// See [`CommandError`]; nothing has changed then.
    pub async fn command(&self, by: Actor, command: Command) -> Result<Reply, CommandError> {
        let (answer, answered) = oneshot::channel();
        let control = Control::Command {
            by,
            command,
            answer,
        };
        self.control
            .send(control)
            .await
            .map_err(|_| CommandError::ShuttingDown)?;
        answered.await.map_err(|_| CommandError::ShuttingDown)?
    }

    /// Asks about the state as it is on disk. `ask` runs on the writer's thread: keep it short, page long answers.
    ///
    /// # Errors
    /// [`CommandError::ShuttingDown`] only.
    pub async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        let (answer, answered) = oneshot::channel();
        let query = Control::Query(Box::new(move |view| drop(answer.send(ask(view)))));
        self.control
            .send(query)
            .await
            .map_err(|_| CommandError::ShuttingDown)?;
        answered.await.map_err(|_| CommandError::ShuttingDown)
    }

    /// The newest history records of a robot, newest first, older than `before` if given, at most `limit`.
    ///
    /// # Errors
    /// When the writer is gone or the history cannot be read.
    pub async fn robot_history(
        &self,
        robot: RobotKey,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Record>, history::Error> {
        let newest = self.query(move |view| view.chains.robot(robot)).await?;
        self.walk(newest, before, limit, move |record| {
            record.before_of_robot(robot)
        })
        .await
    }

    /// The newest history records of a rollout, newest first, older than `before` if given, at most `limit`.
    ///
    /// # Errors
    /// When the writer is gone or the history cannot be read.
    pub async fn rollout_history(
        &self,
        rollout: RolloutId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Record>, history::Error> {
        let newest = self.query(move |view| view.chains.rollout(rollout)).await?;
        self.walk(newest, before, limit, move |record| {
            record.before_of_rollout(rollout)
        })
        .await
    }

    async fn walk(
        &self,
        newest: u64,
        before: Option<u64>,
        limit: usize,
        next: impl Fn(&Record) -> u64 + Send + 'static,
    ) -> Result<Vec<Record>, history::Error> {
        let history = self.history.clone();
        let walk = move || history::walk(&history, newest, before, limit, next);
        tokio::task::spawn_blocking(walk)
            .await
            .map_err(|_| history::Error::Interrupted)?
    }

    /// What the writer counts, and whether it takes anything in.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The same, for those that outlive a borrow.
    pub(crate) fn shared_status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Asks the writer to commit what it has and to stop.
    pub async fn shutdown(&self) {
        // A closed channel means that it has stopped already.
        let _ = self.control.send(Control::Shutdown).await;
    }
}
