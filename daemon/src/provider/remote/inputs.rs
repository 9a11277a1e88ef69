//! Reads the input pictures of a request from the store, within the memory budget.

use std::{fs, io};

use reel_protocol::ErrorCode;

use super::{
    RemoteProvider,
    convert::{CONVERTED, ConvertError, to_colour, to_png, to_transparent_mask, to_white_mask},
};
use crate::{
    domain::{Class, Failure, ImageRequest, InputFile},
    memory::{Budget, Holder, Reservation},
    provider::wire::{InputPicture, MaskForm, Submission},
};

/// Media types that every service accepts. A picture of one of these types is sent byte for byte.
const FORMS: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];
/// Largest total size of the pictures of one request, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

impl RemoteProvider {
    /// Builds the request for pictures, and reserves the memory of the files in it.
    pub(super) async fn picture_submission(
        &self,
        request: &ImageRequest,
        model: Option<&str>,
    ) -> Result<(Submission, Vec<Reservation>), Failure> {
        let settings = &self.config.own.settings;
        if request.inputs.is_empty() {
            return Ok((self.wire.submission(request, model, settings), Vec::new()));
        }
        let (pictures, held) = self.read_pictures(request).await?;
        let submission = self.wire.edit(request, model, settings, pictures).ok_or_else(|| {
            let message = format!("{} makes no pictures from pictures", self.config.name);
            Failure::new(Class::Invalid, message, "reel providers shows what each one serves")
        })?;
        Ok((submission, held))
    }

    /// Reads the pictures of a request for pictures, and converts them and its mask to the forms that the service wants.
    pub(in crate::provider) async fn read_pictures(
        &self,
        request: &ImageRequest,
    ) -> Result<(Vec<InputPicture>, Vec<Reservation>), Failure> {
        self.read_formed(&request.inputs, request.params.mask.is_some()).await
    }

    /// Reads the files, and converts them to the forms that the service wants. The last one may be a mask.
    pub(super) async fn read_formed(
        &self,
        files: &[InputFile],
        has_mask: bool,
    ) -> Result<(Vec<InputPicture>, Vec<Reservation>), Failure> {
        let (pictures, mut held) = self.read_inputs(files.to_vec()).await?;
        let (form, wants_colour) = (self.wire.mask_form(), self.wire.wants_colour());
        if !wants_colour && (form == MaskForm::AsGiven || !has_mask) {
            return Ok((pictures, held));
        }
        let budget = self.equipment.budget.clone();
        let converting = tokio::task::spawn_blocking(move || {
            let last = pictures.len().saturating_sub(1);
            let converted = pictures.into_iter().enumerate().map(|(number, picture)| {
                if has_mask && number == last {
                    return formed_mask(picture, form, &budget);
                }
                let converted = if wants_colour { to_colour(&picture.bytes, &budget)? } else { None };
                Ok(replaced(picture, converted))
            });
            converted.collect::<Result<Vec<_>, ConvertError>>()
        });
        let converted = converting.await.map_err(|panic| Unread::File(io::Error::other(panic)).failure())?;
        let converted = converted.map_err(|error| Unread::Unconverted(error).failure())?;
        let (pictures, more): (Vec<_>, Vec<_>) = converted.into_iter().unzip();
        held.extend(more.into_iter().flatten());
        Ok((pictures, held))
    }

    /// Reads the files, and reserves memory for them. Returns a failure if one has another media type, or if they are too large together.
    pub(in crate::provider) async fn read_inputs(
        &self,
        files: Vec<InputFile>,
    ) -> Result<(Vec<InputPicture>, Vec<Reservation>), Failure> {
        let name = &self.config.name;
        let can_be_sent =
            |file: &&InputFile| [&FORMS[..], &CONVERTED].concat().contains(&file.media_type.as_str());
        if let Some(file) = files.iter().find(|file| !can_be_sent(file)) {
            let message = format!(
                "{name} takes PNG, JPEG and WebP pictures, GIF and BMP are converted, and one of them is {}",
                file.media_type
            );
            return Err(Failure::new(Class::Invalid, message, "convert it to PNG, and name that file"));
        }
        let bytes = files.iter().map(|file| file.size_bytes).sum::<u64>();
        if bytes > MAX_BYTES {
            let message =
                format!("the pictures to start from have {bytes} bytes; at most {MAX_BYTES} are possible");
            return Err(Failure::new(Class::Invalid, message, "make them smaller"));
        }
        // The files are in memory as they were read, in the request body that is built from them, and in between as base64 where the body is JSON.
        let held = self.equipment.budget.reserve(Holder::Body, bytes * 3).map_err(|over| {
            let hint = "reel memory shows who holds what; the task is tried again";
            Failure::with_code(Class::Transient(None), ErrorCode::OverMemory, over.to_string(), hint)
        })?;
        let budget = self.equipment.budget.clone();
        let reading = tokio::task::spawn_blocking(move || {
            files.into_iter().map(|file| read(file, &budget)).collect::<Result<Vec<_>, _>>()
        });
        let read = reading.await.unwrap_or_else(|panic| Err(Unread::File(io::Error::other(panic))));
        let (pictures, converted): (Vec<_>, Vec<_>) = read.map_err(Unread::failure)?.into_iter().unzip();
        Ok((pictures, converted.into_iter().flatten().chain([held]).collect()))
    }
}

/// Converts a mask to another form, with the reservation for its bytes. A mask that has the form already is returned as it is.
fn formed_mask(
    mask: InputPicture,
    form: MaskForm,
    budget: &Budget,
) -> Result<(InputPicture, Option<Reservation>), ConvertError> {
    let converted = match form {
        MaskForm::AsGiven => None,
        MaskForm::White => Some(to_white_mask(&mask.bytes, budget)?),
        MaskForm::Transparent => to_transparent_mask(&mask.bytes, budget)?,
    };
    Ok(replaced(mask, converted))
}

/// Returns the PNG in place of a picture, if there is one.
fn replaced(
    picture: InputPicture,
    png: Option<(Vec<u8>, Reservation)>,
) -> (InputPicture, Option<Reservation>) {
    let Some((bytes, held)) = png else { return (picture, None) };
    let (media_type, extension) = ("image/png".to_owned(), "png".to_owned());
    (InputPicture { media_type, extension, bytes }, Some(held))
}

/// Why a picture to start from cannot be sent.
#[derive(Debug)]
enum Unread {
    /// The file could not be read.
    File(io::Error),
    /// The picture could not be converted to PNG.
    Unconverted(ConvertError),
}

impl Unread {
    fn failure(self) -> Failure {
        match self {
            Self::File(error) => {
                let message = format!("a picture to start from could not be read: {error}");
                let hint = "reel daemon logs shows the cause; the task is tried again";
                Failure::with_code(Class::Transient(None), ErrorCode::StorageFailed, message, hint)
            }
            Self::Unconverted(error @ ConvertError::OverMemory(_)) => {
                let message = format!("a picture to start from could not be converted to PNG: {error}");
                let hint = "reel memory shows who holds what; the task is tried again";
                Failure::with_code(Class::Transient(None), ErrorCode::OverMemory, message, hint)
            }
            Self::Unconverted(error) => {
                let message = format!("a picture to start from could not be converted to PNG: {error}");
                Failure::new(Class::Invalid, message, "convert it to PNG, and name that file")
            }
        }
    }
}

/// Reads a picture. If services do not accept its format, converts it to PNG and also returns the reservation for that PNG.
fn read(file: InputFile, budget: &Budget) -> Result<(InputPicture, Option<Reservation>), Unread> {
    let InputFile { path, media_type, extension, .. } = file;
    let bytes = fs::read(path).map_err(Unread::File)?;
    if !CONVERTED.contains(&media_type.as_str()) {
        return Ok((InputPicture { media_type, extension, bytes }, None));
    }
    let (bytes, held) = to_png(&bytes, &media_type, budget).map_err(Unread::Unconverted)?;
    let picture = InputPicture { bytes, media_type: "image/png".to_owned(), extension: "png".to_owned() };
    Ok((picture, Some(held)))
}
