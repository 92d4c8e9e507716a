//! What a selector says, as a tree.

use super::literal::Literal;
use super::pattern::Pattern;

/// A selector or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// At least one holds; never fewer than two.
    Any(Vec<Self>),
    /// All hold; never fewer than two.
    All(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A single question.
    Filter(Filter),
}

/// A question about one thing of a robot. A thing may have several values (a robot has several boards): the question is
/// whether one of them passes the test.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    pub(super) operand: Operand,
    pub(super) test: Test,
    /// Written as `!=`, `not in` or `!~=`: exactly the opposite.
    pub(super) negated: bool,
}

/// What is asked of each value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// `operand OP literal`
    Compare(Comparison, Literal),
    /// `literal in operand`
    Contains(Literal),
    /// `pattern ~= operand`
    Like(Pattern),
}

/// How a value is compared; `!=` is a negated `==`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) const fn is_order(self) -> bool {
        !matches!(self, Self::Equal)
    }
}

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    /// One of a robot's own things.
    Field(Field),
    /// `label["key"]`
    Label(Box<str>),
    /// `version("image")`: the versions of that image that run on the robot.
    Version(Box<str>),
    /// `build("image")`: the build ids of that image that run on the robot.
    Build(Box<str>),
    /// `reported["interface/path"]`: what the device reported there.
    Reported(Box<str>),
    /// `attributes["namespace:key"]`, which another operand may stand behind.
    Attribute {
        /// In lower case.
        namespace: Box<str>,
        key: Box<str>,
        /// What `label:`, `robot:`, `version:`, `build:` and `reported:` mean; `None` for a namespace of which nothing is
        /// known.
        means: Option<Box<Self>>,
    },
}

/// The types that a filter's two sides must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A set of words: `in` and `~=`, no comparison.
    Set,
    Text,
    Version,
    Truth,
    Moment,
    /// Known only when a robot has said it.
    Any,
}

/// One of a robot's own things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Tags,
    Groups,
    Id,
    Name,
    Model,
    Protocol,
    Hardware,
    Ecu,
    Image,
    Version,
    Build,
    Online,
    Ready,
    Held,
    Registered,
    Seen,
}

impl Field {
    pub(super) const ALL: [Self; 16] = [
        Self::Tags,
        Self::Groups,
        Self::Id,
        Self::Name,
        Self::Model,
        Self::Protocol,
        Self::Hardware,
        Self::Ecu,
        Self::Image,
        Self::Version,
        Self::Build,
        Self::Online,
        Self::Ready,
        Self::Held,
        Self::Registered,
        Self::Seen,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Groups => "groups",
            Self::Id => "id",
            Self::Name => "name",
            Self::Model => "model",
            Self::Protocol => "protocol",
            Self::Hardware => "hardware",
            Self::Ecu => "ecu",
            Self::Image => "image",
            Self::Version => "version",
            Self::Build => "build",
            Self::Online => "online",
            Self::Ready => "ready",
            Self::Held => "held",
            Self::Registered => "registered",
            Self::Seen => "seen",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.word() == word)
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Tags | Self::Groups => Kind::Set,
            Self::Id
            | Self::Name
            | Self::Model
            | Self::Protocol
            | Self::Hardware
            | Self::Ecu
            | Self::Image
            | Self::Build => Kind::Text,
            Self::Version => Kind::Version,
            Self::Online | Self::Ready | Self::Held => Kind::Truth,
            Self::Registered | Self::Seen => Kind::Moment,
        }
    }
}

impl Operand {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Field(field) => field.kind(),
            Self::Version(_) => Kind::Version,
            Self::Build(_) => Kind::Text,
            Self::Label(_) | Self::Reported(_) | Self::Attribute { means: None, .. } => Kind::Any,
            Self::Attribute {
                means: Some(operand),
                ..
            } => operand.kind(),
        }
    }
}
