//! The one closed list of what the core refuses.

use std::fmt;

/// A configuration or message the core cannot accept; the text says what, where, found, expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreError {
    /// The site model is not one tree of valid circuits and assets.
    Site {
        /// Path of the field, as in site.yaml.
        place: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// Bytes are not the message they should be.
    Decode {
        /// Name of the message.
        message: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// A value of a message or column is out of its range.
    Value {
        /// Which field, of which element.
        place: String,
        /// What was found.
        found: i64,
        /// What was expected.
        expected: String,
    },
    /// An index points at nothing of the wanted kind.
    Index {
        /// What is indexed.
        what: &'static str,
        /// The index found.
        found: i64,
        /// What was expected.
        expected: String,
    },
    /// A set older than the one in force.
    Old {
        /// Which of the two numbers is older.
        what: &'static str,
        /// The number found.
        found: i64,
        /// The number in force.
        held: i64,
    },
    /// A file that is needed cannot be used.
    Files {
        /// Which, what was found, what was expected.
        reason: String,
    },
    /// All that is wrong with a table.
    Several {
        /// One problem a line.
        text: String,
    },
    /// A buffer does not hold whole rows.
    Shape {
        /// What the buffer is.
        what: &'static str,
        /// Items found.
        found: usize,
        /// What was expected.
        expected: String,
    },
}

impl CoreError {
    /// A refused field of the site model.
    pub fn site(place: impl Into<String>, found: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self::Site { place: place.into(), found: found.to_string(), expected: expected.into() }
    }

    /// Several refusals as one, a line each.
    pub fn all(problems: &[Self]) -> Self {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self::Several { text: lines.join("\n") }
    }

    /// A refused number.
    pub fn value(place: impl Into<String>, found: i64, expected: impl Into<String>) -> Self {
        Self::Value { place: place.into(), found, expected: expected.into() }
    }
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site { place, found, expected } => write!(f, "{place}: found {found}; expected {expected}"),
            Self::Decode { message, reason } => write!(f, "{message}: not decodable: {reason}"),
            Self::Value { place, found, expected } => write!(f, "{place}: found {found}; expected {expected}"),
            Self::Files { reason } => f.write_str(reason),
            Self::Several { text } => f.write_str(text),
            Self::Index { what, found, expected } => write!(f, "{what} index: found {found}; expected {expected}"),
            Self::Old { what, found, held } => {
                write!(f, "{what}: found {found}; expected {held} or newer (the one in force)")
            }
            Self::Shape { what, found, expected } => write!(f, "{what}: found {found} items; expected {expected}"),
        }
    }
}

impl std::error::Error for CoreError {}
