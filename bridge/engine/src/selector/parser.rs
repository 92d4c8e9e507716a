//! From tokens to an expression, by recursive descent.

use super::ast::{Comparison, Expr, Field, Filter, Kind, Operand, Test};
use super::lexer::{Placed, Token, tokens};
use super::literal::{self, Literal};
use super::misread;
use super::pattern::Pattern;
use super::{MAX_DEPTH, MAX_FILTERS, MAX_PATTERNS, MAX_SELECTOR_BYTES};
use crate::syntax::SyntaxError;

const A_FILTER: &str = "expected a filter, such as `online == true`, `hardware == \"compute\"`, `\"canary\" in tags` \
                        or `label[\"site\"] == \"berlin\"`";
const A_VALUE: &str = "expected a value: a text in double quotes, a number, true, false, datetime(\"…\"), now(), \
                       ago(\"7d\") or binaryblob(\"…\")";

const A_PATH: &str =
    "an interface and a path, such as reported[\"io.edgehog.devicemanager.OSInfo/osName\"]";

/// Reads a selector.
pub(super) fn parse(text: &str) -> Result<Expr, SyntaxError> {
    if text.len() > MAX_SELECTOR_BYTES {
        let message = format!("it is longer than {MAX_SELECTOR_BYTES} bytes; shorten it");
        return Err(misread(text, MAX_SELECTOR_BYTES, message));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        place: 0,
        depth: 0,
        filters: 0,
        patterns: 0,
    };
    let expr = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Sign(")") => Err(parser.error("this parenthesis was never opened")),
        found => Err(parser.error(format!("expected `and`, `or` or the end, found {found}"))),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed<'a>>,
    place: usize,
    depth: usize,
    filters: usize,
    patterns: usize,
}

impl<'a> Parser<'a> {
    fn current(&self) -> &Placed<'a> {
        // The last token is the end, and nothing goes past it.
        &self.tokens[self.place.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Token<'a> {
        &self.current().token
    }

    fn advance(&mut self) -> Placed<'a> {
        let current = self.current().clone();
        self.place += 1;
        current
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        misread(self.text, self.current().offset, message)
    }

    fn expected(&self, what: &str) -> SyntaxError {
        self.error(format!("{what}; found {}", self.peek()))
    }

    fn at_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn need_blank(&self) -> Result<(), SyntaxError> {
        if self.current().blank_before {
            return Ok(());
        }
        Err(self.error(format!("expected a blank before {}", self.peek())))
    }

    fn sign(&mut self, sign: &'static str) -> Result<(), SyntaxError> {
        if *self.peek() == Token::Sign(sign) {
            self.advance();
            return Ok(());
        }
        Err(self.expected(&format!("expected `{sign}`")))
    }

    /// Goes one level down; the caller goes up again with `self.depth -= 1`.
    fn descend(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!(
                "nested more than {MAX_DEPTH} deep; write it flatter"
            )));
        }
        Ok(())
    }

    fn expression(&mut self) -> Result<Expr, SyntaxError> {
        let mut parts = vec![self.term()?];
        while self.connective("or")? {
            match self.term()? {
                Expr::Any(more) => parts.extend(more),
                part => parts.push(part),
            }
        }
        Ok(joined(parts, Expr::Any, |expr| match expr {
            Expr::Any(parts) => Ok(parts),
            other => Err(other),
        }))
    }

    fn term(&mut self) -> Result<Expr, SyntaxError> {
        let mut parts = vec![self.factor()?];
        while self.connective("and")? {
            match self.factor()? {
                Expr::All(more) => parts.extend(more),
                part => parts.push(part),
            }
        }
        Ok(joined(parts, Expr::All, |expr| match expr {
            Expr::All(parts) => Ok(parts),
            other => Err(other),
        }))
    }

    fn connective(&mut self, keyword: &str) -> Result<bool, SyntaxError> {
        if !self.at_keyword(keyword) {
            return Ok(false);
        }
        self.need_blank()?;
        self.advance();
        self.need_blank()?;
        Ok(true)
    }

    fn factor(&mut self) -> Result<Expr, SyntaxError> {
        if *self.peek() == Token::Sign("(") {
            self.descend()?;
            self.advance();
            let expr = self.expression()?;
            if *self.peek() != Token::Sign(")") {
                return Err(self.expected("expected `and`, `or` or a closing parenthesis"));
            }
            self.advance();
            self.depth -= 1;
            return Ok(expr);
        }
        if self.at_keyword("not") {
            self.descend()?;
            self.advance();
            self.need_blank()?;
            let expr = self.factor()?;
            self.depth -= 1;
            return Ok(Expr::Not(Box::new(expr)));
        }
        self.filters += 1;
        if self.filters > MAX_FILTERS {
            return Err(self.error(format!(
                "more than {MAX_FILTERS} filters; use labels, tags or patterns that say the same"
            )));
        }
        self.filter().map(Expr::Filter)
    }

    fn filter(&mut self) -> Result<Filter, SyntaxError> {
        let start = self.current().offset;
        if let Token::Regex(source) = self.peek() {
            let source = source.clone();
            let pattern = Pattern::regex(&source).map_err(|why| {
                self.error(format!("the regex that begins here is not valid: {why}"))
            })?;
            self.advance();
            return self.like(start, pattern);
        }
        if let Some(literal) = self.literal()? {
            if matches!(self.peek(), Token::Sign("~=" | "!~=")) {
                let Literal::Text(glob) = literal else {
                    return Err(self.error("only a text or a /regex/ can stand before `~=`"));
                };
                return self.like(start, Pattern::Glob(glob));
            }
            return self.contains(start, literal);
        }
        let operand = self.operand(A_FILTER)?;
        self.comparison(operand)
    }

    fn like(&mut self, start: usize, pattern: Pattern) -> Result<Filter, SyntaxError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            let message = format!("more than {MAX_PATTERNS} patterns; join some of them");
            return Err(misread(self.text, start, message));
        }
        let negated = match self.peek() {
            Token::Sign("~=") => false,
            Token::Sign("!~=") => true,
            _ => return Err(self.expected("expected `~=` or `!~=` behind a regex")),
        };
        self.need_blank()?;
        self.advance();
        self.need_blank()?;
        let operand = self.set_operand()?;
        if matches!(operand.kind(), Kind::Truth | Kind::Moment) {
            let message = "a pattern says nothing about this; only texts can be matched";
            return Err(misread(self.text, start, message));
        }
        Ok(Filter {
            operand,
            test: Test::Like(pattern),
            negated,
        })
    }

    fn contains(&mut self, start: usize, literal: Literal) -> Result<Filter, SyntaxError> {
        let negated = self.at_keyword("not");
        if !negated && !self.at_keyword("in") {
            return Err(self.expected(
                "expected `in`, `not in`, `~=` or `!~=` behind a value that comes first",
            ));
        }
        self.need_blank()?;
        self.advance();
        if negated {
            self.need_blank()?;
            if !self.at_keyword("in") {
                return Err(self.expected("expected `in` behind `not`"));
            }
            self.advance();
        }
        self.need_blank()?;
        let operand = self.set_operand()?;
        self.check(&operand, Comparison::Equal, &literal, start)?;
        Ok(Filter {
            operand,
            test: Test::Contains(literal),
            negated,
        })
    }

    fn set_operand(&mut self) -> Result<Operand, SyntaxError> {
        self.operand(
            "expected what to look at: tags, groups, attributes[\"…\"], label[\"…\"], id, hardware, …",
        )
    }

    fn comparison(&mut self, operand: Operand) -> Result<Filter, SyntaxError> {
        if operand.kind() == Kind::Set {
            return Err(self.expected("a set is asked from the other side: `\"x\" in tags`"));
        }
        let (comparison, negated) = match self.peek() {
            Token::Sign("==") => (Comparison::Equal, false),
            Token::Sign("!=") => (Comparison::Equal, true),
            Token::Sign("<") => (Comparison::Less, false),
            Token::Sign("<=") => (Comparison::LessOrEqual, false),
            Token::Sign(">") => (Comparison::Greater, false),
            Token::Sign(">=") => (Comparison::GreaterOrEqual, false),
            Token::Sign("~=" | "!~=") => {
                return Err(self.error("the pattern comes first: `\"ber*\" ~= label[\"site\"]`"));
            }
            _ => return Err(self.expected("expected one of == != > >= < <=")),
        };
        self.advance();
        let start = self.current().offset;
        let literal = match self.literal()? {
            Some(literal) => literal,
            None => return Err(self.expected(A_VALUE)),
        };
        self.check(&operand, comparison, &literal, start)?;
        Ok(Filter {
            operand,
            test: Test::Compare(comparison, literal),
            negated,
        })
    }

    /// Whether the value can ever be found there. What is found out now need not be wondered about later.
    fn check(
        &self,
        operand: &Operand,
        comparison: Comparison,
        literal: &Literal,
        start: usize,
    ) -> Result<(), SyntaxError> {
        let is_moment = matches!(literal, Literal::Moment(_) | Literal::Now | Literal::Ago(_));
        let complaint = match (operand.kind(), literal) {
            (Kind::Any, _) => return Ok(()),
            (Kind::Set | Kind::Text, Literal::Text(text)) => {
                let protocol = *operand == Operand::Field(Field::Protocol);
                if protocol && !["native", "edgehog"].contains(&&**text) {
                    "a protocol is \"native\" or \"edgehog\""
                } else {
                    return Ok(());
                }
            }
            (Kind::Version, Literal::Text(text)) => {
                if comparison.is_order() && semver::Version::parse(text).is_err() {
                    "versions are ordered by SemVer: MAJOR.MINOR.PATCH, all three"
                } else {
                    return Ok(());
                }
            }
            (Kind::Truth, Literal::Truth(_)) if comparison.is_order() => {
                "true and false have no order; use == or !="
            }
            (Kind::Truth, Literal::Truth(_)) => return Ok(()),
            (Kind::Moment, _) if is_moment => return Ok(()),
            (Kind::Set | Kind::Text, _) => "this is compared with a text in double quotes",
            (Kind::Version, _) => "a version is a text: write \"1.2.0\"",
            (Kind::Truth, _) => "this is true or false, without quotes",
            (Kind::Moment, _) => {
                "this is compared with a moment: datetime(\"2026-01-31T00:00:00Z\"), now() or ago(\"7d\")"
            }
        };
        Err(misread(self.text, start, complaint))
    }

    /// A value, if one begins here.
    fn literal(&mut self) -> Result<Option<Literal>, SyntaxError> {
        let literal = match self.peek() {
            Token::Text(text) => Literal::Text(text.as_str().into()),
            Token::Integer(number) => Literal::Integer(*number),
            Token::Number(number) => Literal::Number(*number),
            Token::Word("true") => Literal::Truth(true),
            Token::Word("false") => Literal::Truth(false),
            Token::Word("now") => {
                self.advance();
                self.sign("(")?;
                self.sign(")")?;
                return Ok(Some(Literal::Now));
            }
            Token::Word("datetime") => {
                return self.call(
                    |text| literal::moment(text).map(Literal::Moment),
                    "expected a moment with its offset, such as 2026-01-31T08:00:00Z",
                );
            }
            Token::Word("ago") => {
                return self.call(
                    |text| literal::span(text).map(Literal::Ago),
                    "expected a span, such as 90s, 15m, 12h, 7d or 2w",
                );
            }
            Token::Word("binaryblob") => {
                return self.call(
                    |text| literal::blob(text).map(Literal::Blob),
                    "expected bytes in base64",
                );
            }
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(literal))
    }

    fn call(
        &mut self,
        read: fn(&str) -> Option<Literal>,
        otherwise: &str,
    ) -> Result<Option<Literal>, SyntaxError> {
        self.advance();
        self.sign("(")?;
        let literal = match self.peek() {
            Token::Text(text) => read(text),
            _ => None,
        };
        let literal = literal.ok_or_else(|| self.expected(otherwise))?;
        self.advance();
        self.sign(")")?;
        Ok(Some(literal))
    }

    fn operand(&mut self, otherwise: &str) -> Result<Operand, SyntaxError> {
        let Token::Word(word) = *self.peek() else {
            return Err(self.expected(otherwise));
        };
        match word {
            "attributes" => {
                self.advance();
                self.attribute()
            }
            "label" => {
                self.advance();
                let key = self.key("[", "]", "a label's key, such as label[\"site\"]")?;
                Ok(Operand::Label(key.into()))
            }
            "reported" => {
                self.advance();
                let place = self.place + 1;
                let path = self.key("[", "]", A_PATH)?;
                self.reported(&path, place)
            }
            _ => {
                let field = Field::parse(word).ok_or_else(|| self.unknown_word(word))?;
                self.advance();
                let of_image = *self.peek() == Token::Sign("(");
                match field {
                    Field::Version if of_image => Ok(Operand::Version(self.image()?)),
                    Field::Build if of_image => Ok(Operand::Build(self.image()?)),
                    field => Ok(Operand::Field(field)),
                }
            }
        }
    }

    /// What stands behind a path, which is the token at `place`.
    fn reported(&self, path: &str, place: usize) -> Result<Operand, SyntaxError> {
        let parts = path.split('/');
        if parts.clone().count() > 1 && parts.clone().all(|part| !part.is_empty()) {
            return Ok(Operand::Reported(path.into()));
        }
        let offset = self.tokens.get(place).map_or(0, |token| token.offset);
        Err(misread(self.text, offset, format!("expected {A_PATH}")))
    }

    fn unknown_word(&self, word: &str) -> SyntaxError {
        let known: Vec<_> = Field::ALL.into_iter().map(Field::word).collect();
        let word: String = word.chars().take(40).collect();
        self.error(format!(
            "`{word}` is nothing that a robot has; use label[\"…\"], reported[\"…\"], attributes[\"…\"] or one of {}",
            known.join(", ")
        ))
    }

    fn image(&mut self) -> Result<Box<str>, SyntaxError> {
        self.key("(", ")", "an image's name, such as version(\"os\")")
            .map(String::into_boxed_str)
    }

    /// A text that is not empty, between two signs.
    fn key(
        &mut self,
        open: &'static str,
        close: &'static str,
        what: &str,
    ) -> Result<String, SyntaxError> {
        self.sign(open)?;
        let key = match self.peek() {
            Token::Text(key) if !key.is_empty() => key.clone(),
            _ => return Err(self.expected(&format!("expected {what}"))),
        };
        self.advance();
        self.sign(close)?;
        Ok(key)
    }

    fn attribute(&mut self) -> Result<Operand, SyntaxError> {
        let place = self.place + 1;
        let name = self.key(
            "[",
            "]",
            "an attribute, such as attributes[\"namespace:key\"]",
        )?;
        let at_name = |message: &str| {
            let offset = self.tokens.get(place).map_or(0, |token| token.offset);
            misread(self.text, offset, message)
        };
        let in_namespace = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let Some((namespace, key)) = name
            .split_once(':')
            .filter(|(namespace, key)| !namespace.is_empty() && !key.is_empty())
            .filter(|(namespace, _)| namespace.chars().all(in_namespace))
        else {
            return Err(at_name(
                "expected namespace:key, the namespace of letters, digits, '_', '-' and '.'",
            ));
        };
        let namespace = namespace.to_ascii_lowercase();
        let means = match namespace.as_str() {
            "label" => Some(Operand::Label(key.into())),
            "version" => Some(Operand::Version(key.into())),
            "build" => Some(Operand::Build(key.into())),
            "reported" => Some(self.reported(key, place)?),
            "robot" => {
                let field = Field::parse(key).filter(|_| key != "tags" && key != "groups");
                let field = field.ok_or_else(|| {
                    at_name("`robot:` has no such key; it has those that can be written alone, such as `online`")
                })?;
                Some(Operand::Field(field))
            }
            _ => None,
        };
        Ok(Operand::Attribute {
            namespace: namespace.into(),
            key: key.into(),
            means: means.map(Box::new),
        })
    }
}

/// A single part stands for itself. The first part may be of the same kind, out of its own parentheses.
fn joined(
    mut parts: Vec<Expr>,
    join: fn(Vec<Expr>) -> Expr,
    same: fn(Expr) -> Result<Vec<Expr>, Expr>,
) -> Expr {
    let first = parts.remove(0);
    if parts.is_empty() {
        return first;
    }
    let mut all = match same(first) {
        Ok(parts) => parts,
        Err(first) => vec![first],
    };
    all.append(&mut parts);
    join(all)
}
