//! A global allocator that counts allocations and aligns buffers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The global allocator: the system's allocator with a counter of allocations. While times are measured, the counter is off, so an
/// allocation costs only one branch more than in the system's allocator.
///
/// Blocks with the size of an output buffer begin at a cache line. Blocks with the size of an input buffer begin at a page. Without this
/// alignment, the addresses of the buffers would change with every build, and the time of a short message could double.
pub(crate) struct Counting;

/// Returns the layout that is passed to the system's allocator: blocks between 2 KB and 256 KB get a stricter alignment.
///
/// Smaller blocks, which some libraries allocate for each row, keep the default alignment. Larger blocks keep the default alignment,
/// because `realloc` can then move the pages instead of copying the bytes. The result depends on the argument alone, so `dealloc` computes
/// the same layout as `alloc`.
fn aligned(layout: Layout) -> Layout {
    let to = match layout.size() {
        2049..=32_768 => 64,
        32_769..=262_144 => 4096,
        _ => return layout,
    };
    layout.align_to(to).unwrap_or(layout)
}

/// Runs `work`. Returns its result, and the number of allocations and reallocations that all threads made while `work` ran.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = COUNT.load(Relaxed);
    COUNTING.store(true, Relaxed);
    let result = work();
    COUNTING.store(false, Relaxed);
    (result, COUNT.load(Relaxed) - before)
}

fn note() {
    if COUNTING.load(Relaxed) {
        COUNT.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call is forwarded to the system's allocator. A block may get a stricter alignment than the caller requires, but all calls
// for one block use the same alignment.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: this function and `System.alloc` have the same precondition, which the caller ensures.
        unsafe { System.alloc(aligned(layout)) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller ensures that `at` is from `alloc` with this layout, so it is from `System` with the aligned layout.
        unsafe { System.dealloc(at, aligned(layout)) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: this function and `System.alloc_zeroed` have the same precondition, which the caller ensures.
        unsafe { System.alloc_zeroed(aligned(layout)) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller ensures that a layout with this size and alignment is valid.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (before, after) = (aligned(layout), aligned(wanted));
        // SAFETY: `at` is from `System` with the layout `before`. The copy is not longer than either block.
        unsafe {
            if before.align() == after.align() {
                return System.realloc(at, before, size);
            }
            let moved = System.alloc(after);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(at, layout.size().min(size));
                System.dealloc(at, before);
            }
            moved
        }
    }
}
