//! Copies input files of a task into the daemon's store, before the task refers to them.

use std::path::Path;

use reel_client::Session;
use reel_protocol::{
    Digest,
    methods::{ArtifactPut, ArtifactPutParams, ArtifactPutResult},
};

use crate::{exit::Exit, failure::Failure, table};

/// Copies a picture into the daemon's store. Fails if the content is no picture.
pub async fn put_picture(session: &Session, path: &Path) -> Result<Digest, Failure> {
    let (digest, media_type) = put_file(session, path).await?;
    if media_type.starts_with("image/") {
        return Ok(digest);
    }
    let message = format!("{} is no picture: it is {media_type}", table::path(path));
    Err(Failure::new(Exit::BadData, "bad_data", message).hint("name a .png, .jpg or .webp file"))
}

/// Copies a file into the daemon's store. Returns the digest that tasks refer to it by, and the media type, which the daemon found from the content.
pub async fn put_file(session: &Session, path: &Path) -> Result<(Digest, String), Failure> {
    let shown = table::path(path);
    let no_input = |message: String| Failure::new(Exit::NoInput, "no_input", message);
    // The daemon follows no symbolic links and has another working directory. So links are resolved here and the path is made absolute.
    let file =
        std::fs::canonicalize(path).map_err(|error| no_input(format!("cannot read {shown}: {error}")))?;
    let Some(file) = file.to_str() else {
        return Err(no_input(format!("the path of {shown} is not UTF-8"))
            .hint("copy it to a path that is valid UTF-8"));
    };
    let params = ArtifactPutParams { path: Some(file.to_owned()), ..ArtifactPutParams::default() };
    let ArtifactPutResult { digest, media_type, .. } = session.call::<ArtifactPut>(&params).await?;
    let digest = digest.ok_or_else(|| no_input(format!("the daemon took only a part of {shown}")))?;
    Ok((digest, media_type.unwrap_or_default()))
}
