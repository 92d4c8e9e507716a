//! From text to tokens. Edgehog's grammar asks for blanks in some places, so each token knows whether one precedes it.

use super::misread;
use crate::syntax::SyntaxError;
use std::fmt;

/// A piece of a selector.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A keyword, a field or a function.
    Word(&'a str),
    /// Between double quotes, with `\"` undone.
    Text(String),
    /// Between slashes, with `\/` undone.
    Regex(String),
    Integer(i64),
    Number(f64),
    /// An operator, a parenthesis or a bracket.
    Sign(&'static str),
    End,
}

/// A token with its place.
#[derive(Debug, Clone)]
pub(super) struct Placed<'a> {
    pub(super) token: Token<'a>,
    pub(super) offset: usize,
    pub(super) blank_before: bool,
}

/// Longer ones first, so that `>=` is not read as `>`.
const SIGNS: [&str; 12] = [
    "!~=", "~=", "==", "!=", ">=", "<=", ">", "<", "(", ")", "[", "]",
];

/// What people write in other languages, and what it is called here.
const FOREIGN: [(&str, &str); 5] = [
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("=", "write `==` to compare"),
    ("!", "write `not`, `!=`, `not in` or `!~=`"),
    ("'", "texts stand in double quotes"),
];

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| -> String { text.chars().take(40).collect() };
        match self {
            Self::Word(word) => write!(f, "`{}`", short(word)),
            Self::Text(text) => write!(f, "the text {:?}", short(text)),
            Self::Regex(source) => write!(f, "the regex /{}/", short(source)),
            Self::Integer(number) => write!(f, "the number {number}"),
            Self::Number(number) => write!(f, "the number {number}"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

pub(super) const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The tokens of `text`, the last of them [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed<'_>>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    loop {
        let rest = text[offset..].trim_start_matches(is_blank);
        let start = text.len() - rest.len();
        let (token, length) = token(text, start)?;
        let end = token == Token::End;
        tokens.push(Placed {
            token,
            offset: start,
            blank_before: start > offset,
        });
        if end {
            return Ok(tokens);
        }
        offset = start + length;
    }
}

/// The token that begins at `start`, and its length.
fn token(text: &str, start: usize) -> Result<(Token<'_>, usize), SyntaxError> {
    let rest = &text[start..];
    let Some(first) = rest.chars().next() else {
        return Ok((Token::End, 0));
    };
    if first == '"' || first == '/' {
        let (content, length) = quoted(rest, first).ok_or_else(|| {
            let what = if first == '"' { "text" } else { "regex" };
            misread(
                text,
                start,
                format!("the {what} that begins here has no closing `{first}`"),
            )
        })?;
        let token = if first == '"' {
            Token::Text(content)
        } else {
            Token::Regex(content)
        };
        return Ok((token, length));
    }
    let digits = rest.strip_prefix('-').unwrap_or(rest);
    if digits.starts_with(|c: char| c.is_ascii_digit()) {
        return number(text, start);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
        return Ok((Token::Word(&rest[..length]), length));
    }
    if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    let foreign = FOREIGN.into_iter().find(|(sign, _)| rest.starts_with(sign));
    let message = match foreign {
        Some((sign, advice)) => format!("`{sign}` says nothing here; {advice}"),
        None => format!("{first:?} says nothing here"),
    };
    Err(misread(text, start, message))
}

/// What stands between two `quote`s, and the length with both. Only the quote itself can be escaped, as in Edgehog.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        if c == quote {
            return Some((content, index + 1));
        }
        let escapes = c == '\\' && chars.peek().is_some_and(|(_, next)| *next == quote);
        if escapes {
            chars.next();
            content.push(quote);
        } else {
            content.push(c);
        }
    }
    None
}

fn number(text: &str, start: usize) -> Result<(Token<'_>, usize), SyntaxError> {
    let rest = &text[start..];
    let digits = |from: usize| {
        let tail = &rest[from..];
        from + tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len())
    };
    let integral = digits(usize::from(rest.starts_with('-')));
    let fraction = rest[integral..]
        .starts_with('.')
        .then(|| digits(integral + 1));
    let too_large = || misread(text, start, "this number is too large");
    match fraction {
        None => {
            let number = rest[..integral].parse().map_err(|_| too_large())?;
            Ok((Token::Integer(number), integral))
        }
        Some(end) if end > integral + 1 => {
            let number: f64 = rest[..end].parse().map_err(|_| too_large())?;
            if number.is_finite() {
                Ok((Token::Number(number), end))
            } else {
                Err(too_large())
            }
        }
        Some(end) => Err(misread(
            text,
            start + end,
            "expected digits behind the decimal point",
        )),
    }
}
