//! Writes notes about the pictures of an answer, such as that there are fewer or more than requested or that their size differs. Pure.

use reel_protocol::{ImageParams, TaskNote};

use super::inspect::Inspected;

/// What is known of an answer apart from its pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The error text of the answer, else its status if that is not a success. The key is removed, and the text is shortened.
    pub words: Option<String>,
    /// The cost that the service reports, or that its reported tokens have at the configured price, in millionths of a US dollar.
    pub cost_microusd: Option<u64>,
    /// How many pictures were not kept because the answer held too many.
    pub passed_over: usize,
    /// Why one of the pictures is missing; None if none is.
    pub missing: Option<String>,
}

/// Returns the notes about these pictures of that provider.
pub fn notes(provider: &str, asked: &ImageParams, made: &[Inspected], beside: &Beside) -> Vec<TaskNote> {
    let mut notes = Vec::new();
    let (count, wanted) = (made.len(), asked.n as usize);
    if count < wanted {
        let why = beside.missing.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let message = format!("{count} of {wanted} pictures came{why}");
        notes.push(TaskNote::new(TaskNote::FEWER_OUTPUTS, message));
    }
    if count > wanted {
        let dropped = match beside.passed_over {
            0 => String::new(),
            more => format!(", and {more} more were not kept"),
        };
        let message = format!("{count} pictures came where {wanted} was asked for{dropped}");
        notes.push(TaskNote::new(TaskNote::MORE_OUTPUTS, message));
    }
    let size = |picture: &Inspected| Some((picture.width?, picture.height?));
    let others = made.iter().filter_map(size).filter(|size| *size != (asked.width, asked.height));
    if let Some((width, height)) = others.clone().next() {
        let several = match (others.count(), count) {
            (_, 1) => String::new(),
            (other, all) => format!(" ({other} of {all} pictures)"),
        };
        let message =
            format!("{provider} made {width}x{height}, not {}x{}{several}", asked.width, asked.height);
        notes.push(TaskNote::new(TaskNote::OTHER_SIZE, message));
    }
    if let Some(reason) = made.iter().find_map(|picture| picture.undecoded.as_ref()) {
        let message = format!("a picture is kept as it came, and was not checked: {reason}");
        notes.push(TaskNote::new(TaskNote::NOT_DECODED, message));
    }
    if let Some(words) = &beside.words {
        let message = format!("{provider} also answered: {words}");
        notes.push(TaskNote::new(TaskNote::PROVIDER_MESSAGE, message));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(size: Option<(u32, u32)>, undecoded: Option<&str>) -> Inspected {
        Inspected {
            media_type: "image/png",
            extension: "png",
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            undecoded: undecoded.map(str::to_owned),
        }
    }

    #[test]
    fn whatever_differs_from_what_was_asked_for_is_said() {
        let asked = |n| ImageParams { n, width: 64, height: 32, ..ImageParams::new("x") };
        let fine = || picture(Some((64, 32)), None);
        let small = || picture(Some((16, 8)), None);
        let beside = Beside { passed_over: 3, missing: Some("gone".to_owned()), ..Beside::default() };
        for (n, made, beside, messages) in [
            (1, vec![fine()], Beside::default(), vec![]),
            (2, vec![fine()], Beside::default(), vec!["1 of 2 pictures came"]),
            (2, vec![fine()], beside.clone(), vec!["1 of 2 pictures came: gone"]),
            (1, vec![fine(), fine()], Beside::default(), vec!["2 pictures came where 1 was asked for"]),
            (
                1,
                vec![fine(), fine()],
                beside,
                vec!["2 pictures came where 1 was asked for, and 3 more were not kept"],
            ),
            (1, vec![small()], Beside::default(), vec!["studio made 16x8, not 64x32"]),
            (
                2,
                vec![fine(), small()],
                Beside::default(),
                vec!["studio made 16x8, not 64x32 (1 of 2 pictures)"],
            ),
            (
                1,
                vec![picture(None, Some("image/gif is not decoded here"))],
                Beside::default(),
                vec!["a picture is kept as it came, and was not checked: image/gif is not decoded here"],
            ),
            (
                1,
                vec![fine()],
                Beside { words: Some("slow".to_owned()), ..Beside::default() },
                vec!["studio also answered: slow"],
            ),
        ] {
            let notes = notes("studio", &asked(n), &made, &beside);
            let found: Vec<_> = notes.iter().map(|note| note.message.as_str()).collect();
            assert_eq!(found, messages);
        }
    }
}
