//! Serves the files that responses name by URL: correctly, late, in part or not at all.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    net::TcpStream,
    ops::ControlFlow,
    sync::{Mutex, MutexGuard},
};

use super::http::Response;

/// What happens to one request for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFault {
    /// The file is sent.
    Good,
    /// The response has this status code and, if given, a `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// The connection is closed without a response.
    Close,
    /// Half of the file is sent, and then the connection is closed.
    Cut,
    /// The file is not a picture.
    Text,
}

/// The faults of the next requests for files.
#[derive(Debug, Default)]
pub(super) struct Files(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    queue: VecDeque<FileFault>,
    otherwise: Option<FileFault>,
}

impl Files {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap()
    }

    pub(super) fn append(&self, faults: impl IntoIterator<Item = FileFault>) {
        self.plan().queue.extend(faults);
    }

    pub(super) fn set_otherwise(&self, fault: FileFault) {
        self.plan().otherwise = Some(fault);
    }

    fn next(&self) -> FileFault {
        let mut plan = self.plan();
        plan.queue.pop_front().or_else(|| plan.otherwise.clone()).unwrap_or(FileFault::Good)
    }

    /// Serves one request. `good` is the response without a fault.
    pub(super) fn serve(&self, good: Response, mut stream: &TcpStream) -> io::Result<ControlFlow<()>> {
        let response = match self.next() {
            FileFault::Good => good,
            FileFault::Status(status, retry_after) => {
                let response = Response::new(status, "text/plain", b"not now".to_vec());
                match retry_after {
                    Some(seconds) => response.header("retry-after", seconds.to_string()),
                    None => response,
                }
            }
            FileFault::Text => Response::new(200, "image/png", b"this is no picture".to_vec()),
            FileFault::Close => return Ok(ControlFlow::Break(())),
            FileFault::Cut => {
                let whole = [good.true_head(), good.body.flat()].concat();
                return stream.write_all(&whole[..whole.len() / 2]).map(ControlFlow::Break);
            }
        };
        response.write(&mut stream, || ())?;
        Ok(ControlFlow::Continue(()))
    }
}
