//! The memory tier. It holds the bytes of artifacts and evicts the least recently used first. Its weight never exceeds its limit, and all of it is
//! reserved in the memory budget.

use std::sync::Arc;

use lru::LruCache;
use reel_protocol::Digest;

use crate::memory::{Budget, Holder, Reservation};

/// Weight of an item beyond its bytes: its entries in the map and in the list, its strings and its reservation. Without it, many tiny pictures would
/// use more memory than the limit.
const ITEM_BYTES: u64 = 256;

/// An artifact in memory.
#[derive(Debug)]
pub struct Item {
    /// All bytes of the artifact, verified.
    pub bytes: Arc<Vec<u8>>,
    /// The media type, such as `image/png`.
    pub media_type: String,
    /// The item's share of the memory budget.
    #[expect(dead_code, reason = "held for its drop")]
    pub reservation: Reservation,
}

impl Item {
    fn weight_bytes(&self) -> u64 {
        weight_bytes(self.bytes.len() as u64)
    }
}

/// Evicted items whose memory is not freed yet. Freeing many pictures takes milliseconds, so they are dropped on a thread that nobody waits for.
#[derive(Debug, Default)]
#[must_use = "where it is dropped, the memory is given back"]
pub struct Evicted {
    items: Vec<Item>,
    weight_bytes: u64,
}

impl Evicted {
    /// Returns the weight of the items, in bytes.
    pub const fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Returns the weight of an item with so many bytes.
pub const fn weight_bytes(size_bytes: u64) -> u64 {
    size_bytes.saturating_add(ITEM_BYTES)
}

/// The items in memory, with their limits.
#[derive(Debug)]
pub struct MemoryTier {
    items: LruCache<Digest, Item>,
    held_bytes: u64,
    limit_bytes: u64,
    max_item_bytes: u64,
}

impl MemoryTier {
    /// Returns an empty tier.
    pub fn new(limit_bytes: u64, max_item_bytes: u64) -> Self {
        Self { items: LruCache::unbounded(), held_bytes: 0, limit_bytes, max_item_bytes }
    }

    /// Returns the weight of all items, in bytes.
    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Returns the largest allowed weight of all items, in bytes.
    pub const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Returns whether an artifact of this size is admitted at all.
    pub const fn admits(&self, size_bytes: u64) -> bool {
        size_bytes <= self.max_item_bytes && weight_bytes(size_bytes) <= self.limit_bytes
    }

    /// Returns whether the artifact is in memory. This does not count as a use.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.items.contains(digest)
    }

    /// Returns the artifact, and makes it the most recently used one.
    pub fn get(&mut self, digest: &Digest) -> Option<&Item> {
        self.items.get(digest)
    }

    /// Evicts items to make room for an artifact, and reserves its weight in the budget. Returns None if the size is not admitted, or if other
    /// holders fill the budget. In the second case it evicts at most the weight of the artifact.
    pub fn reserve(&mut self, budget: &Budget, size_bytes: u64) -> Option<Reservation> {
        if !self.admits(size_bytes) {
            return None;
        }
        let weight = weight_bytes(size_bytes);
        // These are one or two pictures. They are dropped here because the new one needs their reservations at once.
        drop(self.shrink_to(self.limit_bytes.saturating_sub(weight)));
        if let Ok(reservation) = budget.reserve(Holder::Cache, weight) {
            return Some(reservation);
        }
        // Other holders' reservations cannot be taken, but the least recently used items of this tier can make room for the newest.
        if self.held_bytes < weight {
            return None;
        }
        drop(self.free(weight));
        budget.reserve(Holder::Cache, weight).ok()
    }

    /// Inserts an artifact, and replaces one with the same digest.
    pub fn insert(&mut self, digest: Digest, item: Item) {
        self.remove(&digest);
        if !self.admits(item.bytes.len() as u64) {
            return;
        }
        self.held_bytes += item.weight_bytes();
        self.items.put(digest, item);
        drop(self.shrink_to(self.limit_bytes));
    }

    /// Removes one artifact, if it is in memory.
    pub fn remove(&mut self, digest: &Digest) {
        if let Some(item) = self.items.pop(digest) {
            self.held_bytes -= item.weight_bytes();
        }
    }

    /// Evicts items with at least so much weight in all, or all items.
    pub fn free(&mut self, bytes: u64) -> Evicted {
        self.shrink_to(self.held_bytes.saturating_sub(bytes))
    }

    /// Sets new limits and evicts items beyond them. Returns the evicted items, which the caller must drop.
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
                        // The items are not dropped yet, so they are still reserved.
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
