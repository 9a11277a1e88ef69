//! An answer whose head has come: its body goes piece by piece to a thread that may block.

use std::time::Duration;

use reqwest::Response;
use tokio::sync::mpsc;

use super::{
    body::{Chunk, Chunks},
    patience::{Late, Patience},
    unreached::causes_text,
};

/// Pieces of an answer that wait for the reader.
const WAITING_CHUNKS: usize = 8;
/// How much of an answer is collected before a thread is woken for it: most answers are smaller, and each wake costs as much as the work.
const GATHERED_BYTES: usize = 256 * 1024;
/// The same in chunks, of which a server may send small ones.
const GATHERED_CHUNKS: usize = 64;
/// Largest piece that is passed on: hyper's buffers grow to 400 KiB where the bytes come fast.
const PIECE_BYTES: usize = 64 * 1024;
/// What is read of an answer that only says what went wrong.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// An answer whose head has come.
#[derive(Debug)]
pub struct Exchange {
    /// The head.
    pub response: Response,
    pub(super) body: BodyPatience,
}

/// How long the body is waited for.
#[derive(Debug)]
pub(super) struct BodyPatience {
    /// Longest time between two pieces.
    pub read: Duration,
    /// For the whole exchange.
    pub exchange: Patience,
}

impl Exchange {
    /// Gives the body to a reader on a thread that may block, piece by piece, and returns the reader's result. The reader is told where the
    /// body was cut. `arrived` is called with the number of bytes once the whole body is here, which the reader may not have read yet.
    /// None where the reader panicked.
    pub async fn read_with<T: Send + 'static>(
        self,
        arrived: impl FnOnce(usize),
        reader: impl FnOnce(Chunks) -> T + Send + 'static,
    ) -> Option<T> {
        let Self { response, body } = self;
        let mut arrival = Arrival { response, patience: body, bytes: 0, is_over: false, is_whole: false };
        let mut gathered = Vec::new();
        while arrival.bytes < GATHERED_BYTES
            && gathered.len() < GATHERED_CHUNKS
            && let Some(chunk) = arrival.next().await
        {
            gathered.push(chunk);
        }
        let mut arrived = Some(arrived);
        let mut is_over = |arrival: &Arrival| {
            if arrival.is_whole
                && let Some(arrived) = arrived.take()
            {
                arrived(arrival.bytes);
            }
        };
        is_over(&arrival);
        let (pieces, rest) = mpsc::channel(WAITING_CHUNKS);
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
            match self.body.exchange.wait(self.body.read, self.response.chunk()).await {
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
    patience: BodyPatience,
    /// Bytes that came.
    bytes: usize,
    is_over: bool,
    is_whole: bool,
}

impl Arrival {
    /// The next piece of the body, or where it was cut; nothing follows its end or a cut.
    async fn next(&mut self) -> Option<Chunk> {
        if self.is_over {
            return None;
        }
        let read = self.patience.read;
        let cut = match self.patience.exchange.wait(read, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.bytes += bytes.len();
                return Some(Chunk::Bytes(bytes));
            }
            Ok(Ok(None)) => {
                (self.is_over, self.is_whole) = (true, true);
                return None;
            }
            Ok(Err(error)) => causes_text(&error.without_url()),
            Err(Late::Exchange) => "the answer took too long".to_owned(),
            Err(Late::Wait) => format!("the answer stood still for {} s", read.as_secs()),
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

#[cfg(test)]
mod tests {
    use reqwest::{Method, Request, Url};

    use super::*;
    use crate::provider::http::{Http, HttpLimits, Reach};

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

    /// What `arrived` was told, what the reader had, and whether the body was cut.
    async fn read_body(body: &[u8], length: usize) -> (Option<usize>, usize, bool) {
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
            per_host: 1,
            dns_ttl: patience,
            keep_alive: Duration::ZERO,
            connect: patience,
            first_byte: patience,
            read: patience,
            total: patience,
        });
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let request = Request::new(Method::GET, url);
        let exchange = http.send(request, Reach::Anywhere, || {}).await.unwrap();
        let mut heard = None;
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
                (bytes, is_cut)
            },
        );
        let (bytes, is_cut) = read.await.unwrap();
        (heard, bytes, is_cut)
    }

    #[tokio::test]
    async fn a_body_has_arrived_once_it_is_whole_and_not_where_it_is_cut() {
        const LENGTH: usize = 20_000;
        let body = vec![7; LENGTH];
        assert_eq!(read_body(&body, LENGTH).await, (Some(LENGTH), LENGTH, false));
        assert_eq!(read_body(&body, LENGTH + 1).await, (None, LENGTH, true));
        assert_eq!(read_body(&body[1..], LENGTH).await, (None, LENGTH - 1, true));
        assert_eq!(read_body(&[], 0).await, (Some(0), 0, false));
    }
}
