//! The soak: one server for an hour, under everything at once.
//!
//! Publishers at a fixed rate whose events go through the engine, robots that come and go, robots that really update with a
//! new rollout every minute, and hostile clients, each in a process of its own. Every look at the server is a sample;
//! [`verdict`] says what the samples must show.
//!
//! **Invariant**: what went wrong on the way ends the soak, is told as a verdict and loses no sample.

mod args;
mod crowd;
mod hostile;
mod kept;
mod report;
mod sample;
mod series;
mod site;
mod verdict;

use crate::note;
use crate::report::Machine;
use anyhow::{Context, Result, ensure};
use crowd::Crowd;
use device_sim::bench::{ChurnReport, FanInReport, IntervalReport};
use hostile::Hostile;
use sample::{Counts, Process, Sampler};
use serde::Deserialize;
use series::Series;
use site::Site;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use verdict::Course;

pub(crate) use args::{Settings, SoakArgs};
pub(crate) use report::Report;

/// The programs that take part.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) server: PathBuf,
    pub(crate) generator: PathBuf,
}

/// Between two looks at what everybody does.
const LOOK: Duration = Duration::from_millis(100);

/// Between two looks at rollouts.
const ROLLOUT_LOOK: Duration = Duration::from_secs(1);

/// Longest time for what is under way at the end to come to its end.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs it.
///
/// # Errors
/// When it cannot begin; what goes wrong later is a verdict.
pub(crate) fn measure(settings: Settings, programs: &Programs, machine: Machine) -> Result<Report> {
    settings.check_room(&std::env::temp_dir())?;
    let mut site = Site::start(&settings, programs)?;
    let mut course = Course::default();
    if let Err(error) = run(&settings, &mut site, &mut course) {
        note(&format!("soak: ended early: {error:#}"));
        course.broken = Some(format!("{error:#}"));
    }
    let kept = site.server.terminate().and_then(|()| {
        note("soak: reading the whole history");
        kept::check(site.server.data_dir(), &site.publishers)
    });
    course.kept = Some(kept.map_err(|error| format!("{error:#}")));
    // What it says when it begins to serve is no warning.
    let said = site.server.said();
    let warnings = said.lines().filter(|line| !line.starts_with("MQTT on "));
    course.log = warnings.map(str::to_owned).collect();
    let verdicts = verdict::judge(&settings, &course);
    Ok(Report::new(machine, settings, course, verdicts))
}

/// Everybody who takes part.
struct Cast {
    publishers: Crowd,
    /// Rollouts to the publishers, so that they always have something to say.
    feed: Series,
    visitors: Option<Crowd>,
    workers: Crowd,
    /// Rollouts to the workers.
    work: Series,
    next_work: Instant,
    hostile: Option<Hostile>,
}

fn run(settings: &Settings, site: &mut Site, course: &mut Course) -> Result<()> {
    course.before = Process::of(&site.server)?;
    let mut cast = enter(settings, site)?;
    watch(settings, site, &mut cast, course)?;
    leave(site, cast, course)
}

/// Lets everybody in, one after the other.
fn enter(settings: &Settings, site: &Site) -> Result<Cast> {
    let server = &site.server;
    let mut feed = Series::new(site::PUBLISHING, settings.robots, false);
    feed.launch_next(server)?;
    note(&format!(
        "soak: {} robots publish, database and logs in {}",
        settings.robots,
        server.data_dir().display()
    ));
    let publishers = site.publishers(settings)?;
    site.wait_for_robots(settings.robots)
        .with_context(|| publishers.said())?;
    let workers = site.workers()?;
    site.wait_for_robots(settings.robots + site::WORKERS)
        .with_context(|| workers.said())?;
    Ok(Cast {
        publishers,
        feed,
        visitors: site.visitors(settings)?,
        workers,
        work: Series::new(site::WORKING, site::WORKERS, true),
        next_work: Instant::now(),
        hostile: settings
            .hostile
            .then(|| site.hostile().map(Hostile::new))
            .transpose()?,
    })
}

/// Looks until the publishers have ended.
fn watch(settings: &Settings, site: &mut Site, cast: &mut Cast, course: &mut Course) -> Result<()> {
    let mut sampler = Sampler::start(&site.server)?;
    let (began, mut last, mut looked) = (Instant::now(), Instant::now(), Instant::now());
    loop {
        let over = cast.publishers.ended()?.is_some();
        for line in cast.publishers.lines()? {
            if let Ok(report) = serde_json::from_str::<FanInReport>(&line) {
                return take_publishers(&report, course);
            }
            let interval: IntervalReport = serde_json::from_str(&line)
                .with_context(|| format!("the publishers said {line:?}"))?;
            last = Instant::now();
            let mut sample = sampler.take(&site.server, interval)?;
            if let Some(hostile) = &cast.hostile {
                sample.hostile_runs = hostile.runs;
                sample.hostile_failures = hostile.failures.len() as u64;
            }
            sample.rollouts = cast.feed.completed + cast.work.completed;
            sample.targets = cast.feed.targets() + cast.work.targets();
            note(&report::line(&sample));
            course.samples.push(sample);
        }
        ensure!(
            !over,
            "the publishers have ended: {}",
            cast.publishers.said()
        );
        let ended = site.server.ended()?;
        ensure!(ended.is_none(), "the server has ended: {ended:?}");
        ensure!(
            last.elapsed() < settings.every + PATIENCE,
            "the publishers tell nothing any more"
        );
        if looked.elapsed() >= ROLLOUT_LOOK {
            looked = Instant::now();
            roll_out(settings, site, cast, began)?;
        }
        if let Some(hostile) = &mut cast.hostile {
            hostile.go_on()?;
        }
        std::thread::sleep(LOOK);
    }
}

fn take_publishers(report: &FanInReport, course: &mut Course) -> Result<()> {
    course.acknowledged = report.acknowledged;
    let FanInReport { lost, refused, .. } = *report;
    if lost + refused > 0 {
        course.disturbances.push(format!(
            "publishers: {lost} connections lost, {refused} events refused: {:?}",
            report.errors
        ));
    }
    Ok(())
}

/// Settles what has completed and launches what is due.
fn roll_out(settings: &Settings, site: &Site, cast: &mut Cast, began: Instant) -> Result<()> {
    let server = &site.server;
    cast.feed.settle(server)?;
    // One rollout waits while the one before it is under way, so that robots are never without.
    if cast.feed.open() < 2 && cast.feed.is_told(server)? {
        cast.feed.launch_next(server)?;
    }
    cast.work.settle(server)?;
    let now = Instant::now();
    let is_late = began.elapsed() + settings.every / 2 > settings.duration;
    if cast.work.open() == 0 && now >= cast.next_work && !is_late {
        cast.work.launch_next(server)?;
        cast.next_work = now + settings.every.max(WORK_EVERY);
    }
    Ok(())
}

/// Rollouts to the workers begin no faster.
const WORK_EVERY: Duration = Duration::from_secs(30);

/// Lets everybody come to an end, and gathers what they saw.
fn leave(site: &mut Site, mut cast: Cast, course: &mut Course) -> Result<()> {
    if let Some(hostile) = &mut cast.hostile {
        note("soak: waiting for the last attacks");
        hostile.finish()?;
        course.hostile_runs = hostile.runs;
        course.hostile_attacks = hostile.attacks;
        course.hostile_failures = std::mem::take(&mut hostile.failures);
    }
    if let Some(mut visitors) = cast.visitors.take() {
        let report: ChurnReport = serde_json::from_str(&visitors.report(PATIENCE)?)?;
        course.visits = report.visits;
        if report.failed > 0 || report.visits == 0 {
            course.disturbances.push(format!(
                "visitors: {} of {} visits failed: {:?}",
                report.failed, report.visits, report.errors
            ));
        }
    }
    cast.publishers.wait(PATIENCE)?;
    let deadline = Instant::now() + PATIENCE;
    while cast.work.open() > 0 && Instant::now() < deadline {
        std::thread::sleep(ROLLOUT_LOOK);
        cast.work.settle(&site.server)?;
    }
    take_workers(&mut cast, course)?;
    site.wait_for_nobody()?;
    course.refused = site.refused_innocents()?;
    course.counts = Counts::of(&site.server)?;
    course.after = Process::of(&site.server)?;
    Ok(())
}

/// What a fleet says of itself at its end.
#[derive(Debug, Deserialize)]
struct Fleet {
    fleet: Vec<Worker>,
}

#[derive(Debug, Deserialize)]
struct Worker {
    id: String,
    ecus: Vec<Ecu>,
    violations: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Ecu {
    image: Image,
}

#[derive(Debug, Deserialize)]
struct Image {
    version: String,
}

fn take_workers(cast: &mut Cast, course: &mut Course) -> Result<()> {
    let fleet: Fleet = serde_json::from_str(&cast.workers.report(PATIENCE)?)?;
    let (work, feed) = (&mut cast.work, &mut cast.feed);
    if work.open() > 0 {
        let rollout = format!("the last rollout to {} does not complete", site::WORKING);
        work.failures.push(rollout);
    }
    for worker in &fleet.fleet {
        let version = work.version();
        let old = worker.ecus.iter().find(|ecu| ecu.image.version != version);
        if let Some(old) = old.filter(|_| work.launched > 0 && work.failures.is_empty()) {
            work.failures.push(format!(
                "{} runs {} after the rollout of {version}",
                worker.id, old.image.version
            ));
        }
        if let Some(violation) = worker.violations.first() {
            let text = format!("{}: the server broke its word: {violation}", worker.id);
            course.disturbances.push(text);
        }
    }
    course.rollouts = work.completed + feed.completed;
    course.rollout_failures = [&work.failures[..], &feed.failures[..]].concat();
    Ok(())
}
