//! The attributes of an event, laid out for the kernel.

/// `struct perf_event_attr`, up to `PERF_ATTR_SIZE_VER5`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) kind: u32,
    size: u32,
    pub(crate) config: u64,
    /// Hertz when [`flag::FREQUENCY`] is set, else a period.
    pub(crate) frequency: u64,
    pub(crate) sample_type: u64,
    pub(crate) read_format: u64,
    pub(crate) flags: u64,
    /// Bytes in the ring that wake its reader when [`flag::WATERMARK`] is set.
    pub(crate) wakeup_bytes: u32,
    breakpoint_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    /// Bits of the registers to copy, numbered as in `asm/perf_regs.h`.
    pub(crate) user_registers: u64,
    /// Bytes of the user's stack to copy; a multiple of 8.
    pub(crate) user_stack_bytes: u32,
    pub(crate) clock_id: i32,
    interrupt_registers: u64,
    aux_watermark: u32,
    stack_frames_max: u16,
    reserved: u16,
}

impl Attributes {
    pub(crate) fn new(kind: u32, config: u64) -> Self {
        Self {
            kind,
            size: u32::try_from(size_of::<Self>()).expect("112 bytes"),
            config,
            frequency: 0,
            sample_type: 0,
            read_format: 0,
            flags: flag::DISABLED,
            wakeup_bytes: 0,
            breakpoint_type: 0,
            config1: 0,
            config2: 0,
            branch_sample_type: 0,
            user_registers: 0,
            user_stack_bytes: 0,
            clock_id: 0,
            interrupt_registers: 0,
            aux_watermark: 0,
            stack_frames_max: 0,
            reserved: 0,
        }
    }
}

/// Kinds of events.
pub(crate) mod kind {
    pub(crate) const HARDWARE: u32 = 0;
    pub(crate) const SOFTWARE: u32 = 1;
    pub(crate) const CACHE: u32 = 3;
}

/// Bits of `flags`, in the order of the header's bit field.
pub(crate) mod flag {
    pub(crate) const DISABLED: u64 = 1;
    pub(crate) const INHERIT: u64 = 1 << 1;
    pub(crate) const EXCLUDE_KERNEL: u64 = 1 << 5;
    pub(crate) const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
    pub(crate) const MMAP: u64 = 1 << 8;
    pub(crate) const COMM: u64 = 1 << 9;
    pub(crate) const FREQUENCY: u64 = 1 << 10;
    pub(crate) const ENABLE_ON_EXEC: u64 = 1 << 12;
    pub(crate) const TASK: u64 = 1 << 13;
    pub(crate) const WATERMARK: u64 = 1 << 14;
    pub(crate) const SAMPLE_ID_ALL: u64 = 1 << 18;
    pub(crate) const EXCLUDE_CALLCHAIN_USER: u64 = 1 << 22;
    pub(crate) const MMAP2: u64 = 1 << 23;
    pub(crate) const COMM_EXEC: u64 = 1 << 24;
    pub(crate) const USE_CLOCK_ID: u64 = 1 << 25;
    /// Inherited by threads only, not by processes; since Linux 5.13.
    pub(crate) const INHERIT_THREAD: u64 = 1 << 35;
}

/// What a sample carries, in the order of its fields.
pub(crate) mod sample {
    pub(crate) const IP: u64 = 1;
    pub(crate) const TID: u64 = 1 << 1;
    pub(crate) const TIME: u64 = 1 << 2;
    pub(crate) const CALLCHAIN: u64 = 1 << 5;
    pub(crate) const USER_REGISTERS: u64 = 1 << 12;
    pub(crate) const USER_STACK: u64 = 1 << 13;
}

/// What a reading carries.
pub(crate) mod format {
    pub(crate) const TIME_ENABLED: u64 = 1;
    pub(crate) const TIME_RUNNING: u64 = 1 << 1;
    pub(crate) const GROUP: u64 = 1 << 3;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        assert_eq!(size_of::<Attributes>(), 112);
        assert_eq!(std::mem::offset_of!(Attributes, flags), 40);
        assert_eq!(std::mem::offset_of!(Attributes, user_registers), 80);
        assert_eq!(std::mem::offset_of!(Attributes, clock_id), 92);
    }
}
