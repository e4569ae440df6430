//! The programs of examples, as tests find them.

use std::path::PathBuf;

/// The program of the example `name`, which is built before.
pub(crate) fn binary(name: &str) -> PathBuf {
    // The test is `target/PROFILE/deps/TEST-..`, examples are `target/PROFILE/examples/NAME`.
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE");
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    path
}
