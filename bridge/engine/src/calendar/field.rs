//! One field of a cron expression, read into a set of numbers.

use crate::syntax::SyntaxError;

/// What may stand in a field.
#[derive(Debug)]
pub(super) struct Field {
    what: &'static str,
    min: u32,
    max: u32,
    /// Names of the numbers from `min` on.
    names: &'static [&'static str],
    /// Whether `?` may stand for `*`, as AWS and Quartz write it.
    question: bool,
    /// Whether `max + 1` is `min` again: Sunday is 0 and 7.
    round: bool,
}

pub(super) const MINUTE: Field = Field::plain("a minute", 0, 59);
pub(super) const HOUR: Field = Field::plain("an hour", 0, 23);
pub(super) const DAY_OF_MONTH: Field = Field {
    question: true,
    ..Field::plain("a day of month", 1, 31)
};
pub(super) const MONTH: Field = Field {
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
    ..Field::plain("a month", 1, 12)
};
pub(super) const DAY_OF_WEEK: Field = Field {
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    question: true,
    round: true,
    ..Field::plain("a day of week", 0, 6)
};

pub(super) fn misread(text: &str, offset: usize, message: impl Into<String>) -> SyntaxError {
    SyntaxError::new("cron expression", text, offset, message)
}

/// The five fields, each with its place.
pub(super) fn split(text: &str) -> Result<[(usize, &str); 5], SyntaxError> {
    const FIELDS: &str = "five fields: minute, hour, day of month, month, day of week";
    let mut fields = [(0, ""); 5];
    let mut found = 0;
    let mut offset = 0;
    for word in text.split([' ', '\t']) {
        if !word.is_empty() {
            if found == 0 && word.starts_with('@') {
                let message = format!("`@` is not known; write {FIELDS}, such as `0 0 * * *`");
                return Err(misread(text, offset, message));
            }
            let Some(field) = fields.get_mut(found) else {
                let message = format!("expected {FIELDS}; seconds and years are not known");
                return Err(misread(text, offset, message));
            };
            *field = (offset, word);
            found += 1;
        }
        offset += word.len() + 1;
    }
    if found < fields.len() {
        let message = format!("expected {FIELDS}; found {found}");
        return Err(misread(text, text.len(), message));
    }
    Ok(fields)
}

impl Field {
    const fn plain(what: &'static str, min: u32, max: u32) -> Self {
        Self {
            what,
            min,
            max,
            names: &[],
            question: false,
            round: false,
        }
    }

    /// The set of what the field says, as bits; never empty.
    pub(super) fn read(
        &self,
        text: &str,
        (start, word): (usize, &str),
    ) -> Result<u64, SyntaxError> {
        if self.question && word == "?" {
            return Ok(self.bits(self.min, self.max, 1));
        }
        let mut reader = Reader {
            text,
            offset: start,
            end: start + word.len(),
        };
        let mut set = 0;
        loop {
            set |= self.item(&mut reader)?;
            if reader.offset == reader.end {
                return Ok(set);
            }
            if !reader.take(',') {
                let found = reader.found();
                return Err(reader.error(format!("expected `,` or a blank here, found {found}")));
            }
        }
    }

    fn item(&self, reader: &mut Reader<'_>) -> Result<u64, SyntaxError> {
        let start = reader.offset;
        let (from, mut to) = if reader.take('*') {
            (self.min, Some(self.max))
        } else {
            let from = self.number(reader)?;
            let to = if reader.take('-') {
                Some(self.number(reader)?)
            } else {
                None
            };
            self.range(reader, start, from, to)?
        };
        let step = if reader.take('/') {
            // As Quartz reads `5/15`.
            to = to.or(Some(self.max));
            self.step(reader)?
        } else {
            1
        };
        Ok(self.bits(from, to.unwrap_or(from), step))
    }

    /// The numbers of a range, in order.
    fn range(
        &self,
        reader: &Reader<'_>,
        start: usize,
        mut from: u32,
        mut to: Option<u32>,
    ) -> Result<(u32, Option<u32>), SyntaxError> {
        if self.round {
            // Sunday begins a week or ends it, whichever way it is written.
            if from > self.max {
                from = self.min;
            }
            if to == Some(self.min) && from > self.min {
                to = Some(self.max + 1);
            }
        }
        match to {
            Some(to) if to < from => Err(misread(
                reader.text,
                start,
                format!(
                    "this runs backwards; write `{from}-{},{}-{to}`",
                    self.max, self.min
                ),
            )),
            to => Ok((from, to)),
        }
    }

    fn number(&self, reader: &mut Reader<'_>) -> Result<u32, SyntaxError> {
        let start = reader.offset;
        let word = reader.word();
        let max = self.max + u32::from(self.round);
        let named = |name: &&str| name.eq_ignore_ascii_case(word);
        if let Some(at) = self.names.iter().position(named) {
            return Ok(self.min + u32::try_from(at).unwrap_or_default());
        }
        let number = word.parse().ok();
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        let fits = |number: &u32| digits && (self.min..=max).contains(number);
        number.filter(fits).ok_or_else(|| {
            reader.offset = start;
            let names = match self.names {
                [first, .., last] => format!(", {first} to {last}"),
                _ => String::new(),
            };
            let found = reader.found();
            reader.error(format!(
                "expected {}, {} to {max}{names} or `*`, found {found}",
                self.what, self.min
            ))
        })
    }

    fn step(&self, reader: &mut Reader<'_>) -> Result<u32, SyntaxError> {
        let start = reader.offset;
        let word = reader.word();
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        let most = self.max - self.min + 1;
        let fits = |step: &u32| digits && (1..=most).contains(step);
        word.parse().ok().filter(fits).ok_or_else(|| {
            reader.offset = start;
            let found = reader.found();
            reader.error(format!("expected a step, 1 to {most}, found {found}"))
        })
    }

    fn bits(&self, from: u32, to: u32, step: u32) -> u64 {
        let mut set = 0;
        let mut number = from;
        while number <= to {
            let folded = if number > self.max { self.min } else { number };
            set |= 1 << folded;
            number += step;
        }
        set
    }
}

/// Reads what stands between two blanks.
struct Reader<'a> {
    text: &'a str,
    offset: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.offset..self.end]
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.rest().starts_with(sign);
        self.offset += if found { sign.len_utf8() } else { 0 };
        found
    }

    /// What stands before the next sign.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let word = &rest[..rest.find([',', '-', '/', '*']).unwrap_or(rest.len())];
        self.offset += word.len();
        word
    }

    /// What stands here, for a message.
    fn found(&mut self) -> String {
        const SHOWN: usize = 12;
        let offset = self.offset;
        let word = self.word();
        self.offset = offset;
        match self.rest().chars().next() {
            None => "nothing".to_owned(),
            Some(sign) if word.is_empty() => format!("`{sign}`"),
            Some(_) => {
                let shown: String = word.chars().take(SHOWN).collect();
                let more = if shown.len() < word.len() { "..." } else { "" };
                format!("`{}{more}`", shown.escape_debug())
            }
        }
    }

    fn error(&self, message: String) -> SyntaxError {
        misread(self.text, self.offset, message)
    }
}
