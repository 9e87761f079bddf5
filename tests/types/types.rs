//! What must not compile: the gate is a type, and there is no second way in.

#[test]
fn p5_what_must_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("cases/*.rs");
}
