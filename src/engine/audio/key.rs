//! stub
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);
impl Key {
    pub const fn from_symbol(c: char) -> Option<Self> { match c { '0'..='9' | '*' | '#' | 'A'..='D' => Some(Self(c as u8)), _ => None } }
    pub const fn symbol(self) -> char { self.0 as char }
}
impl std::fmt::Debug for Key { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("Key(•)") } }
