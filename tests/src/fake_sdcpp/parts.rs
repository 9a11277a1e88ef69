//! The answers of the server: jobs with their results, and refusals.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{SdcppJob, SdcppPlan, WEBM};
use crate::{fake_provider::http::Response, raw_server::png};

/// Most pictures of one job.
const BATCH: u64 = 8;

/// Returns a job as the server shows it. The fields are sorted, as the server's JSON library does it: the state comes after the result.
pub(super) fn shown(job: &SdcppJob, plan: &SdcppPlan, is_generating: bool, place: Option<usize>) -> String {
    let (status, result, error) = match plan.fails_with {
        _ if job.is_cancelled => {
            ("cancelled", Value::Null, json!({ "code": "cancelled", "message": "job cancelled by client" }))
        }
        _ if is_generating => ("generating", Value::Null, Value::Null),
        _ if !job.is_over => ("queued", Value::Null, Value::Null),
        Some(message) => ("failed", Value::Null, json!({ "code": "generation_failed", "message": message })),
        None => ("completed", result(job, plan.garbage), Value::Null),
    };
    let at = |is_known: bool| if is_known { "1775401200" } else { "null" };
    format!(
        "{{\"completed\":{},\"created\":1775401200,\"error\":{error},\"id\":\"{}\",\"kind\":\"{}\",\"queue_position\":{},\"result\":{result},\"started\":{},\"status\":\"{status}\"}}",
        at(job.is_over),
        job.id,
        job.kind,
        place.map_or(0, |place| place + 1),
        at(is_generating || job.is_over && !job.is_cancelled),
    )
}

fn result(job: &SdcppJob, garbage: Option<&str>) -> Value {
    if job.kind == "vid_gen" {
        return json!({ "b64_json": STANDARD.encode(WEBM), "mime_type": "video/webm", "fps": 16, "frame_count": 33 });
    }
    let picture = garbage.map_or_else(|| STANDARD.encode(png()), str::to_owned);
    let count = job.body["batch_count"].as_u64().unwrap_or(1).clamp(1, BATCH);
    let images: Vec<_> = (0..count).map(|index| json!({ "index": index, "b64_json": picture })).collect();
    json!({ "output_format": "png", "images": images })
}

pub(super) fn refusal(status: u16, message: &str) -> Response {
    Response::json(status, &json!({ "error": message }))
}

/// Whether this is a PNG in shades of grey, as base64.
pub(super) fn is_grey(picture: &Value) -> bool {
    let bytes = picture.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    // The type of the colours is in the first chunk.
    matches!(bytes.get(25), Some(0 | 4))
}
