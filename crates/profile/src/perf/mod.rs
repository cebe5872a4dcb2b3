//! `perf_event_open` as the kernel defines it: attributes, descriptors, the mapped ring, records.
//!
//! The structures are not in libc, and a binding would bring more code than these files. The
//! layout is that of `linux/perf_event.h`, version 5 of the attributes (112 bytes), which every
//! kernel since 4.1 takes.
//!
//! Never: decides what is measured; that is the business of `counters` and `sampling`.

pub(crate) mod attributes;
pub(crate) mod descriptor;
pub(crate) mod record;
pub(crate) mod registers;
pub(crate) mod ring;
