//! Whole numbers in as few bytes as they need: seven bits a byte, the lowest first, the top bit set
//! on all but the last (LEB128, as protobuf and our history file have it).

/// Appends a number, 1 to 10 bytes.
pub(crate) fn push(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number from the front; `None` when it is not whole.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    #[test]
    fn numbers_come_back() {
        for value in [0, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            super::push(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!((super::take(&mut rest), rest), (Some(value), &[][..]));
            assert_eq!(super::take(&mut &bytes[..bytes.len() - 1]), None);
        }
    }
}
