//! Inclusion proofs: that an entry is one of those that a checkpoint was signed for, without the others. RFC 6962 §2.1.1,
//! written as C2SP's `tlog-proof`, which others' tools read.

use std::collections::BTreeMap;

use super::Hash;
use super::merkle::node;

/// What a proof's text begins with.
const FORMAT: &str = "c2sp.org/tlog-proof@v1";
/// No tree of 2^64 leaves has a longer path.
const PATH_MAX: usize = 64;

/// Where an entry is in a tree, and what leads from it to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inclusion {
    /// Its place, from 0: its number in the chain less one.
    pub index: u64,
    /// The hashes beside the way up, the leaf's sibling first.
    pub path: Vec<Hash>,
}

impl Inclusion {
    /// The root of the tree of `size` leaves in which `leaf` is at this place.
    #[must_use]
    pub fn root(&self, leaf: Hash, size: u64) -> Option<Hash> {
        let (mut index, mut last) = (self.index, size.checked_sub(1)?);
        if index > last {
            return None;
        }
        let mut root = leaf;
        for beside in &self.path {
            if last == 0 {
                return None;
            }
            if index & 1 == 1 || index == last {
                root = node(*beside, root);
                // At the right edge a level without a sibling is passed over.
                let levels = if index == 0 { 0 } else { index.trailing_zeros() };
                index >>= levels;
                last >>= levels;
            } else {
                root = node(root, *beside);
            }
            index >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(root)
    }

    /// As text, with the checkpoint `note` that it leads to.
    #[must_use]
    pub fn text(&self, note: &str) -> String {
        let path: String = self.path.iter().map(|hash| base64_simd::STANDARD.encode_to_string(hash.0) + "\n").collect();
        format!("{FORMAT}\nindex {}\n{path}\n{note}", self.index)
    }

    /// Reads a proof and the checkpoint in it. One proof has one text: what [`Self::text`] would not write is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, &str)> {
        let (head, note) = text.split_once("\n\n")?;
        let mut lines = head.lines();
        if lines.next() != Some(FORMAT) {
            return None;
        }
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let hash = |line: &str| base64_simd::STANDARD.decode_to_vec(line).ok()?.try_into().ok().map(Hash);
        let path: Vec<Hash> = lines.take(PATH_MAX + 1).map(hash).collect::<Option<_>>()?;
        let inclusion = Self { index, path };
        (inclusion.path.len() <= PATH_MAX && inclusion.text(note) == text).then_some((inclusion, note))
    }
}

/// Proves some leaves of a tree while all of them pass by, in memory of the order of those that are wanted.
#[derive(Debug)]
pub struct Prover {
    size: u64,
    /// Full subtrees, the largest first: where each begins, and its root.
    peaks: Vec<(u64, Hash)>,
    wanted: BTreeMap<u64, Vec<Hash>>,
}

impl Prover {
    /// Of the leaves at these places, from 0.
    #[must_use]
    pub fn of(wanted: impl IntoIterator<Item = u64>) -> Self {
        Self { size: 0, peaks: Vec::new(), wanted: wanted.into_iter().map(|index| (index, Vec::new())).collect() }
    }

    /// Takes in the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut right = (self.size, leaf);
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                right = self.join(left, right, self.size + 1);
            }
        }
        self.peaks.push(right);
        self.size += 1;
    }

    /// The root over all leaves, and every wanted one's proof; none of a leaf that did not come.
    #[must_use]
    pub fn finish(mut self) -> Option<(Hash, Vec<Inclusion>)> {
        let mut right = self.peaks.pop()?;
        while let Some(left) = self.peaks.pop() {
            right = self.join(left, right, self.size);
        }
        let proofs = self.wanted.into_iter().filter(|(index, _)| *index < self.size);
        Some((right.1, proofs.map(|(index, path)| Inclusion { index, path }).collect()))
    }

    fn join(&mut self, left: (u64, Hash), right: (u64, Hash), end: u64) -> (u64, Hash) {
        self.wanted.range_mut(left.0..right.0).for_each(|(_, path)| path.push(right.1));
        self.wanted.range_mut(right.0..end).for_each(|(_, path)| path.push(left.1));
        (left.0, node(left.1, right.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ledger::Merkle;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|n| Hash::of_entry(&n.to_be_bytes())).collect()
    }

    fn prove(leaves: &[Hash]) -> (Hash, Vec<Inclusion>) {
        let mut prover = Prover::of(0..leaves.len() as u64);
        leaves.iter().for_each(|leaf| prover.push(*leaf));
        prover.finish().unwrap()
    }

    /// RFC 6962 §2.1.1, word by word.
    fn by_definition(at: usize, leaves: &[Hash]) -> Vec<Hash> {
        let root = |leaves: &[Hash]| {
            let mut tree = Merkle::default();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            tree.root()
        };
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (near, beside) =
            if at < k { (by_definition(at, &leaves[..k]), &leaves[k..]) } else { (by_definition(at - k, &leaves[k..]), &leaves[..k]) };
        near.into_iter().chain([root(beside)]).collect()
    }

    #[test]
    fn the_published_paths_of_rfc_6962_come_out() {
        // certificate-transparency's own reference tests: leaves 1, 6, 3 and 2 of trees of 1, 8, 8, 3 and 5.
        let data: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let leaves = data.map(Hash::of_entry);
        for (leaf, size, path) in [
            (1, 1, vec![]),
            (
                1,
                8,
                vec![
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                6,
                8,
                vec![
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ],
            ),
            (3, 3, vec!["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
            (
                2,
                5,
                vec![
                    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ],
            ),
        ] {
            let (root, proofs) = prove(&leaves[..size]);
            let proof = &proofs[leaf - 1];
            assert_eq!(proof.path.iter().map(Hash::to_string).collect::<Vec<_>>(), path, "leaf {leaf} of {size}");
            assert_eq!(proof.root(leaves[leaf - 1], size as u64), Some(root));
        }
    }

    #[test]
    fn every_leaf_of_any_size_is_proven_and_no_other_in_its_place() {
        assert_eq!(Prover::of([0]).finish(), None, "of nothing nothing is proven");
        for size in [1_usize, 2, 3, 4, 5, 7, 8, 255, 256, 257] {
            let leaves = leaves(size as u32);
            let (root, proofs) = prove(&leaves);
            assert_eq!(proofs.len(), size);
            for (at, proof) in proofs.iter().enumerate() {
                assert_eq!(proof.path, by_definition(at, &leaves), "{at} of {size}");
                let count = size as u64;
                assert_eq!(proof.root(leaves[at], count), Some(root), "{at} of {size}");
                let other = Hash::of_entry(b"another");
                assert_ne!(proof.root(other, count), Some(root), "another entry at {at} of {size}");
                for wrong in [at + 1, at ^ 1, size].into_iter().filter(|wrong| *wrong != at) {
                    let moved = Inclusion { index: wrong as u64, ..proof.clone() };
                    assert_ne!(moved.root(leaves[at], count), Some(root), "{at} at {wrong} of {size}");
                }
                for (no, _) in proof.path.iter().enumerate() {
                    let mut flipped = proof.clone();
                    flipped.path[no].0[at % 32] ^= 1;
                    assert_ne!(flipped.root(leaves[at], count), Some(root), "hash {no} of {at} of {size}");
                }
                let longer = Inclusion { path: proof.path.iter().copied().chain([other]).collect(), ..proof.clone() };
                assert_eq!(longer.root(leaves[at], count), None, "too long");
                if let Some((_, shorter)) = proof.path.split_last() {
                    assert_eq!(Inclusion { path: shorter.to_vec(), ..proof.clone() }.root(leaves[at], count), None, "too short");
                }
            }
        }
        assert_eq!(Inclusion { index: 0, path: Vec::new() }.root(leaves(1)[0], 0), None);
    }

    #[test]
    fn a_proof_has_one_text() {
        let (_, proofs) = prove(&leaves(5));
        let note = "example.com/log\n5\nroot\n\n\u{2014} example.com/log AAAA\n";
        for proof in &proofs {
            let text = proof.text(note);
            assert!(text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {}\n", proof.index)), "{text}");
            assert_eq!(Inclusion::parse(&text), Some((proof.clone(), note)));
            let head = text.len() - note.len();
            for at in 0..head {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let changed = String::from_utf8(bytes).unwrap();
                let same = Inclusion::parse(&changed).filter(|(read, rest)| read == proof && *rest == note);
                assert_eq!(same, None, "byte {at}: {changed}");
            }
        }
        let zero = Inclusion { index: 0, path: Vec::new() }.text(note);
        for wrong in [zero.replace("index 0", "index 00"), zero.replace("index 0", "index +0"), zero.replace("@v1", "@v2"), String::new()] {
            assert_eq!(Inclusion::parse(&wrong), None, "{wrong}");
        }
        let endless = Inclusion { index: 0, path: leaves(65) }.text(note);
        assert_eq!(Inclusion::parse(&endless), None, "longer than any tree is high");
    }
}
