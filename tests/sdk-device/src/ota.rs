//! Updates, in the order of Edgehog's runtime (device-contract 3.2).

use crate::report;
use anyhow::Context;
use astarte_device_sdk::{AstarteData, Client, DeviceEvent, Value};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a slot holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) version: String,
    pub(crate) build_id: String,
}

/// What was written to the other slot, and for whom.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    uuid: String,
    image: Image,
}

/// What an OTAEvent tells.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Acknowledged,
    Downloading,
    Deploying,
    Deployed,
    Rebooting,
    Success,
    NetworkError,
    Canceled,
    Busy,
    NothingToCancel,
    RolledBack,
}

impl Outcome {
    /// `status` and `statusCode`.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Acknowledged => ("Acknowledged", ""),
            Self::Downloading => ("Downloading", ""),
            Self::Deploying => ("Deploying", ""),
            Self::Deployed => ("Deployed", ""),
            Self::Rebooting => ("Rebooting", ""),
            Self::Success => ("Success", ""),
            Self::NetworkError => ("Failure", "NetworkError"),
            Self::Canceled => ("Failure", "Canceled"),
            Self::Busy => ("Failure", "UpdateAlreadyInProgress"),
            Self::NothingToCancel => ("Failure", "InternalError"),
            Self::RolledBack => ("Failure", "SystemRollback"),
        }
    }
}

/// What the boot found.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) installed: Image,
    /// The update that this boot ends.
    pub(crate) outcome: Option<(String, Outcome)>,
}

impl Boot {
    /// Chooses the slot.
    pub(crate) fn of(directory: &Path, roll_back: bool) -> anyhow::Result<Self> {
        let (pending, installed) = (directory.join("pending.json"), installed(directory));
        let factory = Image {
            version: "1.0.0".to_owned(),
            build_id: "b1".to_owned(),
        };
        let old = read(&installed)?.unwrap_or(factory);
        let Some(update) = read::<Pending>(&pending)? else {
            return Ok(Self {
                installed: old,
                outcome: None,
            });
        };
        let (image, outcome) = if roll_back {
            (old, Outcome::RolledBack)
        } else {
            (update.image, Outcome::Success)
        };
        std::fs::write(&installed, serde_json::to_vec(&image)?)?;
        std::fs::remove_file(&pending)?;
        Ok(Self {
            installed: image,
            outcome: Some((update.uuid, outcome)),
        })
    }
}

fn installed(directory: &Path) -> PathBuf {
    directory.join("installed.json")
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Request {
    uuid: String,
    url: String,
}

/// The device while it runs.
#[derive(Debug)]
pub(crate) struct Device<C> {
    client: C,
    directory: PathBuf,
    pause_download: bool,
    /// A download that waits for the test.
    paused: Option<Request>,
    /// Everything is said, and the reboot waits for the test.
    rebooting: bool,
}

impl<C: Client> Device<C> {
    pub(crate) const fn new(client: C, directory: PathBuf, pause_download: bool) -> Self {
        Self {
            client,
            directory,
            pause_download,
            paused: None,
            rebooting: false,
        }
    }

    /// Takes what the server sent.
    pub(crate) async fn receive(&mut self, event: DeviceEvent) -> anyhow::Result<()> {
        let Value::Object { data, .. } = &event.data else {
            let value = match &event.data {
                Value::Property(Some(value)) => format!("{value:?}"),
                _ => String::new(),
            };
            let details = [
                ("interface", event.interface.as_str()),
                ("path", &event.path),
                ("value", &value),
            ];
            report::line("property", &details);
            return Ok(());
        };
        let text = |key| match data.get(key) {
            Some(AstarteData::String(text)) => Ok(text.clone()),
            _ => Err(anyhow::anyhow!("the request has no {key}")),
        };
        let operation = text("operation")?;
        let request = Request {
            uuid: text("uuid")?,
            url: text("url")?,
        };
        let details = [
            ("operation", operation.as_str()),
            ("uuid", &request.uuid),
            ("url", &request.url),
        ];
        report::line("request", &details);
        match (operation.as_str(), &self.paused) {
            ("Update", None) => self.begin(request).await,
            // A repetition of the request under way is ignored (device-contract 0.5).
            ("Update", Some(current)) if *current == request => Ok(()),
            ("Update", Some(_)) => self.say(&request.uuid, Outcome::Busy).await,
            ("Cancel", Some(current)) if *current == request => {
                self.paused = None;
                self.say(&request.uuid, Outcome::Canceled).await
            }
            ("Cancel", _) => self.say(&request.uuid, Outcome::NothingToCancel).await,
            (other, _) => anyhow::bail!("operation {other} is none that a device knows"),
        }
    }

    async fn say(&self, uuid: &str, outcome: Outcome) -> anyhow::Result<()> {
        report::event(&self.client, uuid, outcome, 0).await
    }

    async fn begin(&mut self, request: Request) -> anyhow::Result<()> {
        self.say(&request.uuid, Outcome::Acknowledged).await?;
        self.say(&request.uuid, Outcome::Downloading).await?;
        if self.pause_download {
            self.paused = Some(request);
            return Ok(());
        }
        self.update(request).await
    }

    /// Goes on with what waits for the test; whether the device reboots now.
    pub(crate) async fn resume(&mut self) -> anyhow::Result<bool> {
        if let Some(request) = self.paused.take() {
            self.update(request).await?;
            return Ok(false);
        }
        Ok(self.rebooting)
    }

    async fn update(&mut self, request: Request) -> anyhow::Result<()> {
        let Request { uuid, url } = request;
        let header = uuid.clone();
        let fetched = tokio::task::spawn_blocking(move || {
            let answer = ureq::get(url).header("X-Edgehog-OTA-ID", header).call();
            answer?.body_mut().read_to_vec()
        });
        let Ok(bundle) = fetched.await? else {
            return self.say(&uuid, Outcome::NetworkError).await;
        };
        report::event(&self.client, &uuid, Outcome::Downloading, 100).await?;
        self.say(&uuid, Outcome::Deploying).await?;
        // The test's bundles are what the slot then says of itself.
        let image = serde_json::from_slice(&bundle).context("the bundle says no version")?;
        let pending = Pending {
            uuid: uuid.clone(),
            image,
        };
        std::fs::write(
            self.directory.join("pending.json"),
            serde_json::to_vec(&pending)?,
        )?;
        self.say(&uuid, Outcome::Deployed).await?;
        self.say(&uuid, Outcome::Rebooting).await?;
        self.rebooting = true;
        Ok(())
    }
}
