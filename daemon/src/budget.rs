//! The memory budget of the process. Code that is about to hold many bytes reserves them here first, and returns them by dropping the reservation.
//!
//! All threads share the budget without a lock. The sum of the reservations never exceeds the limit, even with concurrent callers. Lowering the limit
//! below the reserved sum only refuses new reservations. Each kind of holder that clients can fill has a share of the limit, so that one kind of
//! request never takes the memory that tasks need to run.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The purpose of reserved bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Pictures of the in-memory cache.
    Cache,
    /// Canvases of pictures that are being drawn.
    Drawing,
    /// Requests that were read and are not answered yet, and the params of unfinished tasks.
    Request,
    /// Responses that wait for a slow reader.
    Response,
    /// Bodies of responses from providers.
    Body,
    /// Pictures that are being decoded.
    Decode,
    /// The memory that programs may use in their own processes while they make results.
    Command,
    /// Events that wait for their subscribers.
    Event,
    /// Subscriptions, the tasks that they name, and their events that wait for a slow reader.
    Subscription,
}

impl Holder {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Cache,
        Self::Drawing,
        Self::Request,
        Self::Response,
        Self::Body,
        Self::Decode,
        Self::Command,
        Self::Event,
        Self::Subscription,
    ];

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Drawing => "drawing",
            Self::Request => "request",
            Self::Response => "response",
            Self::Body => "body",
            Self::Decode => "decode",
            Self::Command => "command",
            Self::Event => "event",
            Self::Subscription => "subscription",
        }
    }

    /// Returns the most bytes that this kind may hold of a limit.
    ///
    /// Clients can fill requests, responses, events and subscriptions. These have 14 sixteenths together, so that drawing and storing a picture
    /// always has some room. Decoding has a share because decoders use more memory than they reserve.
    pub const fn share_bytes(self, limit_bytes: u64) -> u64 {
        let sixteenths = match self {
            Self::Cache | Self::Drawing | Self::Body => return limit_bytes,
            Self::Decode => 10,
            // Two sixteenths remain, so that requests are still answered while a program may use its whole share.
            Self::Command => 14,
            Self::Request => 6,
            Self::Response => 5,
            Self::Event => 2,
            Self::Subscription => 1,
        };
        limit_bytes / 16 * sixteenths
    }

    /// Returns the smallest limit in MiB, in steps of 64, of which this kind may hold so many bytes.
    pub fn limit_mib_for(self, bytes: u64) -> u64 {
        const MIB: u64 = 1024 * 1024;
        let mut limit_mib = bytes.div_ceil(64 * MIB) * 64;
        while self.share_bytes(limit_mib * MIB) < bytes {
            limit_mib += 64;
        }
        limit_mib
    }
}

/// A refused reservation with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked_bytes} bytes for {} do not fit: {reserved_bytes} of {limit_bytes} are reserved", holder.name())]
pub struct OverBudget {
    /// The requested bytes.
    pub asked_bytes: u64,
    /// The bytes that were reserved at that moment: those of this kind if its share was full, else those of all kinds.
    pub reserved_bytes: u64,
    /// The limit that was exceeded: the share of this kind, or the limit of the budget.
    pub limit_bytes: u64,
    /// The purpose of the refused bytes.
    pub holder: Holder,
}

impl OverBudget {
    /// Whether the reservation fits once other holders release theirs.
    pub const fn may_fit_later(&self) -> bool {
        self.asked_bytes <= self.limit_bytes && self.limit_bytes > 0
    }
}

/// The reservations of one kind of holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HolderUsage {
    /// The kind of holder.
    pub holder: Holder,
    /// The bytes that are reserved now.
    pub bytes: u64,
    /// The most bytes that were reserved at once since the start.
    pub peak_bytes: u64,
}

/// The budget. Clones share their numbers.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Counters>);

/// All operations are relaxed: each number is independent, and no other memory is published through them.
#[derive(Debug)]
struct Counters {
    limit_bytes: AtomicU64,
    reserved_bytes: AtomicU64,
    refusals: AtomicU64,
    cache: Count,
    drawing: Count,
    request: Count,
    response: Count,
    body: Count,
    decode: Count,
    command: Count,
    event: Count,
    subscription: Count,
}

#[derive(Debug, Default)]
struct Count {
    bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

impl Budget {
    /// Creates a budget without reservations.
    pub fn new(limit_bytes: u64) -> Self {
        Self(Arc::new(Counters {
            limit_bytes: AtomicU64::new(limit_bytes),
            reserved_bytes: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            cache: Count::default(),
            drawing: Count::default(),
            request: Count::default(),
            response: Count::default(),
            body: Count::default(),
            decode: Count::default(),
            command: Count::default(),
            event: Count::default(),
            subscription: Count::default(),
        }))
    }

    /// Reserves `bytes`, or refuses with the numbers. Never waits.
    pub fn reserve(&self, holder: Holder, bytes: u64) -> Result<Reservation, OverBudget> {
        self.0.add(holder, bytes)?;
        Ok(Reservation { budget: self.clone(), holder, bytes })
    }

    /// Returns the limit of all reservations together.
    pub fn limit_bytes(&self) -> u64 {
        self.0.limit_bytes.load(Relaxed)
    }

    /// Changes the limit for future reservations.
    pub fn set_limit(&self, limit_bytes: u64) {
        self.0.limit_bytes.store(limit_bytes, Relaxed);
    }

    /// Returns the bytes that are reserved now.
    pub fn reserved_bytes(&self) -> u64 {
        self.0.reserved_bytes.load(Relaxed)
    }

    /// Returns the number of reservations that were refused since the start.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Relaxed)
    }

    /// Returns what each kind of holder has reserved, in the order of [`Holder::ALL`].
    pub fn usage(&self) -> [HolderUsage; Holder::ALL.len()] {
        Holder::ALL.map(|holder| {
            let count = self.0.count(holder);
            HolderUsage {
                holder,
                bytes: count.bytes.load(Relaxed),
                peak_bytes: count.peak_bytes.load(Relaxed),
            }
        })
    }
}

impl Counters {
    const fn count(&self, holder: Holder) -> &Count {
        match holder {
            Holder::Cache => &self.cache,
            Holder::Drawing => &self.drawing,
            Holder::Request => &self.request,
            Holder::Response => &self.response,
            Holder::Body => &self.body,
            Holder::Decode => &self.decode,
            Holder::Command => &self.command,
            Holder::Event => &self.event,
            Holder::Subscription => &self.subscription,
        }
    }

    fn add(&self, holder: Holder, bytes: u64) -> Result<(), OverBudget> {
        let limit_bytes = self.limit_bytes.load(Relaxed);
        let share_bytes = holder.share_bytes(limit_bytes);
        let count = self.count(holder);
        let refuse = |reserved_bytes, limit_bytes| {
            self.refusals.fetch_add(1, Relaxed);
            OverBudget { asked_bytes: bytes, reserved_bytes, limit_bytes, holder }
        };
        let add = |to: &AtomicU64, limit_bytes| {
            let within = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= limit_bytes);
            to.fetch_update(Relaxed, Relaxed, within).map_err(|held| refuse(held, limit_bytes))
        };
        let before = add(&count.bytes, share_bytes)?;
        if let Err(refused) = add(&self.reserved_bytes, limit_bytes) {
            count.bytes.fetch_sub(bytes, Relaxed);
            return Err(refused);
        }
        count.peak_bytes.fetch_max(before + bytes, Relaxed);
        Ok(())
    }

    fn release(&self, holder: Holder, bytes: u64) {
        self.count(holder).bytes.fetch_sub(bytes, Relaxed);
        self.reserved_bytes.fetch_sub(bytes, Relaxed);
    }
}

/// Reserved bytes. Dropping the reservation returns them.
#[derive(Debug)]
#[must_use = "a dropped reservation promises nothing"]
pub struct Reservation {
    budget: Budget,
    holder: Holder,
    bytes: u64,
}

impl Reservation {
    /// Returns the number of reserved bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the purpose of the bytes.
    pub const fn holder(&self) -> Holder {
        self.holder
    }

    /// Adds bytes to the reservation. A refusal leaves it unchanged.
    pub fn grow(&mut self, more_bytes: u64) -> Result<(), OverBudget> {
        self.budget.0.add(self.holder, more_bytes)?;
        self.bytes += more_bytes;
        Ok(())
    }

    /// Returns a part of the bytes, at most all of them.
    pub fn shrink(&mut self, less_bytes: u64) {
        drop(self.split(less_bytes));
    }

    /// Splits off a reservation of `bytes`, at most all of them.
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), holder: self.holder, bytes }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.release(self.holder, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn sum(budget: &Budget) -> u64 {
        budget.usage().iter().map(|usage| usage.bytes).sum()
    }

    #[test]
    fn a_refusal_has_its_numbers_and_changes_nothing() {
        let budget = Budget::new(100);
        let mut held = budget.reserve(Holder::Cache, 60).unwrap();
        let refusal = budget.reserve(Holder::Drawing, 41).unwrap_err();
        assert_eq!(refusal.to_string(), "41 bytes for drawing do not fit: 60 of 100 are reserved");
        assert!(held.grow(u64::MAX).is_err());
        held.grow(40).unwrap();
        held.shrink(90);
        assert_eq!((held.bytes(), budget.reserved_bytes(), budget.refusals()), (10, 10, 2));
        held.shrink(u64::MAX);
        drop(held);
        let cache = budget.usage()[0];
        assert_eq!((budget.reserved_bytes(), cache.bytes, cache.peak_bytes), (0, 0, 100));
    }

    #[test]
    fn no_kind_of_holder_passes_its_share_and_what_clients_fill_leaves_room_for_work() {
        let budget = Budget::new(1600);
        let by_clients = [Holder::Request, Holder::Response, Holder::Event, Holder::Subscription];
        let mut held = Vec::new();
        for holder in by_clients {
            let share = holder.share_bytes(1600);
            held.push(budget.reserve(holder, share).unwrap());
            let refusal = budget.reserve(holder, 1).unwrap_err();
            assert_eq!((refusal.reserved_bytes, refusal.limit_bytes), (share, share));
        }
        held.push(budget.reserve(Holder::Drawing, 200).unwrap());
        assert_eq!(budget.reserve(Holder::Decode, 1).unwrap_err().limit_bytes, 1600);
        drop(held);
        assert_eq!((budget.reserved_bytes(), sum(&budget)), (0, 0));
        assert_eq!(budget.usage()[5].peak_bytes, 0, "what was refused was never held");
    }

    #[test]
    fn a_lowered_limit_only_stops_new_promises() {
        let budget = Budget::new(100);
        let held = budget.reserve(Holder::Body, 90).unwrap();
        budget.set_limit(50);
        assert!(budget.reserve(Holder::Body, 0).is_err());
        drop(held);
        assert_eq!(budget.reserve(Holder::Body, 50).unwrap().bytes(), 50);
    }

    #[test]
    fn threads_never_pass_the_limit_together() {
        const LIMIT: u64 = 1000;
        let budget = Budget::new(LIMIT);
        thread::scope(|scope| {
            for thread_number in 0..4_u64 {
                let budget = budget.clone();
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 0..5_000_u64 {
                        let holder = Holder::ALL[(round % 8) as usize];
                        match budget.reserve(holder, (round * 7 + thread_number) % 90) {
                            Ok(reservation) => held.push(reservation),
                            Err(refusal) => {
                                assert!(refusal.reserved_bytes + refusal.asked_bytes > refusal.limit_bytes);
                                held.truncate(held.len() / 2);
                            }
                        }
                        assert!(budget.reserved_bytes() <= LIMIT);
                    }
                });
            }
        });
        assert_eq!((budget.reserved_bytes(), sum(&budget)), (0, 0));
        assert!(budget.refusals() > 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reserve(usize, u64),
        Grow(usize, u64),
        Shrink(usize, u64),
        Split(usize, u64),
        Drop(usize),
        Limit(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop_oneof![0..500_u64, Just(u64::MAX)];
        prop_oneof![
            (0..8_usize, bytes()).prop_map(|(holder, bytes)| Step::Reserve(holder, bytes)),
            (0..20_usize, bytes()).prop_map(|(index, bytes)| Step::Grow(index, bytes)),
            (0..20_usize, bytes()).prop_map(|(index, bytes)| Step::Shrink(index, bytes)),
            (0..20_usize, bytes()).prop_map(|(index, bytes)| Step::Split(index, bytes)),
            (0..20_usize).prop_map(Step::Drop),
            (0..2_000_u64).prop_map(Step::Limit),
        ]
    }

    proptest! {
           #[test]
           fn the_book_always_matches_what_is_held(steps in proptest::collection::vec(step(), 1..80)) {
               let budget = Budget::new(1000);
               let mut held: Vec<Reservation> = Vec::new();
               for step in steps {
                   let before = budget.reserved_bytes();
                   match step {
                       Step::Reserve(holder, bytes) => held.extend(budget.reserve(Holder::ALL[holder], bytes).ok()),
                       Step::Grow(index, bytes) => {
                           held.get_mut(index).map(|reservation| reservation.grow(bytes));
                       }
                       Step::Shrink(index, bytes) => {
                           if let Some(reservation) = held.get_mut(index) {
    reservation.shrink(bytes);
    }
                       }
                       Step::Split(index, bytes) => {
                           let part = held.get_mut(index).map(|reservation| reservation.split(bytes));
                           held.extend(part);
                       }
                       Step::Drop(index) if index < held.len() => drop(held.swap_remove(index)),
                       Step::Drop(_) => {}
                       Step::Limit(bytes) => budget.set_limit(bytes),
                   }
                   let reserved = budget.reserved_bytes();
                   prop_assert!(reserved <= before || reserved <= budget.limit_bytes());
                   prop_assert_eq!(reserved, held.iter().map(Reservation::bytes).sum::<u64>());
                   for usage in budget.usage() {
                       let of_holder = held.iter().filter(|reservation| reservation.holder() == usage.holder);
                       prop_assert_eq!(usage.bytes, of_holder.map(Reservation::bytes).sum::<u64>());
                       prop_assert!(usage.bytes <= usage.peak_bytes);
                   }
               }
           }
       }
}
