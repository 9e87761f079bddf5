//! Identities: opaque, unguessable, sortable by the second in which they were made.

use rand::Rng as _;

use crate::io::clock::wall;

/// No id is longer: they stand in rows, keys and log lines.
pub const ID_MAX: usize = 128;

/// The chain of what concerns the gateway and no organisation: what configuration was in force. No organisation can be called so, whatever
/// a token or a form says ([`is_org`]), so it is read from the database alone.
pub const GATEWAY: &str = "/callgate";
/// What that chain was called once: where it stands in a database, it is nobody's to read either.
const GATEWAY_ONCE: &str = "callgate";
/// What [`is_fit`] asks for, in words.
pub const ID_MEANT: &str = "at most 128 bytes without control characters";
/// What [`is_org`] asks for, in words.
pub const ORG_MEANT: &str = "1 to 128 bytes without control characters or a slash, and neither . nor .. nor callgate";

/// Whether `id` may stand in rows, keys and log lines.
#[must_use]
pub fn is_fit(id: &str) -> bool {
    id.len() <= ID_MAX && !id.chars().any(char::is_control)
}

/// Whether an organisation can be called so: its id stands in rows, in log lines, and as a folder's name in the keys of objects.
#[must_use]
pub fn is_org(org_id: &str) -> bool {
    !matches!(org_id, "" | "." | ".." | GATEWAY_ONCE) && !org_id.contains('/') && is_fit(org_id)
}

/// A new id that begins with `kind`, such as `call`.
#[must_use]
pub fn fresh(kind: &str) -> String {
    let mut random = [0u8; 12];
    rand::rng().fill_bytes(&mut random);
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}_{:011x}{random}", wall().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_has_a_name_that_can_be_kept_and_is_not_the_gateways() {
        for org in ["default", "other-org", "Ö 1", "callgate-1", "a.b", "...", &"o".repeat(ID_MAX)] {
            assert!(is_org(org), "{org}");
        }
        for org in ["", ".", "..", "a/b", "../../../esc", "x\ny", "x\0", &"o".repeat(ID_MAX + 1), GATEWAY, GATEWAY_ONCE] {
            assert!(!is_org(org), "{org:?}");
        }
        assert!([ID_MEANT, ORG_MEANT].iter().all(|meant| meant.contains(&ID_MAX.to_string())) && ORG_MEANT.contains(GATEWAY_ONCE));
    }
}
