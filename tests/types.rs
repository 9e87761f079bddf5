//! What must not compile: the gate is a type, and there is no second way in. Run with the engine alone, whose few
//! dependencies make it quick: `cargo test --no-default-features --test types`.
#![cfg(not(feature = "server"))]

#[test]
fn p5_what_must_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/types/*.rs");
}
