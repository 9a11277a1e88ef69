//! Decides which servers are asked to free memory while that of the machine is critically short. Pure.

use std::sync::Arc;

use super::{Instance, Provider};

/// The servers that are still to be asked.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    is_critical: bool,
    due: Vec<Server>,
}

/// A server, which several providers may use.
#[derive(Debug)]
struct Server {
    address: String,
    /// The names of its providers.
    names: Vec<String>,
    provider: Arc<dyn Provider>,
}

impl Shortage {
    /// Sets whether memory is critically short. When a shortage begins, the server of each instance is to be asked once.
    pub fn set(&mut self, is_critical: bool, instances: &[Instance]) {
        if self.is_critical == is_critical {
            return;
        }
        self.is_critical = is_critical;
        self.due.clear();
        for instance in instances.iter().filter(|_| is_critical) {
            let name = instance.profile.name.clone();
            // Programs and the embedded providers have no address.
            let address = instance.address.clone().unwrap_or_else(|| name.clone());
            match self.due.iter_mut().find(|server| server.address == address) {
                Some(server) => server.names.push(name),
                None => self.due.push(Server {
                    address,
                    names: vec![name],
                    provider: Arc::clone(&instance.provider),
                }),
            }
        }
    }

    /// Removes and returns the servers that no attempt uses. `is_used` says whether an attempt of the provider with that name is in flight.
    pub fn take_idle(&mut self, is_used: impl Fn(&str) -> bool) -> Vec<Arc<dyn Provider>> {
        let (used, idle): (Vec<_>, Vec<_>) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|server| server.names.iter().any(|name| is_used(name)));
        self.due = used;
        idle.into_iter().map(|server| server.provider).collect()
    }

    /// Whether a server is still to be asked.
    pub const fn is_due(&self) -> bool {
        !self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        provider::{InstanceFactory, Machines, kind_sections},
    };

    #[test]
    fn each_server_is_asked_once_for_each_shortage_and_only_while_it_is_idle() {
        let text = "[providers.a]\nkind = \"ollama\"\n[providers.b]\nkind = \"ollama\"\n[providers.c]\nkind = \"comfyui\"\n";
        let config = Config::parse(text, &kind_sections()).unwrap();
        let home = tempfile::tempdir().unwrap();
        let factory = InstanceFactory::new(&crate::memory::Budget::new(1), home.path(), Machines::default());
        let mut instances = factory.build(&config);
        instances.retain(|instance| instance.address.is_some());
        assert_eq!(instances.len(), 3);
        let mut shortage = Shortage::default();
        let mut step = |is_critical, used: &[&str]| {
            shortage.set(is_critical, &instances);
            let idle = shortage.take_idle(|name| used.contains(&name)).len();
            (idle, shortage.is_due())
        };
        for (is_critical, used, expected) in [
            (false, &[][..], (0, false)),
            // `a` and `b` use the same server.
            (true, &["b"], (1, true)),
            (true, &["a"], (0, true)),
            (true, &[], (1, false)),
            (true, &[], (0, false)),
            (false, &[], (0, false)),
            (true, &[], (2, false)),
            (false, &[], (0, false)),
            // One that stays busy is not asked after the shortage.
            (true, &["c"], (1, true)),
            (false, &[], (0, false)),
        ] {
            assert_eq!(step(is_critical, used), expected, "{is_critical} {used:?}");
        }
    }
}
