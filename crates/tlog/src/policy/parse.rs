//! Reading a policy file, line by line.

use super::{Definition, Log, Policy, Witness};
use crate::{Error, line::decimal, note::VerifyingKey};

/// Longest policy in bytes: room for [`MAX_DEFINITIONS`] post-quantum logs and witnesses with
/// comments.
pub const MAX_POLICY_BYTES: usize = 512 * 1024;

/// Most logs, most witnesses and most groups, each. The specification asks for at least 32.
pub const MAX_DEFINITIONS: usize = 64;

/// Longest excerpt of a policy in an error, in characters.
const MAX_EXCERPT: usize = 64;

/// A name or an item for an error: printable, and not long.
pub(super) fn display(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .flat_map(char::escape_debug)
        .take(MAX_EXCERPT)
        .collect()
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`Error::Policy`] with the line that breaks a rule, [`Error::OverLimit`] above
    /// [`MAX_POLICY_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(Error::OverLimit {
                what: "policy length in bytes",
                limit: MAX_POLICY_BYTES as u64,
            });
        }
        let mut reader = Reader::default();
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        let mut number = 0;
        while let Some(line) = lines.next() {
            number += 1;
            let fault = |why| Error::Policy { line: number, why };
            // What follows the last line feed is no line: it must be empty.
            if lines.peek().is_none() && !line.is_empty() {
                return Err(fault("does not end in a line feed".into()));
            }
            reader.line(line).map_err(fault)?;
        }
        let Some(quorum) = reader.quorum else {
            return Err(Error::Policy {
                line: number,
                why: "the policy ends without a quorum; `quorum none` asks for no witness".into(),
            });
        };
        Ok(Self {
            logs: reader.logs,
            definitions: reader.definitions,
            quorum,
        })
    }
}

/// What the lines so far defined.
#[derive(Default)]
struct Reader {
    logs: Vec<Log>,
    definitions: Vec<Definition>,
    /// For each definition, whether a group has it as a member.
    grouped: Vec<bool>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let allowed = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
        if !line.iter().all(allowed) {
            return Err("holds a control character".into());
        }
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let items: Vec<&[u8]> = line.split(blank).filter(|item| !item.is_empty()).collect();
        match items.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", vkey] => self.log(vkey, None),
            [b"log", vkey, url] => self.log(vkey, Some(url)),
            [b"witness", name, vkey] => self.witness(name, vkey, None),
            [b"witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            [b"group", name, threshold, members @ ..] => self.group(name, threshold, members),
            [b"quorum", name] => self.set_quorum(name),
            [b"log", ..] => Err("is not `log VKEY [URL]`".into()),
            [b"witness", ..] => Err("is not `witness NAME VKEY [URL]`".into()),
            [b"group", ..] => Err("is not `group NAME all|any|NUMBER NAME...`".into()),
            [b"quorum", ..] => Err("is not `quorum NAME`".into()),
            [other, ..] => Err(format!(
                "{} is not log, witness, group, quorum or a comment",
                display(other)
            )),
        }
    }

    fn log(&mut self, vkey: &[u8], url: Option<&[u8]>) -> Result<(), String> {
        let key = parse_key(vkey)?;
        let same = |log: &Log| log.key.public_bytes() == key.public_bytes();
        if self.logs.iter().any(same) {
            return Err("the key of this log is an earlier log's".into());
        }
        check_count(self.logs.len(), "logs")?;
        self.logs.push(Log {
            key,
            url: url.map(<[u8]>::to_vec),
        });
        Ok(())
    }

    fn witness(&mut self, name: &[u8], vkey: &[u8], url: Option<&[u8]>) -> Result<(), String> {
        let key = parse_key(vkey)?;
        if !key.algorithm().is_cosignature() {
            return Err(format!(
                "a witness cosigns with a key of type 0x04 or 0x06, not 0x{:02x}",
                key.algorithm().signature_type()
            ));
        }
        let mut witnesses = 0;
        for definition in &self.definitions {
            if let Definition::Witness(witness) = definition {
                witnesses += 1;
                if witness.key.public_bytes() == key.public_bytes() {
                    let other = display(&witness.name);
                    return Err(format!("the key of this witness is that of {other}"));
                }
            }
        }
        check_count(witnesses, "witnesses")?;
        self.define(Definition::Witness(Witness {
            name: name.to_vec(),
            key,
            url: url.map(<[u8]>::to_vec),
        }))
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], members: &[&[u8]]) -> Result<(), String> {
        let is_group = |definition: &&Definition| matches!(definition, Definition::Group { .. });
        let groups = self.definitions.iter().filter(is_group).count();
        check_count(groups, "groups")?;
        let threshold = match threshold {
            b"any" => 1,
            b"all" => members.len(),
            number => std::str::from_utf8(number)
                .ok()
                .and_then(decimal)
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(|| format!("{} is not all, any or a number", display(number)))?,
        };
        if threshold < 1 || threshold > members.len() {
            return Err(format!(
                "{threshold} of {} members can never be met, or always is",
                members.len()
            ));
        }
        let mut places = Vec::with_capacity(members.len());
        for member in members {
            let at = self.find(member)?;
            // Each name in one group only: no witness counts twice.
            if self.grouped.get(at).copied().unwrap_or(true) {
                return Err(format!("{} is a member already", display(member)));
            }
            if let Some(grouped) = self.grouped.get_mut(at) {
                *grouped = true;
            }
            places.push(at);
        }
        self.define(Definition::Group {
            name: name.to_vec(),
            threshold,
            members: places,
        })
    }

    fn set_quorum(&mut self, name: &[u8]) -> Result<(), String> {
        if self.quorum.is_some() {
            return Err("is a second quorum".into());
        }
        self.quorum = Some(match name {
            b"none" => None,
            name => Some(self.find(name)?),
        });
        Ok(())
    }

    fn define(&mut self, definition: Definition) -> Result<(), String> {
        let name = definition.name();
        if name == b"none" {
            return Err("the name none means no witness at all".into());
        }
        if self.definitions.iter().any(|other| other.name() == name) {
            return Err(format!("{} is defined already", display(name)));
        }
        self.definitions.push(definition);
        self.grouped.push(false);
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<usize, String> {
        self.definitions
            .iter()
            .position(|definition| definition.name() == name)
            .ok_or_else(|| {
                let name = display(name);
                format!("{name} is not a witness or group of an earlier line")
            })
    }
}

fn parse_key(vkey: &[u8]) -> Result<VerifyingKey, String> {
    std::str::from_utf8(vkey)
        .map_err(|_| "the verifier key is not UTF-8".to_owned())?
        .parse()
        .map_err(|error: Error| error.to_string())
}

fn check_count(count: usize, what: &str) -> Result<(), String> {
    if count < MAX_DEFINITIONS {
        return Ok(());
    }
    Err(format!("more than {MAX_DEFINITIONS} {what}"))
}
