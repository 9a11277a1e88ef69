//! The handlers of `artifact.*`. They ask the cache, the uploads and the thumbnails.

use std::path::PathBuf;

use reel_protocol::{
    ErrorCode, RpcError,
    limits::NAMED_TASKS,
    methods::{
        ArtifactPathParams, ArtifactPathResult, ArtifactPutParams, ArtifactPutResult, ArtifactReadParams,
        ArtifactReadResult, ArtifactRemoveParams, ArtifactRemoveResult, ArtifactThumbnailParams, ReadForm,
    },
};

use crate::{
    cache::{FindArtifact, ReadArtifact, RemoveArtifacts},
    ipc::{call::Asker, errors, router::ask, validate},
    store::Dropped,
    uploads::Piece,
};

pub(in crate::ipc) async fn read(
    asker: Asker,
    params: ArtifactReadParams,
) -> Result<ArtifactReadResult, RpcError> {
    validate::read(&params)?;
    let ArtifactReadParams { digest, offset, length, form } = params;
    let message = ReadArtifact { digest, offset, length };
    let mut result = ask(&asker.router.recipients().read_artifact, message).await?.map_err(errors::cache)?;
    result.raw_bytes = (form == ReadForm::Raw).then_some(result.data.0.len() as u64);
    Ok(result)
}

pub(in crate::ipc) async fn put(
    asker: Asker,
    params: ArtifactPutParams,
) -> Result<ArtifactPutResult, RpcError> {
    let ArtifactPutParams { path, upload, offset, data, last } = params;
    let uploads = asker.router.uploads();
    match (path, data) {
        (Some(path), None) => uploads.put(path.into()).await.map_err(errors::put),
        (None, Some(data)) => {
            let piece = Piece { upload, offset, data: data.0.to_vec(), is_last: last };
            uploads.put_piece(piece).await.map_err(errors::put)
        }
        _ => {
            let message = "artifact.put takes either `path` or `data`";
            Err(RpcError::new(ErrorCode::InvalidParams, message)
                .hint("name the file, or send its bytes a piece at a time"))
        }
    }
}

pub(in crate::ipc) async fn remove(
    asker: Asker,
    params: ArtifactRemoveParams,
) -> Result<ArtifactRemoveResult, RpcError> {
    let ArtifactRemoveParams { mut digests } = params;
    if digests.len() > NAMED_TASKS {
        let message = format!("{} digests; at most {NAMED_TASKS} are possible", digests.len());
        return Err(RpcError::new(ErrorCode::InvalidParams, message).hint("send them in several requests"));
    }
    digests.sort_unstable_by_key(|digest| *digest.as_bytes());
    digests.dedup();
    let asked = digests.len() as u64;
    let removed = ask(&asker.router.recipients().remove_artifacts, RemoveArtifacts(digests)).await?;
    let Dropped { artifacts, bytes, .. } = removed.map_err(errors::cache)?;
    Ok(ArtifactRemoveResult { removed: artifacts, freed_bytes: bytes, kept: asked - artifacts })
}

pub(in crate::ipc) async fn path(
    asker: Asker,
    params: ArtifactPathParams,
) -> Result<ArtifactPathResult, RpcError> {
    let found = ask(&asker.router.recipients().find_artifact, FindArtifact(params.digest)).await?;
    named(found.map_err(errors::cache)?)
}

pub(in crate::ipc) async fn thumbnail(
    asker: Asker,
    params: ArtifactThumbnailParams,
) -> Result<ArtifactPathResult, RpcError> {
    let ArtifactThumbnailParams { digest, max_px } = params;
    named(asker.router.thumbnails().path(digest, max_px).await.map_err(errors::thumbnail)?)
}

fn named(path: PathBuf) -> Result<ArtifactPathResult, RpcError> {
    // JSON cannot represent a path that is not UTF-8, and a lossy conversion would name another file.
    let path = path
        .into_os_string()
        .into_string()
        .map_err(|path| errors::internal(format!("the path is not UTF-8: {}", path.display())))?;
    Ok(ArtifactPathResult { path })
}
