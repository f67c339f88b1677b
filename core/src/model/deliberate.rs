//! Deliberate bugs, for the tests that assert that the simulator notices each. They exist only with the feature `deliberate-bugs`, which nothing but the simulator asks for;
//! without it [`is`] is false when this compiles.

/// A bug inside the engine or its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliberate {
    /// A hand-over is not told to the log: its attempt is forgotten.
    ForgetHandOvers,
    /// What waits for a sync is answered when it is written.
    ConfirmWritten,
    /// Each message of a batch stands in a frame of its own.
    SplitBatches,
    /// A dead letter's move does not say where it came from: it is in both places.
    MoveTwice,
    /// Opening drops the last frame that it finds.
    DropLastFrame,
    /// Where zeros stand the log is believed to end, whatever stands behind them.
    TrustZeros,
    /// What is damaged is left out, and nobody is told.
    ShortenSilently,
    /// The first frame of a segment has the number of the one before.
    ReuseNumber,
    /// A segment that says that a message is gone goes before the one that says that it came.
    ForgetRemovals,
    /// Nothing says of the last frame, and of the newest segment, that they were there.
    SkipMarks,
    /// The time begins anew with each opening, wherever the log's was.
    TurnBackTime,
    /// What a numbered command came to stands in the frame after that of its effects.
    OutcomeLate,
    /// Checkpoints leave out what numbered commands came to.
    OutcomesNotInCheckpoints,
}

/// Whether this bug is wanted in this thread.
#[cfg(not(feature = "deliberate-bugs"))]
#[must_use]
#[inline(always)]
pub const fn is(_: Deliberate) -> bool {
    false
}

#[cfg(feature = "deliberate-bugs")]
pub use switch::{is, set};

#[cfg(feature = "deliberate-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Deliberate;

    thread_local! {
        static WANTED: Cell<Option<Deliberate>> = const { Cell::new(None) };
    }

    /// Whether this bug is wanted in this thread.
    #[must_use]
    pub fn is(bug: Deliberate) -> bool {
        WANTED.get() == Some(bug)
    }

    /// From here on this thread's engines have this bug, or none.
    pub fn set(bug: Option<Deliberate>) {
        WANTED.set(bug);
    }
}
