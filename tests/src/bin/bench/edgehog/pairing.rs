//! Pairing requests per second: registration and certificates, which are durable before they are answered, and
//! verification, which every reconnect asks for. Over plain HTTP, so that TLS is not measured again.

use super::{Site, count, http};
use crate::report::Figure;
use crate::{Bench, note};
use anyhow::{Context, Result};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const ROBOTS: usize = 10_000;

/// Requests under way at any time.
const AT_ONCE: usize = 64;

/// Everything that one robot has.
#[derive(Debug)]
struct Robot {
    secret: String,
    certificate: String,
}

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let robots = bench.connected(ROBOTS);
    note(&format!("pairing: {robots} robots"));
    let site = Arc::new(Site::open(&bench.server, false)?);
    let runtime = Runtime::new().context("no runtime for the requests")?;
    let csrs: Arc<Vec<String>> = Arc::new((0..robots).map(csr).collect::<Result<_>>()?);

    let (mut figures, secrets) = phase(&runtime, &site, "register", robots, {
        let site = Arc::clone(&site);
        move |number| {
            let site = Arc::clone(&site);
            async move {
                let data = json!({ "hw_id": name(number) });
                let path = "agent/devices";
                let made = http::post(site.device_http, path, &site.token, &data, 201).await?;
                text(&made, "credentials_secret")
            }
        }
    })?;
    let secrets = Arc::new(secrets);
    let (more, certificates) = phase(&runtime, &site, "credentials", robots, {
        let (site, secrets) = (Arc::clone(&site), Arc::clone(&secrets));
        move |number| {
            let (site, secrets, csrs) =
                (Arc::clone(&site), Arc::clone(&secrets), Arc::clone(&csrs));
            async move {
                let data = json!({ "csr": csrs[number] });
                let path = format!(
                    "devices/{}/protocols/astarte_mqtt_v1/credentials",
                    name(number)
                );
                let secret = &secrets[number];
                let made = http::post(site.device_http, &path, secret, &data, 201).await?;
                text(&made, "client_crt")
            }
        }
    })?;
    figures.extend(more);
    let paired = secrets.iter().zip(certificates);
    let paired = paired.map(|(secret, certificate)| Robot {
        secret: secret.clone(),
        certificate,
    });
    let paired: Arc<Vec<Robot>> = Arc::new(paired.collect());
    // As many as the window may take, robot by robot again and again.
    let rounds = 5;
    let (more, _) = phase(&runtime, &site, "verify", rounds * robots, {
        let site = Arc::clone(&site);
        move |number| {
            let (site, paired) = (Arc::clone(&site), Arc::clone(&paired));
            async move {
                let number = number % paired.len();
                let Robot {
                    secret,
                    certificate,
                } = &paired[number];
                let data = json!({ "client_crt": certificate });
                let path = format!(
                    "devices/{}/protocols/astarte_mqtt_v1/credentials/verify",
                    name(number)
                );
                let verified = http::post(site.device_http, &path, secret, &data, 200).await?;
                anyhow::ensure!(verified["valid"] == json!(true), "not valid: {verified}");
                Ok(())
            }
        }
    })?;
    figures.extend(more);
    Ok(figures)
}

/// Makes a request for every number, some at once, and tells rate and server CPU.
fn phase<T, F>(
    runtime: &Runtime,
    site: &Site,
    name: &str,
    requests: usize,
    ask: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<(Vec<Figure>, Vec<T>)>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send,
{
    let before = site.server.cpu()?.total;
    let began = Instant::now();
    let mut answers = runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (next, ask) = (Arc::clone(&next), ask.clone());
            workers.spawn(async move {
                let mut answers = Vec::new();
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= requests {
                        return Ok(answers);
                    }
                    answers.push((number, ask(number).await?));
                }
            });
        }
        let mut answers = Vec::new();
        while let Some(worker) = workers.join_next().await {
            let worker: Result<Vec<(usize, T)>> = worker?;
            answers.extend(worker?);
        }
        anyhow::Ok(answers)
    })?;
    let took = began.elapsed();
    let used: Duration = site.server.cpu()?.total.saturating_sub(before);
    answers.sort_by_key(|(number, _)| *number);
    let total = count(requests as u64);
    let figures = vec![
        Figure::new(format!("pairing.{name}"), total / took.as_secs_f64(), "1/s").under(format!(
            "{requests} requests, {AT_ONCE} at once, a connection each"
        )),
        Figure::new(
            format!("pairing.{name}.cpu"),
            used.as_secs_f64() * 1e3 / total,
            "ms",
        )
        .under("server CPU of each"),
    ];
    let answers = answers.into_iter().map(|(_, answer)| answer);
    Ok((figures, answers.collect()))
}

fn name(number: usize) -> String {
    format!("robot-{number}")
}

/// A request as devices make it, which costs them more than the answer costs the server.
fn csr(number: usize) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let common_name = format!("fleet/{}", name(number));
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(params.serialize_request(&KeyPair::generate()?)?.pem()?)
}

fn text(answer: &Value, key: &str) -> Result<String> {
    let text = answer[key].as_str();
    text.map(str::to_owned)
        .with_context(|| format!("the answer has no {key}"))
}
