//! Requests and the heads of their answers, within the limits that the configuration sets.
//!
//! reqwest knows one timeout for all reads; how long the first byte may take and how long the next one is decided here (`patience`). How
//! many requests are under way is decided by the permits of the providers.
//!
//! A request with a body may cost money and is never sent twice by itself. So it gets a connection of its own: on one that lay idle it may
//! cross the server's closing of it, and nobody can tell afterwards whether it was read. And it is only called lost from the moment at
//! which it began to be written (`request_body`). Requests without a body share connections, and are repeated where theirs was closed.

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

/// Most response headers; hyper's own limit is 100, and an answer that passes it is lost though it was paid. Their bytes are bounded by
/// hyper's read buffer, which holds 400 KiB.
const MAX_HEADERS: usize = 2_000;
/// The limits of the section `[http]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Idle connections that are kept for one host.
    pub per_host: usize,
    /// How long an idle connection is kept for requests without a body.
    pub keep_alive: Duration,
    /// How long making a connection may take.
    pub connect: Duration,
    /// From the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub read: Duration,
    /// How long a whole exchange may take, from the request to the last byte.
    pub total: Duration,
}

/// The way to the network; cheap to clone. Its connections are made when they are needed first.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: HttpLimits,
    router: Router,
    clients: Mutex<HashMap<ClientKind, Client>>,
}

/// What clients differ in; a client owns connections that all requests of its kind may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ClientKind {
    reach: Reach,
    is_proxied: bool,
    /// Whether connections are used for more than one request.
    is_shared: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The address is one that may not be asked.
    #[error("{0}")]
    Forbidden(String),
    /// The request did not leave: nothing was done.
    #[error("{0}")]
    NotSent(Unreached),
    /// The connection broke; the request may have arrived.
    #[error("{0}")]
    Closed(String),
    /// Nothing came within so many seconds; the request may have arrived.
    #[error("no answer within {0} s")]
    Late(u64),
}

impl Http {
    /// A way to the network within these limits, through the proxies of the environment.
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

    /// The limits that it keeps.
    pub fn limits(&self) -> HttpLimits {
        self.0.limits
    }

    /// Sends a request and returns the head of its answer; `leaves` is called right before the request leaves. A redirect is an answer.
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
            // The server may have closed a shared connection while it lay idle.
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

    /// Waits for the head of an answer. `begun` tells when a request with a body begins to be written.
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
                    // In this order: a request that failed may have begun as well.
                    biased;
                    Ok(()) = begun => None,
                    sent = &mut sending => Some(sent),
                }
            };
            // The client itself gives up a connection after `connect`.
            match patience.wait(limits.total, connected).await {
                Ok(None) => {}
                Ok(Some(sent)) => return sent.map_err(not_sent),
                Err(_) => return Err(SendError::NotSent("no connection was made in time".into())),
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

    /// The client of a kind. The first request of its kind makes it, apart from the rooms' thread: it reads the system's certificates.
    async fn client(&self, kind: ClientKind) -> Result<Client, Unreached> {
        let made = || self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made().get(&kind) {
            return Ok(client.clone());
        }
        let (limits, hosts) = (self.0.limits, self.0.router.proxies().hosts().clone());
        let resolver = Resolver::new(kind.reach, hosts);
        let client = spawn_blocking(move || build(limits, kind, resolver)).await;
        let client =
            client.map_err(|_| Unreached::from("making a connection failed; reel daemon logs says more"))?;
        let client = client.map_err(|error| Unreached::new(&error, None))?;
        // Where two requests made one each, both use the first.
        Ok(made().entry(kind).or_insert(client).clone())
    }
}

fn build(limits: HttpLimits, kind: ClientKind, resolver: Resolver) -> Result<Client, reqwest::Error> {
    // It fails only where another part of the process chose one before, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let resolver = Arc::new(resolver);
    let build = |is_without_authorities: bool| {
        let builder = builder(limits, kind).dns_resolver(Arc::clone(&resolver));
        if is_without_authorities { builder.tls_certs_only([]) } else { builder }.build()
    };
    // A small container may have no certificates of authorities. It can still ask by plain HTTP; a server that needs them is refused with what
    // to do about it.
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
        // One header that nobody can read must not lose an answer that was paid.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true);
    if kind.is_proxied { builder } else { builder.no_proxy() }
}
