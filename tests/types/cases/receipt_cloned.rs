//! A receipt is not a thing one has two of.
use callgate::engine::consent::{Grant, Receipt};

fn clone(receipt: &Receipt<Grant>) -> Receipt<Grant> {
    receipt.clone()
}

fn main() {}
