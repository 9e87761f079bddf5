//! What needs nothing but the engine, and the rules that the compiler does not keep.

#[path = "../redaction/mod.rs"]
mod redaction;

mod fixtures;
mod keytone;
mod redact;
mod tidy;
