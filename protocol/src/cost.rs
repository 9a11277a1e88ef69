//! What a task costs.

use serde::{Deserialize, Serialize};

/// The cost of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cost {
    /// The amount in `currency`.
    pub amount: f64,
    /// The ISO 4217 code of the currency. Daemons of this version always answer `USD`.
    pub currency: String,
    /// Whether the amount, or a part of it, follows from a configured price and not from what the provider reports.
    pub is_estimate: bool,
}
