//! (see tests/objects.rs)
