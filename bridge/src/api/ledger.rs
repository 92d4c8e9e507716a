//! Where a channel's releases come from, and what its ledger records.

use super::Context;
use super::channels::{find, is_subject, unknown};
use super::error::ApiError;
use super::request::{Json, Operator, PageQuery, Path, Query, RawJson, Viewer};
use super::views::rfc3339;
use crate::ledger::{SyncError, SyncReport, SyncStatus};
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    ChannelKey, ChannelName, Command, HardwareId, LedgerOrigin, LedgerRecord, LedgerSource,
    LedgerVersion, Millis, NameError, Product, Source, State as Fleet, Withdrawn,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A file of versions, bytes: all that one product may have, at their longest.
pub const IMPORT_LIMIT: usize = 4 << 20;

/// Where a channel's releases come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceView {
    /// Images that were added here.
    Console {},
    /// A product's versions on the ledger.
    Ledger {
        /// The node's REST API; `null` where somebody brings files.
        #[serde(default)]
        url: Option<String>,
        /// The vendor.
        vid: u16,
        /// The vendor's product.
        pid: u16,
        /// The boards that the product is.
        hardware_ids: Vec<String>,
        /// Between two looks at the ledger.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every_ms: Option<Millis>,
    },
}

/// What a channel's ledger records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerView {
    /// The channel.
    pub channel: String,
    /// Its source.
    #[serde(flatten)]
    pub source: SourceView,
    /// How it stands with reading it.
    pub sync: SyncStatus,
    /// A page of the versions, by number.
    pub versions: Vec<LedgerVersionView>,
    /// The `after` of the next page.
    pub next: Option<String>,
}

/// A version on the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerVersionView {
    /// Its number.
    pub version: u32,
    /// What it is called.
    pub name: String,
    /// How it stands with it.
    pub state: LedgerState,
    /// The image that it is here.
    pub image: Option<String>,
    /// Why its file is not here, if that was tried in vain.
    pub problem: Option<String>,
    /// When the ledger said so first, RFC 3339.
    pub recorded: String,
    /// The same in milliseconds since the Unix epoch.
    pub recorded_ms: u64,
    /// What the ledger says of it, in its words.
    pub record: LedgerRecord,
}

/// How it stands with a version on the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// It is an image that can be released.
    Ready,
    /// Its file is to be fetched.
    Fetching,
    /// Its file cannot be fetched, or is not the ledger's.
    Failed,
    /// It has no file.
    NoFile,
    /// The ledger says that it is not valid.
    Invalid,
    /// The ledger no longer lists it.
    Vanished,
}

impl SourceView {
    pub(super) fn new(source: &Source) -> Self {
        match source {
            Source::Console => Self::Console {},
            Source::Ledger(ledger) => Self::Ledger {
                url: match &ledger.origin {
                    LedgerOrigin::Rest { url } => Some(url.clone()),
                    LedgerOrigin::File => None,
                },
                vid: ledger.product.vid,
                pid: ledger.product.pid,
                hardware_ids: ledger
                    .hardware_ids
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                every_ms: Some(ledger.every),
            },
        }
    }
}

/// Between two looks at a ledger, if nothing is said.
const EVERY: Millis = 60 * 60_000;

impl TryFrom<SourceView> for Source {
    type Error = ApiError;
    fn try_from(view: SourceView) -> Result<Self, ApiError> {
        let SourceView::Ledger {
            url,
            vid,
            pid,
            hardware_ids,
            every_ms,
        } = view
        else {
            return Ok(Self::Console);
        };
        let ids = hardware_ids.iter().map(|id| HardwareId::new(id));
        let ids: Result<_, NameError> = ids.collect();
        let rest = |url: String| LedgerOrigin::Rest {
            url: url.trim_end_matches('/').to_owned(),
        };
        Ok(Self::Ledger(LedgerSource {
            origin: url.map_or(LedgerOrigin::File, rest),
            product: Product { vid, pid },
            hardware_ids: ids.map_err(ApiError::invalid)?,
            every: every_ms.unwrap_or(EVERY),
        }))
    }
}

impl LedgerVersionView {
    fn new(state: &Fleet, version: &LedgerVersion) -> Self {
        let image = version.image.and_then(|key| state.image(key));
        Self {
            version: version.record.software_version,
            name: version.record.software_version_string.clone(),
            state: match version.withdrawn() {
                Some(Withdrawn::Invalid) => LedgerState::Invalid,
                Some(Withdrawn::Vanished) => LedgerState::Vanished,
                None if version.image.is_some() => LedgerState::Ready,
                None if version.problem.is_some() => LedgerState::Failed,
                None if version.record.file().is_some() => LedgerState::Fetching,
                None => LedgerState::NoFile,
            },
            image: image.map(|image| image.reference.to_string()),
            problem: version.problem.clone(),
            recorded: rfc3339(version.recorded),
            recorded_ms: version.recorded.0,
            record: version.record.clone(),
        }
    }
}

fn channel_name(name: &str) -> Result<ChannelName, ApiError> {
    ChannelName::new(name).map_err(|_| unknown(name))
}

/// `GET /v1/channels/{name}/source`
pub(super) async fn source(
    State(context): State<Context>,
    _: Viewer,
    Path(name): Path<String>,
) -> Result<axum::Json<SourceView>, ApiError> {
    let found = context.bridge.query(move |view| {
        let channel = find(view.state, &name)?;
        Ok::<_, ApiError>(SourceView::new(&channel.source))
    });
    Ok(axum::Json(found.await??))
}

/// `PUT /v1/channels/{name}/source`
pub(super) async fn set_source(
    State(context): State<Context>,
    by: Operator,
    Path(name): Path<String>,
    Json(view): Json<SourceView>,
) -> Result<axum::Json<SourceView>, ApiError> {
    let channel = channel_name(&name)?;
    let command = Command::SetChannelSource {
        channel,
        source: view.try_into()?,
    };
    let set = context.bridge.command(by.0, command).await;
    set.map_err(|error| ApiError::command(error, is_subject))?;
    context.ledgers.look_again();
    source(State(context), Viewer, Path(name)).await
}

/// `GET /v1/channels/{name}/ledger`: what the channel's ledger records, and how it stands with reading it.
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<LedgerView>, ApiError> {
    let (after, limit) = (page.after_number()?, page.limit());
    let found = context.bridge.query(move |view| {
        let channel = find(view.state, &name)?;
        let versions = view.state.ledger_versions(channel.key);
        let mut rest = versions.filter(|v| Some(v.record.software_version) > after);
        let versions = rest.by_ref().take(limit);
        let versions: Vec<_> = versions
            .map(|v| LedgerVersionView::new(view.state, v))
            .collect();
        let last = versions.last().map(|version| version.version.to_string());
        let found = LedgerView {
            channel: channel.name.to_string(),
            source: SourceView::new(&channel.source),
            sync: SyncStatus::default(),
            next: rest.next().and(last),
            versions,
        };
        Ok::<(ChannelKey, _), ApiError>((channel.key, found))
    });
    let (key, found) = found.await??;
    Ok(axum::Json(LedgerView {
        sync: context.ledgers.status(key),
        ..found
    }))
}

/// `POST /v1/channels/{name}/ledger/sync`: reads the ledger now.
pub(super) async fn sync(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(name): Path<String>,
) -> Result<axum::Json<SyncReport>, ApiError> {
    let channel = channel_name(&name)?;
    let ledgers = Arc::clone(&context.ledgers);
    // Whoever asked may go away; what was begun is done.
    let read = tokio::spawn(async move { ledgers.sync(by, channel).await });
    let report = read
        .await
        .map_err(|error| super::error::internal(&error))??;
    match &report.error {
        None => Ok(axum::Json(report)),
        Some(error) => Err(
            ApiError::new(StatusCode::BAD_GATEWAY, "ledger_failed", error.clone()).hint(
                "what the ledger had said until then was taken, and the rest stays as it was; it is asked again by itself",
            ),
        ),
    }
}

/// `POST /v1/channels/{name}/ledger/import`: takes a file of versions, which is the body.
pub(super) async fn import(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(name): Path<String>,
    RawJson(file): RawJson<IMPORT_LIMIT>,
) -> Result<axum::Json<SyncReport>, ApiError> {
    let channel = channel_name(&name)?;
    let ledgers = Arc::clone(&context.ledgers);
    // Whoever asked may go away; what was begun is done.
    let import = tokio::spawn(async move { ledgers.import(by, channel, &file).await });
    let report = import
        .await
        .map_err(|error| super::error::internal(&error))??;
    Ok(axum::Json(report))
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Command(error) => Self::command(error, is_subject),
            SyncError::NoNode { .. } => {
                Self::new(StatusCode::CONFLICT, "no_ledger_node", error.to_string())
            }
            SyncError::NoVersions { .. } => Self::invalid(error),
        }
    }
}
