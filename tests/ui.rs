//! What the compiler says to a user whose pipeline does not fit together: the texts are an
//! interface.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the expected texts anew.

#[test]
fn errors_say_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
