//! A frame that no gate has admitted.
use callgate::engine::consent::{Admitted, GrantSeq};

fn main() {
    let frame = todo!();
    let _ = Admitted { frame, grant: GrantSeq(1) };
}
