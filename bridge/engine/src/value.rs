//! Values as devices report them: typed, so that selectors can compare them and no wire format has to be known here.

/// One value of one of Astarte's types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(Box<str>),
    /// A 32-bit integer.
    Integer(i32),
    /// A 64-bit integer.
    LongInteger(i64),
    /// A finite number; the shell lets no other in.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// Milliseconds since the Unix epoch, which may be before it.
    DateTime(i64),
    /// Bytes.
    Blob(Box<[u8]>),
}

// A `Double` is never NaN.
impl Eq for Value {}

/// What a device has published at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A single value.
    Value(Value),
    /// Several.
    Document(Box<Document>),
}

/// A list of values, or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// As it came: what is stored and shown.
    pub payload: Box<[u8]>,
    /// The values in it.
    pub parts: Box<[Part]>,
}

/// A value in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The object's key; none in a list.
    pub key: Option<Box<str>>,
    /// The value.
    pub value: Value,
}

impl From<Value> for Content {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl Value {
    const fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            Self::Integer(_)
            | Self::LongInteger(_)
            | Self::Double(_)
            | Self::Boolean(_)
            | Self::DateTime(_) => size_of::<i64>(),
        }
    }
}

impl Content {
    /// What it counts for where the bytes of a device are bounded. The parts of a document count as what they take in
    /// memory, or a list of a few kilobytes could take many times that.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.bytes(),
            Self::Document(document) => {
                let part = |part: &Part| {
                    let key = part.key.as_deref().map_or(0, str::len);
                    size_of::<Part>() + key + part.value.bytes()
                };
                document.payload.len() + document.parts.iter().map(part).sum::<usize>()
            }
        }
    }

    /// The values below `key` of an object, or without a key: the value itself, or each of a list.
    pub fn at<'a>(&'a self, key: Option<&'a str>) -> impl Iterator<Item = &'a Value> {
        let (single, parts) = match self {
            Self::Value(value) => (Some(value).filter(|_| key.is_none()), [].as_slice()),
            Self::Document(document) => (None, &*document.parts),
        };
        let below = parts.iter().filter(move |part| part.key.as_deref() == key);
        single.into_iter().chain(below.map(|part| &part.value))
    }
}
