//! Which build this is: the identity that `recorder.start` carries.

use serde_json::{Map, Value};

/// Version of the package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit the binary was built from; `unknown` where that was not known.
pub(crate) const COMMIT: &str = env!("TACHO_COMMIT");

/// `tacho --version`, long form.
pub(crate) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit ",
    env!("TACHO_COMMIT"),
    "\n",
    env!("TACHO_RUSTC"),
    "\n",
    env!("TACHO_TARGET"),
    " (",
    env!("TACHO_PROFILE"),
    ")",
);

/// The build's facts for `recorder.start`. What is not known is said to be `unknown`.
pub(crate) fn facts() -> Map<String, Value> {
    let mut facts = Map::new();
    let known = [
        ("version", VERSION),
        ("commit", COMMIT),
        ("rustc", env!("TACHO_RUSTC")),
        ("target", env!("TACHO_TARGET")),
        ("profile", env!("TACHO_PROFILE")),
    ];
    for (name, value) in known {
        facts.insert(name.to_owned(), value.into());
    }
    facts.insert(
        "executable_sha256".to_owned(),
        executable_digest()
            .unwrap_or_else(|| "unknown".to_owned())
            .into(),
    );
    facts
}

/// SHA-256 of the running executable: the strongest statement a program can make about itself,
/// and still only its own.
fn executable_digest() -> Option<String> {
    use std::io::Read as _;
    let mut file = std::fs::File::open("/proc/self/exe").ok()?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hex::encode(context.finish())),
            n => context.update(buffer.get(..n)?),
        }
    }
}
