//! Ed25519 keys in a PKCS#11 token: made there, never out of it, destroyed there.
//!
//! A pair is found by its label, `ORIGIN epoch N`, which is its `CKA_ID` too. Every call of the module goes through one
//! session. After anything went wrong it is dropped, and the next call begins with the module anew; so a token that was
//! away is taken up again when it is back. Nothing else in the process may use the module. A PIN that the token refused is not tried a second time: tokens lock themselves.

use super::TokenSettings;
use super::key_file::KeyName;
use super::signer::{EpochSigner, fatal};
use crate::error::Error;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Refused, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tlog::note::{Algorithm, Signature, VerifyingKey};
use zeroize::Zeroizing;

/// Object identifier of Ed25519 (RFC 8410), in DER.
const ED25519_OID: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// A DER octet string of 32 bytes begins like this.
const OCTETS_32: [u8; 2] = [0x04, 0x20];

/// Longest PIN in bytes.
const MAX_PIN_BYTES: u64 = 256;

/// Room for it without growing, which would leave a copy behind.
const PIN_BUFFER_BYTES: usize = 512;

/// Which bits of a file's mode let others read or change it.
const OTHERS: u32 = 0o077;

/// A token, logged in to.
#[derive(Debug)]
pub(crate) struct Token {
    settings: TokenSettings,
    module: Pkcs11,
    door: Mutex<Door>,
}

#[derive(Debug, Default)]
struct Door {
    session: Option<Session>,
    /// Something went wrong since the module was initialised, which knows tokens as they were then.
    stale: bool,
    /// The token refused the PIN, and will not be asked again.
    refused: Option<Error>,
}

impl Token {
    /// # Errors
    /// [`Error::Signer`]: what keeps it from being used, and what to do.
    pub(crate) fn open(settings: &TokenSettings) -> Result<Arc<Self>, Error> {
        let path = settings.module.display();
        let unusable =
            |error: Refused| Error::Signer(format!("module {path}: {}", in_words(&error)));
        let module = Pkcs11::new(&settings.module).map_err(unusable)?;
        initialize(&module).map_err(unusable)?;
        // The library stays loaded as long as the process lives: it is not known to bear being unloaded.
        std::mem::forget(module.clone());
        let token = Self {
            settings: settings.clone(),
            module,
            door: Mutex::default(),
        };
        token.with(|_| Ok(()))?;
        Ok(Arc::new(token))
    }

    /// Makes the pair `name`, of which there must be none.
    pub(crate) fn make(self: &Arc<Self>, name: &KeyName) -> Result<Box<dyn EpochSigner>, Error> {
        let label = name.to_string().into_bytes();
        let named = [
            Attribute::Token(true),
            Attribute::Label(label.clone()),
            Attribute::Id(label),
        ];
        let public = [
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(ED25519_OID.to_vec()),
        ];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let (public, private) = (
            [&named[..], &public].concat(),
            [&named[..], &private].concat(),
        );
        self.with(|session| {
            session
                .generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)
                .map(drop)
        })?;
        self.find(name)
    }

    /// The pair `name`.
    pub(crate) fn find(self: &Arc<Self>, name: &KeyName) -> Result<Box<dyn EpochSigner>, Error> {
        let private = self.only(name, ObjectClass::PRIVATE_KEY)?;
        let public = self.only(name, ObjectClass::PUBLIC_KEY)?;
        let confined = [AttributeType::Sensitive, AttributeType::Extractable];
        let (confined, point) = self.with(|session| {
            Ok((
                session.get_attributes(private, &confined)?,
                session.get_attributes(public, &[AttributeType::EcPoint])?,
            ))
        })?;
        for needed in [Attribute::Sensitive(true), Attribute::Extractable(false)] {
            if !confined.contains(&needed) {
                return Err(self.error(&format!("it lets `{name}` out: that is no place for it")));
            }
        }
        let key = point
            .iter()
            .find_map(public_key)
            .and_then(|key| VerifyingKey::new(&name.origin, Algorithm::Ed25519, key).ok());
        let Some(key) = key else {
            return Err(self.error(&format!("`{name}` is no Ed25519 key")));
        };
        Ok(Box::new(TokenSigner {
            token: self.clone(),
            name: name.clone(),
            key,
        }))
    }

    /// Destroys what there is of the pair `name`, the private half first.
    pub(crate) fn destroy(&self, name: &KeyName) -> Result<(), Error> {
        self.with(|session| {
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                for object in session.find_objects(&half(name, class))? {
                    session.destroy_object(object)?;
                }
            }
            Ok(())
        })
    }

    /// The one object that is this half of the pair.
    fn only(&self, name: &KeyName, class: ObjectClass) -> Result<ObjectHandle, Error> {
        let found = self.with(|session| session.find_objects(&half(name, class)))?;
        match found[..] {
            [object] => return Ok(object),
            [] => {}
            _ => return Err(self.error(&format!("it holds `{name}` more than once"))),
        }
        // It may be another one by now, or not quite there.
        let mut door = self.door();
        (door.session, door.stale) = (None, true);
        let half = match class {
            ObjectClass::PRIVATE_KEY => "private key",
            _ => "public key",
        };
        Err(self.error(&format!(
            "it holds no {half} `{name}`: connect the token in which this log's key was made. Where it is gone for good, this log has \
             ended: begin its successor with `tacho serve --successor-of`"
        )))
    }

    /// Does something in the session, which is opened where there is none.
    fn with<T>(&self, act: impl FnOnce(&Session) -> Result<T, Refused>) -> Result<T, Error> {
        let mut door = self.door();
        let session = match door.session.take().filter(is_inside) {
            Some(session) => session,
            None => {
                let entered = self.enter(&mut door);
                door.stale = entered.is_err();
                entered?
            }
        };
        match act(&session) {
            Ok(done) => {
                door.session = Some(session);
                Ok(done)
            }
            Err(error) => {
                door.stale = true;
                Err(self.error(&in_words(&error)))
            }
        }
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, door: &mut Door) -> Result<Session, Error> {
        if let Some(error) = &door.refused {
            return Err(error.clone());
        }
        let told = |error: Refused| self.error(&in_words(&error));
        if door.stale {
            match self.module.clone().finalize() {
                Ok(()) | Err(Refused::Pkcs11(RvError::CryptokiNotInitialized, _)) => {}
                Err(error) => return Err(told(error)),
            }
            initialize(&self.module).map_err(told)?;
        }
        let slot = self.slot()?;
        let pin = self.pin()?;
        let session = self.module.open_rw_session(slot).map_err(told)?;
        match session.login(UserType::User, Some(&pin)) {
            // Another session of this process did.
            Ok(()) | Err(Refused::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                door.refused = self.refused(&error);
                Err(door.refused.clone().unwrap_or_else(|| told(error)))
            }
        }
    }

    /// What is told where the token did not let us in because of the PIN.
    fn refused(&self, error: &Refused) -> Option<Error> {
        let file = self.settings.pin_file.display();
        let Refused::Pkcs11(code, _) = error else {
            return None;
        };
        Some(match code {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
                self.error(&format!(
                    "the PIN in {file} is not its user's. It was tried once and is not tried again, because tokens lock themselves: \
                     correct it, then start the recorder again"
                ))
            }
            RvError::PinLocked => self.error(
                "its user's PIN is locked: have its security officer set it anew, then start the recorder again",
            ),
            RvError::PinExpired | RvError::UserPinNotInitialized => {
                self.error("its user's PIN is not set: set it, then start the recorder again")
            }
            _ => return None,
        })
    }

    fn slot(&self) -> Result<Slot, Error> {
        let told = |error: Refused| self.error(&in_words(&error));
        let (mut fits, mut others) = (Vec::new(), Vec::new());
        for slot in self.module.get_slots_with_token().map_err(told)? {
            match self.module.get_token_info(slot) {
                Ok(info) if info.label() == self.settings.label => fits.push(slot),
                Ok(info) if info.token_initialized() => others.push(info.label().to_owned()),
                // Another token's trouble is not ours.
                Ok(_) | Err(_) => {}
            }
        }
        match fits[..] {
            [slot] => Ok(slot),
            [] if others.is_empty() => Err(self.error(
                "the module sees no token: connect it, and see that the recorder's user may use it",
            )),
            [] => Err(self.error(&format!(
                "the module sees no token of that name: connect it, or correct `token` ({})",
                others.join(", ")
            ))),
            _ => Err(self.error("the module sees more than one token of that name: connect one")),
        }
    }

    /// The PIN, which is kept nowhere.
    fn pin(&self) -> Result<AuthPin, Error> {
        let path = &self.settings.pin_file;
        let io = |error: std::io::Error| self.error(&format!("its PIN file: {error}"));
        let file = storage::open_regular(path).map_err(io)?;
        if file.metadata().map_err(io)?.permissions().mode() & OTHERS != 0 {
            return Err(self.error(&format!(
                "others may read its PIN in {}: take their right to it away (mode 0600)",
                path.display()
            )));
        }
        let mut pin = Zeroizing::new(String::with_capacity(PIN_BUFFER_BYTES));
        let n = file
            .take(MAX_PIN_BYTES + 1)
            .read_to_string(&mut pin)
            .map_err(io)?;
        let pin = AuthPin::from(pin.strip_suffix('\n').unwrap_or(&pin).to_owned());
        if n as u64 > MAX_PIN_BYTES || n == 0 {
            return Err(self.error(&format!(
                "its PIN file {} is not one line of up to {MAX_PIN_BYTES} bytes",
                path.display()
            )));
        }
        Ok(pin)
    }

    fn error(&self, why: &str) -> Error {
        Error::Signer(format!("token \"{}\": {why}", self.settings.label))
    }
}

fn initialize(module: &Pkcs11) -> Result<(), Refused> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Refused::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        done => done,
    }
}

/// Whether the token still lets the session in: without that it shows no private key, and says no word about it.
fn is_inside(session: &Session) -> bool {
    let info = session.get_session_info();
    info.is_ok_and(|info| matches!(info.session_state(), SessionState::RwUser))
}

/// Where one half of a pair is found.
fn half(name: &KeyName, class: ObjectClass) -> [Attribute; 4] {
    [
        Attribute::Class(class),
        Attribute::KeyType(KeyType::EC_EDWARDS),
        Attribute::Token(true),
        Attribute::Label(name.to_string().into_bytes()),
    ]
}

/// The 32 bytes of RFC 8032, which some tokens wrap in an octet string.
fn public_key(attribute: &Attribute) -> Option<&[u8]> {
    let Attribute::EcPoint(point) = attribute else {
        return None;
    };
    let bare = point.strip_prefix(&OCTETS_32).filter(|key| key.len() == 32);
    Some(bare.unwrap_or(point))
}

/// The module's own words for its return codes fill a page each; their names are known to who runs one.
fn in_words(error: &Refused) -> String {
    match error {
        Refused::Pkcs11(code, function) => {
            format!("it does not answer as it should: {code:?} to C_{function:?}")
        }
        error => error.to_string(),
    }
}

/// Signs with one pair of the token.
#[derive(Debug)]
struct TokenSigner {
    token: Arc<Token>,
    name: KeyName,
    key: VerifyingKey,
}

impl EpochSigner for TokenSigner {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn sign(&self, text: &str) -> Result<Signature, Error> {
        let private = self.token.only(&self.name, ObjectClass::PRIVATE_KEY)?;
        let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let bytes = self
            .token
            .with(|session| session.sign(&pure, private, text.as_bytes()))?;
        // What does not verify must not get out: a token can be wrong, and its key another than its public half says.
        let signature = Signature::new(self.key.name(), self.key.id(), bytes);
        let signature = signature.map_err(|error| fatal(&error))?;
        match self.key.verify(text, &signature) {
            Ok(_) => Ok(signature),
            Err(_) => Err(self.token.error(&format!(
                "what it signs with `{}` does not verify",
                self.name
            ))),
        }
    }
}
