//! Identities: opaque, unguessable, sortable by the second in which they were made.

use rand::Rng as _;

use crate::io::clock::wall;

/// A new id that begins with `kind`, such as `call`.
#[must_use]
pub fn fresh(kind: &str) -> String {
    let mut random = [0u8; 12];
    rand::rng().fill_bytes(&mut random);
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}_{:011x}{random}", wall().0)
}
