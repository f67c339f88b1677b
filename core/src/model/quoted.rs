//! Names as messages show them.

use std::fmt::{self, Write};

/// A name in quotes, on one line: quotes, backslashes and control characters are escaped. `{:?}` does that too, but brings tables of Unicode along, and
/// WebAssembly is compiled without it.
#[derive(Clone, Copy)]
pub struct Quoted<'a>(&'a str);

/// Shows a name in quotes.
///
/// ```
/// use ferrymq_core::model::quoted;
/// assert_eq!(quoted("a\"b\n").to_string(), r#""a\"b\u{a}""#);
/// ```
#[must_use]
pub fn quoted(name: &str) -> Quoted<'_> {
    Quoted(name)
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for letter in self.0.chars() {
            match letter {
                '"' | '\\' => write!(f, "\\{letter}")?,
                _ if letter.is_control() => write!(f, "\\u{{{:x}}}", u32::from(letter))?,
                _ => f.write_char(letter)?,
            }
        }
        f.write_char('"')
    }
}
