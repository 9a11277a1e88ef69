//! The budget of one workflow: the cost of its ended steps, the reserved cost of its running steps, and whether the next step fits. Pure.

use std::collections::BTreeMap;

use reel_protocol::{StoryMakeParams, TaskError};

use super::step::StepEnd;

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
            // Four decimals, without zeros at the end.
            let usd = |amount: u64| (amount as f64 / 100.0).round() / 1e4;
            let message = format!(
                "{step} would cost {} USD; {} USD of the budget of {} USD are spent or may be, and {} USD more are reserved",
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

    /// Records what a step that ended cost or may have cost.
    pub(super) fn settle(&mut self, step: &str, end: &StepEnd) {
        let reserved = self.reserved.remove(step).unwrap_or_default();
        self.settled += microusd(end.charge_usd(reserved as f64 / 1e6));
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
    use reel_protocol::{Cost, StepState};

    use super::*;

    /// Returns the end of a step that failed with this code, or was made.
    fn end(code: Option<&str>, cost: Option<f64>) -> StepEnd {
        let mut end = StepEnd::refused(over_budget(String::new(), ""));
        end.error.as_mut().unwrap().code = code.unwrap_or_default().to_owned();
        end.state = if code.is_some() { StepState::Failed } else { StepState::Made };
        end.cost = cost.map(|amount| Cost { amount, currency: "USD".to_owned(), is_estimate: false });
        end
    }

    #[test]
    fn what_is_reserved_and_spent_never_passes_the_limit() {
        let mut budget = WorkflowBudget::new(0.10);
        assert!(budget.reserve("a", Some(60_000)).is_ok());
        assert!(
            budget
                .reserve("b", Some(60_000))
                .is_err_and(|error| error.message.contains("0.06 USD more are reserved"))
        );
        assert!(budget.reserve("c", Some(0)).is_ok());
        budget.settle("a", &end(None, Some(0.02)));
        assert!(budget.reserve("b", Some(60_000)).is_ok());
        assert!(budget.reserve("d", Some(30_000)).is_err());
        budget.settle("b", &end(Some("moderated"), None));
        assert!(budget.reserve("d", Some(30_000)).is_ok());
        budget.settle("d", &end(Some("answer_lost"), None));
        assert!(budget.reserve("e", Some(50_001)).is_err());
        assert!(budget.reserve("e", Some(50_000)).is_ok());
        assert!(budget.reserve("f", None).is_err_and(|error| error.code == "over_budget"));
    }

    #[test]
    fn a_known_cost_counts_and_an_unclear_outcome_counts_as_its_price() {
        for (end, charged) in [
            (end(None, Some(0.01)), 0.01),
            (end(None, None), 0.05),
            (end(Some("moderated"), None), 0.0),
            (end(Some("schema_mismatch"), Some(0.02)), 0.02),
            (end(Some("answer_lost"), Some(0.02)), 0.05),
            (end(Some("provider_failed"), Some(0.07)), 0.07),
            (StepEnd { state: StepState::Held, ..end(None, None) }, 0.05),
            (StepEnd { state: StepState::Cached, ..end(None, None) }, 0.0),
        ] {
            assert!((end.charge_usd(0.05) - charged).abs() < 1e-9, "{end:?}");
        }
    }
}
