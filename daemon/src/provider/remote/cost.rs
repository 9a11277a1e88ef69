//! Computes the cost of a call from its response: the amount that the service names, else its token counts times the configured price.

use reqwest::header::HeaderMap;

use super::RemoteProvider;
use crate::{
    domain::Failure,
    provider::http::{Document, Node},
};

impl RemoteProvider {
    /// The cost in millionths of a US dollar. None if the response names no amount, and has no token counts or no price is configured for them.
    pub(super) fn cost_microusd(&self, headers: &HeaderMap, document: &Document) -> Option<u64> {
        let named = self.wire.cost_microusd(headers, document);
        named.or_else(|| {
            let (input, output) = tokens(document);
            self.config.price.as_ref()?.of_tokens(input, output)
        })
    }

    /// Adds the cost to a failure, if the response names an amount or counts tokens that have a price.
    pub(super) fn charged(&self, mut failure: Failure, headers: &HeaderMap, document: &Document) -> Failure {
        if let Some(cost) = self.cost_microusd(headers, document).filter(|cost| *cost > 0) {
            let dollars = cost as f64 / 1e6;
            let said = &failure.error.message;
            failure.error.message = format!("{said}; the answer reports a cost of {dollars} USD");
            failure.cost_microusd = Some(cost);
        }
        failure
    }
}

/// Returns the input and output tokens, as services that speak `OpenAI`'s API count them: `prompt_tokens` and `completion_tokens` for chat,
/// `input_tokens` and `output_tokens` for pictures (openai-openapi, `CompletionUsage` and `ImageGenUsage`).
fn tokens(document: &Document) -> (Option<u64>, Option<u64>) {
    let usages = || document.roots.iter().flat_map(|root| root.all("usage"));
    let count = |names: [&str; 2]| {
        let of = |usage: &Node| names.into_iter().find_map(|name| usage.all(name).find_map(Node::number));
        // A negative count, or one of 10^12 or more, is implausible.
        usages().find_map(of).filter(|count| (0.0..1e12).contains(count)).map(|count| count as u64)
    };
    (count(["prompt_tokens", "input_tokens"]), count(["completion_tokens", "output_tokens"]))
}
