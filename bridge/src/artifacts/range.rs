//! The Range header, as far as downloads need it: one range of bytes (RFC 9110, section 14).

use std::ops::RangeInclusive;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no range, several, or one that cannot be read, which a server may ignore.
    Whole,
    /// These bytes; both ends lie in the file.
    Part(RangeInclusive<u64>),
    /// No byte of the file.
    Nothing,
}

/// Reads the header's value for a file of `size` bytes.
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(spec) = header.strip_prefix("bytes=") else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::Whole;
    };
    let (first, last) = (Bound::read(first), Bound::read(last));
    match (first, last) {
        (Bound::Unreadable, _) | (_, Bound::Unreadable) | (Bound::Absent, Bound::Absent) => {
            Wanted::Whole
        }
        (Bound::At(first), Bound::At(last)) if last < first => Wanted::Whole,
        (Bound::At(first), _) if first >= size => Wanted::Nothing,
        (Bound::At(first), Bound::At(last)) => Wanted::Part(first..=last.min(size - 1)),
        (Bound::At(first), Bound::Absent) => Wanted::Part(first..=size - 1),
        (Bound::Absent, Bound::At(length)) if length == 0 || size == 0 => Wanted::Nothing,
        (Bound::Absent, Bound::At(length)) => Wanted::Part(size.saturating_sub(length)..=size - 1),
    }
}

enum Bound {
    Absent,
    At(u64),
    Unreadable,
}

impl Bound {
    fn read(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            Self::Absent
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number beyond u64 lies beyond every file.
            Self::At(text.parse().unwrap_or(u64::MAX))
        } else {
            Self::Unreadable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_in_its_three_forms() {
        assert_eq!(wanted("bytes=0-0", 10), Wanted::Part(0..=0));
        assert_eq!(wanted("bytes=2-5", 10), Wanted::Part(2..=5));
        assert_eq!(wanted("bytes=2-99", 10), Wanted::Part(2..=9));
        assert_eq!(wanted("bytes=9-", 10), Wanted::Part(9..=9));
        assert_eq!(wanted("bytes=-3", 10), Wanted::Part(7..=9));
        assert_eq!(wanted("bytes=-99", 10), Wanted::Part(0..=9));
        assert_eq!(
            wanted("bytes=3-18446744073709551616", 10),
            Wanted::Part(3..=9)
        );
    }

    #[test]
    fn a_range_beyond_the_file_wants_nothing() {
        for header in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(wanted(header, 10), Wanted::Nothing, "{header}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Nothing);
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=a-1",
            "bytes=1-2,4-5",
            "items=0-1",
            "bytes=+1-2",
            "bytes=--1",
        ] {
            assert_eq!(wanted(header, 10), Wanted::Whole, "{header}");
        }
    }
}
