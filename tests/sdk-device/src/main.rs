//! A small device on the released Astarte SDK, unmodified: it pairs, connects, reports itself and takes updates as
//! Edgehog's runtime does. The server's tests start it as a process, talk to it by lines of JSON on its standard output,
//! and restart it where a robot would reboot.
//!
//! An update stops before the reboot until the test gives a line of input, so that everything said has arrived. A reboot
//! is the end of the process: `pending.json` then says what was written to the other slot, and the next start
//! boots it, or falls back to the old one with `--roll-back`. What the SDK is told before it is connected is lost, as
//! the outcome of a real device's update normally is (device-contract 0.1).

mod ota;
mod report;

use anyhow::Context;
use astarte_device_sdk::builder::DeviceBuilder;
use astarte_device_sdk::prelude::*;
use astarte_device_sdk::store::SqliteStore;
use astarte_device_sdk::transport::mqtt::{Credential, MqttArgs, MqttConfig};
use clap::Parser;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt, BufReader};

/// The interfaces that this device has, as the SDK wants them.
const INTERFACES: [&str; 7] = [
    include_str!("../interfaces/BaseImage.json"),
    include_str!("../interfaces/OSInfo.json"),
    include_str!("../interfaces/OTAEvent.json"),
    include_str!("../interfaces/OTARequest.json"),
    include_str!("../interfaces/SystemInfo.json"),
    include_str!("../interfaces/SystemStatus.json"),
    include_str!("../interfaces/config.Telemetry.json"),
];

/// How the device is started.
#[derive(Debug, Parser)]
struct Args {
    #[arg(long, default_value = "fleet")]
    realm: String,
    #[arg(long)]
    device_id: String,
    #[arg(long)]
    pairing_url: String,
    /// Registers the device; its secret is then kept in the directory.
    #[arg(long, conflicts_with = "secret")]
    pairing_token: Option<String>,
    /// The credentials secret of a device that is registered already.
    #[arg(long)]
    secret: Option<String>,
    /// Where the device keeps what outlives its process.
    #[arg(long)]
    directory: PathBuf,
    #[arg(long, default_value = "board-a")]
    part_number: String,
    /// Stop in the middle of a download, until a line comes on standard input or the request is cancelled.
    #[arg(long)]
    pause_download: bool,
    /// Boot the old image after an update.
    #[arg(long)]
    roll_back: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tokio::fs::create_dir_all(&args.directory).await?;
    let credential = match (&args.secret, &args.pairing_token) {
        (Some(secret), _) => Credential::secret(secret),
        (None, Some(token)) => Credential::paring_token(token),
        (None, None) => anyhow::bail!("give --secret or --pairing-token"),
    };
    let config = MqttConfig::new(MqttArgs {
        realm: args.realm.clone(),
        device_id: args.device_id.clone(),
        credential,
        pairing_url: args.pairing_url.parse().context("pairing URL")?,
    });
    let store = SqliteStore::options()
        .with_writable_dir(&args.directory)
        .await?;
    let mut builder = DeviceBuilder::new()
        .writable_dir(&args.directory)
        .store(store);
    for interface in INTERFACES {
        builder = builder.interface_str(interface)?;
    }
    let (client, connection) = builder.connection(config).build().await?;

    let boot = ota::Boot::of(&args.directory, args.roll_back)?;
    report::line("started", &[("version", &boot.installed.version)]);
    // Said before there is a connection, so the SDK drops it.
    if let Some((uuid, outcome)) = &boot.outcome {
        report::event(&client, uuid, *outcome, 0).await?;
    }
    report::properties(&client, &boot.installed, &args.part_number).await?;

    let connection = tokio::spawn(connection.handle_events());
    let device = ota::Device::new(client.clone(), args.directory, args.pause_download);
    tokio::select! {
        result = connection => result?.context("the SDK's connection ended"),
        result = serve(device, client) => {
            result?;
            // The runtime would wait for the next line of input.
            std::process::exit(0);
        }
    }
}

/// Takes requests and orders until the device reboots.
async fn serve<C: Client + ClientConnection>(
    mut device: ota::Device<C>,
    mut client: C,
) -> anyhow::Result<()> {
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            event = client.recv() => {
                device.receive(event.context("the SDK has no more events")?).await?;
            }
            // Whoever started the device has gone when there is no more input.
            order = orders.next_line() => {
                if order?.is_none() || device.resume().await? {
                    return client.disconnect().await.context("disconnecting");
                }
            }
        }
    }
}
