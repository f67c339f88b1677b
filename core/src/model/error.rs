//! The one error. Its kind says what the caller should do, its message what happened.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of everything that can be refused.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a command was refused. The names are the public error codes of every language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker or handle was closed: open anew.
    Closed,
    /// The outcome is unknown: open anew and look.
    Indeterminate,
    /// A value is out of range or of the wrong kind: correct it.
    InvalidArgument,
    /// The delivery is no longer the caller's: drop the work.
    LeaseLost,
    /// The body is over the broker's limit: store it elsewhere, send a reference.
    MessageTooLarge,
    /// No such queue or exchange: declare it.
    NotFound,
    /// The queue exists with other options: declare with the same, or alter it.
    QueueConflict,
    /// No room: try later, consume, or raise the capacity.
    QueueFull,
    /// Bytes of the store do not verify: restore or repair.
    StoreCorrupt,
    /// An earlier write or sync failed, or the store could not be opened: open anew.
    StoreFailed,
    /// Somebody else has the store open: close it there.
    StoreLocked,
    /// Not reachable at the moment: try again.
    Unavailable,
    /// Mandatory, and no queue was reached: bind a queue.
    Unroutable,
}

impl ErrorKind {
    /// Every kind, in the order of their names.
    pub const ALL: [ErrorKind; 13] = [
        ErrorKind::Closed,
        ErrorKind::Indeterminate,
        ErrorKind::InvalidArgument,
        ErrorKind::LeaseLost,
        ErrorKind::MessageTooLarge,
        ErrorKind::NotFound,
        ErrorKind::QueueConflict,
        ErrorKind::QueueFull,
        ErrorKind::StoreCorrupt,
        ErrorKind::StoreFailed,
        ErrorKind::StoreLocked,
        ErrorKind::Unavailable,
        ErrorKind::Unroutable,
    ];

    /// The public code, the same in every language.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            ErrorKind::Closed => "Closed",
            ErrorKind::Indeterminate => "Indeterminate",
            ErrorKind::InvalidArgument => "InvalidArgument",
            ErrorKind::LeaseLost => "LeaseLost",
            ErrorKind::MessageTooLarge => "MessageTooLarge",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::QueueConflict => "QueueConflict",
            ErrorKind::QueueFull => "QueueFull",
            ErrorKind::StoreCorrupt => "StoreCorrupt",
            ErrorKind::StoreFailed => "StoreFailed",
            ErrorKind::StoreLocked => "StoreLocked",
            ErrorKind::Unavailable => "Unavailable",
            ErrorKind::Unroutable => "Unroutable",
        }
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, ErrorKind::QueueFull | ErrorKind::Unavailable)
    }
}

/// A refusal: a kind and a sentence. Boxed, so that the results of the message's path stay small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Inner {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// A refusal of `kind`; `message` says what happened and what to do.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
        }))
    }

    /// `InvalidArgument` with its sentence.
    #[cold]
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.code(), self.0.message)
    }
}

impl std::error::Error for Error {}
