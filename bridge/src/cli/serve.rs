//! The commands that are no clients: the server, the demonstration and its fleet.

use super::args::{Global, ServeArgs};
use super::exit::{Exit, Failure};
use super::output::note;
use crate::config::{Config, Overrides};
use crate::demo::DemoArgs;
use crate::pki::Pki;
use crate::server::{Server, raise_open_files};
use device_sim::cli::RunArgs;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

fn failure(error: impl Into<anyhow::Error>) -> Failure {
    Failure::other(&error.into())
}

fn runtime() -> Result<Runtime, Failure> {
    Runtime::new().map_err(failure)
}

/// rustls warns of every odd record of every stranger, as often as they like. The broker counts them, and says so now and
/// then. Who wants to read it all the same asks with `RUST_LOG=rustls=warn`.
const HUSHED: &str = "rustls=error";

/// Logs to standard error, as `RUST_LOG` says or from `default` up.
fn log(json: bool, default: &str) {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = asked.and_then(|asked| EnvFilter::try_new(format!("{HUSHED},{asked}")).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(format!("{HUSHED},{default}")));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    if json {
        logs.json().init();
    } else {
        logs.init();
    }
}

/// `rollcall serve`
pub(super) fn serve(args: ServeArgs, global: &Global) -> Result<ExitCode, Failure> {
    log(global.json, "info");
    let flags = Overrides {
        data_dir: global.data_dir.clone(),
        mqtt: args.mqtt,
        mqtts: args.mqtts,
        websocket: args.websocket,
        http: args.http,
        device_http: args.device_http,
        dev: args.dev,
    };
    let config = Config::load(args.config.as_deref(), flags)
        .map_err(|error| Failure::usage(format!("{:#}", anyhow::Error::from(error))))?;
    raise_open_files(config.mqtt.limits.max_connections);
    runtime()?.block_on(async {
        // Signals are caught before anything is begun that would have to be ended.
        let stop = stop().map_err(failure)?;
        let data_dir = config.data_dir.clone();
        let scheme = if config.device_http.tls {
            "https"
        } else {
            "http"
        };
        let secured = if config.websocket.tls { "wss" } else { "ws" };
        let server = Server::start(config).await.map_err(|error| {
            if error.is_usage() {
                Failure::usage(format!("{:#}", anyhow::Error::from(error)))
            } else {
                failure(error)
            }
        })?;
        let at = &server.addresses;
        let mqtts = at
            .mqtts
            .map(|address| format!(", MQTTS on {address}"))
            .unwrap_or_default();
        let websocket = at
            .websocket
            .map(|address| format!(", WebSocket on {secured}://{address}/mqtt"))
            .unwrap_or_default();
        note(format_args!(
            "MQTT on {}{mqtts}{websocket}, API on http://{}, device HTTP on {scheme}://{}; tokens in {}",
            at.mqtt,
            at.http,
            at.device_http,
            data_dir.display()
        ));
        let reload = reload_at_hangup(Arc::clone(&server.pki)).map_err(failure)?;
        let ended = server.run_until(stop).await;
        reload.abort();
        ended.map_err(failure)?;
        Ok(Exit::Success.into())
    })
}

/// Reads the certificates again whenever the process gets SIGHUP.
fn reload_at_hangup(pki: Arc<Pki>) -> io::Result<JoinHandle<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if let Err(error) = pki.reload_in_background().await {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "certificates stay as they were"
                );
            }
        }
    }))
}

/// Resolves at Ctrl-C and when the system asks the process to end.
fn stop() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// `rollcall demo`
pub(super) fn demo(mut args: DemoArgs, global: &Global) -> Result<ExitCode, Failure> {
    log(false, "warn");
    args.json |= global.json;
    runtime()?.block_on(crate::demo::run(args)).map_err(failure)
}

/// The demonstration's second process.
pub(super) fn fleet(args: &RunArgs) -> Result<ExitCode, Failure> {
    log(false, "warn");
    runtime()?
        .block_on(device_sim::cli::execute(args, &mut io::stdout()))
        .map_err(failure)?;
    Ok(Exit::Success.into())
}
