//! Clients in a process of their own: `device-sim`.

use crate::server::PATIENCE;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at a process whose end is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A `device-sim` at work. It is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    name: String,
    child: Child,
    out: PathBuf,
    said: PathBuf,
    /// Bytes of its output that have been read.
    read: u64,
}

impl Crowd {
    /// Starts one; what it writes goes to files in `directory` that begin with `name`.
    pub(super) fn start(
        name: &str,
        program: &Path,
        directory: &Path,
        arguments: &[String],
        token: Option<&str>,
    ) -> Result<Self> {
        let (out, said) = (
            directory.join(format!("{name}.out")),
            directory.join(format!("{name}.err")),
        );
        let mut command = Command::new(program);
        if let Some(token) = token {
            command.env("ROLLCALL_TOKEN", token);
        }
        let child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(File::create(&out)?)
            .stderr(File::create(&said)?)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            out,
            said,
            read: 0,
        })
    }

    /// The lines that it has written since the last look; of the last one only when it is whole.
    pub(super) fn lines(&mut self) -> Result<Vec<String>> {
        let mut file = File::open(&self.out)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let Some(end) = text.rfind('\n') else {
            return Ok(Vec::new());
        };
        self.read += end as u64 + 1;
        Ok(text[..end].lines().map(str::to_owned).collect())
    }

    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Closes its standard input and waits for its end, for `patience` beside the usual.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
        bail!("{}: does not end; {}", self.name, self.said())
    }

    /// The last line of its output, once it has ended well.
    pub(super) fn report(&mut self, patience: Duration) -> Result<String> {
        let status = self.wait(patience)?;
        ensure!(status.success(), "{}: {status}: {}", self.name, self.said());
        let last = self.lines()?.pop();
        last.with_context(|| format!("{}: said nothing", self.name))
    }

    /// What it has written to its standard error.
    pub(super) fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.said).unwrap_or_default();
        text.trim().to_owned()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
