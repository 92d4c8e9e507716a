//! What a comparison has found, line by line in a file, so that a run that is cut off is not lost, and runs of some of
//! the figures can be put together.

use super::kind::Kind;
use super::rows::{Figure, Outcome};
use crate::Usage;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A line of the file: JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Run(Run),
    Found(Found),
    /// The run was not cut off.
    End {
        seconds: u64,
    },
}

/// What is true of a whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) machine: String,
    pub(crate) method: String,
    /// Servers that were not there, and how to get them.
    pub(crate) left_out: Vec<String>,
}

/// What one round said of one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Since the run began.
    pub(crate) seconds: u64,
    pub(crate) round: u32,
    pub(crate) kind: Kind,
    pub(crate) figure: Figure,
    pub(crate) outcome: Outcome,
}

/// Runs with what they found, and the file that they are kept in, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    lines: Vec<Line>,
    file: Option<(File, PathBuf)>,
}

impl Kept {
    /// A run that begins, kept in this file after what is there already.
    pub(crate) fn begin(run: Run, file: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = File::options().append(true).create(true).open(path);
            let file =
                file.with_context(|| Usage(format!("{} cannot be written", path.display())))?;
            anyhow::Ok((file, path.to_owned()))
        };
        let mut kept = Self {
            lines: Vec::new(),
            file: file.map(open).transpose()?,
        };
        kept.add(Line::Run(run))?;
        Ok(kept)
    }

    pub(crate) fn found(&mut self, found: Found) -> Result<()> {
        self.add(Line::Found(found))
    }

    pub(crate) fn end(&mut self, began: Instant) -> Result<()> {
        let seconds = began.elapsed().as_secs();
        self.add(Line::End { seconds })
    }

    fn add(&mut self, line: Line) -> Result<()> {
        if let Some((file, path)) = &mut self.file {
            let text = serde_json::to_string(&line)? + "\n";
            file.write_all(text.as_bytes())
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        self.lines.push(line);
        Ok(())
    }

    /// What these files hold, one after the other.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self> {
        let mut kept = Self::default();
        for path in files {
            let text = fs::read_to_string(path)
                .with_context(|| Usage(format!("{} cannot be read", path.display())))?;
            for (number, line) in text.lines().enumerate() {
                let line = serde_json::from_str(line).with_context(|| {
                    let (path, number) = (path.display(), number + 1);
                    let wrong = "is not what --keep writes: take it out";
                    Usage(format!("{path}, line {number}, {wrong}"))
                })?;
                kept.lines.push(line);
            }
            ensure!(
                matches!(kept.lines.first(), Some(Line::Run(_))),
                Usage(format!("{} does not begin with a run", path.display()))
            );
        }
        Ok(kept)
    }

    /// Every run in words, and then what was left out of any.
    pub(crate) fn notes(&self) -> Vec<String> {
        let (mut notes, mut left_out) = (Vec::new(), Vec::new());
        for lines in self.runs() {
            let Some((Line::Run(run), rest)) = lines.split_first() else {
                continue;
            };
            let lasted = match rest.last() {
                Some(Line::End { seconds }) => format!("{} minutes in all", seconds.div_ceil(60)),
                Some(Line::Found(last)) => format!("cut off in round {}", last.round),
                Some(Line::Run(_)) | None => "cut off before anything was found".to_owned(),
            };
            notes.push(format!("{}. {}; {lasted}.", run.machine, run.method));
            left_out.extend(run.left_out.iter().cloned());
        }
        left_out.sort();
        left_out.dedup();
        notes.extend(left_out);
        notes
    }

    /// Everything that was found. Rounds of a later run come after those of an earlier one.
    pub(crate) fn all(&self) -> impl Iterator<Item = Found> {
        let mut before = 0;
        self.runs().flat_map(move |lines| {
            let found = lines.iter().filter_map(|line| match line {
                Line::Found(found) => Some(found.clone()),
                Line::Run(_) | Line::End { .. } => None,
            });
            let mut found: Vec<_> = found.collect();
            for one in &mut found {
                one.round += before;
            }
            before = found.iter().map(|one| one.round).fold(before, u32::max);
            found
        })
    }

    fn runs(&self) -> impl Iterator<Item = &[Line]> {
        self.lines.chunk_by(|_, next| !matches!(next, Line::Run(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{Better, Sample};
    use super::*;

    fn run(machine: &str) -> Run {
        Run {
            machine: machine.to_owned(),
            method: "medians".to_owned(),
            left_out: vec!["no rmqtt".to_owned()],
        }
    }

    fn found(round: u32, kind: Kind, outcome: Outcome) -> Found {
        Found {
            seconds: 7,
            round,
            kind,
            figure: Figure::new("fan-in", "messages/s", Better::More),
            outcome,
        }
    }

    #[test]
    fn what_is_found_is_kept_even_of_a_run_that_is_cut_off_and_runs_are_put_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let mut first = Kept::begin(run("here"), Some(&path)).unwrap();
        first
            .found(found(1, Kind::Rollcall, Ok(Sample::of(5.0))))
            .unwrap();
        first
            .found(found(2, Kind::Rollcall, Err("gone".to_owned())))
            .unwrap();
        // The file is there now, whatever becomes of this run.
        let mut second = Kept::begin(run("there"), Some(&path)).unwrap();
        second
            .found(found(1, Kind::Rollcall, Ok(Sample::of(6.0))))
            .unwrap();
        second.end(Instant::now()).unwrap();

        let read = Kept::read(std::slice::from_ref(&path)).unwrap();
        let all: Vec<_> = read.all().map(|one| (one.round, one.outcome)).collect();
        let gone = (2, Err("gone".to_owned()));
        assert_eq!(
            all,
            [(1, Ok(Sample::of(5.0))), gone, (3, Ok(Sample::of(6.0)))]
        );
        let expected = [
            "here. medians; cut off in round 2.",
            "there. medians; 0 minutes in all.",
            "no rmqtt",
        ];
        assert_eq!(read.notes(), expected);

        fs::write(&path, "{\"run\"").unwrap();
        let error = Kept::read(std::slice::from_ref(&path)).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
