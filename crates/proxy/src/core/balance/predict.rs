//! What a balancer will do, told without doing it: the numbers behind `tidemill explain`.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::{Fleet, Maglev, by_client, hash, least_connections, p2c};
use crate::core::settings::Policy;

/// Where the next connection from a client goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Prediction {
    /// To this backend, whatever the worker and the random numbers.
    Certain(usize),
    /// To one of these, at least two, by turn or by draw.
    OneOf(Vec<usize>),
    /// Nowhere: no backend may be chosen.
    Nowhere,
}

/// Says where [`Balancer::pick`](super::Balancer::pick) would send the next connection from
/// `client`, as the fleet stands now.
pub fn predict(
    policy: Policy,
    fleet: &(impl Fleet + ?Sized),
    table: Option<&Maglev>,
    client: IpAddr,
) -> Prediction {
    let mut possible: Vec<usize> = match policy {
        Policy::Maglev | Policy::SourceHash => {
            by_client(policy, fleet, table, hash::client_key(client)).into_iter().collect()
        }
        Policy::LeastConnections => least_loaded(fleet),
        Policy::P2cEwma => {
            let shares = shares(policy, fleet, table);
            (0..shares.len()).filter(|index| shares[*index] > 0.0).collect()
        }
        Policy::RoundRobin | Policy::Random => eligible(fleet).collect(),
    };
    match possible.len() {
        0 => Prediction::Nowhere,
        1 => Prediction::Certain(possible.remove(0)),
        _ => Prediction::OneOf(possible),
    }
}

/// Returns the share of new connections that each backend can expect, 0 to 1, over all clients;
/// the sum is 1, or 0 when no backend may be chosen.
///
/// For least-connections it is the share in the long run, of connections that last alike; for
/// p2c-ewma it is that of the next connection, as latencies and connections stand now.
pub fn shares(policy: Policy, fleet: &(impl Fleet + ?Sized), table: Option<&Maglev>) -> Vec<f64> {
    let by_weight = shares_by_weight(fleet);
    match (policy, table) {
        (Policy::P2cEwma, _) => shares_p2c(fleet, &by_weight),
        (Policy::Maglev, Some(table)) => shares_maglev(fleet, table, by_weight),
        _ => by_weight,
    }
}

fn eligible(fleet: &(impl Fleet + ?Sized)) -> impl Iterator<Item = usize> {
    (0..fleet.len()).filter(|index| fleet.weight(*index) > 0)
}

fn least_loaded(fleet: &(impl Fleet + ?Sized)) -> Vec<usize> {
    let compare = |a: &usize, b: &usize| least_connections::compare(fleet.load(*a), fleet.load(*b));
    let Some(least) = eligible(fleet).min_by(compare) else {
        return Vec::new();
    };
    eligible(fleet).filter(|index| compare(index, &least) == Ordering::Equal).collect()
}

fn shares_by_weight(fleet: &(impl Fleet + ?Sized)) -> Vec<f64> {
    let weights: Vec<f64> = (0..fleet.len()).map(|index| f64::from(fleet.weight(index))).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| if weight > 0.0 { weight / total } else { 0.0 }).collect()
}

/// Sums up all pairs that could be drawn: `first[i]` is the chance to be drawn first, and
/// `first[i] * first[j] / (1 - first[i])` that i is drawn first and j second.
fn shares_p2c(fleet: &(impl Fleet + ?Sized), first: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> =
        eligible(fleet).map(|index| (p2c::score(fleet.load(index)), index)).collect();
    if order.len() < 2 {
        return first.to_vec();
    }
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut shares = vec![0.0; first.len()];
    // Over all backends with a worse score than the group at hand: the chance to be drawn first,
    // and the same over the chance that another one is.
    let (mut worse, mut worse_then_other) = (0.0, 0.0);
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        let equal: f64 = group.iter().map(|(_, index)| first[*index]).sum();
        for (_, index) in group {
            let drawn = first[*index];
            let drawn_first = drawn / (1.0 - drawn) * (worse + equal - drawn);
            let drawn_second = drawn * worse_then_other;
            shares[*index] = drawn_first + drawn_second;
        }
        worse += equal;
        worse_then_other +=
            group.iter().map(|(_, index)| first[*index] / (1.0 - first[*index])).sum::<f64>();
    }
    shares
}

/// Adds what source-hash makes of the clients that the holders of their slots do not take.
fn shares_maglev(
    fleet: &(impl Fleet + ?Sized),
    table: &Maglev,
    mut by_weight: Vec<f64>,
) -> Vec<f64> {
    let size = table.size().max(1) as f64;
    let taken: Vec<f64> = table
        .slots_held()
        .into_iter()
        .enumerate()
        .map(|(index, held)| held as f64 / size * table.part_taken(fleet, index))
        .collect();
    let left = 1.0 - taken.iter().sum::<f64>();
    for (index, share) in by_weight.iter_mut().enumerate() {
        *share = *share * left + taken.get(index).copied().unwrap_or(0.0);
    }
    by_weight
}
