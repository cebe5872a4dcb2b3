//! Maps with integer keys, hashed as if an enemy chose them.

use super::View;
use super::facts::Local;
use crate::find::Finding;

/// A local map or set with integer keys and the default hasher.
pub(super) fn integer_hash(view: &View<'_>) -> Vec<Finding> {
    view.facts.locals.iter().filter_map(|local| integer_keys(view, local)).collect()
}

fn integer_keys(view: &View<'_>, local: &Local) -> Option<Finding> {
    let value = local.value.as_ref()?;
    let args = local.type_text.split_once('<')?.1;
    let key = args.split([',', '>']).next()?;
    let parameters = args.matches(',').count() + 1;
    let wanted = match local.type_head.as_str() {
        "HashMap" => 2,
        "HashSet" => 1,
        _ => return None,
    };
    if !INTEGERS.contains(&key) || parameters != wanted {
        return None;
    }
    let message = format!("`{}` hashes integers with SipHash", local.name);
    let finding = view.finding("integer-hash", &local.statement, message);
    let Some(declared) = &local.declared_type else { return Some(finding) };
    let start = match view.text(value).split_once("::")? {
        (ty, "new()") => format!("{ty}::default()"),
        (ty, call) => {
            let capacity = call.strip_prefix("with_capacity(")?.strip_suffix(')')?;
            format!("{ty}::with_capacity_and_hasher({capacity}, Default::default())")
        }
    };
    let ty = view.text(declared).strip_suffix('>')?;
    let hasher = "std::hash::BuildHasherDefault<IntegerHasher>";
    let end = view.text.len();
    let edits = vec![
        view.replace(declared, format!("{ty}, {hasher}>")),
        view.replace(value, start),
        view.replace(&(end..end), HASHER),
    ];
    Some(finding.fixed_by("multiply instead of SipHash (keys must not come from an enemy)", edits))
}

const INTEGERS: [&str; 10] =
    ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize"];

/// Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4), its halves
/// folded together because hashbrown reads both ends of a hash.
const HASHER: &str = "
/// Hashes integers by multiplication; fit for keys that nobody chooses to collide.
#[derive(Default)]
struct IntegerHasher(u64);

impl std::hash::Hasher for IntegerHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, key: u32) {
        self.write_u64(u64::from(key));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, key: usize) {
        self.write_u64(key as u64);
    }

    fn write_i32(&mut self, key: i32) {
        self.write_u64(key as u64);
    }

    fn write_i64(&mut self, key: i64) {
        self.write_u64(key as u64);
    }
}
";

#[cfg(test)]
mod tests {
    use crate::find::rules::{finds, fixed};

    #[test]
    fn a_map_of_integers_gets_a_multiplying_hasher() {
        let text = "fn f() { let mut m: HashMap<u64, Vec<u8>> = HashMap::new(); }";
        let after = fixed(text, "integer-hash").unwrap();
        assert!(after.contains("HashMap<u64, Vec<u8>, std::hash::BuildHasher"), "{after}");
        assert!(after.contains("= HashMap::default();"), "{after}");
        assert!(after.contains("struct IntegerHasher"), "{after}");
    }

    #[test]
    fn other_keys_are_left_alone() {
        let text = "fn f() { let m: HashMap<String, u64> = HashMap::new(); }";
        assert!(!finds(text, "integer-hash"));
    }
}
