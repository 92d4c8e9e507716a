//! Bytes that live on the heap, when the feature `count-memory` has them counted.

#[cfg(feature = "count-memory")]
#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// What is allocated now.
#[cfg(feature = "count-memory")]
pub(super) fn live() -> Option<usize> {
    Some(ALLOCATOR.current_usage())
}

/// The most that was allocated since the last [`reset_peak`].
#[cfg(feature = "count-memory")]
pub(super) fn peak() -> Option<usize> {
    Some(ALLOCATOR.peak_usage())
}

#[cfg(feature = "count-memory")]
pub(super) fn reset_peak() {
    ALLOCATOR.reset_peak_usage();
}

#[cfg(not(feature = "count-memory"))]
pub(super) const fn live() -> Option<usize> {
    None
}

#[cfg(not(feature = "count-memory"))]
pub(super) const fn peak() -> Option<usize> {
    None
}

#[cfg(not(feature = "count-memory"))]
pub(super) const fn reset_peak() {}
