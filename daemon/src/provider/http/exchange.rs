//! A response whose head has arrived. Its body goes piece by piece to a thread that may block.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::sync::mpsc;

use super::{
    body::Chunks,
    content_coding::{ContentCoding, unreadable},
    patience::{Late, Patience},
    unreached::causes_text,
};

/// Most pieces of a body that wait for the reader. Each is a slice of one of hyper's buffers, which grow to 400 KiB when bytes arrive fast.
const WAITING_CHUNKS: usize = 3;
/// Most bytes that are read of the body of an error response.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A response whose head has arrived, and whose body is still to be read.
#[derive(Debug)]
pub struct Exchange {
    /// The status code and the headers, and the body that is still to be read.
    pub response: Response,
    pub(super) body: BodyPatience,
}

/// How long to wait for the body.
#[derive(Debug)]
pub(super) struct BodyPatience {
    /// The longest wait for the next piece.
    pub read: Duration,
    /// The deadline of the whole exchange.
    pub exchange: Patience,
}

impl Exchange {
    /// Passes the body, decompressed and piece by piece, to `reader` on a thread that may block. Returns the reader's result, or None if the
    /// reader panicked. If the body is incomplete, the last piece is the reason. Calls `arrived` once the whole body has arrived, with the
    /// number of bytes before decompression.
    pub async fn read_with<T: Send + 'static>(
        mut self,
        arrived: impl FnOnce(usize),
        reader: impl FnOnce(Chunks) -> T + Send + 'static,
    ) -> Option<T> {
        let coding = ContentCoding::of(self.response.headers());
        let (pieces, chunks) = mpsc::channel(WAITING_CHUNKS);
        let reading = tokio::task::spawn_blocking(move || reader(Chunks::new(chunks, coding)));
        let mut bytes = 0;
        while let Some(chunk) = self.next_chunk().await.transpose() {
            let is_cut = chunk.is_err();
            bytes += chunk.as_ref().map_or(0, Bytes::len);
            // If the channel is closed, the reader has returned and needs no more pieces.
            if pieces.send(chunk).await.is_err() || is_cut {
                drop(pieces);
                return reading.await.ok();
            }
        }
        arrived(bytes);
        drop(pieces);
        reading.await.ok()
    }

    /// Why the body cannot be read. None if its `Content-Encoding` is supported.
    pub fn unreadable(&self) -> Option<String> {
        match ContentCoding::of(self.response.headers()) {
            ContentCoding::Unknown(name) => Some(unreadable(&name)),
            ContentCoding::None | ContentCoding::Known(_) => None,
        }
    }

    /// Returns the next piece of the body, None at its end, or the reason why the body is incomplete.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, String> {
        match self.body.exchange.wait(self.body.read, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(causes_text(&error.without_url())),
            Err(Late::Exchange) => Err("the answer took too long".to_owned()),
            Err(Late::Wait) => Err(format!("the answer stood still for {} s", self.body.read.as_secs())),
        }
    }

    /// Returns the beginning of an error body, decompressed. If the body is incomplete, returns what has arrived.
    pub async fn error_text(self) -> Vec<u8> {
        self.beginning(MAX_ERROR_BYTES).await
    }

    /// Returns at most `most_bytes` of the beginning of the body, decompressed. If the body is incomplete, returns what has arrived.
    pub async fn beginning(mut self, most_bytes: usize) -> Vec<u8> {
        let coding = ContentCoding::of(self.response.headers());
        let mut text = Vec::new();
        while text.len() < most_bytes
            && let Ok(Some(bytes)) = self.next_chunk().await
        {
            text.extend_from_slice(&bytes);
        }
        let mut text = coding.beginning(text, most_bytes);
        text.truncate(most_bytes);
        text
    }
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, Request, Url};

    use super::*;
    use crate::provider::http::{Http, HttpLimits, Reach};

    /// Returns the bytes that `arrived` was called with, the bytes that the reader received, and whether the body was incomplete.
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
                        Ok(chunk) => bytes += chunk.len(),
                        Err(_) => is_cut = true,
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
