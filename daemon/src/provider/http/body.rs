//! Bodies of answers as they arrive: pictures go to spools, everything else is small. Runs on threads that may block.

use std::{
    convert::Infallible,
    io::{self, Write},
};

use tokio::sync::mpsc;

use super::{
    base64_stream::{Base64Stream, NotBase64},
    extract::{Extract, ExtractError, Sink},
};
use crate::cache::{Spool, Spooled, Spools};

/// What comes of a body.
#[derive(Debug)]
pub enum Chunk {
    /// The next piece.
    Bytes(bytes::Bytes),
    /// Nothing more comes, though it was not over; why.
    Cut(String),
}

/// A body's chunks for a thread that may block: those that had gathered before it began, and then each as it comes.
#[derive(Debug)]
pub struct Chunks {
    gathered: std::vec::IntoIter<Chunk>,
    rest: mpsc::Receiver<Chunk>,
}

impl Chunks {
    /// These, and then those.
    pub fn new(gathered: Vec<Chunk>, rest: mpsc::Receiver<Chunk>) -> Self {
        Self { gathered: gathered.into_iter(), rest }
    }
}

impl Iterator for Chunks {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        self.gathered.next().or_else(|| self.rest.blocking_recv())
    }
}

/// What a body may hold.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Texts that are kept; more are passed over.
    pub texts: usize,
    /// Bytes of one picture.
    pub picture_bytes: u64,
}

/// Why a body, or one text of it, was not read.
#[derive(Debug)]
pub enum BodyFault {
    /// More than it may hold.
    TooLarge,
    /// What should be base64 is not.
    NotBase64,
    /// Our disk.
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

/// A JSON body, taken apart.
#[derive(Debug)]
pub struct Answer {
    /// The document with its number in the place of each text.
    pub document: Vec<u8>,
    /// The texts in their order; one that is none does not spoil the others.
    pub texts: Vec<Result<Spooled, BodyFault>>,
    /// Why it is not whole, if it is not.
    pub cut: Option<String>,
}

/// Reads a JSON body whose pictures are base64 texts of one field.
pub fn read_answer(
    chunks: Chunks,
    field: &'static str,
    spools: &Spools,
    limits: BodyLimits,
) -> Result<Answer, BodyFault> {
    let mut extract = Extract::new(field);
    let mut sink = TextSink { spools, limits, current: None, texts: Vec::new() };
    let mut cut = None;
    for chunk in chunks {
        match chunk {
            Chunk::Cut(reason) => cut = Some(reason),
            Chunk::Bytes(bytes) => extract.push(&bytes, &mut sink).map_err(|error| match error {
                ExtractError::TooLarge => BodyFault::TooLarge,
                ExtractError::Sink(never) => match never {},
            })?,
        }
    }
    Ok(Answer { document: extract.finish(), texts: sink.texts, cut })
}

/// Reads a body that is one picture as it is; the reason comes along if it was cut.
pub fn read_file(
    chunks: Chunks,
    spools: &Spools,
    limits: BodyLimits,
) -> Result<(Spooled, Option<String>), BodyFault> {
    let mut spool = spools.create();
    let mut cut = None;
    for chunk in chunks {
        match chunk {
            Chunk::Cut(reason) => cut = Some(reason),
            Chunk::Bytes(bytes) => write(&mut spool, &bytes, limits)?,
        }
    }
    Ok((spool.finish()?, cut))
}

fn write(spool: &mut Spool, bytes: &[u8], limits: BodyLimits) -> Result<(), BodyFault> {
    if spool.size_bytes() + bytes.len() as u64 > limits.picture_bytes {
        return Err(BodyFault::TooLarge);
    }
    Ok(spool.write_all(bytes)?)
}

struct TextSink<'a> {
    spools: &'a Spools,
    limits: BodyLimits,
    /// The text that comes; None while it is passed over.
    current: Option<(Base64Stream, Spool)>,
    texts: Vec<Result<Spooled, BodyFault>>,
}

impl TextSink<'_> {
    /// The text is no picture of ours; its rest is passed over.
    fn give_up(&mut self, fault: BodyFault) {
        self.current = None;
        self.texts.push(Err(fault));
    }
}

impl Sink for TextSink<'_> {
    type Error = Infallible;

    fn begin(&mut self) -> Result<(), Infallible> {
        if self.texts.len() < self.limits.texts {
            self.current = Some((Base64Stream::default(), self.spools.create()));
        }
        Ok(())
    }

    fn piece(&mut self, text: &[u8]) -> Result<(), Infallible> {
        let Some((base64, spool)) = &mut self.current else { return Ok(()) };
        if let Err(fault) = base64.push(text, |bytes| write(spool, bytes, self.limits)) {
            self.give_up(fault);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Infallible> {
        let Some((mut base64, mut spool)) = self.current.take() else { return Ok(()) };
        let written = base64.finish(|bytes| write(&mut spool, bytes, self.limits));
        self.texts.push(written.and_then(|()| Ok(spool.finish()?)));
        Ok(())
    }
}
