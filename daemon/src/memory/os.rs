//! Sets up the C library's allocator, so that freed memory really goes back to the system.
//!
//! Only glibc needs it. Elsewhere these functions do nothing.
#![expect(
    unsafe_code,
    reason = "mallopt and malloc_trim have no safe interface; both take plain numbers and no pointers"
)]

/// Arenas of glibc's heap. By default there are eight per core, each of which keeps what its threads freed.
///
/// One is for the thread of the actors, and one for each of the journal's two threads. These start first, so each gets an arena of its own. The other
/// threads mostly wait, and share these arenas. With two arenas it was left to chance which of the journal's threads shared that of the actors. When
/// it was the writer, nearly all futex calls of both threads were waits for each other's allocations.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 3;
/// Size from which a block is mapped by itself, so that it goes back to the system when it is freed.
///
/// glibc begins with 128 KiB but raises the bound, up to 32 MiB, to the size of each mapped block that is freed. After the first picture all others
/// would come from the heap and stay there, behind whatever small block was allocated after them. A fixed bound prevents that: with eight threads
/// that each filled and freed a few buffers of 4 and 8 MiB, 162 MiB stayed resident without it and 2 MiB with it. It is not lower, because mapping
/// costs a system call and fresh pages each time, too much for lines and frames of a few kilobytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_FROM_BYTES: libc::c_int = 256 * 1024;

/// Free bytes at the end of a heap from which they go back to the system. With the default of 128 KiB each picture made the heap longer and shorter
/// again, with fresh pages each time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIMMED_FROM_BYTES: libc::c_int = 2 * 1024 * 1024;

/// Sets the allocator up. Must be called before threads start. Returns whether all settings were accepted.
pub fn tune_allocator() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: all arguments are numbers, as documented in mallopt(3). No memory of ours is touched.
        let results = unsafe {
            [
                libc::mallopt(libc::M_ARENA_MAX, ARENAS),
                libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES),
                libc::mallopt(libc::M_TRIM_THRESHOLD, TRIMMED_FROM_BYTES),
            ]
        };
        results.iter().all(|result| *result == 1)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// Returns free pages of the heap to the system. Returns by how many bytes the process became smaller.
///
/// It walks over the whole heap and locks each arena meanwhile, so it must not run on a thread that answers requests.
pub fn return_free_heap() -> u64 {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let before_bytes = resident_bytes();
        // SAFETY: the argument is the number of bytes to keep at the top of the heap, and the function is thread-safe (malloc_trim(3)).
        unsafe { libc::malloc_trim(0) };
        before_bytes.saturating_sub(resident_bytes())
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    0
}

/// Returns the resident bytes of this process; zero if they cannot be read. The sampler cannot be used here, as it belongs to the actor's thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident_bytes() -> u64 {
    super::children::status_bytes(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// Returns whether [`return_free_heap`] has any effect on this system.
pub const fn can_return_free_heap() -> bool {
    cfg!(all(target_os = "linux", target_env = "gnu"))
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_takes_what_it_is_told() {
        assert!(tune_allocator());
        assert!(resident_bytes() > 1 << 20);
    }

    #[test]
    fn freed_blocks_in_the_heap_go_back_when_asked() {
        let _alone = super::super::RESIDENT_TESTS.lock();
        // Small blocks. Every second one is kept, so that the heap cannot shrink from its end by itself.
        let mut blocks: Vec<Vec<u8>> = (0..4_000).map(|_| vec![1; 16 * 1024]).collect();
        let full_bytes = resident_bytes();
        let mut is_kept = false;
        blocks.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
        // The returned number is not used, because another test may return the same pages first.
        return_free_heap();
        assert!(resident_bytes() + (16 << 20) < full_bytes);
    }
}
