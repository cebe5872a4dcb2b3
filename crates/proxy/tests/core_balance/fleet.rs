//! A fleet of backends that a test can set as it likes, and numbers that are the same in each run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tidemill_proxy::core::balance::{Fleet, Load, Maglev, WEIGHT_ONE, backend_id};

/// Backends at 10.0.0.0:6379, 10.0.0.1:6379 and so on.
#[derive(Debug, Clone)]
pub(crate) struct TestFleet {
    pub(crate) ids: Vec<u64>,
    pub(crate) loads: Vec<Load>,
}

impl TestFleet {
    /// Returns backends of these configured weights, without connections, all measured alike.
    pub(crate) fn of(weights: &[u32]) -> Self {
        let loads = weights
            .iter()
            .map(|weight| Load { weight: weight * WEIGHT_ONE, connections: 0, ewma_us: 500 })
            .collect();
        Self { ids: (0..weights.len() as u32).map(id).collect(), loads }
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.ids.remove(index);
        self.loads.remove(index);
    }

    pub(crate) fn table(&self) -> Maglev {
        let backends: Vec<(u64, u32)> =
            self.ids.iter().copied().zip(self.loads.iter().map(|load| load.weight)).collect();
        Maglev::new(&backends)
    }
}

impl Fleet for TestFleet {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn id(&self, index: usize) -> u64 {
        self.ids[index]
    }

    fn load(&self, index: usize) -> Load {
        self.loads[index]
    }
}

fn id(number: u32) -> u64 {
    backend_id(SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 | number).into(), 6379))
}

/// Returns the `number`-th client, out of a few neighbouring networks.
pub(crate) fn client(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xc0a8_0000_u32.wrapping_add(number)).into()
}

/// Marsaglia's xorshift64.
pub(crate) struct Xorshift(u64);

impl Xorshift {
    pub(crate) fn seeded() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
