//! Hash seeds that are the same in each run, so that instruction counts are too.
//!
//! Rust's `RandomState` and most hashers draw their keys through `getrandom(2)` of the C library.
//! A preloaded library with a `getrandom` of its own pins them; it is built once for each session
//! with the C compiler that every Rust toolchain for Linux links with. Programs that are linked
//! statically do not load it, and their counts may then differ from run to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// Builds the library in `folder` and returns where it lies.
///
/// # Errors
///
/// There is no `cc`, or it fails.
pub(super) fn build(folder: &Path) -> Result<PathBuf, Error> {
    let library = folder.join("seeds.so");
    if library.exists() {
        return Ok(library);
    }
    let source = folder.join("seeds.c");
    std::fs::write(&source, SOURCE).map_err(|error| Error::file("write", &source, error))?;
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output()
        .map_err(|error| Error::machine("cannot run cc to pin hash seeds").because(error))?;
    if output.status.success() {
        Ok(library)
    } else {
        let words = String::from_utf8_lossy(&output.stderr);
        Err(Error::machine(format!("cc cannot build the library that pins seeds: {words}")))
    }
}

/// SplitMix64 from a fixed state: different values, the same in each run.
const SOURCE: &str = "\
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

static uint64_t state = 1;

static uint64_t next(void) {
    uint64_t z = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    (void)flags;
    unsigned char *bytes = buffer;
    for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)next();
    return (ssize_t)length;
}

int getentropy(void *buffer, size_t length) {
    getrandom(buffer, length, 0);
    return 0;
}
";
