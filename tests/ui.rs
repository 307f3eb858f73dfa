//! What the compiler says about a body that a guard cannot build: it names the cure.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the expected messages anew. They are those of one compiler, so
//! another's may differ in what stands around them.

#[test]
fn the_compiler_names_the_cure() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
