//! Sealing with a key one has: XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha-03).
//!
//! ```text
//! sealed = version:1 | nonce:24 | ciphertext | tag:16       authenticated too: version, context
//! ```
//!
//! The 192-bit nonce is random, so one key may seal 2^80 messages before a repetition matters.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroize;

use super::{OpenError, Secret};

/// A 256-bit key.
#[derive(Debug)]
pub struct SealingKey {
    key: Secret,
}

impl SealingKey {
    /// Makes a random key.
    ///
    /// # Errors
    ///
    /// As [`Secret::random`].
    pub fn generate() -> io::Result<Self> {
        Ok(Self { key: Secret::random(KEY_BYTES)? })
    }

    /// Takes a key from `bytes`, and wipes them.
    ///
    /// # Errors
    ///
    /// As [`Secret::take_from`].
    pub fn take_from(bytes: &mut [u8; 32]) -> io::Result<Self> {
        Ok(Self { key: Secret::take_from(bytes)? })
    }

    /// Seals `plain`. It opens only with the same `context`, which says what it is for.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let content = &mut sealed[1 + NONCE_BYTES..];
        let tag = self
            .cipher()
            .encrypt_inout_detached(&XNonce::from(nonce), &associated(context), content.into())
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made with the same `context`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for any difference, and when there is no memory for the secret.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Secret, OpenError> {
        let (version, sealed) = sealed.split_first().ok_or(OpenError)?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        let (content, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(OpenError)?;
        if *version != VERSION {
            return Err(OpenError);
        }
        let mut plain = Secret::zeroed(content.len()).map_err(|_| OpenError)?;
        plain.copy_from_slice(content);
        self.cipher()
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &associated(context),
                (&mut *plain).into(),
                &Tag::from(*tag),
            )
            .map_err(|_| OpenError)?;
        Ok(plain)
    }

    /// Expands the key; the copy on the stack wipes itself.
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new_from_slice(&self.key).expect("a sealing key has 32 bytes")
    }
}

/// Bytes kept encrypted in memory, with a key of their own in locked memory.
pub struct SealedBuffer {
    key: Arc<SealingKey>,
    sealed: Vec<u8>,
}

impl SealedBuffer {
    /// Seals `plain` under `key` and wipes where it was.
    ///
    /// # Errors
    ///
    /// When the system has no randomness; `plain` is wiped then too.
    pub fn seal(key: &Arc<SealingKey>, plain: &mut [u8]) -> io::Result<Self> {
        let sealed = key.seal(BUFFER_CONTEXT, plain);
        plain.zeroize();
        Ok(Self { key: Arc::clone(key), sealed: sealed? })
    }

    /// Opens the bytes into protected memory, until the result is dropped.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the memory was changed.
    pub fn open(&self) -> Result<Secret, OpenError> {
        self.key.open(BUFFER_CONTEXT, &self.sealed)
    }

    /// Changes one bit, for tests.
    #[cfg(test)]
    pub(super) fn flip(&mut self, byte: usize) {
        self.sealed[byte] ^= 1;
    }

    /// Returns the number of plain bytes.
    pub fn len(&self) -> usize {
        self.sealed.len() - (1 + NONCE_BYTES + TAG_BYTES)
    }

    /// Says whether there are no plain bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for SealedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBuffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A value that can be kept as bytes. Implemented for byte arrays, `Vec<u8>` and `String`.
pub trait Sealable: Zeroize + Sized {
    /// Returns the value's bytes.
    fn as_plain(&self) -> &[u8];

    /// Makes the value from its bytes; none when they are no such value.
    fn from_plain(plain: &[u8]) -> Option<Self>;
}

/// A value kept encrypted, and given out only for the time of a call.
#[derive(Debug)]
pub struct Sealed<T> {
    buffer: SealedBuffer,
    kind: PhantomData<fn() -> T>,
}

impl<T: Sealable> Sealed<T> {
    /// Seals `value` under `key` and wipes it.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new(key: &Arc<SealingKey>, mut value: T) -> io::Result<Self> {
        let sealed = key.seal(BUFFER_CONTEXT, value.as_plain());
        value.zeroize();
        let buffer = SealedBuffer { key: Arc::clone(key), sealed: sealed? };
        Ok(Self { buffer, kind: PhantomData })
    }

    /// Calls `work` with the value, which is wiped afterwards, also when `work` panics.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the memory was changed.
    pub fn with<R>(&self, work: impl FnOnce(&T) -> R) -> Result<R, OpenError> {
        let plain = self.buffer.open()?;
        let value = zeroize::Zeroizing::new(T::from_plain(&plain).ok_or(OpenError)?);
        drop(plain);
        Ok(work(&value))
    }
}

impl<const N: usize> Sealable for [u8; N] {
    fn as_plain(&self) -> &[u8] {
        self
    }

    fn from_plain(plain: &[u8]) -> Option<Self> {
        plain.try_into().ok()
    }
}

impl Sealable for Vec<u8> {
    fn as_plain(&self) -> &[u8] {
        self
    }

    fn from_plain(plain: &[u8]) -> Option<Self> {
        Some(plain.to_vec())
    }
}

impl Sealable for String {
    fn as_plain(&self) -> &[u8] {
        self.as_bytes()
    }

    fn from_plain(plain: &[u8]) -> Option<Self> {
        std::str::from_utf8(plain).ok().map(str::to_owned)
    }
}

/// Returns what is authenticated beside the content.
fn associated(context: &[u8]) -> Vec<u8> {
    [LABEL, &[VERSION], context].concat()
}

const VERSION: u8 = 1;
const LABEL: &[u8] = b"tidemill sealed ";
const BUFFER_CONTEXT: &[u8] = b"memory";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
