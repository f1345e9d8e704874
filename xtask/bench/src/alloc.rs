//! An allocator that counts, when it is asked to, and aligns buffers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The system's allocator behind one branch, which is all that it costs while times are taken.
///
/// Blocks of the size of a buffer begin at a line of the cache, and those that are read into at a page. Where they come to lie
/// otherwise decides by a factor of two what a short message takes, for each contender anew with each build.
pub(crate) struct Counting;

/// What the system is asked for. Depends on the size alone, so that a block is given back as it was taken. Smaller ones are made for
/// a row, and larger ones grow by moving pages.
fn aligned(layout: Layout) -> Layout {
    let to = match layout.size() {
        2049..=32_768 => 64,
        32_769..=262_144 => 4096,
        _ => return layout,
    };
    layout.align_to(to).unwrap_or(layout)
}

/// Allocations and reallocations made while `work` runs, by any thread.
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

// SAFETY: everything is handed on to the system's allocator, at times with a stricter alignment, and always the same one for a block.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is the one that is asked for here.
        unsafe { System.alloc(aligned(layout)) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above; `at` came from `System` with this layout.
        unsafe { System.dealloc(at, aligned(layout)) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(aligned(layout)) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller promises that this size is one that a layout can have.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (before, after) = (aligned(layout), aligned(wanted));
        // SAFETY: as above; `at` came from `System` with the layout before, and has as many bytes as are copied.
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
