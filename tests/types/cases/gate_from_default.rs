//! A gate without a receipt.
use callgate::engine::consent::Gate;

fn main() {
    let _ = Gate::default();
}
