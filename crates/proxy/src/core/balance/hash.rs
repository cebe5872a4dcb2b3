//! Fixed hashes of addresses: the same on every node, in every version, without a seed.
//!
//! That clients can compute them is known: choosing one's backend takes the addresses for it.

use std::net::{IpAddr, SocketAddr};

use crate::core::random::mix;

/// Returns the number that stands for a backend in hashing policies.
///
/// It depends on the address, port and IPv6 scope alone, not on its place in a list, so that nodes
/// with the same backends send the same client to the same one. An IPv4 address and its form
/// inside IPv6 (`::ffff:192.0.2.1`) are the same.
pub fn backend_id(address: SocketAddr) -> u64 {
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    };
    let place = (u64::from(scope) << 16) | u64::from(address.port());
    mix(client_key(address.ip()) ^ mix(place))
}

/// Hashes the whole address of a client, IPv6 included: clients that share a /64 are spread, and
/// one that changes its address inside of it may meet another backend.
pub(super) fn client_key(client: IpAddr) -> u64 {
    let bits = match client.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        // No IPv6 address in use lies in ::/32, so these never meet the IPv4 ones.
        IpAddr::V6(address) => address.to_bits(),
    };
    mix(mix((bits >> 64) as u64 ^ SALT) ^ bits as u64)
}

/// Hashes a client together with a backend.
pub(super) fn pair(key: u64, id: u64) -> u64 {
    mix(key ^ mix(id))
}

/// Keeps the hash of an IPv4 address from being that of a bare number.
const SALT: u64 = 0x7469_6465_6d69_6c6c; // "tidemill"
