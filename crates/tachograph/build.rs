//! Gives the binary its identity: the commit, the compiler and the target it was built from.
//!
//! Never fails: what is not known is said to be `unknown`.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=TACHO_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let commit = std::env::var("TACHO_COMMIT").ok().or_else(|| {
        let head = output("git", &["rev-parse", "--git-path", "logs/HEAD"])?;
        println!("cargo:rerun-if-changed={head}");
        output("git", &["rev-parse", "HEAD"])
    });
    set("TACHO_COMMIT", commit);
    set("TACHO_TARGET", std::env::var("TARGET").ok());
    set("TACHO_PROFILE", std::env::var("PROFILE").ok());
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    set("TACHO_RUSTC", output(&rustc, &["--version"]));
}

fn set(name: &str, value: Option<String>) {
    println!(
        "cargo:rustc-env={name}={}",
        value.as_deref().unwrap_or("unknown")
    );
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
