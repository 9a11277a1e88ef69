//! Reads response bodies while they arrive. Pictures go to spools, and all other values become a small document. These functions block.

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

/// The pieces of a body, decompressed, in the order in which they arrive. If the body is incomplete, the last item is the reason. The iterator
/// blocks until the next piece arrives.
#[derive(Debug)]
pub struct Chunks(Source);

#[derive(Debug)]
enum Source {
    AsItComes(Pieces),
    Compressed(Box<Decompressed<Pieces>>),
    /// The body has a coding that is not supported. The reason is returned once.
    Unreadable(Option<String>),
}

/// The pieces of a body as they arrive from the network, which may be compressed.
#[derive(Debug)]
struct Pieces(mpsc::Receiver<Result<Bytes, String>>);

impl Chunks {
    /// Reads the pieces of a body with this coding from a channel.
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

/// Limits for the pictures of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// How many pictures are buffered in memory while they are small. Further ones go to files at once.
    pub in_memory: usize,
    /// The most pictures that are kept. Further ones are dropped and counted.
    pub pictures: usize,
    /// Largest picture, in bytes.
    pub picture_bytes: u64,
}

/// Most bytes that a body may have besides its pictures: a thousand times what services send.
const MAX_OTHER_BYTES: u64 = 4 * 1024 * 1024;

/// Why a picture, or a file that is the whole body, could not be read.
#[derive(Debug)]
pub enum BodyFault {
    /// It has more bytes than the limits allow.
    TooLarge,
    /// The text of the picture is not base64.
    NotBase64,
    /// The bytes could not be written to the disk of this machine.
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

/// What a body holds: its pictures, and all other values as a document.
#[derive(Debug)]
pub struct Answer {
    /// All values of the body, in which pictures are numbers.
    pub document: Document,
    /// The pictures in their order. A picture that could not be read is an error here, and does not affect the others.
    pub pictures: Vec<Result<Spooled, BodyFault>>,
    /// How many pictures were dropped because there were more than [`BodyLimits::pictures`].
    pub passed_over: usize,
    /// Why the body is incomplete. None if it is complete.
    pub cut: Option<String>,
    /// Whether reading stopped before the end, because the body has far more values than any service sends.
    pub is_too_large: bool,
}

/// Called with each outermost value of a body once it is complete, and with the pictures that were read so far.
pub type Watch<'a> = dyn FnMut(&Node, &[Result<Spooled, BodyFault>]) + 'a;

/// Reads a body that holds pictures: either JSON with pictures as texts, among them all texts of `field`, or the file of one picture. The
/// `Content-Type` of the response is ignored. `watch` is called with each value of a stream when it has arrived.
pub fn read_answer(
    mut chunks: Chunks,
    field: &'static str,
    spools: &Spools,
    limits: BodyLimits,
    watch: &mut Watch<'_>,
) -> Answer {
    let mut beginning = Vec::new();
    let mut cut = None;
    // Read enough bytes to recognise a picture, however small the pieces are.
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

/// The part of a body that has not been read yet.
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
    // An incomplete picture is not returned.
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

/// Reads a body that is one file, such as a picture. Also returns why the file is incomplete, if it is.
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
    /// The picture that is arriving, or the fault because of which its rest is dropped. None for a picture above the limit.
    current: Option<Result<(Base64Stream, Spool), BodyFault>>,
    pictures: Vec<Result<Spooled, BodyFault>>,
    passed_over: usize,
    /// How many bytes further pictures may have in total.
    bytes_left: u64,
}

impl<'a> SpoolSink<'a> {
    fn new(spools: &'a Spools, limits: BodyLimits) -> Self {
        let bytes_left = limits.in_memory as u64 * limits.picture_bytes;
        let (current, pictures) = (None, Vec::new());
        Self { spools, limits, current, pictures, passed_over: 0, bytes_left }
    }

    /// The limits for the picture that is arriving: the limit of one picture, but no more than is left in total.
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
