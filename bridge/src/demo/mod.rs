//! `rollcall demo`: the main job on one command. A server, a simulated fleet in a second process over real MQTT, and a
//! rollout from preview to completion; at the end the server's outcomes are compared with what the robots really did.

mod compare;
mod fleet;
mod process;
mod screen;

use crate::config::{Config, Overrides, Switch};
use crate::server::{Server, raise_open_files};
use crate::writer::{CommandError, View};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rollcall_engine::{
    Actor, Command, Counts, GroupName, Mechanism, Refusal, Reply, RobotId, RolloutId, RolloutName,
    RolloutSpec, RolloutStatus, SkipReason, TargetSelection,
};
use screen::Screen;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Show a whole rollout on a simulated fleet.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many robots.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub robots: u32,

    /// ECUs of each robot.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub ecus: u16,

    /// Percent of the updates that fail, in one way or another.
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    pub fail: f64,

    /// Seed of everything that is left to chance on the robots.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// End with one line of JSON on standard output, and show nothing else.
    #[arg(long)]
    pub json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text
        .parse()
        .map_err(|_| "write a number of percent, such as 2 or 0.5".to_owned())?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err("a percentage is from 0 to 100".to_owned())
    }
}

/// Between two looks at the rollout.
const REFRESH: Duration = Duration::from_millis(100);

/// How long the fleet may take to connect, and the robots to fall silent at the end. Reached only when something is
/// wrong, and much longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Skipped robots that are shown by name.
const MAX_EXAMPLES: usize = 3;

/// Files that each process needs beside one connection per robot.
const OTHER_FILES: u64 = 600;

/// Runs the demonstration.
///
/// # Errors
/// Says which part did not work. The exit code is a failure when server and robots disagree.
pub async fn run(args: DemoArgs) -> Result<ExitCode> {
    let screen = Screen::new(args.json);
    let started = Instant::now();
    check_open_files(args.robots)?;
    let directory = tempfile::tempdir().context("no temporary directory for the server's data")?;
    let config = config(directory.path(), args.robots)?;
    let realm = config.realm.clone();
    let server = Server::start(config)
        .await
        .context("the server did not start")?;
    screen.server(&server.addresses);

    let fleet = fleet::register(&server, &args).await?;
    fleet::add_images(&server, &fleet).await?;
    let files = fleet.write(directory.path(), args.fail)?;
    let mut robots = process::Fleet::start(&files, server.addresses.mqtt, &realm, args.seed)?;
    wait_for_fleet(&server, &mut robots, args.robots, &screen).await?;

    let spec = spec(&fleet)?;
    let preview = preview(&server, spec.clone()).await?;
    screen.preview(&preview, &fleet);
    let id = create_and_launch(&server, spec).await?;
    let counts = watch(&server, id, &mut robots, &screen).await?;
    let elapsed = started.elapsed();

    let report = robots.finish(PATIENCE).await?;
    let verdict = query(&server, move |view| compare::compare(view, id, &report)).await?;
    let summary = screen::Summary {
        robots: args.robots,
        ecus: u32::from(args.ecus) * args.robots,
        affected_robots: counts.robots - counts.skipped_robots,
        skipped_robots: counts.skipped_robots,
        operations: counts.into(),
        rollout_status: "Completed",
        outcome: outcome(&server, id).await?,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        events_committed: server.bridge.status().snapshot().events_committed,
        robots_agree: verdict.differences.is_empty(),
    };
    screen.end(&summary, &verdict, &preview.skipped)?;
    server
        .shut_down()
        .await
        .context("the server did not stop cleanly")?;
    Ok(if verdict.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Both processes need a file per robot.
fn check_open_files(robots: u32) -> Result<()> {
    raise_open_files(robots as usize);
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let needed = u64::from(robots) + OTHER_FILES;
    if let Some(hard) = hard.filter(|hard| *hard < needed) {
        bail!(
            "{robots} robots need {needed} open files in each of two processes, and the system allows {hard}; raise \
             the hard limit (ulimit -Hn) or ask for at most {} robots",
            hard.saturating_sub(OTHER_FILES)
        );
    }
    Ok(())
}

fn config(data_dir: &std::path::Path, robots: u32) -> Result<Config> {
    let free_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let overrides = Overrides {
        data_dir: Some(data_dir.to_owned()),
        mqtt: free_port,
        mqtts: Some(Switch::Off),
        websocket: None,
        http: free_port,
        device_http: free_port,
        dev: false,
    };
    let mut config = Config::load(None, overrides)?;
    config.mqtt.limits.max_connections = robots as usize + 100;
    config.mqtt.limits.max_sessions = 2 * robots as usize + 100;
    // The demonstration needs little room, and shall run on a laptop that has little.
    config.store.reserve = 16 << 20;
    Ok(config)
}

async fn query<T: Send + 'static>(
    server: &Server,
    ask: impl FnOnce(&View<'_>) -> T + Send + 'static,
) -> Result<T, CommandError> {
    server.bridge.query(ask).await
}

/// Carries out many commands at once, so that they share commits; the replies are in the commands' order.
async fn command_all(server: &Server, commands: Vec<Command>) -> Result<Vec<Reply>> {
    let mut replies = vec![Reply::Done; commands.len()];
    let mut tasks = JoinSet::new();
    for (index, command) in commands.into_iter().enumerate() {
        let bridge = server.bridge.clone();
        tasks.spawn(async move {
            (
                index,
                bridge.command(Actor("demo".to_owned()), command).await,
            )
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (index, reply) = done.context("a command's task has ended early")?;
        replies[index] = reply?;
    }
    Ok(replies)
}

async fn command(server: &Server, command: Command) -> Result<Reply> {
    Ok(server
        .bridge
        .command(Actor("demo".to_owned()), command)
        .await?)
}

async fn wait_for_fleet(
    server: &Server,
    robots: &mut process::Fleet,
    count: u32,
    screen: &Screen,
) -> Result<()> {
    let bar = screen.bar("connect", u64::from(count));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ready = query(server, |view| {
            view.state
                .robots(None)
                .filter(|robot| robot.ready())
                .count()
        })
        .await?;
        bar.set_position(ready as u64);
        if ready == count as usize {
            bar.finish_and_clear();
            return Ok(());
        }
        robots.check_alive()?;
        ensure!(
            Instant::now() < deadline,
            "only {ready} of {count} robots have connected in {PATIENCE:?}"
        );
        tokio::time::sleep(REFRESH).await;
    }
}

/// A preview in the words of the screen.
struct Foresight {
    affected: usize,
    ecus: usize,
    skipped: BTreeMap<SkipReason, usize>,
    /// The first few robots that are skipped.
    examples: Vec<(RobotId, SkipReason)>,
}

async fn preview(server: &Server, spec: RolloutSpec) -> Result<Foresight> {
    let foresee = move |view: &View<'_>| {
        let (plan, _) = view.state.preview(&spec)?;
        let mut skipped = BTreeMap::new();
        let mut examples = Vec::new();
        for (robot, reason) in plan
            .robots
            .iter()
            .filter_map(|robot| Some((robot.robot, robot.skipped?)))
        {
            *skipped.entry(reason).or_default() += 1;
            if let Some(robot) = view
                .state
                .robot(robot)
                .filter(|_| examples.len() < MAX_EXAMPLES)
            {
                examples.push((robot.id.clone(), reason));
            }
        }
        let affected = plan.affected().count();
        let ecus = plan.affected().map(|robot| robot.ecus.len()).sum();
        Ok::<_, Refusal>(Foresight {
            affected,
            ecus,
            skipped,
            examples,
        })
    };
    Ok(query(server, foresee).await??)
}

fn spec(fleet: &fleet::DemoFleet) -> Result<RolloutSpec> {
    let robots = u32::try_from(fleet.robots.len()).unwrap_or(u32::MAX);
    let second = 1_000;
    Ok(RolloutSpec {
        name: RolloutName::new("everything to 2.0.0")?,
        target: TargetSelection::Group(GroupName::new(fleet::GROUP)?),
        images: fleet.images.clone(),
        // The robots live sixty times faster than we do, so their deadlines are shorter too.
        mechanism: Mechanism {
            max_in_progress: (robots / 10).max(100),
            request_timeout: 60 * second,
            in_progress_timeout: 120 * second,
            confirm_timeout: 60 * second,
            rollback_grace: 5 * second,
            ..Mechanism::default()
        },
    })
}

async fn create_and_launch(server: &Server, spec: RolloutSpec) -> Result<RolloutId> {
    let Reply::Rollout(id) = command(server, Command::CreateRollout(Box::new(spec))).await? else {
        bail!("the rollout was not created");
    };
    command(
        server,
        Command::LaunchRollout {
            rollout: id,
            accept_drift: false,
        },
    )
    .await?;
    Ok(id)
}

/// Shows the rollout's progress until it is completed.
async fn watch(
    server: &Server,
    id: RolloutId,
    robots: &mut process::Fleet,
    screen: &Screen,
) -> Result<Counts> {
    let progress = screen.progress();
    loop {
        let look = query(server, move |view| {
            view.state
                .rollout(id)
                .map(|rollout| (rollout.status, rollout.counts))
        });
        let (status, counts) = look.await?.context("the rollout is gone")?;
        progress.show(&counts, &server.bridge.status().snapshot());
        if matches!(status, RolloutStatus::Completed { .. }) {
            progress.finish();
            return Ok(counts);
        }
        robots.check_alive()?;
        tokio::time::sleep(REFRESH).await;
    }
}

async fn outcome(server: &Server, id: RolloutId) -> Result<Option<rollcall_engine::Completion>> {
    let outcome = query(server, move |view| match view.state.rollout(id)?.status {
        RolloutStatus::Completed { outcome, .. } => Some(outcome),
        RolloutStatus::Prepared | RolloutStatus::Launched { .. } => None,
    });
    Ok(outcome.await?)
}
