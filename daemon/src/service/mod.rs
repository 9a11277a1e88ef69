//! The services: their methods, the check of a request's params, and who carries the request out. Each service is a file and a row of
//! `SERVICES`.

mod assemble;
mod attempt;
mod debug;
mod image;
mod key;
mod planner;
mod preview;
mod render;
mod run;
mod stats;
mod story;
mod storyboard;
mod text;
mod titles;
mod translate;
mod video;
mod voice;
mod work;

pub use self::{
    assemble::{Timeline, VIDEO_ASSEMBLE},
    attempt::{ServiceParts, Services},
    planner::Planner,
    preview::{Preview, preview},
    run::{JournalFailure, RunEnd, RunTask, RunTasks},
    stats::ServiceStats,
    story::{OwnMedium, STORY_MAKE, StorySpec},
    storyboard::{STORY_STORYBOARD, StoryboardSpec},
};

use self::work::{BadParams, LocalWork, ProviderWork, Service, Work};

/// All services, in the order in which they are listed.
static SERVICES: &[&dyn Service] = &[
    &image::Image,
    &text::Text,
    &voice::Voice,
    &translate::Translate,
    &video::Video,
    &story::Story,
    &render::Render,
    &render::Audio,
    &debug::Debug,
];

/// Finds the service and the method of a task's kind, such as `image.generate`. None if there is no such method.
fn find(kind: &str) -> Option<(&'static dyn Service, &'static str)> {
    let (service, method) = kind.split_once('.')?;
    let service = SERVICES.iter().copied().find(|one| one.name() == service)?;
    let method = service.methods().iter().copied().find(|one| *one == method)?;
    Some((service, method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_names_a_service_and_one_of_its_methods() {
        for (kind, expected) in [
            ("image.generate", Some(("image", "generate"))),
            ("debug.noop", Some(("debug", "noop"))),
            ("voice.speak", Some(("voice", "speak"))),
            ("translate.text", Some(("translate", "text"))),
            ("text.chat", Some(("text", "chat"))),
            ("video.generate", Some(("video", "generate"))),
            ("image.noop", None),
            ("image", None),
            ("image.generate.twice", None),
            ("", None),
        ] {
            let found = find(kind).map(|(service, method)| (service.name(), method));
            assert_eq!(found, expected, "{kind}");
        }
    }
}
