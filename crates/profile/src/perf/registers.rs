//! The registers that an unwinder starts from, on each processor that this crate knows.
//!
//! Bits are numbered as in the kernel's `asm/perf_regs.h`; a sample carries the values in the
//! order of the bits.

use framehop::UnwindRegsNative;

/// Instruction pointer, stack pointer and base pointer.
#[cfg(target_arch = "x86_64")]
mod native {
    pub(crate) const COUNT: usize = 3;
    /// BP is bit 6, SP 7, IP 8.
    pub(crate) const MASK: u64 = 0b1_1100_0000;

    pub(crate) fn pointers([bp, sp, ip]: [u64; COUNT]) -> (u64, u64, super::UnwindRegsNative) {
        (ip, sp, super::UnwindRegsNative::new(ip, sp, bp))
    }
}

/// Frame pointer, link register, stack pointer and program counter.
#[cfg(target_arch = "aarch64")]
mod native {
    pub(crate) const COUNT: usize = 4;
    /// X29 is bit 29, LR 30, SP 31, PC 32.
    pub(crate) const MASK: u64 = 0b1111 << 29;

    pub(crate) fn pointers([fp, lr, sp, pc]: [u64; COUNT]) -> (u64, u64, super::UnwindRegsNative) {
        (pc, sp, super::UnwindRegsNative::new(lr, sp, fp))
    }
}

pub(crate) use native::{COUNT, MASK};

/// Returns the address that was executed, the stack pointer, and what an unwinder starts from.
pub(crate) fn pointers(values: [u64; COUNT]) -> (u64, u64, UnwindRegsNative) {
    native::pointers(values)
}
