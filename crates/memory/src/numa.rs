//! Memory on a named NUMA node.
//!
//! The topology comes from sysfs; a machine or kernel without NUMA is one node that has
//! everything. Memory is bound with mbind(2) before anything touches it, so that pages come from
//! the node whoever writes first. The caller's node follows from the processor it runs on
//! (getcpu(2), in the vDSO).
//!
//! On one node nothing is bound and nothing is asked: [`NumaPool`] is then its only block pool.

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::block::{Block, BlockPool, BlockPoolBuilder, BuildError, TakeError};
use crate::region::Region;

/// The machine's nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    nodes: Vec<Node>,
    /// Index into `nodes` by processor.
    node_by_cpu: Vec<usize>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// The kernel's number for it.
    pub id: u32,
    /// Its processors; none for pure memory.
    pub cpus: Vec<usize>,
    /// Its memory; zero for pure processors.
    pub memory_bytes: u64,
    /// The kernel's distance to each node, in the order of [`Topology::nodes`]; 10 is local.
    pub distances: Vec<u32>,
}

impl Topology {
    /// Reads the topology of this machine.
    pub fn read() -> Self {
        Self::read_from(Path::new("/sys/devices/system/node"))
    }

    /// Reads a topology from a directory laid out like sysfs's; one node when it is not there.
    pub fn read_from(directory: &Path) -> Self {
        let read = |name: String| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        let ids = parse_list(&read("online".to_owned()));
        let nodes: Vec<_> = ids
            .map(|id| Node {
                id: u32::try_from(id).unwrap_or(u32::MAX),
                cpus: parse_list(&read(format!("node{id}/cpulist"))).collect(),
                memory_bytes: parse_memory(&read(format!("node{id}/meminfo"))),
                distances: read(format!("node{id}/distance"))
                    .split_whitespace()
                    .filter_map(|distance| distance.parse().ok())
                    .collect(),
            })
            .collect();
        if nodes.len() < 2 { Self::single() } else { Self::of(nodes) }
    }

    fn single() -> Self {
        let node = Node { id: 0, cpus: Vec::new(), memory_bytes: 0, distances: vec![10] };
        Self { nodes: vec![node], node_by_cpu: Vec::new() }
    }

    fn of(nodes: Vec<Node>) -> Self {
        let cpus = nodes.iter().flat_map(|node| &node.cpus).max().map_or(0, |&cpu| cpu + 1);
        let mut node_by_cpu = vec![0; cpus];
        for (index, node) in nodes.iter().enumerate() {
            for &cpu in &node.cpus {
                node_by_cpu[cpu] = index;
            }
        }
        Self { nodes, node_by_cpu }
    }

    /// Returns the nodes, lowest number first; at least one.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the index in [`nodes`](Self::nodes) of the node the caller runs on. It may have
    /// moved by the time the answer is used.
    #[inline]
    pub fn local(&self) -> usize {
        if self.nodes.len() == 1 {
            return 0;
        }
        self.node_by_cpu.get(current_cpu()).copied().unwrap_or(0)
    }

    /// Returns indices of nodes with memory, nearest to `node` first.
    fn by_distance(&self, node: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.nodes.len())
            .filter(|&other| self.nodes.len() == 1 || self.nodes[other].memory_bytes > 0)
            .collect();
        let distances = &self.nodes[node].distances;
        order.sort_by_key(|&other| distances.get(other).copied().unwrap_or(u32::MAX));
        order
    }
}

/// A block pool on each node.
///
/// # Examples
///
/// ```
/// use tidemill_memory::{BlockPool, NumaPool};
///
/// let pool = NumaPool::new(BlockPool::builder(4096))?;
/// let near = pool.allocate_local()?;
/// let first = pool.topology().nodes()[0].id;
/// let there = pool.allocate_on_node(first)?;
/// # drop((near, there));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct NumaPool {
    topology: std::sync::Arc<Topology>,
    /// By index of the topology; none for a node without memory.
    pools: std::sync::Arc<[Option<BlockPool>]>,
    /// For each node, the nodes to try in turn.
    order: std::sync::Arc<[Vec<usize>]>,
}

impl NumaPool {
    /// Makes a pool as `builder` says on each node of this machine that has memory.
    ///
    /// # Errors
    ///
    /// As [`BlockPoolBuilder::build`]; [`BuildError::Node`] when memory cannot be bound.
    pub fn new(builder: BlockPoolBuilder) -> Result<Self, BuildError> {
        Self::with_topology(builder, Topology::read())
    }

    fn with_topology(builder: BlockPoolBuilder, topology: Topology) -> Result<Self, BuildError> {
        let is_single = topology.nodes.len() == 1;
        let pool = |node: &Node| {
            if is_single {
                return builder.clone().build().map(Some);
            }
            let has_memory = node.memory_bytes > 0;
            has_memory.then(|| builder.clone().node(node.id).build()).transpose()
        };
        let pools = topology.nodes.iter().map(pool).collect::<Result<_, _>>()?;
        let order = (0..topology.nodes.len()).map(|node| topology.by_distance(node)).collect();
        Ok(Self { topology: topology.into(), pools, order })
    }

    /// Takes a block from the node the caller runs on, else from the nearest one that has any.
    ///
    /// # Errors
    ///
    /// As [`BlockPool::take`], of the last node tried.
    #[inline]
    #[track_caller]
    pub fn allocate_local(&self) -> Result<Block, TakeError> {
        let mut result = Err(TakeError::Exhausted);
        for &node in &self.order[self.topology.local()] {
            let Some(pool) = &self.pools[node] else { continue };
            result = pool.take();
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Takes a block from node `id` and no other.
    ///
    /// # Errors
    ///
    /// [`TakeError::NoSuchNode`] when there is no such node, or it has no memory; else as
    /// [`BlockPool::take`].
    #[track_caller]
    pub fn allocate_on_node(&self, id: u32) -> Result<Block, TakeError> {
        self.pool_of_node(id).ok_or(TakeError::NoSuchNode(id))?.take()
    }

    /// Returns the pool of node `id`.
    pub fn pool_of_node(&self, id: u32) -> Option<&BlockPool> {
        let node = self.topology.nodes.iter().position(|node| node.id == id)?;
        self.pools[node].as_ref()
    }

    /// Returns the nodes.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

/// Returns the node that the page at `address` lies on, as the kernel says (move_pages(2)).
///
/// # Errors
///
/// The kernel's: `ENOSYS` without NUMA, `ENOENT` for a page that was never touched.
#[cfg(not(any(loom, miri)))]
pub fn node_of_page(address: *const u8) -> io::Result<u32> {
    let page = address.map_addr(|at| at & !(crate::page_bytes() - 1));
    let mut status: libc::c_int = -1;
    // SAFETY: one page and one status are passed, with a count of one; with null for the target
    // nodes, pages are only looked at.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            1_usize,
            &raw const page,
            std::ptr::null::<libc::c_int>(),
            &raw mut status,
            0,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    u32::try_from(status).map_err(|_| io::Error::from_raw_os_error(-status))
}

/// Binds a range that nobody has touched to `node`.
#[cfg(not(any(loom, miri)))]
pub(crate) fn bind(region: &Region, node: u32) -> io::Result<()> {
    const MPOL_BIND: libc::c_int = 2;
    const NODES_MAX: usize = 1024;
    let mut mask = [0_u64; NODES_MAX / 64];
    let word = mask.get_mut(node as usize / 64).ok_or(io::ErrorKind::InvalidInput)?;
    *word |= 1 << (node % 64);
    let Range { start, end } = region.pages();
    // SAFETY: the range is whole pages of our own mapping and the mask outlives the call; the
    // kernel reads `NODES_MAX` bits of it (it takes one less than it is told). No byte changes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            start,
            end.addr() - start.addr(),
            MPOL_BIND,
            mask.as_ptr(),
            NODES_MAX + 1,
            0,
        )
    };
    if result == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // A kernel without NUMA has all memory on node 0.
        error if error.raw_os_error() == Some(libc::ENOSYS) && node == 0 => Ok(()),
        error => Err(error),
    }
}

#[cfg(any(loom, miri))]
pub(crate) fn bind(region: &Region, node: u32) -> io::Result<()> {
    let Range { start, end } = region.pages();
    debug_assert!(start <= end);
    if node == 0 { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn current_cpu() -> usize {
    if cfg!(any(loom, miri)) { 0 } else { rustix::thread::sched_getcpu() }
}

/// Parses the kernel's form of a set, such as `0-3,8`.
fn parse_list(text: &str) -> impl Iterator<Item = usize> + use<> {
    let parse = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse::<usize>().ok()?.min(CPUS_MAX))
    };
    let ranges: Vec<_> = text.trim().split(',').filter_map(parse).collect();
    ranges.into_iter().flatten()
}

/// Finds `MemTotal` in a node's meminfo, in bytes.
fn parse_memory(text: &str) -> u64 {
    let line = text.lines().find(|line| line.contains("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().rev().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

const CPUS_MAX: usize = 1 << 16;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[track_caller]
    fn check_list(text: &str, want: &[usize]) {
        assert_eq!(parse_list(text).collect::<Vec<_>>(), want, "{text:?}");
    }

    #[test]
    fn the_kernels_sets_are_read() {
        check_list("0\n", &[0]);
        check_list("0-2,8,10-11\n", &[0, 1, 2, 8, 10, 11]);
        check_list("\n", &[]);
        check_list("nonsense,3-", &[]);
        assert_eq!(parse_memory("Node 0 MemTotal:       1024 kB\n"), 1 << 20);
    }

    #[test]
    fn a_machine_without_numa_is_one_node() {
        let topology = Topology::read_from(Path::new("/nonexistent"));
        assert_eq!(topology.nodes().len(), 1);
        assert_eq!(topology.local(), 0);
        let pool = NumaPool::with_topology(BlockPool::builder(64), topology).unwrap();
        assert!(pool.allocate_local().is_ok());
        assert!(pool.allocate_on_node(0).is_ok());
        assert_eq!(pool.allocate_on_node(1).unwrap_err(), TakeError::NoSuchNode(1));
    }

    #[cfg(not(miri))]
    #[test]
    fn a_node_without_memory_borrows_from_the_nearest() {
        let node = |id, memory_bytes, distances: [u32; 3]| Node {
            id,
            cpus: vec![id as usize],
            memory_bytes,
            distances: distances.to_vec(),
        };
        let nodes = vec![
            node(0, 1 << 30, [10, 30, 40]),
            node(1, 0, [30, 10, 20]),
            node(2, 1 << 30, [40, 20, 10]),
        ];
        let topology = Topology::of(nodes);
        assert_eq!(topology.by_distance(1), [2, 0]);
        assert_eq!(topology.by_distance(0), [0, 2]);
        assert_eq!(topology.node_by_cpu, [0, 1, 2]);
    }

    #[cfg(not(miri))]
    #[test]
    fn memory_lies_on_the_node_asked_for() {
        let pool = NumaPool::new(BlockPool::builder(4096).align(4096).blocks_max(64)).unwrap();
        for node in pool.topology().nodes() {
            let Some(bound) = pool.pool_of_node(node.id) else { continue };
            let mut blocks: Vec<_> = (0..64).map(|_| bound.take().unwrap()).collect();
            blocks.iter_mut().for_each(|block| block.fill(1));
            for block in &blocks {
                match node_of_page(block.as_ptr()) {
                    Ok(found) => assert_eq!(found, node.id),
                    // Some sandboxes refuse the question.
                    Err(error) => {
                        let refusals = [Some(libc::ENOSYS), Some(libc::EPERM)];
                        assert!(refusals.contains(&error.raw_os_error()), "{error}");
                    }
                }
            }
        }
        let bound = BlockPool::builder(4096).node(0).build().unwrap();
        assert!(bound.take().is_ok());
        let nowhere = BlockPool::builder(4096).node(1023).build().unwrap_err();
        assert!(matches!(nowhere, BuildError::Node { node: 1023, .. }), "{nowhere}");
    }
}
