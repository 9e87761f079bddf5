//! A receipt that no ledger has made.
use callgate::engine::ledger::Committed;

fn main() {
    let _ = Committed::after_fsync(1, None);
}
