//! The sixteen keys of a telephone. Which one was pressed is nobody's business but the engine's: `Debug` never tells (P11).

use std::fmt;

/// One of the sixteen keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);

/// By row (697, 770, 852, 941 Hz), then by column (1209, 1336, 1477, 1633 Hz).
const KEYPAD: [u8; 16] = *b"123A456B789C*0#D";

impl Key {
    /// The key with this symbol.
    #[must_use]
    pub fn from_symbol(symbol: char) -> Option<Self> {
        let symbol = u8::try_from(symbol).ok()?;
        KEYPAD.contains(&symbol).then_some(Self(symbol))
    }

    /// Its symbol. For what a key means, and for `callgate dtmf`; not for any log.
    #[must_use]
    pub const fn symbol(self) -> char {
        self.0 as char
    }

    pub(super) const fn at(row: usize, column: usize) -> Self {
        Self(KEYPAD[row * 4 + column])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(•)")
    }
}
