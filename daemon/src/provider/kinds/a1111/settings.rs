//! The keys of a section `[providers.NAME]` that only this kind has.

use crate::config::Section;

/// Most pictures that are made at once.
const MAX_BATCH: u32 = 16;

/// The values of the kind's own keys.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WebUiSettings {
    /// The sampler of requests that name none; None for the server's own.
    pub sampler: Option<String>,
    /// The scheduler of requests that name none; None for the server's own.
    pub scheduler: Option<String>,
    /// The steps of requests that name none; None for the server's own.
    pub steps: Option<u32>,
    /// The guidance scale of requests that name none; None for the server's own.
    pub cfg_scale: Option<f64>,
    /// The most pictures of one request that are made at once.
    pub batch_size: u32,
}

impl WebUiSettings {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const SCALE: &str = "a number from 0 to 100";
        let cfg_scale = section.shaped::<f64>("cfg_scale", SCALE);
        if cfg_scale.is_some_and(|scale| !(0.0..=100.0).contains(&scale)) {
            section.wrong::<()>("cfg_scale", SCALE);
        }
        Self {
            sampler: section.text("sampler"),
            scheduler: section.text("scheduler"),
            steps: section.whole("steps", 1..=500),
            cfg_scale,
            batch_size: section.whole("batch_size", 1..=MAX_BATCH).unwrap_or(1),
        }
    }

    /// Returns the text by which cache keys differ between settings that change pictures. Empty for the defaults. How many pictures are made at once
    /// changes them no more than another graphics card would.
    pub(super) fn key(&self) -> String {
        let Self { sampler, scheduler, steps, cfg_scale, batch_size: _ } = self;
        let of = |name: &str, value: Option<String>| value.map(|value| format!(" {name}={value:?}"));
        let parts = [
            of("sampler", sampler.clone()),
            of("scheduler", scheduler.clone()),
            of("steps", steps.map(|steps| steps.to_string())),
            of("cfg_scale", cfg_scale.map(|scale| scale.to_string())),
        ];
        parts.into_iter().flatten().collect()
    }

    /// Returns how many pictures are made at once, and how often, so that `count` pictures come out.
    pub(super) fn batches(&self, count: u32) -> (u32, u32) {
        let count = count.max(1);
        let size =
            (1..=self.batch_size.min(count)).rev().find(|size| count.is_multiple_of(*size)).unwrap_or(1);
        (size, count / size)
    }
}

impl Default for WebUiSettings {
    fn default() -> Self {
        Self { sampler: None, scheduler: None, steps: None, cfg_scale: None, batch_size: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_make_as_many_pictures_as_were_asked_for() {
        for (most, count, batches) in
            [(1, 4, (1, 4)), (4, 4, (4, 1)), (4, 6, (3, 2)), (4, 5, (1, 5)), (16, 1, (1, 1))]
        {
            let settings = WebUiSettings { batch_size: most, ..WebUiSettings::default() };
            assert_eq!(settings.batches(count), batches, "{most}, {count}");
        }
    }
}
