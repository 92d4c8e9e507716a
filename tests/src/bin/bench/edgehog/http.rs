//! A client of the pairing API that costs as little as possible: one request per connection, as the server wants it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// Posts data and returns the data of the answer, which must have this status.
pub(super) async fn post(
    address: SocketAddr,
    path: &str,
    bearer: &str,
    data: &Value,
    expected: u16,
) -> Result<Value> {
    let body = json!({ "data": data }).to_string();
    let request = format!(
        "POST /pairing/v1/fleet/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while stream.read_buf(&mut answer).await? > 0 {
        ensure!(answer.len() <= MAX_ANSWER, "the answer does not end");
    }
    let answer = std::str::from_utf8(&answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    if status != Some(expected) {
        bail!("{path}: {status:?} instead of {expected}: {body}");
    }
    let mut answer: Value = serde_json::from_str(body).context("the answer is no json")?;
    Ok(answer["data"].take())
}
