//! Sealing and opening, the published vectors of the parts, and every kind of tampering.
#![cfg(not(any(loom, miri, shuttle)))]

use std::sync::Arc;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use x_wing::{
    Ciphertext, DecapsulationKeyRejectNonContrib, Decapsulator, KeyExport, TryDecapsulate,
};

use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    assert_eq!(digits.len(), 2 * N);
    std::array::from_fn(|at| {
        let pair = std::str::from_utf8(&digits[2 * at..2 * at + 2]).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    })
}

const SUNSCREEN: &[u8] =
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
for the future, sunscreen would be it.";

/// RFC 8439, section 2.8.2.
#[test]
fn chacha20_poly1305_matches_its_rfc() {
    let key: [u8; 32] = std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
    let nonce = Nonce::from(hex::<12>("070000004041424344454647"));
    let associated = hex::<12>("50515253c0c1c2c3c4c5c6c7");
    let mut content = SUNSCREEN.to_vec();
    let tag = ChaCha20Poly1305::new_from_slice(&key)
        .unwrap()
        .encrypt_inout_detached(&nonce, &associated, content.as_mut_slice().into())
        .unwrap();
    assert_eq!(content[..16], hex::<16>("d31a8d34648e60db7b86afbc53ef7ec2"));
    assert_eq!(tag[..], hex::<16>("1ae10b594f09e26a7e902ecbd0600691"));
}

/// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
#[test]
fn xchacha20_poly1305_matches_its_draft() {
    let key: [u8; 32] = std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
    let nonce: [u8; 24] = std::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
    let associated = hex::<12>("50515253c0c1c2c3c4c5c6c7");
    let mut content = SUNSCREEN.to_vec();
    let tag = XChaCha20Poly1305::new_from_slice(&key)
        .unwrap()
        .encrypt_inout_detached(&XNonce::from(nonce), &associated, content.as_mut_slice().into())
        .unwrap();
    assert_eq!(content[..16], hex::<16>("bd6d179d3e83d43b9576579493c0e939"));
    assert_eq!(tag[..], hex::<16>("c0875924c1c7987947deafd8780acf49"));
}

/// RFC 5869, appendix A.1.
#[test]
fn hkdf_matches_its_rfc() {
    let mut key = [0; 42];
    Hkdf::<Sha256>::new(Some(&hex::<13>("000102030405060708090a0b0c")), &[0x0b; 22])
        .expand(&hex::<10>("f0f1f2f3f4f5f6f7f8f9"), &mut key)
        .unwrap();
    let want = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
                34007208d5b887185865";
    assert_eq!(key, hex::<42>(want));
}

/// draft-connolly-cfrg-xwing-kem-10, appendix C: keys, encapsulation and shared secret of each
/// vector; the long values by their SHA-256.
#[test]
fn x_wing_matches_its_draft() {
    let vectors = [
        (
            "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
            "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2\
             35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
            "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
            "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb",
            "17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33",
        ),
        (
            "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
            "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef\
             aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d",
            "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
            "c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916",
            "1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154",
        ),
        (
            "ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
            "22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619\
             f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b",
            "953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f",
            "6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95",
            "d3ca5578500344b5896cffc4fd740c9311946b82951df155e6fd86a7966b43c6",
        ),
    ];
    for (seed, randomness, shared, public, encapsulation) in vectors {
        let keys = DecapsulationKeyRejectNonContrib::from(hex::<32>(seed));
        let key = keys.encapsulation_key();
        assert_eq!(Sha256::digest(key.to_bytes())[..], hex::<32>(public));
        let (made, secret) = key.encapsulate_deterministic(&hex::<64>(randomness).into());
        assert_eq!(Sha256::digest(made)[..], hex::<32>(encapsulation));
        assert_eq!(secret[..], hex::<32>(shared));
        let made: Ciphertext = made;
        assert_eq!(keys.try_decapsulate(&made).unwrap()[..], hex::<32>(shared));
    }
}

#[test]
fn an_envelope_opens_for_its_recipient_and_context_only() {
    let (recipient, other) = (Recipient::generate().unwrap(), Recipient::generate().unwrap());
    let public = PublicKey::from_bytes(&recipient.public_key().to_bytes()).unwrap();
    let envelope = Envelope::seal(&public, b"backup", b"the key").unwrap();
    assert_eq!(envelope.as_bytes().len(), 1142 + 7);
    assert_eq!(&*envelope.open(&recipient, b"backup").unwrap(), b"the key");
    assert_eq!(envelope.open(&other, b"backup").unwrap_err(), OpenError);
    assert_eq!(envelope.open(&recipient, b"backuq").unwrap_err(), OpenError);
    let again = Envelope::seal(&public, b"backup", b"the key").unwrap();
    assert_ne!(envelope, again, "every envelope has a key of its own");
    let mut seed = <[u8; 32]>::try_from(&**recipient.seed()).unwrap();
    let restored = Recipient::take_from(&mut seed).unwrap();
    assert_eq!(seed, [0; 32], "the source was wiped");
    assert_eq!(&*again.open(&restored, b"backup").unwrap(), b"the key");
    assert_eq!(PublicKey::from_bytes(&[0; 7]).unwrap_err(), OpenError);
}

#[test]
fn any_changed_byte_of_an_envelope_gives_the_one_error() {
    let recipient = Recipient::generate().unwrap();
    let envelope = Envelope::seal(&recipient.public_key(), b"", b"plain").unwrap();
    let bytes = envelope.as_bytes();
    // All of header, tag and content; a sample of the encapsulation.
    let places = (0..6).chain((6..1126).step_by(97)).chain(1126..bytes.len());
    for place in places {
        let mut changed = bytes.to_vec();
        changed[place] ^= 0x10;
        let error = Envelope::from_bytes(changed).open(&recipient, b"").unwrap_err();
        assert_eq!(error, OpenError, "byte {place}");
    }
    for len in [0, 5, 6, 1125, 1126, 1141, bytes.len() - 1] {
        let short = Envelope::from_bytes(bytes[..len].to_vec());
        assert_eq!(short.open(&recipient, b"").unwrap_err(), OpenError, "{len} bytes");
    }
}

#[test]
fn sealed_values_come_back_and_tampering_is_found() {
    let key = Arc::new(SealingKey::generate().unwrap());
    let token = Sealed::new(&key, "token".to_owned()).unwrap();
    assert_eq!(token.with(|value| value.len()), Ok(5));
    assert!(!format!("{token:?}").contains("token\""));
    let mut plain = *b"password";
    let mut buffer = SealedBuffer::seal(&key, &mut plain).unwrap();
    assert_eq!((plain, buffer.len(), buffer.is_empty()), ([0; 8], 8, false));
    assert_eq!(&*buffer.open().unwrap(), b"password");
    buffer.flip(30);
    assert_eq!(buffer.open().unwrap_err(), OpenError);
    let bytes = key.seal(b"a", b"x").unwrap();
    assert_eq!(key.open(b"b", &bytes).unwrap_err(), OpenError, "another context");
    let wrong = Sealed::<[u8; 4]>::new(&key, *b"four").unwrap();
    assert_eq!(wrong.with(|value| *value), Ok(*b"four"));
}

#[test]
fn secrets_are_protected_and_compared() {
    let secret = Secret::take_from(&mut [1, 2, 3]).unwrap();
    let same = Secret::take_from(&mut [1, 2, 3]).unwrap();
    let other = Secret::take_from(&mut [1, 2, 4]).unwrap();
    assert!(secret == same && secret != other);
    assert_eq!(format!("{secret:?}"), "Secret { len: 3, .. }");
    let address = secret.as_ptr().addr();
    let flags = flags_of(address);
    assert!(flags.contains("dd") && flags.contains("wf"), "no dump, wiped on fork: {flags}");
    assert_eq!(flags.contains("lo"), secret.is_locked(), "{flags}");
    assert_ne!(Secret::random(32).unwrap(), Secret::random(32).unwrap());
}

/// Returns the kernel's flags of the mapping that contains `address`.
fn flags_of(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in maps.lines() {
        let range = line.split(' ').next().unwrap().split_once('-');
        let bounds = range.and_then(|(start, end)| {
            let parse = |text| usize::from_str_radix(text, 16).ok();
            Some(parse(start)?..parse(end)?)
        });
        if let Some(bounds) = bounds {
            inside = bounds.contains(&address);
        }
        if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
            return flags.to_owned();
        }
    }
    panic!("the secret is mapped");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_sealed_opens(
        plain in prop::collection::vec(any::<u8>(), 0..9000),
        context: Vec<u8>,
    ) {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal(&context, &plain).unwrap();
        prop_assert_eq!(&*key.open(&context, &sealed).unwrap(), &plain[..]);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
        let key = SealingKey::generate().unwrap();
        prop_assert!(key.open(b"", &bytes).is_err());
        let recipient = Recipient::generate().unwrap();
        prop_assert!(Envelope::from_bytes(bytes).open(&recipient, b"").is_err());
    }
}
