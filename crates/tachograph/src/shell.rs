//! Paths in commands that are printed to be typed again. One that is no UTF-8 cannot be.

use std::path::Path;

/// `path` as one word of a shell's command line, and never as an option.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let text = match text.starts_with('-') {
        true => format!("./{text}"),
        false => text,
    };
    let plain = |char: char| char.is_alphanumeric() || "/._-+:,@%".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        for path in [
            "/var/lib/tachograph",
            "a b",
            "it's",
            "$(reboot)",
            "~",
            "x;y&z|<>*?[]{}!#\"\\`",
            "naïve",
            "",
        ] {
            let quoted = word(Path::new(path));
            let script = format!("printf %s {quoted}");
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            assert_eq!(said, path, "{quoted}");
        }
        assert_eq!(word(Path::new("-rf")), "./-rf");
    }

    #[test]
    fn what_needs_no_quotes_has_none() {
        assert_eq!(word(Path::new("./data-2/x_1.y")), "./data-2/x_1.y");
    }
}
