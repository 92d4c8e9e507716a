//! A TOML text whose values know where they stand, so that whatever is wrong with one can be shown there.

use super::super::words;
use crate::cli::exit::Failure;
use rollcall_engine::{Millis, Percent, Timestamp};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::Range;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Characters of a bad value that are repeated to the reader.
const MAX_SHOWN: usize = 60;
/// Slips of the hand after which a key is still recognised.
const MAX_SLIPS: usize = 2;

/// The text, and what people know it by.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    /// The text as a table.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>, Failure> {
        DeTable::parse(self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            self.wrong(&span, format_args!("this is no TOML: {}", error.message()))
        })
    }

    /// Says what is wrong, and shows where.
    pub(super) fn wrong(&self, span: &Range<usize>, what: impl Display) -> Failure {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[start..].chars().count();
        let shown = self.text[start..].lines().next().unwrap_or_default();
        Failure::usage(format!(
            "{}, line {line}, column {}: {what}\n  {shown}\n  {:column$}^",
            self.name,
            column + 1,
            ""
        ))
    }
}

/// A table, of which the keys are taken one by one.
#[derive(Debug)]
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    /// What its keys are the keys of; nothing for those at the top.
    of: String,
    span: Range<usize>,
    left: BTreeMap<&'a str, (Range<usize>, &'a Spanned<DeValue<'a>>)>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        of: String,
        span: Range<usize>,
        table: &'a DeTable<'a>,
    ) -> Self {
        let left = table.iter();
        let left = left.map(|(key, value)| (key.get_ref().as_ref(), (key.span(), value)));
        Self {
            source,
            of,
            span,
            left: left.collect(),
            asked: Vec::new(),
        }
    }

    /// The value of a key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.push(key);
        let (_, value) = self.left.remove(key)?;
        Some(Entry {
            source: self.source,
            name: self.named(key),
            value,
        })
    }

    /// The value of a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, such_as: &str) -> Result<Entry<'a>, Failure> {
        let what = format!("{} is missing; write {such_as}", self.named(key));
        self.take(key)
            .ok_or_else(|| self.source.wrong(&self.span, what))
    }

    fn named(&self, key: &str) -> String {
        match self.of.as_str() {
            "" => format!("`{key}`"),
            of => format!("`{key}` of {of}"),
        }
    }

    /// Every key that is left, with its value: for tables whose keys are the writer's own words.
    pub(super) fn rest(self) -> Vec<(&'a str, Range<usize>, Entry<'a>)> {
        let entry = |(key, (span, value)): (&'a str, _)| {
            let entry = Entry {
                source: self.source,
                name: self.named(key),
                value,
            };
            (key, span, entry)
        };
        self.left.clone().into_iter().map(entry).collect()
    }

    /// Refuses keys that nobody asked for.
    pub(super) fn end(self) -> Result<(), Failure> {
        let Some((key, (span, _))) = self.left.first_key_value() else {
            return Ok(());
        };
        let of = match self.of.as_str() {
            "" => "a rollout".to_owned(),
            of => of.to_owned(),
        };
        let distance = |asked: &&&str| strsim::damerau_levenshtein(asked, key);
        let nearest = self.asked.iter().min_by_key(distance);
        let remedy = match nearest.filter(|nearest| distance(nearest) <= MAX_SLIPS) {
            Some(nearest) => format!("write `{nearest}`"),
            None => format!("the keys are {}", self.asked.join(", ")),
        };
        let what = format!("`{key}` is no key of {of}; {remedy}");
        Err(self.source.wrong(span, what))
    }

    pub(super) fn wrong(&self, what: impl Display) -> Failure {
        self.source.wrong(&self.span, what)
    }
}

/// A value, with its name for people.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    source: &'a Source<'a>,
    pub(super) name: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
    /// The value is not one that can be used.
    pub(super) fn bad(&self, remedy: impl Display) -> Failure {
        let span = self.value.span();
        let text = self.source.text.get(span.clone()).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let mut shown: String = first.chars().take(MAX_SHOWN).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        let what = format!("{} = {shown} is not valid: {remedy}", self.name);
        self.source.wrong(&span, what)
    }

    /// A whole number.
    pub(super) fn whole<N: TryFrom<u64>>(&self, min: u64, max: u64) -> Result<N, Failure> {
        let integer = self.value.get_ref().as_integer();
        let number =
            integer.and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.filter(|number| (min..=max).contains(number));
        let number = number.and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| self.bad(format_args!("write a whole number from {min} to {max}")))
    }

    /// A number as it was written.
    pub(super) fn number(&self) -> Option<&str> {
        let value = self.value.get_ref();
        let integer = value.as_integer().filter(|integer| integer.radix() == 10);
        let integer = integer.map(|integer| integer.as_str());
        integer.or(value.as_float().map(|float| float.as_str()))
    }

    pub(super) fn percent(&self) -> Result<Percent, Failure> {
        let percent = self.number().and_then(|number| number.parse().ok());
        percent.ok_or_else(|| {
            self.bad("write a percentage as a number from 0 to 100, with at most two decimals")
        })
    }

    pub(super) fn yes_or_no(&self) -> Result<bool, Failure> {
        let value = self.value.get_ref().as_bool();
        value.ok_or_else(|| self.bad("write true or false"))
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// A text that the type can read.
    pub(super) fn parse<T>(&self, such_as: &str) -> Result<T, Failure>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = self.text().ok_or_else(|| self.bad(such_as))?;
        text.parse().map_err(|error: T::Err| self.bad(error))
    }

    /// A text that a constructor takes.
    pub(super) fn read<T, E: Display>(
        &self,
        read: impl Fn(&str) -> Result<T, E>,
        such_as: &str,
    ) -> Result<T, Failure> {
        let text = self.text().ok_or_else(|| self.bad(such_as))?;
        read(text).map_err(|error| self.bad(error))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Failure> {
        let text = self.text();
        let found = words.iter().find(|(word, _)| Some(*word) == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.bad(format_args!("write {}", words.join(" or ")))
        })
    }

    /// A span of time, `min` or more.
    pub(super) fn span(&self, min: Millis) -> Result<Millis, Failure> {
        self.read(
            |text| words::span(text, min),
            "write a span of time in quotes, such as \"90s\", \"15m\", \"2h\" or \"30d\"",
        )
    }

    /// A point in time: TOML's own, or a text.
    pub(super) fn moment(&self) -> Result<Timestamp, Failure> {
        let text = match self.value.get_ref() {
            DeValue::Datetime(moment) => moment.to_string(),
            _ => self.text().unwrap_or_default().to_owned(),
        };
        words::moment(&text).map_err(|error| self.bad(error))
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// The value as a table of its own; `of` is what its keys are the keys of.
    pub(super) fn section(&self, of: &str, such_as: &str) -> Result<Section<'a>, Failure> {
        let table = self.value.get_ref().as_table();
        let table = table.ok_or_else(|| self.bad(such_as))?;
        Ok(Section::new(
            self.source,
            of.to_owned(),
            self.value.span(),
            table,
        ))
    }

    /// The value as a list; each entry is called by its number, from 1.
    pub(super) fn list(&self, each: &str, such_as: &str) -> Result<Vec<Entry<'a>>, Failure> {
        let list = self.value.get_ref().as_array();
        let list = list.ok_or_else(|| self.bad(such_as))?;
        let entry = |(number, value): (usize, &'a Spanned<DeValue<'a>>)| Entry {
            source: self.source,
            name: format!("{each} {number}"),
            value,
        };
        Ok((1..).zip(list.iter()).map(entry).collect())
    }
}

impl Entry<'_> {
    /// Says what is wrong at the value, without repeating it.
    pub(super) fn wrong(&self, what: impl Display) -> Failure {
        self.source.wrong(&self.value.span(), what)
    }

    /// The value's key, which is the writer's own word, cannot be used.
    pub(super) fn key_is_bad(&self, span: &Range<usize>, what: impl Display) -> Failure {
        self.source.wrong(span, what)
    }
}
