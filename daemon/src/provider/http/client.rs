//! Requests and their answers' heads, within the limits that the configuration sets.
//!
//! reqwest caps idle connections only and knows one timeout for all reads; how many requests are under way, how long the first byte may take
//! and how long the next one are ours.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use reqwest::{Client, Request, Response, redirect::Policy};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout, timeout_at},
};

use super::{
    body::{Chunk, Chunks},
    dns::{Reach, Resolver, is_reachable},
    readers::Readers,
    route::{Route, Router, proxy_hosts},
};

/// Pieces of an answer that wait for the disk.
const WAITING_CHUNKS: usize = 8;
/// What is gathered of an answer before a thread is woken for it: most are smaller than this, and each wake costs as much as the work.
const GATHERED_BYTES: usize = 256 * 1024;
/// The same in chunks, of which a server may send small ones.
const GATHERED_CHUNKS: usize = 64;
/// A whole answer of at most so many bytes is read with others on few threads: its picture is small enough to be synced later.
const SMALL_BYTES: usize = 21 * 1024;
/// Largest piece: hyper's grow to 400 KiB where they come fast.
const PIECE_BYTES: usize = 64 * 1024;
/// What is read of an answer that only says what went wrong.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Hosts whose requests are counted; past it the counts begin anew, as configurations name few.
const MAX_HOSTS: usize = 256;

/// From `[http]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests under way.
    pub pool: usize,
    /// Requests under way to one host.
    pub per_host: usize,
    /// How long an address is remembered.
    pub dns_ttl: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// To connect.
    pub connect: Duration,
    /// From the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub read: Duration,
    /// For all of it.
    pub total: Duration,
}

/// The way to the network; cheap to clone. Its connections are made when they are needed first.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: HttpLimits,
    direct: OnceLock<Client>,
    environment: OnceLock<Client>,
    internet: OnceLock<Client>,
    router: Router,
    proxies: HashSet<String>,
    pool: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    readers: Readers,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The address is one that may not be asked.
    Forbidden(String),
    /// The request did not leave: nothing was done.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
}

/// The right to have one request under way; given back when dropped.
#[derive(Debug)]
struct Slot {
    _pool: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
}

/// An answer whose head has come. It holds its place among the requests under way.
#[derive(Debug)]
pub struct Exchange {
    /// The head.
    pub response: Response,
    read: Duration,
    deadline: Instant,
    slot: Slot,
    readers: Readers,
}

impl Http {
    /// Within these limits.
    pub fn new(limits: HttpLimits) -> Self {
        let proxies = proxy_hosts(|name| std::env::var(name).ok());
        Self(Arc::new(Inner {
            limits,
            router: Router::new(!proxies.is_empty(), limits.dns_ttl, limits.connect),
            proxies,
            direct: OnceLock::new(),
            environment: OnceLock::new(),
            internet: OnceLock::new(),
            pool: Arc::new(Semaphore::new(limits.pool)),
            hosts: Mutex::default(),
            readers: Readers::default(),
        }))
    }

    /// Sends a request when its turn has come and gives the head of its answer; `leaves` is called right before it leaves. A redirect is an
    /// answer.
    pub async fn send(
        &self,
        request: Request,
        reach: Reach,
        leaves: impl FnOnce(),
    ) -> Result<Exchange, SendError> {
        let is_reachable = is_reachable(request.url(), reach);
        let route = if is_reachable { self.0.router.route(request.url(), reach).await } else { None };
        let Some(route) = route else {
            let host = request.url().host_str().unwrap_or("an address without a host").to_owned();
            return Err(SendError::Forbidden(format!("{host} may not be asked")));
        };
        let limits = self.0.limits;
        let client = self.client(route).map_err(|error| SendError::NotSent(chain(&error)))?;
        let slot = self.slot(&request).await.ok_or_else(|| SendError::NotSent("it stops".to_owned()))?;
        let deadline = Instant::now() + limits.total;
        leaves();
        let sent = timeout(limits.first_byte.min(limits.total), client.execute(request)).await;
        match sent {
            Ok(Ok(response)) => {
                let readers = self.0.readers.clone();
                Ok(Exchange { response, read: limits.read, deadline, slot, readers })
            }
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                Err(SendError::NotSent(chain(&error.without_url())))
            }
            Ok(Err(error)) => Err(SendError::Lost(chain(&error.without_url()))),
            Err(_) => {
                let seconds = limits.first_byte.min(limits.total).as_secs();
                Err(SendError::Lost(format!("no answer within {seconds} s")))
            }
        }
    }

    async fn slot(&self, request: &Request) -> Option<Slot> {
        let url = request.url();
        let (name, port) =
            (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let host = format!("{}://{name}:{port}", url.scheme());
        let per_host = {
            let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() >= MAX_HOSTS {
                hosts.clear();
            }
            let slots = || Arc::new(Semaphore::new(self.0.limits.per_host));
            Arc::clone(hosts.entry(host).or_insert_with(slots))
        };
        // The host's first: who waits for a slow one keeps nobody else from the pool.
        let host = per_host.acquire_owned().await.ok()?;
        let pool = Arc::clone(&self.0.pool).acquire_owned().await.ok()?;
        Some(Slot { _pool: pool, _host: host })
    }

    fn client(&self, route: Route) -> Result<&Client, reqwest::Error> {
        let place = match route {
            Route::Direct => &self.0.direct,
            Route::Environment => &self.0.environment,
            Route::Internet => &self.0.internet,
        };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = build(self.0.limits, route, &self.0.proxies)?;
        Ok(place.get_or_init(|| client))
    }
}

fn build(limits: HttpLimits, route: Route, proxies: &HashSet<String>) -> Result<Client, reqwest::Error> {
    // It fails only where another part of the process chose one before, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let reach = if route == Route::Internet { Reach::Internet } else { Reach::Anywhere };
    let builder = Client::builder()
        .user_agent(concat!("reel/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(limits.connect)
        .pool_idle_timeout(limits.keep_alive)
        .pool_max_idle_per_host(if limits.keep_alive.is_zero() { 0 } else { limits.per_host })
        .dns_resolver(Arc::new(Resolver::new(reach, limits.dns_ttl).with_own(proxies.clone())));
    if route == Route::Direct { builder.no_proxy() } else { builder }.build()
}

impl Exchange {
    /// Gives the body to a reader on a thread that may block, piece by piece, and answers what the reader made of it. The reader is told
    /// where the body was cut; `arrived` is told how many bytes came when all of it is here, which the reader may not have read yet. None where
    /// the reader panicked.
    pub async fn read_with<T: Send + 'static>(
        self,
        arrived: impl FnOnce(usize),
        reader: impl FnOnce(Chunks) -> T + Send + 'static,
    ) -> Option<T> {
        let Self { response, read, deadline, slot, readers } = self;
        let mut arrival = Arrival { response, read, deadline, bytes: 0, is_over: false, is_whole: false };
        let mut gathered = Vec::new();
        while arrival.bytes < GATHERED_BYTES
            && gathered.len() < GATHERED_CHUNKS
            && let Some(chunk) = arrival.next().await
        {
            gathered.push(chunk);
        }
        let mut over = Some((slot, arrived));
        // Nothing is under way any more once it is whole.
        let mut is_over = |arrival: &Arrival| {
            if arrival.is_whole
                && let Some((slot, arrived)) = over.take()
            {
                drop(slot);
                arrived(arrival.bytes);
            }
        };
        is_over(&arrival);
        let (pieces, rest) = mpsc::channel(WAITING_CHUNKS);
        if arrival.is_whole && arrival.bytes <= SMALL_BYTES {
            drop(pieces);
            return readers.read(move || reader(Chunks::new(gathered, rest))).await;
        }
        let reading = tokio::task::spawn_blocking(move || reader(Chunks::new(gathered, rest)));
        while let Some(chunk) = arrival.next().await {
            // A reader that has gone has read enough.
            if !pass_on(&pieces, chunk).await {
                break;
            }
        }
        drop(pieces);
        is_over(&arrival);
        reading.await.ok()
    }

    /// The beginning of a body that says what went wrong; whatever came of it before it was cut.
    pub async fn error_text(mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < MAX_ERROR_BYTES {
            let until = self.deadline.min(Instant::now() + self.read);
            match timeout_at(until, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => text.extend_from_slice(&bytes),
                _ => break,
            }
        }
        text.truncate(MAX_ERROR_BYTES);
        text
    }
}

/// A body on its way.
struct Arrival {
    response: Response,
    read: Duration,
    deadline: Instant,
    /// That came.
    bytes: usize,
    is_over: bool,
    is_whole: bool,
}

impl Arrival {
    /// What comes next of it; nothing follows its end, nor a cut.
    async fn next(&mut self) -> Option<Chunk> {
        if self.is_over {
            return None;
        }
        let until = self.deadline.min(Instant::now() + self.read);
        let cut = match timeout_at(until, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.bytes += bytes.len();
                return Some(Chunk::Bytes(bytes));
            }
            Ok(Ok(None)) => {
                (self.is_over, self.is_whole) = (true, true);
                return None;
            }
            Ok(Err(error)) => chain(&error.without_url()),
            Err(_) if until == self.deadline => "the answer took too long".to_owned(),
            Err(_) => format!("the answer stood still for {} s", self.read.as_secs()),
        };
        self.is_over = true;
        Some(Chunk::Cut(cut))
    }
}

/// Gives a chunk to the reader, in pieces; whether it takes more.
async fn pass_on(pieces: &mpsc::Sender<Chunk>, chunk: Chunk) -> bool {
    let mut bytes = match chunk {
        Chunk::Bytes(bytes) => bytes,
        cut @ Chunk::Cut(_) => return pieces.send(cut).await.is_ok(),
    };
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        if pieces.send(Chunk::Bytes(piece)).await.is_err() {
            return false;
        }
    }
    true
}

/// An error with its causes; the same is not said twice.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_at_once_is_passed_on_in_pieces() {
        let (pieces, mut chunks) = mpsc::channel(WAITING_CHUNKS);
        let bytes: Vec<_> = (0..400_000_u32).map(|n| n as u8).collect();
        assert!(pass_on(&pieces, Chunk::Bytes(bytes.clone().into())).await);
        drop(pieces);
        let mut came = Vec::new();
        while let Some(Chunk::Bytes(piece)) = chunks.recv().await {
            assert!(piece.len() <= PIECE_BYTES);
            came.extend(piece);
        }
        assert_eq!(came, bytes);
    }

    /// What `arrived` heard, what the reader had, and whether the place was free while it read.
    async fn read_body(body: &[u8], length: usize) -> (Option<usize>, usize, bool, bool) {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let body = body.to_vec();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())
                .unwrap();
            stream.write_all(&body).unwrap();
        });
        let patience = Duration::from_secs(20);
        let http = Http::new(HttpLimits {
            pool: 1,
            per_host: 1,
            dns_ttl: patience,
            keep_alive: Duration::ZERO,
            connect: patience,
            first_byte: patience,
            read: patience,
            total: patience,
        });
        let url = reqwest::Url::parse(&format!("http://{address}/")).unwrap();
        let request = Request::new(reqwest::Method::GET, url);
        let exchange = http.send(request, Reach::Anywhere, || {}).await.unwrap();
        let (mut heard, pool) = (None, Arc::clone(&http.0.pool));
        let read = exchange.read_with(
            |bytes| heard = Some(bytes),
            move |chunks| {
                let (mut bytes, mut is_cut) = (0, false);
                for chunk in chunks {
                    match chunk {
                        Chunk::Bytes(chunk) => bytes += chunk.len(),
                        Chunk::Cut(_) => is_cut = true,
                    }
                }
                (bytes, is_cut, pool.available_permits() == 1)
            },
        );
        let (bytes, is_cut, is_free) = read.await.unwrap();
        assert_eq!(http.0.pool.available_permits(), 1);
        (heard, bytes, is_cut, is_free)
    }

    #[tokio::test]
    async fn the_place_is_free_once_a_body_is_whole_and_not_where_it_is_cut() {
        let body = vec![7; SMALL_BYTES];
        assert_eq!(read_body(&body, SMALL_BYTES).await, (Some(SMALL_BYTES), SMALL_BYTES, false, true));
        assert_eq!(read_body(&body, SMALL_BYTES + 1).await, (None, SMALL_BYTES, true, false));
        assert_eq!(read_body(&body[1..], SMALL_BYTES).await, (None, SMALL_BYTES - 1, true, false));
        assert_eq!(read_body(&[], 0).await, (Some(0), 0, false, true));
    }
}
