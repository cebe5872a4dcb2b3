//! Stacks, counted: a tree from the roots outwards, so that equal beginnings are stored once.
//!
//! ```text
//! places   each address once                    at most PLACES_MAX
//! nodes    (node before, place), each path once at most NODES_MAX, about 40 bytes each
//! counts   (thread, node) -> samples            at most COUNTS_MAX, then per thread only
//! ```
//!
//! A sample whose stack would need a node beyond the limit is counted at the deepest node that it
//! shares with the tree, and as shortened.

use std::collections::HashMap;

use super::image::ImageId;

/// Code in whose terms an address is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// An address of the file, as its symbols state it.
    Image(ImageId),
    Kernel,
    /// Nothing known was mapped there.
    Unknown,
}

/// An address, good for looking up its symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) code: Code,
    pub(crate) address: u64,
}

/// Counted stacks.
#[derive(Debug, Default)]
pub(crate) struct Stacks {
    pub(crate) places: Vec<Place>,
    place_ids: HashMap<Place, u32>,
    pub(crate) nodes: Vec<Node>,
    node_ids: HashMap<Node, u32>,
    pub(crate) counts: HashMap<(u32, u32), u64>,
    /// Samples that were counted further out than they were, for want of room.
    pub(crate) shortened: u64,
}

/// A place reached from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// The caller; [`ROOT`] for the first function of a thread.
    pub(crate) before: u32,
    pub(crate) place: u32,
}

impl Stacks {
    /// Counts a stack, root first; returns its node.
    pub(crate) fn add(&mut self, thread: u32, places: &[Place]) -> u32 {
        let mut node = ROOT;
        for place in places {
            match self.step(node, *place) {
                Some(next) => node = next,
                None => {
                    self.shortened += 1;
                    break;
                }
            }
        }
        if self.counts.len() >= COUNTS_MAX && !self.counts.contains_key(&(thread, node)) {
            self.shortened += 1;
            node = ROOT;
        }
        *self.counts.entry((thread, node)).or_default() += 1;
        node
    }

    fn step(&mut self, before: u32, place: Place) -> Option<u32> {
        let place = match self.place_ids.get(&place) {
            Some(id) => *id,
            None if self.places.len() >= PLACES_MAX => return None,
            None => {
                let id = u32::try_from(self.places.len()).expect("below the limit");
                self.places.push(place);
                self.place_ids.insert(place, id);
                id
            }
        };
        let node = Node { before, place };
        if let Some(id) = self.node_ids.get(&node) {
            return Some(*id);
        }
        if self.nodes.len() >= NODES_MAX {
            return None;
        }
        let id = u32::try_from(self.nodes.len()).expect("below the limit");
        self.nodes.push(node);
        self.node_ids.insert(node, id);
        Some(id)
    }
}

/// Before the first function.
pub(crate) const ROOT: u32 = u32::MAX;
const PLACES_MAX: usize = 1 << 18;
const NODES_MAX: usize = 1 << 20;
const COUNTS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(addresses: &[u64]) -> Vec<Place> {
        addresses.iter().map(|address| Place { code: Code::Unknown, address: *address }).collect()
    }

    #[test]
    fn equal_beginnings_are_one_path() {
        let mut stacks = Stacks::default();
        let deep = stacks.add(0, &stack(&[1, 2, 3]));
        let shallow = stacks.add(0, &stack(&[1, 2]));
        assert_eq!(stacks.add(0, &stack(&[1, 2, 3])), deep);
        assert_ne!(stacks.add(0, &stack(&[2, 1])), shallow);
        assert_eq!((stacks.nodes.len(), stacks.places.len()), (5, 3));
        assert_eq!(stacks.counts[&(0, deep)], 2);
        assert_eq!(stacks.nodes[deep as usize].before, shallow);
    }

    #[test]
    fn a_full_tree_counts_further_out_and_says_so() {
        let mut stacks = Stacks::default();
        let wide: Vec<u64> = (0..PLACES_MAX as u64).collect();
        for chunk in wide.chunks(1000) {
            stacks.add(0, &stack(chunk));
        }
        assert_eq!(stacks.shortened, 0);
        let known = stacks.add(0, &stack(&[0, 1]));
        assert_eq!(stacks.add(0, &stack(&[0, 1, u64::MAX])), known);
        assert_eq!(stacks.shortened, 1);
    }
}
