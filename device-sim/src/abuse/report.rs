//! What a suite tells when it is over, for people and for programs.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use super::innocents::Conduct;
pub use super::innocents::RoundTrips;

/// What became of one attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was harmed.
    Survived,
    /// It makes no sense against this broker, or not with these arguments.
    Skipped,
    /// A refusal is missing among the server's counters.
    NotCounted,
    /// The attacker was treated as no server may treat a client: it hung, or what is malformed was taken.
    Misbehaved,
    /// The server's memory grew beyond the limit.
    MemoryGrew,
    /// Clients that did nothing wrong noticed it.
    InnocentsDisturbed,
    /// The server takes no connections any more.
    ServerDied,
}

impl Verdict {
    /// Whether the broker has failed.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Survived | Self::Skipped)
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Survived => "survived",
            Self::Skipped => "skipped",
            Self::NotCounted => "NOT COUNTED",
            Self::Misbehaved => "MISBEHAVED",
            Self::MemoryGrew => "MEMORY GREW",
            Self::InnocentsDisturbed => "INNOCENTS DISTURBED",
            Self::ServerDied => "SERVER DIED",
        }
    }
}

/// Resident memory of the server around one attack, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryReport {
    /// When it began.
    pub before: u64,
    /// The most that was seen.
    pub peak: u64,
    /// When it was over.
    pub after: u64,
}

/// One attack.
#[derive(Debug, Clone, Serialize)]
pub struct AttackReport {
    /// Its name, as `--only` takes it.
    pub attack: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// What the server did.
    pub said: String,
    /// Everything that was wrong.
    pub faults: Vec<String>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// Round trips of innocent clients before it began.
    pub before: RoundTrips,
    /// Round trips of innocent clients from its beginning to the end.
    pub during: RoundTrips,
    /// Memory of the server, where its process is known.
    pub memory: Option<MemoryReport>,
}

impl AttackReport {
    pub(super) fn skipped(attack: &'static str, why: impl Into<String>) -> Self {
        Self {
            attack,
            verdict: Verdict::Skipped,
            said: why.into(),
            faults: Vec::new(),
            elapsed_ms: 0,
            before: RoundTrips::default(),
            during: RoundTrips::default(),
            memory: None,
        }
    }

    /// An attack that was made while innocent clients fared so.
    pub(super) fn made(attack: &'static str, conduct: Conduct) -> Self {
        let mut report = Self {
            verdict: Verdict::Survived,
            before: conduct.before,
            during: conduct.during,
            ..Self::skipped(attack, "")
        };
        if !conduct.complaints.is_empty() {
            report.blame(Verdict::InnocentsDisturbed, conduct.complaints);
        }
        report
    }

    /// Adds what is wrong; the worst gives the verdict.
    pub(super) fn blame(&mut self, verdict: Verdict, faults: Vec<String>) {
        let rank = |verdict| match verdict {
            Verdict::Survived | Verdict::Skipped => 0,
            Verdict::NotCounted => 1,
            Verdict::Misbehaved => 2,
            Verdict::MemoryGrew => 3,
            Verdict::InnocentsDisturbed => 4,
            Verdict::ServerDied => 5,
        };
        if rank(verdict) > rank(self.verdict) {
            self.verdict = verdict;
        }
        self.faults.extend(faults);
    }
}

/// All attacks.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Seed of what was left to chance.
    pub seed: u64,
    /// One after the other.
    pub attacks: Vec<AttackReport>,
}

impl Report {
    /// Whether the broker has failed anything.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.attacks
            .iter()
            .any(|attack| attack.verdict.is_failure())
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header([
            "attack",
            "verdict",
            "seconds",
            "p50 ms before",
            "p50 / max ms during",
            "MB before / peak / after",
            "what the server did",
        ]);
        for attack in &self.attacks {
            let [seconds, before, during, memory] = figures(attack);
            table.add_row([
                attack.attack.to_owned(),
                attack.verdict.words().to_owned(),
                seconds,
                before,
                during,
                memory,
                attack.said.clone(),
            ]);
        }
        let mut text = table.to_string();
        for attack in &self.attacks {
            for fault in &attack.faults {
                text.push_str(&format!("\n{}: {fault}", attack.attack));
            }
        }
        let count = |wanted: fn(Verdict) -> bool| {
            let verdicts = self.attacks.iter().map(|attack| attack.verdict);
            verdicts.filter(|verdict| wanted(*verdict)).count()
        };
        text.push_str(&format!(
            "\n{} survived, {} failed, {} skipped",
            count(|verdict| verdict == Verdict::Survived),
            count(Verdict::is_failure),
            count(|verdict| verdict == Verdict::Skipped),
        ));
        text
    }
}

fn figures(attack: &AttackReport) -> [String; 4] {
    if attack.verdict == Verdict::Skipped {
        return Default::default();
    }
    let mb = |bytes: u64| bytes.div_ceil(1_000_000);
    [
        format!(
            "{:.1}",
            f64::from(u32::try_from(attack.elapsed_ms).unwrap_or(u32::MAX)) / 1e3
        ),
        format!("{:.1}", attack.before.p50_ms),
        format!("{:.1} / {:.0}", attack.during.p50_ms, attack.during.max_ms),
        attack.memory.map_or_else(String::new, |memory| {
            let MemoryReport {
                before,
                peak,
                after,
            } = memory;
            format!("{} / {} / {}", mb(before), mb(peak), mb(after))
        }),
    ]
}
