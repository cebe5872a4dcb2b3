//! Records of the ring, read from their bytes.
//!
//! Every field is taken through a cursor that ends instead of reading past the record, so a record
//! that is shorter than it should be is left out and not misread.

use super::registers;

/// What the kernel tells.
#[derive(Debug)]
pub(crate) enum Record {
    Sample(Sample),
    Mapping(Mapping),
    /// A thread has another name; `is_exec` when it became another program.
    Name {
        pid: u32,
        tid: u32,
        is_exec: bool,
        name: String,
    },
    Fork {
        pid: u32,
        parent_pid: u32,
        tid: u32,
        parent_tid: u32,
    },
    Exit {
        pid: u32,
        tid: u32,
    },
    /// This many records found no place in the ring.
    Lost(u64),
    /// The kernel took fewer samples for a while.
    Throttled,
}

/// A thread, interrupted.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) time_ns: u64,
    /// Where it was, in the kernel or in the program.
    pub(crate) ip: u64,
    /// Addresses in the kernel, innermost first.
    pub(crate) kernel: Vec<u64>,
    /// The program's registers in the order of their bits; `None` for a thread without a program.
    pub(crate) registers: Option<[u64; registers::COUNT]>,
    /// The stack from the stack pointer upwards.
    pub(crate) stack: Box<[u8]>,
    /// The copy ended because it was full, and not at the end of the stack.
    pub(crate) is_stack_cut: bool,
}

/// A file, mapped to be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) pid: u32,
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    /// Offset in the file.
    pub(crate) offset: u64,
    /// 0 when it is not known.
    pub(crate) inode: u64,
    pub(crate) path: String,
}

impl Record {
    /// Reads a record and the time it was written; `None` for kinds that are not asked for.
    pub(crate) fn read(bytes: &[u8]) -> Option<(u64, Self)> {
        let mut cursor = Cursor(bytes);
        let kind = cursor.u32()?;
        let misc = cursor.u16()?;
        cursor.u16()?;
        if kind == SAMPLE {
            let sample = Sample::read(&mut cursor)?;
            return Some((sample.time_ns, Self::Sample(sample)));
        }
        // Every other record ends with the thread and the time.
        let trailer = bytes.len().checked_sub(8)?;
        let time_ns = Cursor(&bytes[trailer..]).u64()?;
        let record = match kind {
            MMAP2 => Self::Mapping(Mapping::read(&mut cursor)?),
            COMM => Self::Name {
                pid: cursor.u32()?,
                tid: cursor.u32()?,
                is_exec: misc & MISC_COMM_EXEC != 0,
                name: cursor.text()?,
            },
            FORK | EXIT => {
                let [pid, parent_pid, tid, parent_tid] =
                    [cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?];
                if kind == EXIT {
                    Self::Exit { pid, tid }
                } else {
                    Self::Fork { pid, parent_pid, tid, parent_tid }
                }
            }
            LOST => {
                cursor.u64()?;
                Self::Lost(cursor.u64()?)
            }
            LOST_SAMPLES => Self::Lost(cursor.u64()?),
            THROTTLE => Self::Throttled,
            _ => return None,
        };
        Some((time_ns, record))
    }
}

impl Sample {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let ip = cursor.u64()?;
        let [pid, tid] = [cursor.u32()?, cursor.u32()?];
        let time_ns = cursor.u64()?;
        let chain = cursor.u64()?;
        let mut kernel = Vec::new();
        for _ in 0..chain {
            let address = cursor.u64()?;
            // Markers between parts of the chain are the last 4095 numbers.
            if address < u64::MAX - 4094 {
                kernel.push(address);
            }
        }
        let registers = match cursor.u64()? {
            0 => None,
            _ => {
                let mut values = [0; registers::COUNT];
                for value in &mut values {
                    *value = cursor.u64()?;
                }
                Some(values)
            }
        };
        let copied = usize::try_from(cursor.u64()?).ok()?;
        let mut stack = cursor.take(copied)?;
        if copied > 0 {
            let used = usize::try_from(cursor.u64()?).ok()?;
            stack = &stack[..used.min(copied)];
        }
        let is_stack_cut = copied > 0 && stack.len() == copied;
        Some(Self { pid, tid, time_ns, ip, kernel, registers, stack: stack.into(), is_stack_cut })
    }
}

impl Mapping {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let pid = cursor.u32()?;
        cursor.u32()?;
        let [start, bytes, offset] = [cursor.u64()?, cursor.u64()?, cursor.u64()?];
        cursor.take(8)?;
        let inode = cursor.u64()?;
        cursor.take(16)?;
        Some(Self { pid, start, bytes, offset, inode, path: cursor.text()? })
    }
}

/// What is left of a record.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_ne_bytes)
    }

    /// Text up to the first zero.
    fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(self.take(end)?).into_owned())
    }
}

const LOST: u32 = 2;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const THROTTLE: u32 = 5;
const FORK: u32 = 7;
const SAMPLE: u32 = 9;
const MMAP2: u32 = 10;
const LOST_SAMPLES: u32 = 13;
const MISC_COMM_EXEC: u16 = 1 << 13;
