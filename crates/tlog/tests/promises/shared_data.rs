//! Where the public vectors lie.

use std::path::PathBuf;

/// `path` under the shared data's `vectors`, or `None` after saying why the test is skipped.
pub(crate) fn vectors(path: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("TACHO_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("vectors").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "skipped: no vectors at {} (set TACHO_SHARED)",
        path.display()
    );
    None
}
