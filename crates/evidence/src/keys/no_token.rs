//! A build without PKCS#11: there is no token, and who configures one is told.

use super::TokenSettings;
use super::key_file::KeyName;
use super::signer::EpochSigner;
use crate::error::Error;
use std::sync::Arc;

/// None exists.
#[derive(Debug)]
pub(crate) enum Token {}

impl Token {
    pub(crate) fn open(settings: &TokenSettings) -> Result<Arc<Self>, Error> {
        Err(Error::Signer(format!(
            "token \"{}\": this build has no PKCS#11; take one that was built with `--features pkcs11`",
            settings.label
        )))
    }

    pub(crate) fn make(self: &Arc<Self>, _: &KeyName) -> Result<Box<dyn EpochSigner>, Error> {
        match **self {}
    }

    pub(crate) fn find(self: &Arc<Self>, _: &KeyName) -> Result<Box<dyn EpochSigner>, Error> {
        match **self {}
    }

    pub(crate) fn destroy(&self, _: &KeyName) -> Result<(), Error> {
        match *self {}
    }
}
