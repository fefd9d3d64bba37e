//! What the log's keys say of each other: C2SP signed notes whose text is one of two forms.
//!
//! ```text
//! tachograph/key-epoch/v1      tachograph/key-revoked/v1
//! ORIGIN                       ORIGIN
//! epoch N                      epoch N
//! size S                       size S
//! root BASE64                  reason TEXT
//! key VKEY                     (signed by the key in force)
//! key VKEY
//! (signed by the Ed25519 key that it names, and by the one before)
//! ```
//! Only Ed25519 signs here: an ML-DSA-44 cosignature is over a checkpoint and nothing else.

use crate::keys::{EpochSigner, signed_note};
use std::fmt;
use std::str::FromStr;
use tlog::note::{Algorithm, Note, VerifyingKey};
use tlog::{Error, Hash, empty_root};

const EPOCH: &str = "tachograph/key-epoch/v1";
const REVOKED: &str = "tachograph/key-revoked/v1";
const EPOCH_NOTE: &str = "key epoch";
const REVOKED_NOTE: &str = "key revocation";

/// What an event holds of a statement.
pub(crate) type Facts = serde_json::Map<String, serde_json::Value>;

fn facts<const N: usize>(fields: [(&str, serde_json::Value); N]) -> Facts {
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Longest reason of a revocation, in bytes.
pub const MAX_REASON_BYTES: usize = 1_000;

const fn malformed(what: &'static str, why: &'static str) -> Error {
    Error::Malformed { what, why }
}

/// A key begins: it signs for every size of the log above `size`, until the next one begins.
///
/// `Display` and `FromStr` are the note's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochNote {
    /// The log.
    pub origin: String,
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Size of the tree that the key before closed with; 0 for the first epoch.
    pub size: u64,
    /// Root of that tree.
    pub root: Hash,
    /// The key that signs checkpoints.
    pub ed25519: VerifyingKey,
    /// The key that cosigns published ones.
    pub ml_dsa_44: VerifyingKey,
}

impl EpochNote {
    /// The note, signed by the key that begins and by the one that ends; the first key has none before it.
    pub(crate) fn sign(
        &self,
        begins: &dyn EpochSigner,
        ends: Option<&dyn EpochSigner>,
    ) -> Result<Note, crate::Error> {
        let signers: Vec<&dyn EpochSigner> = std::iter::once(begins).chain(ends).collect();
        signed_note(self.to_string(), &signers)
    }

    /// What the event `key.epoch` holds.
    pub(crate) fn facts(&self, note: &Note) -> Facts {
        facts([
            ("epoch", self.epoch.into()),
            ("note", note.to_string().into()),
        ])
    }

    /// Reads a note that hands over from `previous`; for the first epoch, `previous` is its own key, which the
    /// reader knows from elsewhere.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another text, [`Error::WrongOrigin`], [`Error::BadSignature`], [`Error::Unsigned`] where
    /// one of the two signatures is missing.
    pub fn open(note: &Note, previous: &VerifyingKey) -> Result<Self, Error> {
        let said: Self = note.text().parse()?;
        if said.origin != previous.name() {
            return Err(Error::WrongOrigin {
                found: said.origin,
                expected: previous.name().to_owned(),
            });
        }
        let both = [said.ed25519.clone(), previous.clone()];
        let verified = note.verify(&both)?;
        let signed = |key: &VerifyingKey| verified.signers.iter().any(|signer| signer.key == key);
        if both.iter().all(signed) {
            Ok(said)
        } else {
            Err(Error::Unsigned)
        }
    }
}

impl fmt::Display for EpochNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{EPOCH}\n{}\nepoch {}", self.origin, self.epoch)?;
        writeln!(f, "size {}\nroot {}", self.size, self.root)?;
        writeln!(f, "key {}\nkey {}", self.ed25519, self.ml_dsa_44)
    }
}

impl FromStr for EpochNote {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why| malformed(EPOCH_NOTE, why);
        let mut fields = Fields::of(text, EPOCH).ok_or(wrong("not its first line"))?;
        let origin = fields.line().ok_or(wrong("no origin"))?.to_owned();
        let epoch = fields.number("epoch ").ok_or(wrong("no epoch"))?;
        let size = fields.number("size ").ok_or(wrong("no size"))?;
        let root: Hash = fields.rest("root ").ok_or(wrong("no root"))?.parse()?;
        let ed25519 = key(fields.rest("key "), &origin, Algorithm::Ed25519)?;
        let ml_dsa_44 = key(fields.rest("key "), &origin, Algorithm::MlDsa44Cosignature)?;
        fields.end().ok_or(wrong("more than its fields"))?;
        if epoch == 0 || (epoch == 1) != (size == 0) {
            return Err(wrong("the first epoch, and no other, begins at size 0"));
        }
        if size == 0 && root != empty_root() {
            return Err(wrong("the root of size 0 is not that of the empty tree"));
        }
        Ok(Self {
            origin,
            epoch,
            size,
            root,
            ed25519,
            ml_dsa_44,
        })
    }
}

fn key(text: Option<&str>, origin: &str, algorithm: Algorithm) -> Result<VerifyingKey, Error> {
    let key: VerifyingKey = text.ok_or(malformed(EPOCH_NOTE, "no key"))?.parse()?;
    if key.algorithm() != algorithm {
        return Err(malformed(
            EPOCH_NOTE,
            "the keys are not one of Ed25519, one of ML-DSA-44",
        ));
    }
    if key.name() != origin {
        return Err(malformed(EPOCH_NOTE, "a key is not named as the origin"));
    }
    Ok(key)
}

/// A key counts for nothing beyond a size.
///
/// `Display` and `FromStr` are the note's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationNote {
    /// The log.
    pub origin: String,
    /// The epoch whose key it is.
    pub epoch: u64,
    /// Its signatures count for checkpoints up to this size.
    pub size: u64,
    /// Why, in a line.
    pub reason: String,
}

impl RevocationNote {
    pub(crate) fn sign(&self, in_force: &dyn EpochSigner) -> Result<Note, crate::Error> {
        signed_note(self.to_string(), &[in_force])
    }

    /// What the event `key.revoked` holds.
    pub(crate) fn facts(&self, note: &Note) -> Facts {
        facts([
            ("epoch", self.epoch.into()),
            ("size", self.size.into()),
            ("reason", self.reason.clone().into()),
            ("note", note.to_string().into()),
        ])
    }

    /// Reads a note that `in_force` must have signed.
    ///
    /// # Errors
    /// As [`EpochNote::open`].
    pub fn open(note: &Note, in_force: &VerifyingKey) -> Result<Self, Error> {
        let said: Self = note.text().parse()?;
        if said.origin != in_force.name() {
            return Err(Error::WrongOrigin {
                found: said.origin,
                expected: in_force.name().to_owned(),
            });
        }
        note.verify(std::slice::from_ref(in_force))?;
        Ok(said)
    }
}

impl fmt::Display for RevocationNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{REVOKED}\n{}\nepoch {}", self.origin, self.epoch)?;
        writeln!(f, "size {}\nreason {}", self.size, self.reason)
    }
}

impl FromStr for RevocationNote {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why| malformed(REVOKED_NOTE, why);
        let mut fields = Fields::of(text, REVOKED).ok_or(wrong("not its first line"))?;
        let origin = fields.line().ok_or(wrong("no origin"))?.to_owned();
        let epoch = fields.number("epoch ").ok_or(wrong("no epoch"))?;
        let size = fields.number("size ").ok_or(wrong("no size"))?;
        let reason = fields.rest("reason ").ok_or(wrong("no reason"))?.to_owned();
        fields.end().ok_or(wrong("more than its fields"))?;
        if !is_reason(&reason) {
            return Err(wrong("the reason is not a line of 1 to 1,000 bytes"));
        }
        Ok(Self {
            origin,
            epoch,
            size,
            reason,
        })
    }
}

/// Whether a text can stand as the reason of a revocation: a line of 1 to [`MAX_REASON_BYTES`] bytes.
#[must_use]
pub fn is_reason(text: &str) -> bool {
    (1..=MAX_REASON_BYTES).contains(&text.len()) && !text.bytes().any(|byte| byte < b' ')
}

/// The lines of a note's text.
struct Fields<'t>(std::str::Split<'t, char>);

impl<'t> Fields<'t> {
    fn of(text: &'t str, first: &str) -> Option<Self> {
        let mut fields = Self(text.strip_suffix('\n')?.split('\n'));
        (fields.0.next()? == first).then_some(fields)
    }

    fn line(&mut self) -> Option<&'t str> {
        self.0.next().filter(|line| !line.is_empty())
    }

    fn rest(&mut self, prefix: &str) -> Option<&'t str> {
        self.0.next()?.strip_prefix(prefix)
    }

    /// A decimal number in its only spelling.
    fn number(&mut self, prefix: &str) -> Option<u64> {
        let text = self.rest(prefix)?;
        let number: u64 = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    }

    fn end(mut self) -> Option<()> {
        self.0.next().is_none().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::LogKey;
    use proptest::prelude::*;
    use tlog::leaf_hash;

    fn log_key(seed: u8) -> LogKey {
        LogKey::from_seed("example.com/log", &[seed; 32]).unwrap()
    }

    fn epoch_note(epoch: u64, size: u64, key: &LogKey) -> EpochNote {
        EpochNote {
            origin: "example.com/log".into(),
            epoch,
            size,
            root: if size == 0 {
                empty_root()
            } else {
                leaf_hash(b"0")
            },
            ed25519: key.verifying_key().clone(),
            ml_dsa_44: key.cosigner_key().clone(),
        }
    }

    /// `TACHO_BLESS=1` writes the file anew, which only a new version of the format may need.
    fn check_golden(name: &str, note: &Note) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/notes")
            .join(name);
        if std::env::var_os("TACHO_BLESS").is_some() {
            std::fs::write(&path, note.to_string()).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert_eq!(note.to_string().as_bytes(), golden);
        assert_eq!(Note::parse(&golden).as_ref(), Ok(note));
    }

    #[test]
    fn the_notes_are_what_their_golden_files_say() {
        let (first, second) = (log_key(1), log_key(2));
        let begins = epoch_note(1, 0, &first);
        let note = begins.sign(first.signer(), None).unwrap();
        check_golden("key-epoch-1", &note);
        assert_eq!(EpochNote::open(&note, first.verifying_key()), Ok(begins));
        let hands_over = epoch_note(2, 7, &second);
        let note = hands_over
            .sign(second.signer(), Some(first.signer()))
            .unwrap();
        check_golden("key-epoch-2", &note);
        assert_eq!(
            EpochNote::open(&note, first.verifying_key()),
            Ok(hands_over)
        );
        let revoked = RevocationNote {
            origin: "example.com/log".into(),
            epoch: 1,
            size: 3,
            reason: "the machine was stolen".into(),
        };
        let note = revoked.sign(second.signer()).unwrap();
        check_golden("key-revoked", &note);
        assert_eq!(
            RevocationNote::open(&note, second.verifying_key()),
            Ok(revoked)
        );
    }

    #[test]
    fn a_hand_over_takes_both_keys() {
        let (first, second, third) = (log_key(1), log_key(2), log_key(3));
        let said = epoch_note(2, 7, &second);
        let (old, new, other) = (first.signer(), second.signer(), third.signer());
        let open = |keys: &[&dyn EpochSigner]| {
            let note = signed_note(said.to_string(), keys).unwrap();
            EpochNote::open(&note, first.verifying_key())
        };
        assert_eq!(open(&[new, old]), Ok(said.clone()));
        assert_eq!(open(&[old, new, other]), Ok(said.clone()));
        assert_eq!(open(&[new]), Err(Error::Unsigned));
        assert_eq!(open(&[old]), Err(Error::Unsigned));
        assert_eq!(open(&[other]), Err(Error::Unsigned));
        assert_eq!(open(&[old, other]), Err(Error::Unsigned));
        let elsewhere = LogKey::from_seed("example.com/other", &[1; 32]).unwrap();
        let note = signed_note(said.to_string(), &[new, old]).unwrap();
        assert!(matches!(
            EpochNote::open(&note, elsewhere.verifying_key()),
            Err(Error::WrongOrigin { .. })
        ));
    }

    #[test]
    fn other_texts_are_refused() {
        let key = log_key(2);
        let good = epoch_note(2, 7, &key).to_string();
        let edits: [(&str, &str); 12] = [
            ("key-epoch/v1", "key-epoch/v2"),
            ("epoch 2", "epoch 02"),
            ("epoch 2", "epoch 1"),
            ("epoch 2", "epoch 0"),
            ("epoch 2", "epoch -2"),
            ("size 7", "size 0"),
            ("size 7", "size +7"),
            ("size 7", "size 7 "),
            ("size 7", "size 99999999999999999999"),
            ("root ", "root A"),
            ("example.com/log\n", "example.com/lag\n"),
            ("key example", "kay example"),
        ];
        assert!(good.parse::<EpochNote>().is_ok());
        for (from, to) in edits {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good);
            assert!(text.parse::<EpochNote>().is_err(), "{to}");
        }
        assert!(format!("{good}\n").parse::<EpochNote>().is_err());
        assert!(format!("{good}more\n").parse::<EpochNote>().is_err());
        assert!(good.trim_end().parse::<EpochNote>().is_err());
        for reason in [
            "",
            "two\nlines",
            "tab\there",
            &"x".repeat(MAX_REASON_BYTES + 1),
        ] {
            assert!(!is_reason(reason), "{reason}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(epoch in 2_u64.., size in 1_u64.., reason in "[ -~ü]{1,300}") {
            let note = EpochNote { epoch, size, ..epoch_note(2, 7, &log_key(2)) };
            prop_assert_eq!(note.to_string().parse::<EpochNote>(), Ok(note));
            let note = RevocationNote { origin: "o".into(), epoch, size, reason };
            prop_assert_eq!(note.to_string().parse::<RevocationNote>(), Ok(note));
        }

        #[test]
        fn arbitrary_texts_never_panic(text in ".{0,300}", rest in "(?s).{0,200}") {
            text.parse::<EpochNote>().ok();
            text.parse::<RevocationNote>().ok();
            format!("{EPOCH}\n{rest}").parse::<EpochNote>().ok();
            format!("{REVOKED}\n{rest}").parse::<RevocationNote>().ok();
        }
    }
}
