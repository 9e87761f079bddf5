//! Identities: opaque, unguessable, sortable by the second in which they were made.

use rand::Rng as _;

use crate::io::clock::wall;

/// No id is longer: they stand in rows, keys and log lines.
pub const ID_MAX: usize = 128;

/// Whether `id` may stand in rows, keys and log lines.
#[must_use]
pub fn is_fit(id: &str) -> bool {
    id.len() <= ID_MAX && !id.chars().any(char::is_control)
}

/// Whether `org_id` can be part of an object's key.
#[must_use]
pub fn is_key_part(org_id: &str) -> bool {
    !matches!(org_id, "." | "..") && !org_id.contains('/')
}

/// A new id that begins with `kind`, such as `call`.
#[must_use]
pub fn fresh(kind: &str) -> String {
    let mut random = [0u8; 12];
    rand::rng().fill_bytes(&mut random);
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}_{:011x}{random}", wall().0)
}
