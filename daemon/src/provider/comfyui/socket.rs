//! The websocket of a job: its progress and previews. Whatever happens to it, the polls go on.

use std::{collections::VecDeque, convert::Infallible, io::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, future::pending};
use reqwest::{
    Method, StatusCode,
    header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    ComfyProvider,
    attempt::{Call, Ticket},
    follow::Shared,
    progress::{Told, preview},
};
use crate::{cache::Preview, provider::http::Reach};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections in a row that fail before no more are made.
const MOST_FAILURES: u32 = 10;
/// The pause before another connection, for each failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Largest message, in bytes. Previews have some ten kilobytes.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Most previews of one job whose files exist at once. Then the oldest one is removed, which a client has had some seconds to read.
const MAX_PREVIEWS: usize = 8;
/// The shortest time between two previews that are shown.
const PREVIEW_PAUSE: Duration = Duration::from_secs(1);
/// The part of the time since the first preview that is the shortest time until the next one, so that a job of an hour shows about a hundred.
const PREVIEW_PART: u32 = 16;

/// A websocket to the server.
pub(super) type Socket = WebSocketStream<reqwest::Upgraded>;

/// The previews of one job.
#[derive(Default)]
struct Previews {
    files: VecDeque<Preview>,
    /// The number of the next one.
    next: u64,
    /// When the first one and the last one were shown.
    shown: Option<(Instant, Instant)>,
}

impl ComfyProvider {
    /// Reads the messages of the server about a job, and connects again when the connection ends.
    pub(super) async fn listen(
        &self,
        call: &Call,
        ticket: &Ticket,
        shared: &Shared,
        mut first: Option<Socket>,
    ) -> Infallible {
        let mut previews = Previews::default();
        let mut failures = 0;
        while failures < MOST_FAILURES {
            let connected = match first.take() {
                Some(socket) => Ok(socket),
                None => self.connect(&ticket.own_id).await,
            };
            match connected {
                Ok(socket) => {
                    failures = 0;
                    self.read_messages(call, socket, shared, &mut previews).await;
                }
                Err(reason) => {
                    failures += 1;
                    tracing::debug!(provider = %self.core.config.name, reason, "there is no websocket, so no progress is shown");
                }
            }
            sleep(PAUSE * (failures + 1)).await;
        }
        pending().await
    }

    /// Opens the websocket of a client. The server sends it only what happens from then on.
    pub(super) async fn connect(&self, client: &str) -> Result<Socket, String> {
        let core = &self.core;
        let key = core.key().await.map_err(|failure| failure.error.message)?;
        let url = core.job_url(&["ws".to_owned()], &[("clientId", client.to_owned())]);
        let mut request =
            core.request(Method::GET, url, key.as_ref()).map_err(|failure| failure.error.message)?;
        let nonce = blake3::hash(format!("{client} {:?}", Instant::now()).as_bytes());
        let nonce = STANDARD.encode(nonce.as_bytes().get(..16).unwrap_or_default());
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(&nonce).map_err(|error| error.to_string())?);
        let connecting = async {
            let sent = core.equipment.http.send(request, Reach::Anywhere, || ()).await;
            let response = sent.map_err(|error| error.to_string())?.response;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(format!("status {}", response.status()));
            }
            response.upgrade().await.map_err(|error| error.without_url().to_string())
        };
        let upgraded =
            timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err("it took too long".to_owned()))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }

    async fn read_messages(&self, call: &Call, mut socket: Socket, shared: &Shared, previews: &mut Previews) {
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => {
                    let told = shared.progress.borrow_mut().read(&text);
                    match told {
                        Some(Told::Over) => shared.over.notify_one(),
                        Some(Told::Fraction(fraction, title)) => {
                            let at = if title.is_empty() { String::new() } else { format!(" ({title})") };
                            let percent = (fraction * 100.0).round();
                            call.report(fraction, format!("{}: {percent} %{at}", self.core.config.name));
                        }
                        None => {}
                    }
                }
                Message::Binary(bytes) => self.show(call, &bytes, previews).await,
                Message::Close(_) => return,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Shows a preview, unless there was one a moment ago.
    async fn show(&self, call: &Call, message: &[u8], previews: &mut Previews) {
        let is_early = previews.shown.is_some_and(|(first, last)| {
            last.elapsed() < PREVIEW_PAUSE.max(last.duration_since(first) / PREVIEW_PART)
        });
        let Some((picture, extension)) = preview(message) else { return };
        if is_early {
            return;
        }
        let now = Instant::now();
        previews.shown = Some((previews.shown.map_or(now, |(first, _)| first), now));
        let (picture, spools, inspector) =
            (picture.to_vec(), self.core.equipment.spools.clone(), self.core.equipment.inspector.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let mut spool = spools.create();
            spool.write_all(&picture).ok()?;
            let spooled = spool.finish().ok()?;
            inspector.inspect_now(&spooled)?.ok()?;
            spools.preview(&spooled, extension).ok()
        });
        if let Ok(Some(file)) = writing.await {
            call.progress.preview(previews.next, file.path().to_path_buf());
            previews.next += 1;
            previews.files.push_back(file);
            if previews.files.len() > MAX_PREVIEWS {
                previews.files.pop_front();
            }
        }
    }
}
