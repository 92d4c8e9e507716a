//! Globs and regexes. Both match in a time that grows with pattern times text at most.

use regex::{Regex, RegexBuilder};

/// Largest compiled form of one regex, bytes; a pattern such as `\w{1000}` is refused, not compiled.
const MAX_COMPILED_BYTES: usize = 128 * 1_024;
/// Deepest nesting inside a regex.
const MAX_NESTING: u32 = 32;

/// What texts can be matched with.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// `*` is any run of characters, `?` any single one; the whole text must match.
    Glob(Box<str>),
    /// Found anywhere in the text unless it is anchored; upper and lower case differ.
    Regex(Regex),
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Glob(a), Self::Glob(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            (Self::Glob(_), Self::Regex(_)) | (Self::Regex(_), Self::Glob(_)) => false,
        }
    }
}

impl Pattern {
    /// Compiles a regex.
    ///
    /// # Errors
    /// Says in one line what is wrong with it.
    pub(super) fn regex(source: &str) -> Result<Self, String> {
        RegexBuilder::new(source)
            .size_limit(MAX_COMPILED_BYTES)
            .dfa_size_limit(MAX_COMPILED_BYTES)
            .nest_limit(MAX_NESTING)
            .build()
            .map(Self::Regex)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    "it is too large; use smaller repetitions".to_owned()
                }
                // The library draws the place over several lines; the last one says what is wrong.
                other => {
                    let text = other.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    last.trim_start_matches("error: ").to_owned()
                }
            })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Glob(glob) => glob_matches(glob, text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Goes back to the last `*` only, so it never takes longer than pattern times text.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.chars(), text.chars());
    let mut last_star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let (before, mut rest) = (text.clone(), glob.clone());
        match (rest.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                glob = rest.clone();
                last_star = Some((rest, before.clone()));
                text = before;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => glob = rest,
            _ => {
                // The last star takes one character more.
                let Some((after_star, taken)) = &mut last_star else {
                    return false;
                };
                if taken.next().is_none() {
                    return false;
                }
                (glob, text) = (after_star.clone(), taken.clone());
            }
        }
    }
}
