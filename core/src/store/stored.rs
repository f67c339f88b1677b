//! What exists only where the crate has its feature `store`.

use std::ops::{Deref, DerefMut};

/// A `T` that can be made only with the feature `store`. Without it this type has no values: whoever holds an `Option` of it holds `None`, which the compiler knows, so that it drops all that a log would
/// do. Nobody else has to ask which features there are.
#[derive(Debug)]
pub struct Stored<T> {
    #[cfg(feature = "store")]
    own: T,
    #[cfg(not(feature = "store"))]
    never: std::convert::Infallible,
    #[cfg(not(feature = "store"))]
    of: std::marker::PhantomData<T>,
}

#[cfg(feature = "store")]
impl<T> From<T> for Stored<T> {
    fn from(own: T) -> Self {
        Stored { own }
    }
}

impl<T> Stored<T> {
    /// What `make` makes; `None` where nothing is stored.
    #[must_use]
    pub fn made(make: impl FnOnce() -> T) -> Option<Stored<T>> {
        #[cfg(feature = "store")]
        return Some(Stored { own: make() });
        #[cfg(not(feature = "store"))]
        return {
            let _ = make;
            None
        };
    }
}

impl<T> Deref for Stored<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        #[cfg(feature = "store")]
        return &self.own;
        #[cfg(not(feature = "store"))]
        match self.never {}
    }
}

impl<T> DerefMut for Stored<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        #[cfg(feature = "store")]
        return &mut self.own;
        #[cfg(not(feature = "store"))]
        match self.never {}
    }
}
