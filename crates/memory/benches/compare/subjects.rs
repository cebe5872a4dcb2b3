//! What is compared: our pools, general allocators used directly, and pool crates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use bytes::BufMut;
use crossbeam_queue::ArrayQueue;
use tidemill_memory::{Block, BlockPool, Buffer, BufferPool};

use crate::{PASSES, report};

/// Somewhere to take memory from and give it back to.
pub(crate) trait Source: Sync {
    type Item: Send;

    fn take(&self) -> Self::Item;

    /// Writes to the item through a pointer the compiler knows nothing of, so that it is really
    /// there. The item itself stays where the compiler keeps it, as in a program.
    fn touch(item: &mut Self::Item);

    fn give(&self, item: Self::Item);
}

/// Called with each subject in turn and its place in [`NAMES`].
pub(crate) trait Visitor {
    fn visit<S: Source>(&mut self, place: usize, source: &S);
}

/// The subjects, ours first.
pub(crate) const NAMES: [&str; 9] = [
    "ours",
    "ours: buffers",
    "glibc",
    "mimalloc",
    "jemalloc",
    "object-pool",
    "opool",
    "sharded-slab",
    "ArrayQueue",
];
/// Places of the general allocators.
pub(crate) const GENERAL: std::ops::Range<usize> = 2..5;

/// Makes each subject for blocks of `bytes` and shows it to `visitor`.
pub(crate) fn visit_all(bytes: usize, visitor: &mut impl Visitor) {
    let pool = BlockPool::builder(bytes).blocks_max(1 << 16).build().expect("address space");
    visitor.visit(0, &pool);
    let pool = BufferPool::builder().classes(&[bytes]).build().expect("address space");
    visitor.visit(1, &Buffers { pool, bytes });
    let layout = Layout::from_size_align(bytes, 16).expect("a small layout");
    visitor.visit(2, &General { allocator: System, layout });
    visitor.visit(3, &General { allocator: mimalloc::MiMalloc, layout });
    visitor.visit(4, &General { allocator: tikv_jemallocator::Jemalloc, layout });
    let pool = object_pool::Pool::new(4096, || vec![0_u8; bytes]);
    visitor.visit(5, &ObjectPool { pool: &pool, bytes });
    let pool = opool::Pool::new_prefilled(4096, Bytes(bytes));
    visitor.visit(6, &Opool(&pool));
    visitor.visit(7, &ShardedSlab { pool: Arc::default(), bytes });
    let queue = ArrayQueue::new(4096);
    (0..4096).for_each(|_| drop(queue.push(vec![0_u8; bytes])));
    visitor.visit(8, &queue);
}

struct Buffers {
    pool: BufferPool,
    bytes: usize,
}

impl Source for Buffers {
    type Item = Buffer;

    #[inline]
    fn take(&self) -> Buffer {
        self.pool.take(self.bytes).expect("the pool is large enough")
    }

    #[inline]
    fn touch(item: &mut Buffer) {
        // One byte into the free room, as the others write one.
        black_box(item.chunk_mut()).write_byte(0, 1);
    }

    #[inline]
    fn give(&self, item: Buffer) {
        drop(item);
    }
}

/// What the slab keeps: [`Clear`](sharded_slab::Clear) leaves it as it is.
#[derive(Default)]
struct Page(Vec<u8>);

impl sharded_slab::Clear for Page {
    fn clear(&mut self) {}
}

struct ShardedSlab {
    pool: Arc<sharded_slab::Pool<Page>>,
    bytes: usize,
}

impl Source for ShardedSlab {
    type Item = sharded_slab::pool::OwnedRefMut<Page>;

    fn take(&self) -> Self::Item {
        let mut item = Arc::clone(&self.pool).create_owned().expect("the slab has room");
        if item.0.is_empty() {
            item.0.resize(self.bytes, 0);
        }
        item
    }

    fn touch(item: &mut Self::Item) {
        *black_box(&mut item.0[0]) = 1;
    }

    fn give(&self, item: Self::Item) {
        let key = item.key();
        drop(item);
        self.pool.clear(key);
    }
}

/// A free list that all threads share.
impl Source for ArrayQueue<Vec<u8>> {
    type Item = Vec<u8>;

    #[inline]
    fn take(&self) -> Vec<u8> {
        self.pop().expect("fewer are held than there are")
    }

    #[inline]
    fn touch(item: &mut Vec<u8>) {
        *black_box(&mut item[0]) = 1;
    }

    #[inline]
    fn give(&self, item: Vec<u8>) {
        self.push(item).expect("as many places as buffers");
    }
}

impl Source for BlockPool {
    type Item = Block;

    #[inline]
    fn take(&self) -> Block {
        Self::take(self).expect("the pool is large enough")
    }

    #[inline]
    fn touch(item: &mut Block) {
        *black_box(&mut item[0]) = 1;
    }

    #[inline]
    fn give(&self, item: Block) {
        drop(item);
    }
}

struct General<A> {
    allocator: A,
    layout: Layout,
}

struct Address(NonNull<u8>);

// SAFETY: the memory belongs to whoever holds the address.
unsafe impl Send for Address {}

impl<A: GlobalAlloc + Sync> Source for General<A> {
    type Item = Address;

    #[inline]
    fn take(&self) -> Address {
        // SAFETY: the layout is not empty.
        let address = unsafe { self.allocator.alloc(self.layout) };
        Address(NonNull::new(address).expect("there is memory"))
    }

    #[inline]
    fn touch(item: &mut Address) {
        // SAFETY: the allocation is ours.
        unsafe { black_box(item.0).write(1) };
    }

    #[inline]
    fn give(&self, item: Address) {
        // SAFETY: allocated in `take` with this layout, by this allocator.
        unsafe { self.allocator.dealloc(item.0.as_ptr(), self.layout) };
    }
}

struct ObjectPool<'a> {
    pool: &'a object_pool::Pool<Vec<u8>>,
    bytes: usize,
}

impl<'a> Source for ObjectPool<'a> {
    type Item = object_pool::Reusable<'a, Vec<u8>>;

    fn take(&self) -> Self::Item {
        let bytes = self.bytes;
        self.pool.pull(|| vec![0; bytes])
    }

    fn touch(item: &mut Self::Item) {
        *black_box(&mut item[0]) = 1;
    }

    fn give(&self, item: Self::Item) {
        drop(item);
    }
}

struct Bytes(usize);

impl opool::PoolAllocator<Vec<u8>> for Bytes {
    fn allocate(&self) -> Vec<u8> {
        vec![0; self.0]
    }
}

struct Opool<'a>(&'a opool::Pool<Bytes, Vec<u8>>);

impl<'a> Source for Opool<'a> {
    type Item = opool::RefGuard<'a, Bytes, Vec<u8>>;

    fn take(&self) -> Self::Item {
        self.0.get()
    }

    fn touch(item: &mut Self::Item) {
        *black_box(&mut item[0]) = 1;
    }

    fn give(&self, item: Self::Item) {
        drop(item);
    }
}

/// Replaces one of 256 live buffers, of sizes as a proxy asks for, in a loop.
pub(crate) fn mixed_sizes(operations: usize) {
    let mut passes = vec![Vec::new(); 1 + GENERAL.len()];
    let sizes: Vec<usize> = (0..1024).map(|step: usize| 1 << (6 + step * 37 % 11)).collect();
    for _ in 0..PASSES {
        let pool = BufferPool::builder().build().expect("address space");
        passes[0].push(replace(operations, &sizes, |bytes| {
            let mut buffer = pool.take(bytes).expect("the pool is large enough");
            buffer.extend_from_slice(&[1]).expect("room for a byte");
            buffer
        }));
        passes[1].push(replace(operations, &sizes, |bytes| Sized::new(&System, bytes)));
        passes[2].push(replace(operations, &sizes, |bytes| Sized::new(&mimalloc::MiMalloc, bytes)));
        passes[3].push(replace(operations, &sizes, |bytes| {
            Sized::new(&tikv_jemallocator::Jemalloc, bytes)
        }));
    }
    let names = std::iter::once(NAMES[0]).chain(NAMES[GENERAL].iter().copied());
    for (name, mut passes) in names.zip(passes) {
        report("64 B to 64 KiB replace, 256 live", "one thread", name, &mut passes);
    }
}

#[expect(clippy::disallowed_methods, reason = "measures time")]
fn replace<T>(operations: usize, sizes: &[usize], take: impl Fn(usize) -> T) -> f64 {
    let mut live: Vec<_> = sizes.iter().take(256).map(|&bytes| take(bytes)).collect();
    let start = Instant::now();
    for step in 0..operations {
        live[step * 37 % 256] = black_box(take(sizes[step % sizes.len()]));
    }
    start.elapsed().as_nanos() as f64 / operations as f64
}

struct Sized<'a, A: GlobalAlloc> {
    allocator: &'a A,
    address: NonNull<u8>,
    layout: Layout,
}

impl<'a, A: GlobalAlloc> Sized<'a, A> {
    fn new(allocator: &'a A, bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, 16).expect("a small layout");
        // SAFETY: the layout is not empty.
        let address = NonNull::new(unsafe { allocator.alloc(layout) }).expect("there is memory");
        // SAFETY: just allocated.
        unsafe { address.write(1) };
        Self { allocator, address, layout }
    }
}

impl<A: GlobalAlloc> Drop for Sized<'_, A> {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, by this allocator.
        unsafe { self.allocator.dealloc(self.address.as_ptr(), self.layout) };
    }
}
