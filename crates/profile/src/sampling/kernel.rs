//! Names of the kernel's functions, from `/proc/kallsyms`.
//!
//! Where `kernel.kptr_restrict` hides the addresses, every one reads 0 and nothing has a name.

use std::fs;

/// The kernel's functions by address.
#[derive(Debug)]
pub(crate) struct KernelSymbols(Vec<(u64, String)>);

impl KernelSymbols {
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/kallsyms").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let functions = text.lines().filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let address = u64::from_str_radix(fields.next()?, 16).ok().filter(|at| *at != 0)?;
            let is_code = matches!(fields.next()?, "t" | "T" | "w" | "W");
            let name = fields.next()?;
            is_code.then(|| (address, name.to_owned()))
        });
        let mut functions: Vec<_> = functions.collect();
        functions.sort_by_key(|(address, _)| *address);
        Self(functions)
    }

    /// Returns the function that an address lies in.
    pub(crate) fn name(&self, address: u64) -> Option<&str> {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        self.0.get(after.checked_sub(1)?).map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_before_an_address_has_it() {
        let symbols = KernelSymbols::parse(
            "ffff20 T second\nffff10 t first\t[module]\nffff18 d data\n000000 T hidden\n",
        );
        assert_eq!(symbols.name(0xffff10), Some("first"));
        assert_eq!(symbols.name(0xffff1f), Some("first"));
        assert_eq!(symbols.name(0xfffff0), Some("second"));
        assert_eq!(symbols.name(0xf), None);
    }
}
