//! Records as they come out of `trace_pipe`, which takes them out of the kernel's buffer.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Record;
use super::instance::{Instance, refused};
use crate::Error;

/// Reads records; as an iterator it ends when nothing came for [`Stream::patience`].
///
/// An instance cannot be removed while it is read, so the stream goes before its tracer.
#[derive(Debug)]
pub struct Stream {
    file: File,
    buffer: Vec<u8>,
    records: VecDeque<Record>,
    patience: Duration,
    unread: u64,
}

impl Stream {
    pub(super) fn open(instance: &Instance) -> Result<Self, Error> {
        let path = instance.path("trace_pipe");
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .map_err(|error| refused(&path, error))?;
        let (records, patience) = (VecDeque::new(), Duration::from_millis(200));
        Ok(Self { file, buffer: Vec::new(), records, patience, unread: 0 })
    }

    /// Sets how long the iterator waits for the next record before it ends; 200 ms by default.
    pub fn patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Returns how many lines were no record that this crate knows.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Waits for the next record, at most `within`; `None` when none came.
    ///
    /// # Errors
    ///
    /// When the pipe cannot be read.
    pub fn next_within(&mut self, within: Duration) -> Result<Option<Record>, Error> {
        let failed = |error: io::Error| Error::io("the trace cannot be read", error);
        if self.records.is_empty() && !self.fill().map_err(failed)? {
            let seconds = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
            let timeout = Timespec { tv_sec: seconds, tv_nsec: within.subsec_nanos().into() };
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
            self.fill().map_err(failed)?;
        }
        Ok(self.records.pop_front())
    }

    /// Reads what is there, at most [`READ_BYTES`]; returns true when there is a record now.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = vec![0; READ_BYTES];
        match self.file.read(&mut chunk) {
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        let Some(end) = self.buffer.iter().rposition(|byte| *byte == b'\n') else {
            // No line of the kernel is longer than a page; what is, is not of the kernel.
            if self.buffer.len() > LINE_BYTES_MAX {
                self.buffer.clear();
                self.unread += 1;
            }
            return Ok(!self.records.is_empty());
        };
        let lines: Vec<u8> = self.buffer.drain(..=end).collect();
        for line in String::from_utf8_lossy(&lines).lines().filter(|line| !line.is_empty()) {
            match Record::parse(line) {
                Some(record) => self.records.push_back(record),
                None => self.unread += 1,
            }
        }
        Ok(!self.records.is_empty())
    }
}

impl Iterator for Stream {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_within(self.patience).transpose()
    }
}

const READ_BYTES: usize = 64 << 10;
const LINE_BYTES_MAX: usize = 64 << 10;
