//! What makes two picture requests equal: a digest over everything that changes the result. Pure.

use reel_protocol::ImageParams;

use super::styles;
use crate::domain::ProviderProfile;

/// Grows when the meaning of what is hashed below changes.
const KEY_VERSION: &str = "reel image key 1";

/// The cache key of a request at one provider. The params have their defaults applied.
pub fn image_key(params: &ImageParams, provider: &ProviderProfile) -> [u8; 32] {
    // Taken apart without `..`: a new field does not compile until somebody decides whether it changes the picture.
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
        strength,
        extra,
    } = params;
    // Hashed in one piece: many small updates cost more than the hash.
    let mut key = Canonical(Vec::with_capacity(1_024));
    key.text("version", Some(KEY_VERSION));
    key.text("kind", Some(&provider.kind));
    key.text("address", Some(&provider.address));
    key.text("adapter", Some(&provider.adapter_version));
    key.text("model", model.as_deref().or(provider.model.as_deref()));
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
    key.text("extra", extra.as_ref().map(reel_protocol::JsonText::as_str));
    *blake3::hash(&key.0).as_bytes()
}

/// Names and lengths go in with each value, so that no two requests run together.
struct Canonical(Vec<u8>);

impl Canonical {
    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(&(name.len() as u64).to_le_bytes());
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.bytes(name, value.as_bytes());
        }
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.bytes(name, &value.to_le_bytes());
        }
    }
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
        let changes: [Change; 14] = [
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

    #[test]
    fn the_instances_name_does_not_matter_and_equal_requests_are_equal() {
        let other = ProviderProfile { name: "another".into(), ..provider() };
        let params = ImageParams::new("a lighthouse");
        assert_eq!(image_key(&params, &provider()), image_key(&params.clone(), &other));
    }
}
