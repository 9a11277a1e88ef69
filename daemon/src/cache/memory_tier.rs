//! The memory tier: artifacts' bytes, least recently used first out. Its weight never passes its limit, and all of it is reserved in the
//! memory budget.

use std::sync::Arc;

use lru::LruCache;
use reel_protocol::Digest;

use crate::memory::{Budget, Holder, Reservation};

/// What an item weighs beside its bytes: its places in the map and in the list, its names and its reservation. Without it, many tiny
/// pictures would hold more than the limit says.
const ITEM_BYTES: u64 = 256;

/// An artifact in memory.
#[derive(Debug)]
pub struct Item {
    /// All of them, verified.
    pub bytes: Arc<Vec<u8>>,
    /// Such as `image/png`.
    pub media_type: String,
    /// Its share of the memory budget.
    #[expect(dead_code, reason = "held for its drop")]
    pub reservation: Reservation,
}

impl Item {
    fn weight_bytes(&self) -> u64 {
        weight_bytes(self.bytes.len() as u64)
    }
}

/// Items that were let go of and are still there. Giving many pictures back to the system takes milliseconds, so they are dropped where nobody
/// waits for the thread.
#[derive(Debug, Default)]
#[must_use = "where it is dropped, the memory is given back"]
pub struct Evicted {
    items: Vec<Item>,
    weight_bytes: u64,
}

impl Evicted {
    /// What goes with them.
    pub const fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Whether there is nothing to drop.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// What an item of so many bytes weighs.
pub const fn weight_bytes(size_bytes: u64) -> u64 {
    size_bytes.saturating_add(ITEM_BYTES)
}

/// The tier.
#[derive(Debug)]
pub struct MemoryTier {
    items: LruCache<Digest, Item>,
    held_bytes: u64,
    limit_bytes: u64,
    max_item_bytes: u64,
}

impl MemoryTier {
    /// An empty one.
    pub fn new(limit_bytes: u64, max_item_bytes: u64) -> Self {
        Self { items: LruCache::unbounded(), held_bytes: 0, limit_bytes, max_item_bytes }
    }

    /// What is held.
    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// What may be held.
    pub const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Whether an artifact of this size may ever be held.
    pub const fn admits(&self, size_bytes: u64) -> bool {
        size_bytes <= self.max_item_bytes && weight_bytes(size_bytes) <= self.limit_bytes
    }

    /// Whether the artifact is held; it does not count as a use.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.items.contains(digest)
    }

    /// The artifact, which is the most recently used from now on.
    pub fn get(&mut self, digest: &Digest) -> Option<&Item> {
        self.items.get(digest)
    }

    /// Makes room for an artifact and reserves it in the budget. None if it is not admitted, or if the budget is taken up by others:
    /// then it lets go of as much as it asked for, at most.
    pub fn reserve(&mut self, budget: &Budget, size_bytes: u64) -> Option<Reservation> {
        if !self.admits(size_bytes) {
            return None;
        }
        let weight = weight_bytes(size_bytes);
        // One or two pictures, dropped here: the new one needs their promise at once.
        drop(self.shrink_to(self.limit_bytes.saturating_sub(weight)));
        if let Ok(reservation) = budget.reserve(Holder::Cache, weight) {
            return Some(reservation);
        }
        // The budget is shared: what others hold cannot be had here, but our own oldest may make place for the newest.
        if self.held_bytes < weight {
            return None;
        }
        drop(self.free(weight));
        budget.reserve(Holder::Cache, weight).ok()
    }

    /// Holds an artifact, in place of the one it had under this digest.
    pub fn insert(&mut self, digest: Digest, item: Item) {
        self.remove(&digest);
        if !self.admits(item.bytes.len() as u64) {
            return;
        }
        self.held_bytes += item.weight_bytes();
        self.items.put(digest, item);
        drop(self.shrink_to(self.limit_bytes));
    }

    /// Lets go of one artifact.
    pub fn remove(&mut self, digest: &Digest) {
        if let Some(item) = self.items.pop(digest) {
            self.held_bytes -= item.weight_bytes();
        }
    }

    /// Lets go of at least so many bytes, or of all.
    pub fn free(&mut self, bytes: u64) -> Evicted {
        self.shrink_to(self.held_bytes.saturating_sub(bytes))
    }

    /// Takes new limits, which hold at once for what is held; what was over them is to be dropped.
    pub fn set_limits(&mut self, limit_bytes: u64, max_item_bytes: u64) -> Evicted {
        (self.limit_bytes, self.max_item_bytes) = (limit_bytes, max_item_bytes);
        self.shrink_to(limit_bytes)
    }

    fn shrink_to(&mut self, bytes: u64) -> Evicted {
        let mut evicted = Evicted::default();
        while self.held_bytes > bytes {
            let Some((_, item)) = self.items.pop_lru() else { break };
            self.held_bytes -= item.weight_bytes();
            evicted.weight_bytes += item.weight_bytes();
            evicted.items.push(item);
        }
        evicted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::from_bytes([number; 32])
    }

    fn put(tier: &mut MemoryTier, budget: &Budget, number: u8, size: usize) -> bool {
        let Some(reservation) = tier.reserve(budget, size as u64) else { return false };
        let item = Item { bytes: Arc::new(vec![number; size]), media_type: String::new(), reservation };
        tier.insert(digest(number), item);
        true
    }

    #[test]
    fn the_least_recently_used_leaves_first() {
        let budget = Budget::new(1 << 20);
        let mut tier = MemoryTier::new(weight_bytes(100) * 2, 100);
        assert!(put(&mut tier, &budget, 1, 100) && put(&mut tier, &budget, 2, 100));
        assert!(tier.get(&digest(1)).is_some());
        assert!(put(&mut tier, &budget, 3, 100));
        assert!(tier.contains(&digest(1)) && tier.contains(&digest(3)) && !tier.contains(&digest(2)));
    }

    #[test]
    fn an_item_over_the_cap_is_not_admitted_and_displaces_nothing() {
        let budget = Budget::new(1 << 20);
        let mut tier = MemoryTier::new(10_000, 100);
        assert!(put(&mut tier, &budget, 1, 100));
        assert!(!put(&mut tier, &budget, 2, 101));
        assert!(tier.contains(&digest(1)));
    }

    #[test]
    fn a_budget_that_others_fill_is_left_to_them() {
        let budget = Budget::new(10_000);
        let mut tier = MemoryTier::new(10_000, 10_000);
        assert!(put(&mut tier, &budget, 1, 100));
        let others = budget.reserve(Holder::Drawing, 10_000 - weight_bytes(100)).unwrap();
        assert!(!put(&mut tier, &budget, 2, 5_000));
        assert!(tier.contains(&digest(1)), "it could not have made enough room");
        assert!(put(&mut tier, &budget, 3, 100));
        assert!(!tier.contains(&digest(1)));
        drop(others);
        assert_eq!(budget.reserved_bytes(), tier.held_bytes());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, usize),
        Get(u8),
        Remove(u8),
        Free(u64),
        Limits(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..12_u8, 0..3_000_usize).prop_map(|(number, size)| Step::Put(number, size)),
            (0..12_u8).prop_map(Step::Get),
            (0..12_u8).prop_map(Step::Remove),
            prop_oneof![0..4_000_u64, Just(u64::MAX)].prop_map(Step::Free),
            (0..12_000_u64, 0..3_000_u64).prop_map(|(limit, item)| Step::Limits(limit, item)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_held_is_reserved_and_within_the_limit(steps in proptest::collection::vec(step(), 1..80)) {
            let budget = Budget::new(9_000);
            let mut tier = MemoryTier::new(8_000, 2_000);
            for step in steps {
                match step {
                    Step::Put(number, size) => {
                        put(&mut tier, &budget, number, size);
                    }
                    Step::Get(number) => {
                        tier.get(&digest(number));
                    }
                    Step::Remove(number) => tier.remove(&digest(number)),
                    Step::Free(bytes) => {
                        let before = tier.held_bytes();
                        let evicted = tier.free(bytes);
                        let freed = evicted.weight_bytes();
                        prop_assert_eq!(before - freed, tier.held_bytes());
                        prop_assert!(freed >= bytes.min(before));
                        prop_assert_eq!(evicted.is_empty(), freed == 0);
                        // Still there, so still promised.
                        prop_assert_eq!(before, budget.reserved_bytes());
                        drop(evicted);
                    }
                    Step::Limits(limit, item) => drop(tier.set_limits(limit, item)),
                }
                let held: u64 = tier.items.iter().map(|(_, item)| item.weight_bytes()).sum();
                prop_assert_eq!(held, tier.held_bytes());
                prop_assert_eq!(held, budget.reserved_bytes());
                prop_assert!(held <= tier.limit_bytes());
            }
        }
    }
}
