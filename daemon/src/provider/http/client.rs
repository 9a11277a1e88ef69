//! Sends requests and waits for the heads of their responses, within the limits that the configuration sets.
//!
//! reqwest has one timeout for all reads, so the limits for the first byte and for each next piece are applied here (`patience`). The permits
//! of the providers limit how many requests are in flight.
//!
//! A request with a body may cost money and is never sent twice automatically. So it gets a connection of its own: a server may close an idle
//! connection while the request is being written, and nobody can tell afterwards whether the server read it. Such a request counts as lost
//! only if hyper had begun to write it (`request_body`). Requests without a body share connections, and are repeated once if a shared
//! connection was closed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, ClientBuilder, Request, Response, redirect::Policy};
use tokio::{sync::oneshot, task::spawn_blocking};

use super::{
    dns::{Reach, Resolver, is_reachable},
    exchange::{BodyPatience, Exchange},
    patience::Patience,
    proxy::{Proxies, Proxy},
    request_body,
    route::{Route, Router},
    unreached::{Unreached, causes_text},
};

/// Most headers of a response. hyper's own limit is 100, and a response with more would be lost though it was paid for. hyper's read buffer,
/// which holds 400 KiB, bounds the bytes of the headers.
const MAX_HEADERS: usize = 2_000;
/// The limits of the section `[http]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// The most idle connections that are kept for one host.
    pub per_host: usize,
    /// How long an idle connection is kept for requests without a body.
    pub keep_alive: Duration,
    /// How long making a connection may take.
    pub connect: Duration,
    /// How long the first byte of the response may take. For a request with a body, this counts from when it begins to be written.
    pub first_byte: Duration,
    /// How long each further piece of the response may take.
    pub read: Duration,
    /// How long a whole exchange may take, from the request to the last byte.
    pub total: Duration,
}

/// The HTTP client of all providers; cheap to clone. It makes a connection when a request needs one.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: HttpLimits,
    router: Router,
    clients: Mutex<HashMap<ClientKind, Client>>,
}

/// The properties in which reqwest's clients differ. A client owns a pool of connections, which all requests of its kind may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ClientKind {
    reach: Reach,
    is_proxied: bool,
    /// Whether connections are used for more than one request.
    is_shared: bool,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Requests to this host are not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// The request was not sent, so the provider has done nothing.
    #[error("{0}")]
    NotSent(Unreached),
    /// The connection failed. The request may have arrived.
    #[error("{0}")]
    Closed(String),
    /// No response came within this many seconds. The request may have arrived.
    #[error("no answer within {0} s")]
    Late(u64),
}

impl Http {
    /// A client with these limits, which uses the proxies that the environment names.
    pub fn new(limits: HttpLimits) -> Self {
        let proxies = Proxies::of_process();
        for variable in proxies.unusable() {
            tracing::warn!(
                variable,
                "the variable names no proxy that reel can use (http, https, socks4, socks4a, socks5, socks5h); requests go as if it were not set"
            );
        }
        Self(Arc::new(Inner {
            limits,
            router: Router::new(proxies, limits.connect),
            clients: Mutex::default(),
        }))
    }

    /// The limits that apply to each request.
    pub fn limits(&self) -> HttpLimits {
        self.0.limits
    }

    /// Sends a request and waits for the head of its response. Calls `leaves` right before the request is sent. A redirect is returned, not
    /// followed.
    pub async fn send(
        &self,
        request: Request,
        reach: Reach,
        leaves: impl FnOnce(),
    ) -> Result<Exchange, SendError> {
        let is_reachable = is_reachable(request.url(), reach);
        let route = if is_reachable { self.0.router.route(request.url(), reach).await } else { None };
        let Some(route) = route else {
            let host = request.url().host_str().unwrap_or("an address without a host");
            return Err(SendError::Forbidden(format!("{host} may not be asked")));
        };
        let again = if request.body().is_none() { request.try_clone() } else { None };
        match (self.send_once(request, &route, again.is_some(), leaves).await, again) {
            // The server may have closed a shared connection while it was idle.
            (Err(SendError::Closed(_)), Some(again)) => self.send_once(again, &route, false, || ()).await,
            (sent, _) => sent,
        }
    }

    async fn send_once(
        &self,
        mut request: Request,
        route: &Route,
        is_shared: bool,
        leaves: impl FnOnce(),
    ) -> Result<Exchange, SendError> {
        let kind = ClientKind { reach: route.reach, is_proxied: route.proxy.is_some(), is_shared };
        let client = self.client(kind).await.map_err(SendError::NotSent)?;
        let begun = request_body::watch(&mut request);
        let mut patience = Patience::new(self.0.limits.total);
        leaves();
        let sending = client.execute(request);
        let response = self.head(sending, begun, route.proxy.as_ref(), &mut patience).await?;
        let body = BodyPatience { read: self.0.limits.read, exchange: patience };
        Ok(Exchange { response, body })
    }

    /// Waits for the head of a response. `begun` signals when a request with a body begins to be written.
    async fn head(
        &self,
        sending: impl Future<Output = reqwest::Result<Response>>,
        begun: Option<oneshot::Receiver<()>>,
        proxy: Option<&Proxy>,
        patience: &mut Patience,
    ) -> Result<Response, SendError> {
        let limits = self.0.limits;
        let mut sending = std::pin::pin!(sending);
        let not_sent =
            |error: reqwest::Error| SendError::NotSent(Unreached::new(&error.without_url(), proxy));
        let has_begun = begun.is_some();
        if let Some(begun) = begun {
            let connected = async {
                tokio::select! {
                    // Poll `begun` first: a request that failed may have begun to be written before.
                    biased;
                    Ok(()) = begun => None,
                    sent = &mut sending => Some(sent),
                }
            };
            // reqwest itself stops connecting after `limits.connect`.
            match patience.wait(limits.total, connected).await {
                Ok(None) => {}
                Ok(Some(sent)) => return sent.map_err(not_sent),
                Err(_) => return Err(SendError::NotSent(Unreached::too_late())),
            }
        }
        match patience.wait(limits.first_byte, sending).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if !has_begun && (error.is_connect() || error.is_builder()) => {
                Err(not_sent(error))
            }
            Ok(Err(error)) => Err(SendError::Closed(causes_text(&error.without_url()))),
            Err(_) => {
                let seconds = limits.first_byte.min(limits.total).as_secs();
                Err(SendError::Late(seconds))
            }
        }
    }

    /// Returns the client of a kind. The first request of that kind builds it, on a blocking thread because it reads the system's certificates.
    async fn client(&self, kind: ClientKind) -> Result<Client, Unreached> {
        let made = || self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made().get(&kind) {
            return Ok(client.clone());
        }
        let (limits, hosts) = (self.0.limits, self.0.router.proxies().hosts().clone());
        let resolver = Resolver::new(kind.reach, hosts);
        let client = spawn_blocking(move || build(limits, kind, resolver)).await;
        let client = client
            .map_err(|_| Unreached::from("making a connection failed; reel daemon logs shows the cause"))?;
        let client = client.map_err(|error| Unreached::new(&error, None))?;
        // If two requests have built a client each, both use the one that was stored first.
        Ok(made().entry(kind).or_insert(client).clone())
    }
}

fn build(limits: HttpLimits, kind: ClientKind, resolver: Resolver) -> Result<Client, reqwest::Error> {
    // This fails only if another part of the process has installed a provider before, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let resolver = Arc::new(resolver);
    let build = |is_without_authorities: bool| {
        let builder = builder(limits, kind).dns_resolver(Arc::clone(&resolver));
        if is_without_authorities { builder.tls_certs_only([]) } else { builder }.build()
    };
    // A small container may have no certificates of authorities. It can still use plain HTTP. A request over TLS then fails with an error that
    // says what to do.
    build(false).or_else(|_| build(true))
}

fn builder(limits: HttpLimits, kind: ClientKind) -> ClientBuilder {
    let is_kept = kind.is_shared && !limits.keep_alive.is_zero();
    let builder = Client::builder()
        .user_agent(concat!("reel/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(limits.connect)
        .pool_idle_timeout(limits.keep_alive)
        .pool_max_idle_per_host(if is_kept { limits.per_host } else { 0 })
        .http1_max_headers(MAX_HEADERS)
        // One malformed header must not lose a response that was paid for.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true);
    if kind.is_proxied { builder } else { builder.no_proxy() }
}
