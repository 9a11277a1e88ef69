//! Implements `--dry-run`: prints which provider a command would use and what it would probably cost. No provider is asked, and no task is submitted.

use std::collections::BTreeMap;

use reel_client::Session;
use reel_protocol::{
    Cost, TaskSpec,
    methods::{DryRunParams, DryRunResult, ProviderDryRun},
};
use serde::Serialize;

use crate::{context::Context, exit::Exit, failure::Failure, tasks};

/// The sums over several requests of a dry run.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Number of all requests.
    pub requests: u64,
    /// Number of requests whose result exists already as a file, so that no task is needed.
    pub kept: u64,
    /// Number of requests that the cache answers.
    pub cached: u64,
    /// Number of requests for each provider, by its name.
    pub by_provider: BTreeMap<String, u64>,
    /// The probable cost of all requests together; None if no request has a known cost.
    pub cost: Option<Cost>,
    /// Number of requests with an unknown cost.
    pub unknown_cost: u64,
}

/// Asks the daemon which provider a request would use and what it would cost.
pub async fn ask(session: &Session, spec: &TaskSpec) -> Result<DryRunResult, Failure> {
    let params = DryRunParams {
        kind: spec.kind.clone(),
        params: spec.params.clone(),
        provider: spec.provider.clone(),
        cache: spec.cache,
    };
    Ok(session.call::<ProviderDryRun>(&params).await?)
}

/// Prints the dry run of one request. `what` names the result, such as `1 answer`.
pub async fn one(context: &Context, session: &Session, spec: &TaskSpec, what: &str) -> Result<Exit, Failure> {
    let result = ask(session, spec).await?;
    context.note_version(&session.client());
    context.output.document(&result)?;
    context.output.line(&format!("{what}: {}", sentence(&result)))?;
    context.output.note("this was a dry run: no provider was asked");
    Ok(Exit::Done)
}

/// Describes which provider would be used and the price.
pub fn sentence(result: &DryRunResult) -> String {
    let Some(provider) = &result.provider else {
        return match result.cost {
            Some(_) => "needs no provider".to_owned(),
            None => "by several tasks, for a price that is not known before they are planned".to_owned(),
        };
    };
    let model = result.model.as_ref().map(|model| format!(" ({model})")).unwrap_or_default();
    if result.is_cached {
        return format!("from the cache, made by {provider}{model} before; costs nothing");
    }
    format!("by {provider}{model}, {}", price(result.cost.as_ref(), result.billing.as_deref()))
}

fn price(cost: Option<&Cost>, billing: Option<&str>) -> String {
    match cost {
        Some(cost) if cost.amount > 0.0 => tasks::cost(cost),
        Some(_) if billing == Some("free") => "free".to_owned(),
        Some(_) => "costs nothing".to_owned(),
        None => "for an unknown price: the provider has no price in the configuration".to_owned(),
    }
}

impl Summary {
    /// Adds one request.
    pub fn add(&mut self, result: &DryRunResult) {
        self.requests += 1;
        if result.is_cached {
            self.cached += 1;
            return;
        }
        let provider = result.provider.clone().unwrap_or_else(|| "nobody".to_owned());
        *self.by_provider.entry(provider).or_default() += 1;
        let Some(cost) = &result.cost else {
            self.unknown_cost += 1;
            return;
        };
        self.add_cost(cost);
    }

    /// Adds a request whose result exists already as a file.
    pub fn add_kept(&mut self) {
        self.requests += 1;
        self.kept += 1;
    }

    /// Adds the sums of another summary.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.kept += other.kept;
        self.cached += other.cached;
        self.unknown_cost += other.unknown_cost;
        for (provider, count) in &other.by_provider {
            *self.by_provider.entry(provider.clone()).or_default() += count;
        }
        if let Some(cost) = &other.cost {
            self.add_cost(cost);
        }
    }

    fn add_cost(&mut self, cost: &Cost) {
        let total = self.cost.get_or_insert_with(|| Cost {
            amount: 0.0,
            currency: cost.currency.clone(),
            is_estimate: false,
        });
        // The sum is rounded to whole millionths, so that a thousand prices add up exactly.
        total.amount = ((total.amount * 1e6).round() + (cost.amount * 1e6).round()) / 1e6;
        total.is_estimate |= cost.is_estimate;
    }

    /// Describes the whole summary, such as `12 tasks: 3 files exist already, 4 are in the cache, 5 to make by studio; cost: about 0.2 USD`.
    pub fn words(&self) -> String {
        let noun = if self.requests == 1 { "task" } else { "tasks" };
        let kept = match self.kept {
            0 => String::new(),
            1 => "1 file exists already, ".to_owned(),
            kept => format!("{kept} files exist already, "),
        };
        format!("{} {noun}: {kept}{}", self.requests, self.parts("to make by"))
    }

    /// Describes the summary without its counts of all and of kept requests, such as `4 are in the cache, 5 to make by studio; cost: about 0.2 USD`.
    /// `verb` stands between a count and the name of a provider.
    pub fn parts(&self, verb: &str) -> String {
        let mut parts = Vec::new();
        match self.cached {
            0 => {}
            1 => parts.push("1 is in the cache".to_owned()),
            cached => parts.push(format!("{cached} are in the cache")),
        }
        parts.extend(self.by_provider.iter().map(|(provider, count)| format!("{count} {verb} {provider}")));
        if self.by_provider.is_empty() {
            parts.push("nothing to make".to_owned());
        }
        format!("{}; cost: {}", parts.join(", "), price_words(self))
    }
}

/// Describes the cost, such as `about 0.2 USD, and 3 have an unknown price`.
pub fn price_words(summary: &Summary) -> String {
    match (&summary.cost, summary.unknown_cost) {
        (Some(cost), 0) if cost.amount > 0.0 => tasks::cost(cost),
        (Some(cost), unknown) if unknown > 0 => {
            let have = if unknown == 1 { "has" } else { "have" };
            format!("{}, and {unknown} {have} an unknown price", tasks::cost(cost))
        }
        (_, 0) => "nothing".to_owned(),
        _ => "unknown, because a provider has no price in the configuration".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(is_cached: bool, amount: Option<f64>) -> DryRunResult {
        DryRunResult {
            provider: Some("studio".to_owned()),
            model: None,
            billing: Some("paid".to_owned()),
            others: Vec::new(),
            is_cached,
            cost: amount.map(|amount| Cost { amount, currency: "USD".to_owned(), is_estimate: true }),
            requests: Vec::new(),
        }
    }

    #[test]
    fn a_summary_adds_up_exactly_and_says_what_it_does_not_know() {
        let mut summary = Summary::default();
        assert_eq!(summary.words(), "0 tasks: nothing to make; cost: nothing");
        summary.add_kept();
        summary.add(&result(true, Some(0.0)));
        for _ in 0..3 {
            summary.add(&result(false, Some(0.1)));
        }
        assert_eq!(
            summary.words(),
            "5 tasks: 1 file exists already, 1 is in the cache, 3 to make by studio; cost: about 0.3 USD"
        );
        summary.add(&result(false, None));
        assert!(
            summary.words().ends_with("about 0.3 USD, and 1 has an unknown price"),
            "{}",
            summary.words()
        );
    }
}
