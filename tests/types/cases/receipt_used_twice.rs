//! One record, one opening.
use callgate::engine::consent::{Gate, Grant, Receipt};

fn twice(receipt: Receipt<Grant>) {
    let _ = Gate::open(receipt);
    let _ = Gate::open(receipt);
}

fn main() {}
