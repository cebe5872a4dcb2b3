//! First process of an emulated two-node machine: places memory on each node and asks the kernel
//! where its pages lie.
//!
//! `cargo xtask test --kernel` builds it statically, boots it as `/init` and looks for its last
//! line: `NUMA PASS` or `NUMA FAIL: why`. Outside such a machine it is harmless: it checks,
//! prints and ends.
#![expect(clippy::print_stdout, reason = "the console is its only output")]

use std::error::Error;

use rustix::mount::{MountFlags, mount};
use tidemill_memory::{Block, BlockPool, NumaPool, TakeError, node_of_page};

fn main() {
    let is_init = std::process::id() == 1;
    if is_init {
        for (kind, place) in [("sysfs", "/sys"), ("proc", "/proc")] {
            let made = std::fs::create_dir_all(place).is_ok();
            if !made || mount("none", place, kind, MountFlags::empty(), None).is_err() {
                println!("cannot mount {place}");
            }
        }
    }
    match check() {
        Ok(()) => println!("NUMA PASS"),
        Err(error) => println!("NUMA FAIL: {error}"),
    }
    if is_init {
        rustix::fs::sync();
        // Does not return when it works; the kernel panics, and the emulator ends, when it does.
        let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    }
}

fn check() -> Result<(), Box<dyn Error>> {
    let pool = NumaPool::new(BlockPool::builder(4096).align(4096).blocks_max(PAGES))?;
    let nodes = pool.topology().nodes();
    println!("{} nodes: {nodes:?}", nodes.len());
    for node in nodes {
        let blocks = (0..PAGES).map(|_| pool.allocate_on_node(node.id));
        let mut blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        let placed = count_on(node.id, &mut blocks)?;
        println!("node {}: {placed} of {PAGES} pages", node.id);
        if placed != PAGES {
            return Err(format!("{} pages are not on node {}", PAGES - placed, node.id).into());
        }
        let full = pool.allocate_on_node(node.id).map(drop);
        if full != Err(TakeError::Exhausted) {
            return Err("a full node does not borrow from another".into());
        }
    }
    local_follows_the_processor(&pool)
}

/// Writes to each block and counts those that the kernel says lie on `node`.
fn count_on(node: u32, blocks: &mut [Block]) -> std::io::Result<usize> {
    let mut count = 0;
    for block in blocks {
        block.fill(1);
        count += usize::from(node_of_page(block.as_ptr())? == node);
    }
    Ok(count)
}

/// Runs on a processor of each node in turn; what it gets must be local.
fn local_follows_the_processor(pool: &NumaPool) -> Result<(), Box<dyn Error>> {
    for node in pool.topology().nodes() {
        let Some(&processor) = node.cpus.first() else { continue };
        let mut set = rustix::thread::CpuSet::new();
        set.set(processor);
        rustix::thread::sched_setaffinity(None, &set)?;
        let mut block = pool.allocate_local()?;
        block.fill(1);
        let found = node_of_page(block.as_ptr())?;
        println!("processor {processor}: local memory on node {found}");
        if found != node.id {
            return Err(format!("local memory of node {} is on node {found}", node.id).into());
        }
    }
    Ok(())
}

const PAGES: usize = 2048;
