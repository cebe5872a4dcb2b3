//! Balancers, seen from outside: who is chosen how often, and who never.

mod disruption;
mod eligibility;
mod fleet;
mod prediction;
mod spread;
mod turns;
