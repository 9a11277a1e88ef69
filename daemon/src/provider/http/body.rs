//! Bodies of answers as they arrive: pictures go to spools, everything else is small. Runs on threads that may block.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    base64_stream::{Base64Stream, NotBase64},
    content_coding::{ContentCoding, Decompressed, unreadable},
    document::{BEGINNING_BYTES, Document, Node},
    scan::{PictureSink, Scanner},
    utf16::Utf16,
};
use crate::{
    cache::{Spool, Spooled, Spools},
    media::picture_type,
};

/// The pieces of a body, for a thread that may block: each as it comes, and at the end why the body was cut, if it was. A compressed body
/// is decompressed here.
#[derive(Debug)]
pub struct Chunks(Source);

#[derive(Debug)]
enum Source {
    AsItComes(Pieces),
    Compressed(Box<Decompressed<Pieces>>),
    /// The body cannot be read, for this reason.
    Unreadable(Option<String>),
}

/// The pieces of a body as they come from the network.
#[derive(Debug)]
struct Pieces(mpsc::Receiver<Result<Bytes, String>>);

impl Chunks {
    /// Takes the pieces of a body in this coding from a channel.
    pub(super) fn new(pieces: mpsc::Receiver<Result<Bytes, String>>, coding: ContentCoding) -> Self {
        let pieces = Pieces(pieces);
        Self(match coding {
            ContentCoding::None => Source::AsItComes(pieces),
            ContentCoding::Known(compression) => {
                Source::Compressed(Box::new(Decompressed::new(pieces, compression)))
            }
            ContentCoding::Unknown(name) => Source::Unreadable(Some(unreadable(&name))),
        })
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes, String>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::AsItComes(pieces) => pieces.next(),
            Source::Compressed(decompressed) => decompressed.next(),
            Source::Unreadable(reason) => reason.take().map(Err),
        }
    }
}

impl Iterator for Pieces {
    type Item = Result<Bytes, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.blocking_recv()
    }
}

/// What a body may hold.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Pictures that are in memory while they are small; further ones go to files at once.
    pub in_memory: usize,
    /// Pictures that are kept; more are passed over, and counted.
    pub pictures: usize,
    /// The most bytes of one picture.
    pub picture_bytes: u64,
}

/// What a body may hold beside its pictures, in bytes: a thousand times what services send.
const MAX_OTHER_BYTES: u64 = 4 * 1024 * 1024;

/// Why a body, or one picture of it, was not read.
#[derive(Debug)]
pub enum BodyFault {
    /// More than it may hold.
    TooLarge,
    /// What should be base64 is not.
    NotBase64,
    /// The body could not be written to our disk.
    Disk(io::Error),
}

impl From<NotBase64> for BodyFault {
    fn from(_: NotBase64) -> Self {
        Self::NotBase64
    }
}

impl From<io::Error> for BodyFault {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// What a body held: its pictures, and all other values as a document.
#[derive(Debug)]
pub struct Answer {
    /// What it holds besides its pictures.
    pub document: Document,
    /// The pictures in their order; one that could not be read does not spoil the others.
    pub pictures: Vec<Result<Spooled, BodyFault>>,
    /// Pictures that were passed over, as there were too many.
    pub passed_over: usize,
    /// Why the body is not whole, if it is not.
    pub cut: Option<String>,
    /// Whether it was not read to its end, as it holds far more than any answer does.
    pub is_too_large: bool,
}

/// Is shown each value of a body that came to its end, and the pictures so far.
pub type Watch<'a> = dyn FnMut(&Node, &[Result<Spooled, BodyFault>]) + 'a;

/// Reads a body that holds pictures: JSON with their texts, where those of `field` always are pictures, or one picture as it is. What the
/// service says of the body's type does not count. `watch` is shown the values of a stream as they come.
pub fn read_answer(
    mut chunks: Chunks,
    field: &'static str,
    spools: &Spools,
    limits: BodyLimits,
    watch: &mut Watch<'_>,
) -> Answer {
    let mut beginning = Vec::new();
    let mut cut = None;
    // As much as tells a picture, in however small pieces it comes.
    for chunk in chunks.by_ref() {
        match chunk {
            Ok(bytes) => beginning.extend_from_slice(&bytes),
            Err(reason) => cut = Some(reason),
        }
        if beginning.len() >= picture_type::HEAD_BYTES {
            break;
        }
    }
    let rest = Rest { chunks, cut };
    if picture_type::of_picture(beginning.get(..picture_type::HEAD_BYTES).unwrap_or(&beginning)).is_some() {
        return read_picture(&beginning, rest, spools, limits);
    }
    read_document(beginning, rest, field, SpoolSink::new(spools, limits), watch)
}

/// What is still to come of a body.
struct Rest {
    chunks: Chunks,
    cut: Option<String>,
}

impl Rest {
    fn next(&mut self) -> Option<Bytes> {
        match self.chunks.next()? {
            Ok(bytes) => Some(bytes),
            Err(reason) => {
                self.cut = Some(reason);
                None
            }
        }
    }
}

fn read_picture(beginning: &[u8], mut rest: Rest, spools: &Spools, limits: BodyLimits) -> Answer {
    let mut spool = spools.create();
    let mut written = write(&mut spool, beginning, limits);
    while written.is_ok()
        && let Some(bytes) = rest.next()
    {
        written = write(&mut spool, &bytes, limits);
    }
    let picture = written.and_then(|()| Ok(spool.finish()?));
    // One that was cut is not there.
    let (document, pictures) = match rest.cut {
        None => (Document::of_picture(), vec![picture]),
        Some(_) => (Document::default(), Vec::new()),
    };
    Answer { document, pictures, passed_over: 0, cut: rest.cut, is_too_large: false }
}

fn read_document(
    beginning: Vec<u8>,
    mut rest: Rest,
    field: &'static str,
    mut sink: SpoolSink<'_>,
    watch: &mut Watch<'_>,
) -> Answer {
    let mut scanner = Scanner::new(field);
    let (mut is_too_large, mut watched) = (false, 0);
    let mut utf16 = Utf16::of_beginning(&beginning);
    let mut shown = Vec::new();
    let mut next = Some(Bytes::from(beginning));
    while let Some(bytes) = next {
        let bytes = utf16.as_mut().map_or_else(|| bytes.clone(), |utf16| utf16.decode(&bytes).into());
        let room = BEGINNING_BYTES.saturating_sub(shown.len());
        shown.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
        scanner.push(&bytes, &mut sink);
        for root in scanner.roots().get(watched..).unwrap_or_default() {
            watch(root, &sink.pictures);
        }
        watched = scanner.roots().len();
        is_too_large = scanner.other_bytes() > MAX_OTHER_BYTES;
        next = if is_too_large { None } else { rest.next() };
    }
    let roots = scanner.finish(rest.cut.is_none() && !is_too_large, &mut sink);
    let SpoolSink { pictures, passed_over, .. } = sink;
    let document = Document { roots, pictures: pictures.len(), beginning: shown };
    Answer { document, pictures, passed_over, cut: rest.cut, is_too_large }
}

/// Reads a body that is one picture as it is; the reason comes along if it was cut.
pub fn read_file(
    chunks: Chunks,
    spools: &Spools,
    limits: BodyLimits,
) -> Result<(Spooled, Option<String>), BodyFault> {
    let mut spool = if limits.in_memory > 0 { spools.create() } else { spools.create_file() };
    let mut rest = Rest { chunks, cut: None };
    while let Some(bytes) = rest.next() {
        write(&mut spool, &bytes, limits)?;
    }
    Ok((spool.finish()?, rest.cut))
}

fn write(spool: &mut Spool, bytes: &[u8], limits: BodyLimits) -> Result<(), BodyFault> {
    if spool.size_bytes() + bytes.len() as u64 > limits.picture_bytes {
        return Err(BodyFault::TooLarge);
    }
    Ok(spool.write_all(bytes)?)
}

struct SpoolSink<'a> {
    spools: &'a Spools,
    limits: BodyLimits,
    /// The picture that arrives, or why its rest is passed over; None where it is one too many.
    current: Option<Result<(Base64Stream, Spool), BodyFault>>,
    pictures: Vec<Result<Spooled, BodyFault>>,
    passed_over: usize,
    /// Bytes that further pictures may have on the disk.
    bytes_left: u64,
}

impl<'a> SpoolSink<'a> {
    fn new(spools: &'a Spools, limits: BodyLimits) -> Self {
        let bytes_left = limits.in_memory as u64 * limits.picture_bytes;
        let (current, pictures) = (None, Vec::new());
        Self { spools, limits, current, pictures, passed_over: 0, bytes_left }
    }

    /// What the picture that arrives may hold.
    fn limits(&self) -> BodyLimits {
        BodyLimits { picture_bytes: self.limits.picture_bytes.min(self.bytes_left), ..self.limits }
    }
}

impl PictureSink for SpoolSink<'_> {
    fn begin(&mut self) {
        let spool = match self.pictures.len() {
            number if number < self.limits.in_memory => self.spools.create(),
            number if number < self.limits.pictures => self.spools.create_file(),
            _ => return,
        };
        self.current = Some(Ok((Base64Stream::default(), spool)));
    }

    fn piece(&mut self, text: &[u8]) {
        let limits = self.limits();
        if let Some(Ok((base64, spool))) = &mut self.current
            && let Err(fault) = base64.push(text, |bytes| write(spool, bytes, limits))
        {
            self.current = Some(Err(fault));
        }
    }

    fn end(&mut self) -> Option<usize> {
        let Some(current) = self.current.take() else {
            self.passed_over += 1;
            return None;
        };
        let limits = self.limits();
        let picture = current.and_then(|(mut base64, mut spool)| {
            base64.finish(|bytes| write(&mut spool, bytes, limits))?;
            Ok(spool.finish()?)
        });
        self.bytes_left -= picture.as_ref().map_or(0, |picture| picture.size_bytes);
        self.pictures.push(picture);
        Some(self.pictures.len() - 1)
    }
}
