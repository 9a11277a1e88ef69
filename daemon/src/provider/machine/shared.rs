//! Finds the providers that use the same server.

use crate::config::{MachineConfig, ProviderConfig};

/// Returns the configured servers, each with the providers that use it. It is stopped after the longest idle time of these providers.
pub(super) fn servers(providers: &[ProviderConfig]) -> Vec<(MachineConfig, (String, u16), Vec<String>)> {
    let mut servers: Vec<(MachineConfig, (String, u16), Vec<String>)> = Vec::new();
    for provider in providers {
        let (Some(config), Some(remote)) = (&provider.machine, &provider.own.remote) else { continue };
        let url = &remote.base_url;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { continue };
        // An IPv6 address has brackets in a URL, and none where a connection is made.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = (host, port);
        let same = servers.iter_mut().find(|(other, at, _)| other.start == config.start && *at == address);
        let Some((shared, _, members)) = same else {
            servers.push((config.clone(), address, vec![provider.name.clone()]));
            continue;
        };
        let idle = |config: &MachineConfig| config.stop.as_ref().map(|stop| stop.after_idle);
        if idle(config) > idle(shared) {
            shared.stop.clone_from(&config.stop);
        }
        members.push(provider.name.clone());
    }
    servers
}
