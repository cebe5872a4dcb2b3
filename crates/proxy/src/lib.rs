//! L4 load balancer: a pure core that decides and a shell of workers that moves bytes.

pub mod core;
pub mod status;
