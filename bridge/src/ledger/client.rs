//! Speaks to a DCL node's REST API, and fetches files from wherever the ledger says. Neither is trusted: every wait ends,
//! every body has a limit, pages and redirects are counted.

use super::wire::{self, Denial, Entry, NOT_FOUND, Pagination, UNIMPLEMENTED};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Response, StatusCode, Url};
use rollcall_engine::{MAX_LEDGER_VERSIONS as MAX_VERSIONS, Product};
use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;

/// Pages of one list. The whole ledger has some thousands of versions.
const MAX_PAGES: usize = 500;
/// Records that are asked for in one page.
const PAGE: &str = "100";
/// Bytes of one answer: a page of records at their longest, twice over.
const MAX_ANSWER: usize = 1 << 20;
const MAX_REDIRECTS: usize = 5;
/// Bytes of what is kept of a search.
const MAX_KEPT: usize = 16 << 20;
/// Bytes of a page's key, which is some dozens at a node.
const MAX_KEY: usize = 4 << 10;

/// How long a ledger and a file's server may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// To be reached.
    pub connect: Duration,
    /// Between two signs of life.
    pub silence: Duration,
    /// For one answer of the ledger.
    pub answer: Duration,
    /// For everything that the ledger says of a product.
    pub listing: Duration,
    /// For a file, beside what its size takes.
    pub file: Duration,
    /// A file that comes slower is given up, bytes in a second.
    pub slowest: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(20),
            answer: Duration::from_secs(30),
            // Somebody may wait at the command line, which gives up after two minutes, for one that goes on and the next.
            listing: Duration::from_secs(50),
            file: Duration::from_secs(60),
            slowest: 32 << 10,
        }
    }
}

/// Why the ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerError {
    #[error("{url:?} is not a URL: {why}")]
    Url { url: String, why: String },
    #[error("the ledger at {url} cannot be reached: {why}")]
    Unreachable { url: String, why: String },
    #[error("the ledger at {url} did not answer within {after:?}")]
    Silent { url: String, after: Duration },
    #[error("the ledger at {url} answered {status}{said}")]
    Status {
        url: String,
        status: u16,
        said: String,
    },
    #[error("the ledger at {url} answered with more than {MAX_ANSWER} bytes")]
    TooLarge { url: String },
    #[error("the ledger at {url} gave an answer that makes no sense: {why}")]
    Nonsense { url: String, why: String },
    #[error("the ledger at {url} has no product {product}; check --vid and --pid")]
    NoProduct { url: String, product: Product },
    #[error("the ledger at {url} gives one page after the other without an end ({pages} so far)")]
    Endless { url: String, pages: usize },
    #[error(
        "the ledger at {url} lists no version of product {product}, and {known} are known here; none was withdrawn; \
         check --vid and --pid, or ask another node"
    )]
    Nothing {
        url: String,
        product: Product,
        known: usize,
    },
    #[error("the ledger at {url} says more than {MAX_KEPT} bytes of one product")]
    TooMuch { url: String },
    #[error("the ledger at {url} lists more than {MAX_VERSIONS} versions of one product")]
    TooMany { url: String },
}

impl LedgerError {
    /// Whether it is the node that fails, so that asking it for the next version is of no use.
    pub(super) const fn is_the_nodes(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// What a ledger has of a product.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The versions that it lists.
    pub(super) numbers: BTreeSet<u32>,
    /// Records that came with the list.
    pub(super) entries: Vec<Entry>,
    /// Whether what is not in `numbers` is not on the ledger.
    pub(super) complete: bool,
}

/// Speaks to ledgers.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    settings: Settings,
}

/// A node that lies may send us anywhere, but not out of TLS.
fn redirects(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let previous = attempt.previous();
    let from_tls = previous.iter().any(|url| url.scheme() == "https");
    if previous.len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if from_tls && attempt.url().scheme() != "https" {
        attempt.error("a redirect out of TLS")
    } else {
        attempt.follow()
    }
}

impl Client {
    pub(super) fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        // Several providers may be compiled in, and then reqwest cannot choose. Whoever was first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect)
            .read_timeout(settings.silence)
            .redirect(Policy::custom(redirects))
            .build()?;
        Ok(Self { http, settings })
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which versions the ledger has of the product.
    pub(super) async fn list(&self, base: &str, product: Product) -> Result<Listed, LedgerError> {
        let url = parse(base, &format!("{}/{}", product.vid, product.pid))?;
        match self.numbers(&url, product).await {
            Err(LedgerError::Status { status: 501, .. }) => self.search(base, product).await,
            other => other,
        }
    }

    async fn numbers(&self, url: &Url, product: Product) -> Result<Listed, LedgerError> {
        let mut listed = Listed {
            complete: true,
            ..Listed::default()
        };
        let mut pages = Pages::new(url);
        while let Some(page) = pages.next_url()? {
            let body = self.get(&page).await.map_err(|error| match error {
                LedgerError::Status {
                    status: 404,
                    said,
                    url,
                } if said.is_empty() => LedgerError::NoProduct { url, product },
                other => other,
            })?;
            let nonsense = |why| LedgerError::Nonsense {
                url: url.to_string(),
                why,
            };
            let read = serde_json::from_slice::<wire::Versions>(&body);
            let read = read.map_err(|error| nonsense(wire::not_json(&error)))?;
            let numbers = read.model_versions.of(product).map_err(nonsense)?;
            listed.numbers.extend(numbers);
            if listed.numbers.len() > MAX_VERSIONS {
                return Err(LedgerError::TooMany {
                    url: url.to_string(),
                });
            }
            pages.go_to(Pagination::next(read.pagination));
        }
        Ok(listed)
    }

    /// Looks through everything that the ledger has, where a node does not list one product.
    async fn search(&self, base: &str, product: Product) -> Result<Listed, LedgerError> {
        let mut url = parse(base, "")?;
        url.query_pairs_mut().append_pair("pagination.limit", PAGE);
        let mut listed = Listed {
            complete: true,
            ..Listed::default()
        };
        let mut kept = 0;
        let mut pages = Pages::new(&url);
        while let Some(page) = pages.next_url()? {
            let body = self.get(&page).await?;
            let read = serde_json::from_slice::<wire::Page>(&body);
            let read = read.map_err(|error| LedgerError::Nonsense {
                url: url.to_string(),
                why: wire::not_json(&error),
            })?;
            for value in read.model_version {
                if !wire::is_of(&value, product) {
                    continue;
                }
                kept += value.to_string().len();
                if kept > MAX_KEPT {
                    return Err(LedgerError::TooMuch {
                        url: url.to_string(),
                    });
                }
                let entry = wire::entry(value);
                let number = entry.as_ref().map(|record| Some(record.software_version));
                match number.unwrap_or_else(|unreadable| unreadable.number) {
                    Some(number) => drop(listed.numbers.insert(number)),
                    None => listed.complete = false,
                }
                listed.entries.push(entry);
                if listed.entries.len() > MAX_VERSIONS {
                    return Err(LedgerError::TooMany {
                        url: url.to_string(),
                    });
                }
            }
            pages.go_to(Pagination::next(read.pagination));
        }
        if listed.entries.is_empty() {
            return Err(LedgerError::NoProduct {
                url: url.to_string(),
                product,
            });
        }
        Ok(listed)
    }

    /// What the ledger says of one version.
    pub(super) async fn version(
        &self,
        base: &str,
        product: Product,
        number: u32,
    ) -> Result<Entry, LedgerError> {
        let url = parse(base, &format!("{}/{}/{number}", product.vid, product.pid))?;
        let body = self.get(&url).await?;
        let nonsense = |why| LedgerError::Nonsense {
            url: url.to_string(),
            why,
        };
        let entry = wire::single(&body).map_err(nonsense)?;
        match &entry {
            Ok(record) if record.software_version != number => Err(nonsense(format!(
                "it was asked for version {number} and speaks of {}",
                record.software_version
            ))),
            _ => Ok(entry),
        }
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, LedgerError> {
        let after = self.settings.answer;
        let answer = tokio::time::timeout(after, self.read(url)).await;
        answer.map_err(|_| LedgerError::Silent {
            url: url.to_string(),
            after,
        })?
    }

    async fn read(&self, url: &Url) -> Result<Vec<u8>, LedgerError> {
        let failed = |error: &reqwest::Error| self.failed(url, error);
        let response = self.http.get(url.clone()).send().await;
        let mut response = response.map_err(|error| failed(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(LedgerError::TooLarge {
                    url: url.to_string(),
                });
            }
            body.extend_from_slice(&piece);
        }
        if status.is_success() {
            return Ok(body);
        }
        let denial = serde_json::from_slice::<Denial>(&body).ok();
        let code = denial.as_ref().map(|denial| denial.code);
        Err(LedgerError::Status {
            url: url.to_string(),
            status: match code {
                Some(UNIMPLEMENTED) => StatusCode::NOT_IMPLEMENTED.as_u16(),
                _ => status.as_u16(),
            },
            // A node's own "not found" is nothing to wonder about; that of whoever sits before it is.
            said: match denial {
                Some(denial) if denial.code == NOT_FOUND => String::new(),
                Some(denial) => format!(": {}", wire::shown(&denial.message)),
                None => ", and not as a node would say it; check the URL".to_owned(),
            },
        })
    }

    fn failed(&self, url: &Url, error: &reqwest::Error) -> LedgerError {
        if error.is_timeout() && !error.is_connect() {
            return LedgerError::Silent {
                url: url.to_string(),
                after: self.settings.silence,
            };
        }
        LedgerError::Unreachable {
            url: url.to_string(),
            why: cause(error),
        }
    }

    /// Opens a file.
    pub(super) async fn open(&self, url: &str) -> Result<Response, String> {
        let response = self.http.get(url).send().await;
        let response = response.map_err(|error| file_failure(self.settings.silence, &error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            other => Err(format!("its server answered {}", other.as_u16())),
        }
    }

    /// How long a file of so many bytes may take in all.
    pub(super) fn patience(&self, size: u64) -> Duration {
        let seconds = size / self.settings.slowest.max(1);
        self.settings.file + Duration::from_secs(seconds)
    }
}

/// The addresses of a list's pages, one after the other, as far as they go.
struct Pages<'a> {
    url: &'a Url,
    key: Option<String>,
    seen: BTreeSet<String>,
    more: bool,
}

impl<'a> Pages<'a> {
    const fn new(url: &'a Url) -> Self {
        Self {
            url,
            key: None,
            seen: BTreeSet::new(),
            more: true,
        }
    }

    fn next_url(&mut self) -> Result<Option<Url>, LedgerError> {
        if !self.more {
            return Ok(None);
        }
        let Some(key) = self.key.take() else {
            return Ok(Some(self.url.clone()));
        };
        if key.len() > MAX_KEY {
            return Err(LedgerError::Nonsense {
                url: self.url.to_string(),
                why: format!("the key of its next page has more than {MAX_KEY} bytes"),
            });
        }
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("pagination.key", &key);
        // A key that comes again is a loop, and a node that always has a new one is no better.
        let fresh = self.seen.insert(key);
        if !fresh || self.seen.len() >= MAX_PAGES {
            return Err(LedgerError::Endless {
                url: self.url.to_string(),
                pages: self.seen.len(),
            });
        }
        Ok(Some(url))
    }

    fn go_to(&mut self, key: Option<String>) {
        self.more = key.is_some();
        self.key = key;
    }
}

fn parse(base: &str, path: &str) -> Result<Url, LedgerError> {
    let url = format!("{base}/dcl/model/versions/{path}");
    let url = url.trim_end_matches('/');
    Url::parse(url).map_err(|error| LedgerError::Url {
        url: base.to_owned(),
        why: error.to_string(),
    })
}

/// Why a file did not come, for people.
pub(super) fn file_failure(silence: Duration, error: &reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return format!("its server was silent for {silence:?}");
    }
    format!("it cannot be fetched: {}", cause(error))
}

/// The innermost cause, which is the one that says something.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    let mut source = error.source();
    while let Some(inner) = source {
        cause = inner;
        source = inner.source();
    }
    wire::shown(&cause.to_string())
}
