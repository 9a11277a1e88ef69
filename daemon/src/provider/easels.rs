//! The easels between two drawings: each keeps its memory for the next panel, as long as somebody soon draws one.
//!
//! A fresh canvas costs a page fault for every 4 KiB of it, a tenth of the time that a panel takes. All that is kept here is reserved in the
//! memory budget, and any drawing that lacks room gets it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::draft::Easel;
use crate::memory::{Budget, Holder, OverBudget, Reservation};

/// An easel and its share of the memory budget.
#[derive(Debug)]
struct Spare {
    easel: Easel,
    reservation: Reservation,
}

/// The easels of all drawing threads; clones are the same.
#[derive(Debug, Clone)]
pub struct Easels {
    budget: Budget,
    spares: Arc<Mutex<Vec<Spare>>>,
    /// Kept at once.
    most: usize,
}

impl Easels {
    /// None yet; of those that come back, `most` are kept.
    pub fn new(budget: Budget, most: usize) -> Self {
        Self { budget, spares: Arc::default(), most }
    }

    /// An easel for a drawing that needs so many bytes in all, its own included, and the promise of them.
    pub fn take(&self, needed_bytes: u64) -> Result<(Easel, Reservation), OverBudget> {
        let spare = self.spares().pop();
        if let Some(Spare { easel, mut reservation }) = spare {
            let missing_bytes = needed_bytes.saturating_sub(reservation.bytes());
            if reservation.grow(missing_bytes).is_ok() {
                return Ok((easel, reservation));
            }
        }
        // What nobody uses must not be in the way of what somebody asks for.
        self.budget
            .reserve(Holder::Drawing, needed_bytes)
            .or_else(|_| {
                self.give_back();
                self.budget.reserve(Holder::Drawing, needed_bytes)
            })
            .map(|reservation| (Easel::default(), reservation))
    }

    /// Takes an easel back, with a promise that covers at least what it holds.
    pub fn put(&self, easel: Easel, mut reservation: Reservation) {
        let held_bytes = easel.held_bytes();
        // One that holds more than it was promised would be memory that nobody counts.
        if held_bytes == 0 || held_bytes > reservation.bytes() {
            return;
        }
        reservation.shrink(reservation.bytes() - held_bytes);
        let mut spares = self.spares();
        if spares.len() < self.most {
            spares.push(Spare { easel, reservation });
        }
    }

    /// Lets go of all that nobody uses; answers how many bytes it were.
    pub fn give_back(&self) -> u64 {
        let spares = std::mem::take(&mut *self.spares());
        spares.iter().map(|spare| spare.reservation.bytes()).sum()
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Spare>> {
        // Nothing is left half done while it is held.
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::provider::draft::{self, Panel};

    const SIDE: u32 = 256;

    fn draw(easels: &Easels) -> Result<(), OverBudget> {
        let panel = Panel {
            prompt: "a lake".to_owned(),
            negative_prompt: None,
            style: None,
            width: SIDE,
            height: SIDE,
            seed: 1,
            sample: 0,
        };
        let (mut easel, reservation) = easels.take(draft::buffer_bytes(SIDE, SIDE))?;
        draft::draw(&panel, &mut easel, &mut |_, _| ControlFlow::Continue(())).unwrap();
        easels.put(easel, reservation);
        Ok(())
    }

    #[test]
    fn what_is_kept_is_what_is_reserved_and_all_of_it_goes_back() {
        let budget = Budget::new(1 << 30);
        let easels = Easels::new(budget.clone(), 2);
        draw(&easels).unwrap();
        let kept_bytes = budget.reserved_bytes();
        assert!(kept_bytes > u64::from(SIDE * SIDE * 4) && kept_bytes < u64::from(SIDE * SIDE * 8));
        draw(&easels).unwrap();
        assert_eq!(budget.reserved_bytes(), kept_bytes, "the second drawing used the first one's easel");
        assert_eq!((easels.give_back(), budget.reserved_bytes()), (kept_bytes, 0));
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let budget = Budget::new(1 << 30);
        let easels = Easels::new(budget.clone(), 1);
        let needed_bytes = draft::buffer_bytes(SIDE, SIDE);
        let taken: Vec<_> = (0..3).map(|_| easels.take(needed_bytes).unwrap()).collect();
        for (mut easel, reservation) in taken {
            easel.canvas_for_tests(1000);
            easels.put(easel, reservation);
        }
        assert_eq!(budget.reserved_bytes(), 1000);
    }

    #[test]
    fn spares_make_place_for_a_drawing_that_lacks_room() {
        let needed_bytes = draft::buffer_bytes(SIDE, SIDE);
        let budget = Budget::new(needed_bytes);
        let easels = Easels::new(budget.clone(), 4);
        draw(&easels).unwrap();
        let other = budget.reserve(Holder::Cache, budget.limit_bytes() - budget.reserved_bytes()).unwrap();
        assert!(easels.take(needed_bytes).is_err(), "others hold the budget");
        assert_eq!(budget.reserved_bytes(), other.bytes(), "the spare was given up for it");
        drop(other);
        draw(&easels).unwrap();
    }
}
