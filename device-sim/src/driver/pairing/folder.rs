//! A robot's files, under the names that Astarte's SDK gives them.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::PairingError;

const SECRET: &str = "credential";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "priv-key.der";

/// Where one robot keeps what it must not lose.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn of(state_dir: &Path, robot: &str) -> Self {
        Self(state_dir.join(robot))
    }

    pub(super) async fn secret(&self) -> Option<String> {
        fs::read_to_string(self.0.join(SECRET)).await.ok()
    }

    /// Certificate and key.
    pub(super) async fn certificate(&self) -> Option<(String, Vec<u8>)> {
        let pem = fs::read_to_string(self.0.join(CERTIFICATE)).await.ok()?;
        let key = fs::read(self.0.join(KEY)).await.ok()?;
        Some((pem, key))
    }

    pub(super) async fn keep_secret(&self, secret: &str) -> Result<(), PairingError> {
        self.write(SECRET, secret.as_bytes()).await
    }

    pub(super) async fn keep_certificate(&self, pem: &str, key: &[u8]) -> Result<(), PairingError> {
        self.write(CERTIFICATE, pem.as_bytes()).await?;
        self.write(KEY, key).await
    }

    async fn write(&self, name: &str, content: &[u8]) -> Result<(), PairingError> {
        let path = self.0.join(name);
        let written = self.write_file(&path, content).await;
        written.map_err(|source| PairingError::Write { path, source })
    }

    /// Readable by its owner only.
    async fn write_file(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.0).await?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path).await?;
        file.write_all(content).await?;
        file.flush().await
    }
}
