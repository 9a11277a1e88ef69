//! Which provider is used first for each service, before and after a change of the configuration.

use std::{collections::BTreeMap, path::Path};

use reel_client::Client;
use reel_protocol::methods::{DaemonStatus, Empty, ProviderInfo, ProviderList};

use crate::context::Context;

/// The services that a person chooses a provider for, each with the word for what it makes.
const SERVICES: [(&str, &str); 4] =
    [("image", "pictures"), ("voice", "speech"), ("text", "texts"), ("video", "videos")];

/// The providers that serve each service. The one that a request without a provider uses is the first.
pub type InUse = BTreeMap<&'static str, Vec<String>>;

/// Asks the daemon if one runs. None if none does, or if it uses another configuration file.
pub async fn in_use_if_running(context: &Context, config: &Path) -> Option<InUse> {
    ask(&context.running().await.ok()?, config).await
}

async fn ask(client: &Client, config: &Path) -> Option<InUse> {
    let status = client.call::<DaemonStatus>(&Empty {}).await.ok()?;
    if Path::new(&status.config) != config {
        return None;
    }
    Some(of_list(&client.call::<ProviderList>(&Empty {}).await.ok()?.providers))
}

fn of_list(providers: &[ProviderInfo]) -> InUse {
    let serving = |service: &str| {
        let has = |services: &[String]| services.iter().any(|one| one == service);
        let mut serving: Vec<_> = providers.iter().filter(|provider| has(&provider.services)).collect();
        // The sort is stable, so all others stay in the order of selection.
        serving.sort_by_key(|provider| !has(&provider.default_for));
        serving.iter().map(|provider| provider.name.clone()).collect()
    };
    SERVICES.iter().map(|(service, _)| (*service, serving(service))).collect()
}

fn first<'a>(in_use: &'a InUse, service: &str) -> Option<&'a String> {
    in_use.get(service)?.first()
}

/// Returns the lines that say what the new provider `name` is used for from now on, in place of which one, and how to choose another.
pub fn changes(name: &str, before: &InUse, after: &InUse) -> Vec<String> {
    let mut lines = Vec::new();
    let mut choice = None;
    for (service, product) in SERVICES {
        let Some(now) = first(after, service) else { continue };
        let is_served = after.get(service).is_some_and(|names| names.iter().any(|one| one == name));
        match first(before, service).filter(|former| *former != now) {
            _ if !is_served => {}
            _ if now != name => {
                lines.push(format!("{product} are still made by {now}"));
                choice = Some((service, name));
            }
            // The drafts are there only until another provider makes the same.
            Some(former) if former != "draft" => {
                lines.push(format!("{product} are now made by {name}, no longer by {former}"));
                choice = Some((service, former.as_str()));
            }
            _ => {
                lines.push(format!("{product} are made by {name}"));
                // If no daemon ran before, it is unknown what is replaced. Most computers speak with this program.
                if service == "voice" && before.is_empty() {
                    choice = Some((service, "espeak-ng"));
                }
            }
        }
    }
    if let Some((service, other)) = choice {
        lines.push(format!(
            "  to choose {other} instead: write {service} = \"{other}\" below [defaults] (reel config edit)"
        ));
    }
    grammar(lines)
}

/// Returns the lines that say which providers take the place of the removed provider `name`.
pub fn successors(before: &InUse, after: &InUse, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (service, product) in SERVICES {
        if first(before, service).is_none_or(|former| former != name) {
            continue;
        }
        lines.push(match first(after, service) {
            Some(next) => format!("{product} are now made by {next}"),
            None => format!("{product} are now made by no provider"),
        });
    }
    grammar(lines)
}

/// Speech is the only product in the singular.
fn grammar(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| line.replacen("speech are", "speech is", 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_use(pairs: &[(&'static str, &[&str])]) -> InUse {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        pairs.iter().map(|(service, names)| (*service, owned(names))).collect()
    }

    #[test]
    fn a_person_learns_what_a_new_provider_replaces() {
        let before = in_use(&[("image", &["mine", "draft"]), ("voice", &["espeak-ng"]), ("text", &[])]);
        let after = in_use(&[("image", &["mine", "draft"]), ("voice", &["cloud"]), ("text", &["cloud"])]);
        assert_eq!(
            changes("cloud", &before, &after),
            [
                "speech is now made by cloud, no longer by espeak-ng",
                "texts are made by cloud",
                "  to choose espeak-ng instead: write voice = \"espeak-ng\" below [defaults] (reel config edit)",
            ]
        );
        let second = in_use(&[("image", &["mine", "cloud", "draft"])]);
        assert_eq!(
            changes("cloud", &before, &second),
            [
                "pictures are still made by mine",
                "  to choose cloud instead: write image = \"cloud\" below [defaults] (reel config edit)",
            ]
        );
        assert_eq!(changes("other", &before, &after), [""; 0]);
        assert_eq!(
            successors(&after, &before, "cloud"),
            ["speech is now made by espeak-ng", "texts are now made by no provider"]
        );
    }
}
