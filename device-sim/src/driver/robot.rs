//! One robot's task: performs what the model wants, tells it what happened.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rollcall_proto::Status;
use rollcall_proto::native::RequestKind;
use rollcall_proto::topic::Base;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::Shared;
use super::connection::{Connection, Happening};
use super::pairing::Identity;
use super::report::RobotReport;
use super::trouble::Trouble;
use crate::model::{
    Artifact, Downlink, FetchError, FetchId, Input, Message, Output, PublishId, Robot, Totals,
};

/// How long a robot tries to hang up politely.
pub(super) const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Lives until told to hang up.
pub(super) async fn live(
    index: usize,
    shared: Arc<Shared>,
    mut hang_up: watch::Receiver<bool>,
) -> RobotReport {
    let mut task = Task::new(index, shared);
    tokio::select! {
        () = task.run() => {}
        // An error means that the run itself is gone.
        _ = hang_up.wait_for(|told| *told) => {}
    }
    task.finish().await
}

pub(super) struct Task {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) robot: Robot,
    pub(super) connection: Option<Connection>,
    pub(super) identity: Identity,
    /// Attempts to connect so far; each takes the next broker.
    pub(super) attempts: usize,
    /// When the attempt began since which the robot has not been heard out.
    pub(super) arriving: Option<Instant>,
    fetch: Option<(FetchId, JoinHandle<Result<Artifact, FetchError>>)>,
    /// An Update whose acceptance is being timed.
    request: Option<(Uuid, Instant, Option<PublishId>)>,
    totals: Totals,
    was: (bool, bool),
}

/// What woke the task.
enum Wake {
    Connection(Result<Happening, Trouble>),
    Fetched(FetchId, Result<Artifact, FetchError>),
    Timer,
}

impl Task {
    fn new(index: usize, shared: Arc<Shared>) -> Self {
        let member = &shared.options.fleet[index];
        let registers = shared
            .options
            .pairing
            .as_ref()
            .is_some_and(|pairing| pairing.token.is_some());
        let secret = (!registers).then(|| member.secret.clone());
        let robot = Robot::new(member.config.clone(), shared.profile.clone());
        Self {
            index,
            shared,
            robot,
            connection: None,
            identity: Identity::new(secret),
            attempts: 0,
            arriving: None,
            fetch: None,
            request: None,
            totals: Totals::default(),
            was: (false, false),
        }
    }

    async fn run(&mut self) {
        loop {
            self.perform().await;
            self.count();
            let input = match self.wait().await {
                Wake::Timer => None,
                Wake::Fetched(fetch, result) => Some(self.fetched(fetch, result)),
                Wake::Connection(Ok(happening)) => self.happened(happening),
                Wake::Connection(Err(error)) => {
                    self.shared.stats.connections_lost.fetch_add(1, Relaxed);
                    Some(self.lost(&error))
                }
            };
            let now = self.shared.clock.now_ms();
            match input {
                Some(input) => self.robot.handle(now, input),
                None => self.robot.handle_timeout(now),
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = self
            .robot
            .poll_timeout()
            .map(|at| self.shared.clock.instant_of(at));
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let network = async {
            match self.connection.as_mut() {
                Some(connection) => {
                    connection.pump();
                    connection.next().await
                }
                None => std::future::pending().await,
            }
        };
        let fetched = async {
            match self.fetch.as_mut() {
                Some((fetch, task)) => (*fetch, task.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            happening = network => Wake::Connection(happening),
            () = timer => Wake::Timer,
            (fetch, result) = fetched => {
                let crashed = |error: tokio::task::JoinError| FetchError::Network(error.to_string());
                Wake::Fetched(fetch, result.map_err(crashed).and_then(|result| result))
            }
        }
    }

    /// Performs every output of the model.
    async fn perform(&mut self) {
        while let Some(output) = self.robot.poll_output() {
            match output {
                Output::Connect { clean_session } => {
                    let input = self.connect(clean_session).await;
                    self.robot.handle(self.shared.clock.now_ms(), input);
                }
                Output::Disconnect { graceful } => self.disconnect(graceful).await,
                Output::Subscribe(filters) => self.subscribe(&filters),
                Output::Publish { id, message } => self.publish(id, &message),
                Output::Fetch {
                    fetch,
                    operation,
                    url,
                } => {
                    let shared = self.shared.clone();
                    let protocol = self.robot.protocol();
                    let task =
                        tokio::spawn(
                            async move { shared.http.fetch(protocol, operation, &url).await },
                        );
                    self.fetch = Some((fetch, task));
                }
                Output::AbandonFetch(_) => self.abandon_fetch(),
            }
        }
    }

    pub(super) fn base(&self) -> Base<'_> {
        Base {
            realm: &self.shared.options.realm,
            robot: self.robot.id(),
        }
    }

    async fn disconnect(&mut self, graceful: bool) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if graceful {
            connection.pump();
            // A broker that does not take the goodbye in time does not get one.
            let _ = tokio::time::timeout(FAREWELL_MAX, connection.close()).await;
        }
    }

    fn subscribe(&mut self, filters: &[(&'static str, u8)]) {
        let base = self.base();
        let filters = filters
            .iter()
            .map(|(rest, qos)| (format!("{base}/{rest}"), *qos))
            .collect();
        if let Some(connection) = self.connection.as_mut() {
            connection.subscribe(filters);
        }
    }

    fn publish(&mut self, id: PublishId, message: &Message) {
        if let Some((operation, _, accepted)) = self.request.as_mut()
            && accepts(message) == Some(*operation)
        {
            *accepted = Some(id);
        }
        let topic = message.topic(&self.base());
        if let Some(connection) = self.connection.as_mut() {
            self.shared.stats.published.fetch_add(1, Relaxed);
            connection.publish(id, topic, message.qos(), message.payload());
        }
    }

    fn happened(&mut self, happening: Happening) -> Option<Input> {
        let stats = &self.shared.stats;
        match happening {
            Happening::Nothing | Happening::Connected { .. } => None,
            Happening::Message { topic, payload } => {
                stats.received.fetch_add(1, Relaxed);
                let message = Downlink::parse(&self.base(), &topic, &payload);
                if let Some(operation) = orders(&message) {
                    self.request = Some((operation, Instant::now(), None));
                }
                Some(Input::Received(message))
            }
            Happening::Acknowledged { id, after, refused } => {
                stats.acknowledged.fetch_add(1, Relaxed);
                stats.refused.fetch_add(u64::from(refused), Relaxed);
                stats.publish_time.record(after);
                if let Some((_, came, Some(accepted))) = self.request
                    && accepted == id
                {
                    stats.request_time.record(came.elapsed());
                    self.request = None;
                }
                Some(Input::Acknowledged(id))
            }
        }
    }

    fn fetched(&mut self, fetch: FetchId, result: Result<Artifact, FetchError>) -> Input {
        self.fetch = None;
        let stats = &self.shared.stats;
        match &result {
            Ok(artifact) => {
                stats.downloads.fetch_add(1, Relaxed);
                stats.downloaded_bytes.fetch_add(artifact.size, Relaxed);
            }
            Err(error) => {
                stats.downloads_failed.fetch_add(1, Relaxed);
                stats.failed(error.to_string());
            }
        }
        Input::Fetched { fetch, result }
    }

    fn abandon_fetch(&mut self) {
        if let Some((_, task)) = self.fetch.take() {
            task.abort();
        }
    }

    /// Brings the shared counters up to date with the robot.
    fn count(&mut self) {
        let totals = self.robot.truth().totals();
        self.shared.stats.advance(self.totals, totals);
        self.totals = totals;
        let is = (self.robot.is_connected(), self.robot.is_settled());
        self.shared.stats.connected.change(self.was.0, is.0);
        self.shared.stats.settled.change(self.was.1, is.1);
        if let Some(began) = self.arriving.filter(|_| self.robot.is_heard()) {
            self.shared.stats.arrival_time.record(began.elapsed());
            self.arriving = None;
        }
        self.was = is;
    }

    async fn finish(mut self) -> RobotReport {
        let report = RobotReport::of(&self.robot);
        self.count();
        self.abandon_fetch();
        self.disconnect(true).await;
        report
    }
}

/// The operation that a message of the server orders.
fn orders(message: &Downlink) -> Option<Uuid> {
    let (kind, operation) = match message {
        Downlink::Request { request, .. } => (request.kind, request.operation),
        Downlink::EdgehogRequest(request) => (request.kind, request.operation),
        _ => return None,
    };
    (kind == RequestKind::Update).then_some(operation)
}

/// The operation that a message of the robot accepts.
fn accepts(message: &Message) -> Option<Uuid> {
    let (status, operation) = match message {
        Message::Event { event, .. } => (event.status, event.operation),
        Message::EdgehogEvent(event) => (event.status, event.operation),
        _ => return None,
    };
    (status == Status::Acknowledged).then_some(operation)
}
