//! `[signer]`.

use super::{Reader, Section};
use crate::config::signer::SignerSettings;

const SIGNER: &[&str] = &["module", "pin_file", "token"];

impl Reader<'_> {
    pub(super) fn signer(&mut self, section: &Section<'_, '_>) -> Option<SignerSettings> {
        self.known_keys(section, SIGNER);
        for key in SIGNER {
            self.required(section, key);
        }
        if !cfg!(feature = "pkcs11") {
            let what = "[signer] needs PKCS#11, which this `tacho` was built without".to_owned();
            let hint = "build it with `cargo build --release -p tachograph --features pkcs11`, or leave the section out";
            self.problem(section.place.clone(), what, Some(hint.to_owned()));
        }
        let module = self.place(section, "module");
        let pin_file = self.place(section, "pin_file");
        let (token, _) = self.string(section, "token")?;
        Some(SignerSettings {
            module: module?,
            pin_file: pin_file?,
            token,
        })
    }
}
