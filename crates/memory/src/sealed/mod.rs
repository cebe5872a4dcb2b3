//! Memory for secrets, and sealing what leaves it.
//!
//! | type             | what it is                                                           |
//! |------------------|----------------------------------------------------------------------|
//! | [`Secret`]       | plain bytes in pages of their own: locked, left out of core dumps,   |
//! |                  | zero in a forked child, wiped on drop                                |
//! | [`SealingKey`]   | a 256-bit key in a `Secret`; seals and opens with ChaCha20-Poly1305  |
//! | [`SealedBuffer`] | bytes kept encrypted until they are opened                           |
//! | [`Sealed`]       | a value kept so                                                      |
//! | [`Envelope`]     | bytes for one recipient, by X25519 and ML-KEM-768 together           |
//!
//! All cryptography is RustCrypto's; what is ours is the framing. Every failure to open is the same
//! [`OpenError`], whatever the cause. Nothing here logs or prints content.

mod aead;
mod envelope;
mod secret;
#[cfg(test)]
mod tests;

pub use aead::{Sealable, Sealed, SealedBuffer, SealingKey};
pub use envelope::{Envelope, PublicKey, Recipient};
pub use secret::Secret;

/// What was sealed cannot be opened: the key, the context, or a byte is wrong. It never says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed data cannot be opened")]
#[non_exhaustive]
pub struct OpenError;
