//! The kept corpus, for the ordinary tests.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Gives every file of a target's corpus to the target; fails with the names of those at which it panics.
pub fn each(target: &str, run: fn(&[u8])) {
    let Some(corpus) = corpus() else {
        panic!("fuzz/corpus is not there");
    };
    let files = fs::read_dir(corpus.join(target)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    let fails = |file: &PathBuf| {
        let data = fs::read(file).unwrap();
        catch_unwind(|| run(&data)).is_err()
    };
    files.retain(fails);
    assert!(files.is_empty(), "{target} fails with {files:?}");
}

fn corpus() -> Option<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut folders = crates.map(|folder| folder.join("fuzz").join("corpus"));
    folders.find(|folder| folder.is_dir())
}
