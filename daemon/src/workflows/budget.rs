//! The budget of one workflow: the cost of its ended steps, the reserved cost of its running steps, and whether the next step fits. Pure.

use std::collections::BTreeMap;

use reel_protocol::{Cost, StoryMakeParams, TaskError};

/// The budget of a workflow. All amounts are in millionths of a US dollar.
#[derive(Debug)]
pub(super) struct WorkflowBudget {
    limit: u64,
    settled: u64,
    /// The reserved cost of each running step, by the name of the step.
    reserved: BTreeMap<String, u64>,
}

impl WorkflowBudget {
    pub(super) fn new(limit_usd: f64) -> Self {
        Self { limit: microusd(limit_usd), settled: 0, reserved: BTreeMap::new() }
    }

    /// Reserves the price of a step. It is an error if the price is None, which means unknown, or does not fit into the budget.
    pub(super) fn reserve(&mut self, step: &str, price: Option<u64>) -> Result<(), TaskError> {
        let Some(price) = price else {
            let message = format!("the price of {step} is not known, and the work has a budget");
            let hint = "say in the provider's section what it costs (price = { … }), or leave the budget out";
            return Err(over_budget(message, hint));
        };
        let reserved: u64 = self.reserved.values().sum();
        if self.settled + reserved + price > self.limit {
            let usd = |amount: u64| amount as f64 / 1e6;
            let message = format!(
                "{step} would cost ${:.4}; ${:.4} of the budget of ${:.2} are spent or may be, and ${:.4} more are reserved",
                usd(price),
                usd(self.settled),
                usd(self.limit),
                usd(reserved),
            );
            return Err(over_budget(message, "raise the budget and make it again: what was made is kept"));
        }
        self.reserved.insert(step.to_owned(), price);
        Ok(())
    }

    /// Whether a running step may cost something.
    pub(super) fn has_reserved(&self) -> bool {
        self.reserved.values().any(|price| *price > 0)
    }

    /// Records the cost of a step that ended. If the cost is unknown, the reserved amount counts. This also holds for a step that made nothing but
    /// may have been charged.
    pub(super) fn settle(&mut self, step: &str, may_be_charged: bool, cost: Option<&Cost>) {
        let reserved = self.reserved.remove(step).unwrap_or_default();
        if may_be_charged {
            self.settled += cost.map_or(reserved, |cost| microusd(cost.amount));
        }
    }
}

fn microusd(usd: f64) -> u64 {
    (usd * 1e6).round() as u64
}

fn over_budget(message: String, hint: &str) -> TaskError {
    TaskError {
        code: StoryMakeParams::OVER_BUDGET.to_owned(),
        message,
        hint: Some(hint.to_owned()),
        retryable: true,
        provider_status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_and_spent_never_passes_the_limit() {
        let mut budget = WorkflowBudget::new(0.10);
        let usd = |amount: f64| Some(Cost { amount, currency: "USD".to_owned(), is_estimate: false });
        assert!(budget.reserve("a", Some(60_000)).is_ok());
        assert!(
            budget
                .reserve("b", Some(60_000))
                .is_err_and(|error| error.message.contains("$0.0600 more are reserved"))
        );
        assert!(budget.reserve("c", Some(0)).is_ok());
        budget.settle("a", true, usd(0.02).as_ref());
        assert!(budget.reserve("b", Some(60_000)).is_ok());
        assert!(budget.reserve("d", Some(30_000)).is_err());
        budget.settle("b", false, None);
        assert!(budget.reserve("d", Some(30_000)).is_ok());
        budget.settle("d", true, None);
        assert!(budget.reserve("e", Some(50_001)).is_err());
        assert!(budget.reserve("e", Some(50_000)).is_ok());
        assert!(budget.reserve("f", None).is_err_and(|error| error.code == "over_budget"));
    }
}
