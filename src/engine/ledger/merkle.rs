//! The Merkle tree of RFC 6962 over a chain's entries, leaf by leaf in logarithmic memory. Its root at a size commits to
//! every entry up to there: a chain cut off at its end, or written anew from somewhere on, has another.

use sha2::{Digest as _, Sha256};

use super::Hash;

/// A tree of so many leaves as it has been given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Merkle {
    size: u64,
    /// Roots of the full subtrees it consists of, the largest first.
    peaks: Vec<Hash>,
}

impl Merkle {
    /// Appends a leaf: an entry's own hash ([`Hash::of_entry`] has RFC 6962's leaf prefix).
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing 1 of the size is a full subtree of just the size of what is to be appended.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(left, hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over all of them.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else { return Hash(Sha256::digest([]).into()) };
        peaks.fold(last, |right, left| node(left, right))
    }
}

/// The hash of two subtrees side by side.
pub(super) fn node(left: Hash, right: Hash) -> Hash {
    let mut digest = Sha256::new();
    digest.update([1]);
    digest.update(left.0);
    digest.update(right.0);
    Hash(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaves and roots of certificate-transparency's own reference tests.
    #[test]
    fn the_published_roots_of_rfc_6962_come_out() {
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Merkle::default();
        assert_eq!(tree.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "of nothing");
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(Hash::of_entry(leaf));
            assert_eq!(tree.root().to_string(), root, "{} leaves", tree.size());
        }
    }

    /// RFC 6962 §2.1, word by word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash(Sha256::digest([]).into()),
            [one] => *one,
            many => {
                let k = many.len().next_power_of_two() / 2;
                node(by_definition(&many[..k]), by_definition(&many[k..]))
            }
        }
    }

    #[test]
    fn any_size_has_the_root_of_the_definition_and_any_change_another() {
        let leaves: Vec<Hash> = (0..300_u32).map(|n| Hash::of_entry(&n.to_be_bytes())).collect();
        let root = |leaves: &[Hash]| {
            let mut tree = Merkle::default();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            tree.root()
        };
        for size in 0..=leaves.len() {
            assert_eq!(root(&leaves[..size]), by_definition(&leaves[..size]), "{size} leaves");
        }
        for size in [1, 2, 3, 255, 256, 257] {
            let whole = root(&leaves[..size]);
            for at in 0..size {
                let mut other = leaves[..size].to_vec();
                other[at].0[at % 32] ^= 1;
                assert_ne!(root(&other), whole, "flipped at {at} of {size}");
                let mut other = leaves[..size].to_vec();
                other.remove(at);
                assert_ne!(root(&other), whole, "dropped at {at} of {size}");
                let mut other = leaves[..size].to_vec();
                other.insert(at, leaves[at]);
                assert_ne!(root(&other), whole, "doubled at {at} of {size}");
                if at > 0 {
                    let mut other = leaves[..size].to_vec();
                    other.swap(at - 1, at);
                    assert_ne!(root(&other), whole, "swapped at {at} of {size}");
                }
            }
        }
    }
}
