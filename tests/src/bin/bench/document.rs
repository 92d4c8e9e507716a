//! Sections of a document that a measurement writes anew.

use crate::Usage;
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Whether the document has the two marks that say `name`, so that nothing is measured in vain.
///
/// # Errors
/// [`Usage`] if it has not, or cannot be read.
pub(crate) fn check(document: &Path, name: &str) -> Result<()> {
    filled(document, name, "").map(drop)
}

/// Puts the text between the two marks of the document that say `name`.
///
/// # Errors
/// [`Usage`] when the document cannot be read or written, or has no such marks.
pub(crate) fn write_into(document: &Path, name: &str, text: &str) -> Result<()> {
    let new = filled(document, name, text)?;
    std::fs::write(document, new)
        .with_context(|| Usage(format!("{} cannot be written", document.display())))
}

fn filled(document: &Path, name: &str, text: &str) -> Result<String> {
    let old = std::fs::read_to_string(document)
        .with_context(|| Usage(format!("{} cannot be read", document.display())))?;
    let (begin, end) = marks(name);
    ensure!(!text.contains(&end), "the table contains {end}");
    let new = replaced(&old, name, text);
    new.with_context(|| {
        Usage(format!(
            "{} has no {begin} before an {end}",
            document.display()
        ))
    })
}

fn marks(name: &str) -> (String, String) {
    (
        format!("<!-- {name}: written by `bench {name}` -->"),
        format!("<!-- /{name} -->"),
    )
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = marks(name);
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!(
        "{before}{begin}\n\n{}\n\n{end}{after}",
        text.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let (begin, end) = marks("soak");
        let old = format!("a\n{begin}\nold\n{end}\nb\n");
        let new = replaced(&old, "soak", "table").unwrap();
        assert_eq!(new, format!("a\n{begin}\n\ntable\n\n{end}\nb\n"));
        assert_eq!(replaced(&new, "soak", "table").unwrap(), new);
        assert_eq!(replaced(&new, "peers", "table"), None);
    }
}
