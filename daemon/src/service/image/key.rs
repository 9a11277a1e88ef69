//! The cache key of a picture request: a digest over everything that changes the result. Pure.

use reel_protocol::ImageParams;

use super::styles;
use crate::{
    domain::{CacheKey, ProviderProfile},
    service::key::KeyText,
};

/// The version of the cache key. Raise it when the meaning of what is hashed below changes.
const KEY_VERSION: &str = "reel image key 1";

/// The cache key of a request at one provider. The params have their defaults applied.
pub fn image_key(params: &ImageParams, provider: &ProviderProfile) -> CacheKey {
    // Destructured without `..`: a new field does not compile until somebody decides whether it changes the picture.
    let ImageParams {
        prompt,
        negative_prompt,
        width,
        height,
        n,
        seed,
        sample,
        steps,
        guidance,
        style,
        model,
        input_images,
        mask,
        strength,
        extra,
    } = params;
    let mut key = KeyText::new(KEY_VERSION, provider, model.as_deref().or(provider.model_for("image")));
    key.text("prompt", Some(prompt));
    key.text("negative", negative_prompt.as_deref());
    key.number("width", Some(u64::from(*width)));
    key.number("height", Some(u64::from(*height)));
    key.number("n", Some(u64::from(*n)));
    key.number("seed", *seed);
    key.number("sample", Some(u64::from(*sample)));
    key.number("steps", steps.map(u64::from));
    key.number("guidance", guidance.map(f64::to_bits));
    key.number("strength", strength.map(f64::to_bits));
    let style = style.as_deref().and_then(styles::find);
    key.text("style", style.map(|style| style.name));
    key.text("style prompt", style.map(|style| style.prompt_suffix));
    key.text("style negative", style.map(|style| style.negative_suffix));
    for image in input_images {
        key.bytes("input", image.as_bytes());
    }
    if let Some(mask) = mask {
        key.bytes("mask", mask.as_bytes());
    }
    key.text("extra", extra.as_ref().map(reel_protocol::JsonText::as_str));
    key.hash()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use reel_protocol::{Digest, JsonText};

    use super::*;

    fn provider() -> ProviderProfile {
        ProviderProfile {
            name: "draft".into(),
            kind: "draft".into(),
            address: "embedded".into(),
            ..ProviderProfile::default()
        }
    }

    #[test]
    fn every_field_of_the_request_and_of_the_provider_changes_the_key() {
        type Change = fn(&mut ImageParams);
        let changes: [Change; 15] = [
            |params| params.prompt.push('!'),
            |params| params.negative_prompt = Some("fog".into()),
            |params| params.width += 1,
            |params| params.height += 1,
            |params| params.n += 1,
            |params| params.seed = Some(0),
            |params| params.sample += 1,
            |params| params.steps = Some(20),
            |params| params.guidance = Some(7.0),
            |params| params.style = Some("anime".into()),
            |params| params.model = Some("x".into()),
            |params| params.input_images = vec![Digest::from_bytes([1; 32])],
            |params| params.mask = Some(Digest::from_bytes([1; 32])),
            |params| params.strength = Some(0.5),
            |params| params.extra = Some(JsonText::empty_object()),
        ];
        let base = ImageParams::new("a lighthouse");
        let mut keys = HashSet::from([image_key(&base, &provider())]);
        for change in changes {
            let mut params = base.clone();
            change(&mut params);
            keys.insert(image_key(&params, &provider()));
        }
        let others: [fn(&mut ProviderProfile); 4] = [
            |provider| provider.kind.push('x'),
            |provider| provider.address.push('x'),
            |provider| provider.adapter_version.push('x'),
            |provider| provider.model = Some("m".into()),
        ];
        for change in others {
            let mut provider = provider();
            change(&mut provider);
            keys.insert(image_key(&base, &provider));
        }
        assert_eq!(keys.len(), 1 + changes.len() + others.len());
    }

    /// Results that an earlier version of the daemon has cached must be found again.
    #[test]
    fn the_bytes_of_a_key_stay_as_they_are() {
        let mut bytes = Vec::new();
        for (name, value) in [
            ("version", &b"reel image key 1"[..]),
            ("kind", b"draft"),
            ("address", b"embedded"),
            ("adapter", b""),
            ("prompt", b"a lighthouse"),
            ("width", &1024_u64.to_le_bytes()),
            ("height", &1024_u64.to_le_bytes()),
            ("n", &1_u64.to_le_bytes()),
            ("sample", &0_u64.to_le_bytes()),
        ] {
            for part in [name.as_bytes(), value] {
                bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
                bytes.extend_from_slice(part);
            }
        }
        assert_eq!(
            image_key(&ImageParams::new("a lighthouse"), &provider()),
            *blake3::hash(&bytes).as_bytes()
        );
    }

    #[test]
    fn the_instances_name_does_not_matter_and_equal_requests_are_equal() {
        let other = ProviderProfile { name: "another".into(), ..provider() };
        let params = ImageParams::new("a lighthouse");
        assert_eq!(image_key(&params, &provider()), image_key(&params.clone(), &other));
    }
}
