//! What is hosted, and in what condition. A name that is not here leads nowhere, so no path can be smuggled in.

use parking_lot::RwLock;
use rollcall_engine::Image;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What is known of a hosted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Condition {
    /// Not read since the server started.
    Unchecked,
    /// It has its size and its SHA-256.
    Whole,
    /// It has another size or another SHA-256.
    Damaged,
    /// It is not there.
    Missing,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unchecked, Self::Whole, Self::Damaged, Self::Missing];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Whole => "whole",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
        }
    }

    /// Whether robots are given the file.
    #[must_use]
    pub const fn is_given(self) -> bool {
        matches!(self, Self::Unchecked | Self::Whole)
    }
}

/// A hosted file.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) token: String,
    /// `NAME@VERSION`
    pub(super) image: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
    condition: AtomicU8,
}

impl Hosted {
    pub(super) fn new(
        token: &str,
        image: &str,
        size: u64,
        sha256: [u8; 32],
        condition: Condition,
    ) -> Self {
        Self {
            token: token.to_owned(),
            image: image.to_owned(),
            size,
            sha256,
            condition: AtomicU8::new(condition as u8),
        }
    }

    pub(super) fn condition(&self) -> Condition {
        let stored = self.condition.load(Relaxed);
        Condition::ALL
            .into_iter()
            .find(|condition| *condition as u8 == stored)
            .unwrap_or(Condition::Unchecked)
    }

    /// Notes what was found, and tells the log when the file is lost.
    pub(super) fn found(&self, condition: Condition) {
        let before = self.condition.swap(condition as u8, Relaxed);
        if before == condition as u8 || condition.is_given() {
            return;
        }
        tracing::error!(
            image = self.image,
            token = self.token,
            condition = condition.word(),
            "the file of an image is lost: robots are not given it. Put it back with `rollcall image restore`, or \
             remove the image"
        );
    }
}

/// All hosted files.
#[derive(Debug, Default)]
pub(super) struct Catalogue(RwLock<HashMap<String, Arc<Hosted>>>);

impl Catalogue {
    pub(super) fn get(&self, token: &str) -> Option<Arc<Hosted>> {
        self.0.read().get(token).cloned()
    }

    pub(super) fn add(&self, hosted: Hosted) {
        self.0
            .write()
            .insert(hosted.token.clone(), Arc::new(hosted));
    }

    pub(super) fn remove(&self, token: &str) {
        self.0.write().remove(token);
    }

    /// Takes in the images that the database knows.
    pub(super) fn load<'a>(&self, images: impl Iterator<Item = &'a Image>) {
        let mut catalogue = self.0.write();
        for image in images.filter(|image| image.hosted) {
            let hosted = Hosted::new(
                &image.url,
                &image.reference.to_string(),
                image.size,
                image.sha256,
                Condition::Unchecked,
            );
            catalogue.insert(image.url.clone(), Arc::new(hosted));
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Hosted>> {
        self.0.read().values().cloned().collect()
    }

    pub(super) fn tokens(&self) -> HashSet<String> {
        self.0.read().keys().cloned().collect()
    }

    /// How many files there are in each condition.
    pub(super) fn counts(&self) -> BTreeMap<Condition, usize> {
        let mut counts = BTreeMap::from(Condition::ALL.map(|condition| (condition, 0)));
        for hosted in self.0.read().values() {
            *counts.entry(hosted.condition()).or_default() += 1;
        }
        counts
    }
}
