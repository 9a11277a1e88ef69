//! Pictures that a service is sent: read from the store into the request, within the memory budget.

use std::{fs, io};

use reel_protocol::ErrorCode;

use super::RemoteProvider;
use crate::{
    domain::{Class, Failure, ImageRequest, InputFile},
    memory::{Holder, Reservation},
    provider::wire::{InputPicture, Submission},
};

/// The forms of pictures that services take, whatever else they take.
const FORMS: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];
/// Most bytes of all pictures of one request.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

impl RemoteProvider {
    /// The request for pictures, and the share of the memory budget for the files in it.
    pub(super) async fn picture_submission(
        &self,
        request: &ImageRequest,
        model: Option<&str>,
    ) -> Result<(Submission, Option<Reservation>), Failure> {
        let settings = &self.config.own.settings;
        if request.inputs.is_empty() {
            return Ok((self.wire.submission(request, model, settings), None));
        }
        let (pictures, held) = self.read_inputs(request.inputs.clone()).await?;
        let submission = self.wire.edit(request, model, settings, pictures).ok_or_else(|| {
            let message = format!("{} makes no pictures from pictures", self.config.name);
            Failure::new(Class::Invalid, message, "reel providers shows what each one serves")
        })?;
        Ok((submission, Some(held)))
    }

    /// The files, with the share of the memory budget that holds them.
    pub(super) async fn read_inputs(
        &self,
        files: Vec<InputFile>,
    ) -> Result<(Vec<InputPicture>, Reservation), Failure> {
        let name = &self.config.name;
        if let Some(file) = files.iter().find(|file| !FORMS.contains(&file.media_type.as_str())) {
            let message =
                format!("{name} takes PNG, JPEG and WebP pictures, and one of them is {}", file.media_type);
            return Err(Failure::new(Class::Invalid, message, "convert it, and put it into the store again"));
        }
        let bytes = files.iter().map(|file| file.size_bytes).sum::<u64>();
        if bytes > MAX_BYTES {
            let message =
                format!("the pictures to start from have {bytes} bytes, and {MAX_BYTES} are the most");
            return Err(Failure::new(Class::Invalid, message, "make them smaller"));
        }
        // The request holds them once, and its body is built from it.
        let held = self.equipment.budget.reserve(Holder::Body, bytes * 2).map_err(|over| {
            let hint = "reel memory shows who holds what; the task is tried again";
            Failure::with_code(Class::Transient(None), ErrorCode::OverMemory, over.to_string(), hint)
        })?;
        let reading =
            tokio::task::spawn_blocking(move || files.into_iter().map(read).collect::<io::Result<_>>());
        let read = reading.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let pictures = read.map_err(|error| {
            let message = format!("a picture to start from could not be read: {error}");
            let hint = "reel daemon logs says more; the task is tried again";
            Failure::with_code(Class::Transient(None), ErrorCode::StorageFailed, message, hint)
        })?;
        Ok((pictures, held))
    }
}

fn read(file: InputFile) -> io::Result<InputPicture> {
    let InputFile { path, media_type, extension, .. } = file;
    Ok(InputPicture { bytes: fs::read(path)?, media_type, extension })
}
