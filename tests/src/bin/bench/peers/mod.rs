//! Rollcall beside mosquitto, rumqttd and rmqtt: the same generator, the same settings, in rounds that alternate.
//!
//! Rollcall is the whole server, durable as it comes, and every message is an OTAEvent for an operation under way; it is
//! acknowledged after its commit and goes into the engine. The others keep nothing and deliver to one subscriber. Every
//! server is a fresh process for every figure of every round. What does not work is shown as broken and ends nothing.

mod args;
mod checks;
mod figures;
mod generator;
mod kept;
mod kind;
mod rows;
mod table;

use crate::document;
use crate::note;
use crate::report::{Machine, number};
use crate::tls::pki::Pki;
use anyhow::{Context, Result};
use figures::MANY_WINDOW;
use generator::Generator;
use kept::{Found, Kept, Run};
use kind::{Kind, Needs, Peer};
use rows::{Figure, Sample};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) use args::PeersArgs;

/// A comparison under way.
struct Comparison<'a> {
    args: &'a PeersArgs,
    generator: Generator,
    rollcall: PathBuf,
    kinds: Vec<Kind>,
    kept: Kept,
    began: Instant,
    round: u32,
    size: Size,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    rounds: u32,
    window: Duration,
    rest: Duration,
    /// Clients are divided by this.
    divisor: usize,
    /// Nothing: no peak.
    hold: Option<Duration>,
}

/// Runs everything and returns the Markdown.
pub(crate) fn measure(args: &PeersArgs, rollcall: PathBuf, machine: &Machine) -> Result<String> {
    let size = if args.quick {
        Size {
            rounds: args.rounds.unwrap_or(1),
            window: args.count_for.unwrap_or(Duration::from_secs(2)),
            rest: Duration::from_secs(1),
            divisor: 10,
            hold: None,
        }
    } else {
        Size {
            rounds: args.rounds.unwrap_or(5),
            window: args.count_for.unwrap_or(Duration::from_secs(5)),
            rest: Duration::from_secs(2),
            divisor: 1,
            hold: Some(args.hold).filter(|hold| !hold.is_zero()),
        }
    };
    if let Some(document) = &args.into {
        document::check(document, "peers")?;
    }
    let (mut kinds, mut left_out) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        match kind.missing(&args.peers) {
            None => kinds.push(kind),
            Some(why) => {
                note(&format!("peers: {why}"));
                left_out.push(why);
            }
        }
    }
    let run = Run {
        machine: machine.to_string(),
        method: method(args, size),
        left_out,
    };
    let mut comparison = Comparison {
        args,
        generator: Generator::find(args.generator.clone(), args.threads)?,
        rollcall,
        kinds,
        kept: Kept::begin(run, args.keep.as_deref())?,
        began: Instant::now(),
        round: 1,
        size,
    };
    comparison.run()?;
    show(args, &comparison.kept)
}

/// The Markdown of runs that were kept.
pub(crate) fn join(args: &PeersArgs) -> Result<String> {
    show(args, &Kept::read(&args.from)?)
}

fn show(args: &PeersArgs, kept: &Kept) -> Result<String> {
    let text = table::markdown(&kept.notes(), &rows::rows(kept.all()))?;
    if let Some(document) = &args.into {
        document::write_into(document, "peers", &text)?;
    }
    Ok(text)
}

fn method(args: &PeersArgs, size: Size) -> String {
    let Size {
        rounds,
        window,
        divisor,
        hold,
        ..
    } = size;
    let peaks = hold.map_or_else(String::new, |hold| {
        let hold = hold.as_secs();
        format!(
            "; peaks once, from what went through with full windows in steps of a quarter until a rate is not held for \
             {hold} s, then between the two to within 5 %, with at most 6 rates held for {hold} s"
        )
    });
    let quick = if divisor == 1 {
        String::new()
    } else {
        format!("; a quick run with a {divisor}th of the clients, whose figures say nothing")
    };
    format!(
        "Medians of {rounds} alternating rounds (least–most), ratios within a round; windows of {} s with payloads of {} \
         bytes, {} unacknowledged publishes of a client where 100 publish and {MANY_WINDOW} where more do; {} threads of \
         the generator{peaks}{quick}",
        window.as_secs(),
        args.size,
        args.window,
        args.threads,
    )
}

impl Comparison<'_> {
    fn run(&mut self) -> Result<()> {
        let pki = Pki::create(0).context("no certificates")?;
        while self.round <= self.size.rounds {
            self.fan_in()?;
            self.connect(&pki)?;
            self.fan_out()?;
            self.latency()?;
            self.growth()?;
            self.round += 1;
        }
        if let Some(hold) = self.size.hold {
            self.peaks(hold)?;
        }
        self.kept.end(self.began)
    }

    /// The servers in the order of this round: another one begins each time.
    fn turn(&self) -> Vec<Kind> {
        let mut kinds = self.kinds.clone();
        let first = self.round.saturating_sub(1) as usize % kinds.len().max(1);
        kinds.rotate_left(first);
        kinds
    }

    fn scaled(&self, clients: usize) -> usize {
        (clients / self.size.divisor).max(10)
    }

    fn wanted(&self, name: &str) -> bool {
        let only = self.args.only.as_deref();
        only.is_none_or(|only| name.contains(only))
    }

    /// Keeps what a report says of this figure, or why there is none.
    fn add<T>(
        &mut self,
        kind: Kind,
        figure: &Figure,
        report: &Result<T, String>,
        read: impl FnOnce(&T) -> Sample,
    ) -> Result<()> {
        let outcome = report.as_ref().map(read).map_err(Clone::clone);
        let said = match &outcome {
            Ok(sample) => format!("{} {}", number(sample.value), figure.unit),
            Err(why) => format!("broken: {why}"),
        };
        let (round, name) = (self.round, kind.name());
        note(&format!(
            "peers: round {round}, {}, {name}: {said}",
            figure.name
        ));
        self.kept.found(Found {
            seconds: self.began.elapsed().as_secs(),
            round,
            kind,
            figure: figure.clone(),
            outcome,
        })
    }

    /// The same of something beside a figure, which has told already if there is no report.
    fn add_detail<T>(
        &mut self,
        kind: Kind,
        figure: &Figure,
        report: &Result<T, String>,
        read: impl FnOnce(&T) -> Sample,
    ) -> Result<()> {
        if report.is_ok() {
            self.add(kind, figure, report, read)?;
        }
        Ok(())
    }

    /// A fresh server, for one figure.
    fn with<T>(
        &self,
        kind: Kind,
        needs: Needs<'_>,
        measure: impl FnOnce(&Peer) -> Result<T>,
    ) -> Result<T, String> {
        let peer = Peer::start(kind, needs, &self.rollcall, &self.args.peers);
        let measured = peer.and_then(|peer| measure(&peer));
        measured.map_err(|error| {
            let why = format!("{error:#}");
            // The first line says it; what follows are hints.
            why.lines().next().unwrap_or_default().to_owned()
        })
    }
}
