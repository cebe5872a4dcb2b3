//! Memory on a named NUMA node.
use std::io;

use crate::region::Region;

/// Binds a range that nobody has touched to `node`.
pub(crate) fn bind(region: &Region, node: u32) -> io::Result<()> {
    let _ = (region, node);
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
