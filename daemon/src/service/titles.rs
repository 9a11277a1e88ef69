//! Checks the texts and the appearance of what is drawn into frames, for `render.shot` and `video.assemble`. Pure.

use reel_protocol::{BurntStyle, FilmFormat};

use super::BadParams;

/// The most titles of a shot, and the most bytes of each of their texts.
const MOST_TITLES: usize = 100;
const TITLE_BYTES: usize = 1_000;
/// The smallest height of a line of subtitles, in pixels.
const LEAST_SIZE: u32 = 8;

/// Checks the appearance of subtitles.
pub(super) fn check_style(style: Option<&BurntStyle>, format: &FilmFormat) -> Result<(), BadParams> {
    let most = (format.height / 10).max(LEAST_SIZE);
    match style.and_then(|style| style.size).filter(|size| !(LEAST_SIZE..=most).contains(size)) {
        Some(size) => Err(BadParams::new(
            format!("subtitle_style.size {size} is not from {LEAST_SIZE} to {most} pixels"),
            "leave it out for the usual size",
        )),
        None => Ok(()),
    }
}

/// Checks the texts of a shot's titles.
pub(super) fn check_titles<'a>(
    whose: &str,
    titles: impl ExactSizeIterator<Item = [&'a Option<String>; 2]>,
) -> Result<(), BadParams> {
    if titles.len() > MOST_TITLES {
        let message = format!("{whose} has {} titles; at most {MOST_TITLES} are possible", titles.len());
        return Err(BadParams::new(message, "split the shot"));
    }
    for texts in titles {
        let mut texts = texts.into_iter().flatten().peekable();
        if texts.peek().is_none() {
            return Err(BadParams::new(
                format!("{whose} has a title without a text"),
                "set title or chapter",
            ));
        }
        if let Some(text) = texts.find(|text| text.len() > TITLE_BYTES || text.trim().is_empty()) {
            let message = format!("{whose} has a title of {} bytes", text.len());
            return Err(BadParams::new(
                message,
                format!("a title has at least one letter and at most {TITLE_BYTES} bytes"),
            ));
        }
    }
    Ok(())
}
