//! Sealing for somebody else, safe against quantum computers and against a break of either part.
//!
//! ```text
//! shared   = X-Wing(recipient)                       ML-KEM-768 and X25519,
//! draft-connolly-cfrg-xwing-kem key      = HKDF-SHA-256(salt "tidemill envelope", shared, info =
//! header | SHA-256(context)) envelope = header:6 | encapsulation:1120 | ChaCha20-Poly1305(key,
//! nonce 0, plain; header | encapsulation | context) header   = "TMEV" | version 1 | suite 1
//! ```
//!
//! X-Wing's combiner is SHA3-256 over both shared secrets, the X25519 share and the recipient's
//! X25519 key, with a label of its own; it is secure as long as one of the two parts is. The
//! derived key seals one message, so its nonce is fixed. Authenticates the context, not the
//! sender.

use std::fmt;
use std::io;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use x_wing::{
    Ciphertext, DecapsulationKeyRejectNonContrib, Decapsulator, EncapsulationKey, KeyExport,
    SharedKey, TryDecapsulate,
};
use zeroize::{Zeroize, Zeroizing};

use super::{OpenError, Secret};

/// The secret half of a recipient's keys: 32 bytes from which both key pairs are made.
#[derive(Debug)]
pub struct Recipient {
    seed: Secret,
}

impl Recipient {
    /// Makes random keys.
    ///
    /// # Errors
    ///
    /// As [`Secret::random`].
    pub fn generate() -> io::Result<Self> {
        Ok(Self { seed: Secret::random(SEED_BYTES)? })
    }

    /// Takes the keys from their seed, and wipes it.
    ///
    /// # Errors
    ///
    /// As [`Secret::take_from`].
    pub fn take_from(seed: &mut [u8; 32]) -> io::Result<Self> {
        Ok(Self { seed: Secret::take_from(seed)? })
    }

    /// Returns the half that senders need.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(Box::new(self.keys().encapsulation_key().clone()))
    }

    /// Returns the seed, for storing it sealed.
    pub fn seed(&self) -> &Secret {
        &self.seed
    }

    /// Expands the seed; the copy wipes itself.
    fn keys(&self) -> DecapsulationKeyRejectNonContrib {
        let seed = Zeroizing::new(<[u8; SEED_BYTES]>::try_from(&*self.seed).expect("32 bytes"));
        DecapsulationKeyRejectNonContrib::from(*seed)
    }
}

/// The public half of a recipient's keys.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Box<EncapsulationKey>);

impl PublicKey {
    /// Reads a key of [`BYTES`](Self::BYTES) bytes.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the bytes are no key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpenError> {
        EncapsulationKey::try_from(bytes).map(|key| Self(Box::new(key))).map_err(|_| OpenError)
    }

    /// Returns the key's bytes: ML-KEM's, then X25519's.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Length of a key's bytes.
    pub const BYTES: usize = x_wing::ENCAPSULATION_KEY_SIZE;
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}

/// Bytes that one recipient can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope(Vec<u8>);

impl Envelope {
    /// Seals `plain` for `recipient`. It opens only with the same `context`, which says what it
    /// is for.
    ///
    /// # Errors
    ///
    /// When the system has no randomness, or `plain` is above 256 GiB.
    pub fn seal(recipient: &PublicKey, context: &[u8], plain: &[u8]) -> io::Result<Self> {
        let mut randomness = Zeroizing::new([0; x_wing::ENCAPSULATION_RANDOMNESS_SIZE]);
        getrandom::fill(&mut *randomness).map_err(io::Error::other)?;
        Self::seal_with(&randomness, recipient, context, plain)
    }

    fn seal_with(
        randomness: &[u8; x_wing::ENCAPSULATION_RANDOMNESS_SIZE],
        recipient: &PublicKey,
        context: &[u8],
        plain: &[u8],
    ) -> io::Result<Self> {
        let mut words = (*randomness).into();
        let (encapsulation, shared) = recipient.0.encapsulate_deterministic(&words);
        words.zeroize();
        let mut bytes = Vec::with_capacity(OVERHEAD_BYTES + plain.len());
        bytes.extend_from_slice(&HEADER);
        bytes.extend_from_slice(&encapsulation);
        bytes.extend_from_slice(plain);
        let (front, content) = bytes.split_at_mut(FRONT_BYTES);
        let tag = cipher(shared, context)
            .encrypt_inout_detached(&Nonce::default(), &[front, context].concat(), content.into())
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        bytes.extend_from_slice(&tag);
        Ok(Self(bytes))
    }

    /// Opens the envelope with the recipient's keys and the sender's `context`.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whatever is wrong.
    pub fn open(&self, recipient: &Recipient, context: &[u8]) -> Result<Secret, OpenError> {
        let (front, rest) = self.0.split_at_checked(FRONT_BYTES).ok_or(OpenError)?;
        let (content, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(OpenError)?;
        let encapsulation = front.strip_prefix(&HEADER).ok_or(OpenError)?;
        let encapsulation = Ciphertext::try_from(encapsulation).map_err(|_| OpenError)?;
        let shared = recipient.keys().try_decapsulate(&encapsulation).map_err(|_| OpenError)?;
        let mut plain = Secret::zeroed(content.len()).map_err(|_| OpenError)?;
        plain.copy_from_slice(content);
        cipher(shared, context)
            .decrypt_inout_detached(
                &Nonce::default(),
                &[front, context].concat(),
                (&mut *plain).into(),
                &Tag::from(*tag),
            )
            .map_err(|_| OpenError)?;
        Ok(plain)
    }

    /// Returns the envelope's bytes, 1142 more than the plain ones.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes bytes that should be an envelope; [`open`](Self::open) checks them.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Derives the message's cipher and wipes what it came from.
fn cipher(mut shared: SharedKey, context: &[u8]) -> ChaCha20Poly1305 {
    let info = [&HEADER[..], &Sha256::digest(context)].concat();
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(SALT), &shared)
        .expand(&info, &mut *key)
        .expect("HKDF-SHA-256 yields up to 8160 bytes");
    shared.zeroize();
    ChaCha20Poly1305::new_from_slice(&*key).expect("the key has 32 bytes")
}

/// Magic, version, suite.
const HEADER: [u8; 6] = *b"TMEV\x01\x01";
const SALT: &[u8] = b"tidemill envelope";
const SEED_BYTES: usize = x_wing::DECAPSULATION_KEY_SIZE;
const TAG_BYTES: usize = 16;
const FRONT_BYTES: usize = HEADER.len() + x_wing::CIPHERTEXT_SIZE;
const OVERHEAD_BYTES: usize = FRONT_BYTES + TAG_BYTES;
