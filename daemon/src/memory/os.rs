//! What the C library's allocator must be told, so that freed memory really goes back to the system.
//!
//! Only glibc needs to be told; elsewhere those functions do nothing.
#![expect(
    unsafe_code,
    reason = "mallopt and malloc_trim have no safe interface; both take plain numbers and no pointers"
)]

/// Arenas of glibc's heap. By default there are eight per core, each of which keeps what its threads freed.
///
/// One for the rooms' thread and one for each of the journal's two, which are the first to be started and so get one of their own; the others
/// mostly wait and share these. With two it was left to chance which of the journal's threads shared the rooms' one: where it was the writer,
/// nearly all futex calls of both were waits for the other's allocations.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 3;
/// Blocks from here on are mapped by themselves and go back to the system when they are freed.
///
/// glibc begins with 128 KiB but raises the bound, up to 32 MiB, to the size of each mapped block that is freed: after the first picture
/// all others would come from the heap and stay there, behind whatever small block was put after them. A fixed bound ends that: measured with
/// eight threads that each filled and freed a few buffers of 4 and 8 MiB, 162 MiB stayed resident without it, 2 MiB with it. It is not lower,
/// as mapping costs a system call and fresh pages each time, which lines and frames of a few kilobytes should not pay.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_FROM_BYTES: libc::c_int = 256 * 1024;

/// Free bytes at the end of a heap from which on they go back to the system. By default it is 128 KiB, so that each picture made the heap
/// longer and shorter again, with fresh pages each time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIMMED_FROM_BYTES: libc::c_int = 2 * 1024 * 1024;

/// Sets the allocator up; to be called before threads start, and true where it took.
pub fn tune_allocator() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: numbers, all documented in mallopt(3); no memory of ours is touched.
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

/// Gives free pages of the heap back to the system, and tells by how many bytes the process became smaller.
///
/// Walks over the whole heap and locks each arena while it does: not for a thread that answers requests.
pub fn return_free_heap() -> u64 {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let before_bytes = resident_bytes();
        // SAFETY: takes the bytes to keep at the top of the heap, and is safe in threads (malloc_trim(3)).
        unsafe { libc::malloc_trim(0) };
        before_bytes.saturating_sub(resident_bytes())
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    0
}

/// Read here rather than through the sampler, which belongs to the actor's thread; zero where it cannot be read.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident_bytes() -> u64 {
    super::children::status_bytes(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// Whether [`return_free_heap`] can do anything here.
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
        // Small blocks, each second one kept, so that the heap cannot shrink from its end by itself.
        let mut blocks: Vec<Vec<u8>> = (0..4_000).map(|_| vec![1; 16 * 1024]).collect();
        let full_bytes = resident_bytes();
        let mut is_kept = false;
        blocks.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
        // Not its own answer: another test may give the same pages back first.
        return_free_heap();
        assert!(resident_bytes() + (16 << 20) < full_bytes);
    }
}
