//! From an expression back to text.

use super::ast::{Comparison, Expr, Filter, Operand, Test};
use super::literal::{Literal, write_blob, write_moment, write_span};
use super::pattern::Pattern;
use std::fmt;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(parts) => join(f, parts, " or ", |_| false),
            Self::All(parts) => join(f, parts, " and ", |part| matches!(part, Self::Any(_))),
            Self::Not(part) => {
                f.write_str("not ")?;
                write_part(f, part, matches!(**part, Self::Any(_) | Self::All(_)))
            }
            Self::Filter(filter) => fmt::Display::fmt(filter, f),
        }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    parts: &[Expr],
    connective: &str,
    in_parentheses: fn(&Expr) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(connective)?;
        }
        write_part(f, part, in_parentheses(part))?;
    }
    Ok(())
}

fn write_part(f: &mut fmt::Formatter<'_>, part: &Expr, in_parentheses: bool) -> fmt::Result {
    if in_parentheses {
        write!(f, "({part})")
    } else {
        fmt::Display::fmt(part, f)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operand = &self.operand;
        match &self.test {
            Test::Compare(comparison, literal) => {
                let sign = match (comparison, self.negated) {
                    (Comparison::Equal, false) => "==",
                    (Comparison::Equal, true) => "!=",
                    (Comparison::Less, _) => "<",
                    (Comparison::LessOrEqual, _) => "<=",
                    (Comparison::Greater, _) => ">",
                    (Comparison::GreaterOrEqual, _) => ">=",
                };
                write!(f, "{operand} {sign} {literal}")
            }
            Test::Contains(literal) => {
                let sign = if self.negated { "not in" } else { "in" };
                write!(f, "{literal} {sign} {operand}")
            }
            Test::Like(pattern) => {
                let sign = if self.negated { "!~=" } else { "~=" };
                write!(f, "{pattern} {sign} {operand}")
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field.word()),
            Self::Label(key) => write!(f, "label[{}]", Quoted(key)),
            Self::Version(image) => write!(f, "version({})", Quoted(image)),
            Self::Build(image) => write!(f, "build({})", Quoted(image)),
            Self::Reported(path) => write!(f, "reported[{}]", Quoted(path)),
            Self::Attribute { namespace, key, .. } => {
                write!(f, "attributes[{}]", Quoted(&format!("{namespace}:{key}")))
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Number(number) => {
                // `Display` of a float never uses an exponent, which the grammar does not know either.
                let text = number.to_string();
                let fraction = if text.contains('.') { "" } else { ".0" };
                write!(f, "{text}{fraction}")
            }
            Self::Truth(truth) => truth.fmt(f),
            Self::Moment(at) => write!(f, "datetime(\"{}\")", write_moment(*at)),
            Self::Now => f.write_str("now()"),
            Self::Ago(span) => write!(f, "ago(\"{}\")", write_span(*span)),
            Self::Blob(bytes) => write!(f, "binaryblob(\"{}\")", write_blob(bytes)),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(glob) => Quoted(glob).fmt(f),
            Self::Regex(regex) => write!(f, "/{}/", regex.as_str().replace('/', "\\/")),
        }
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\\\""))
    }
}
