//! The appearance of burnt subtitles: their size, their position and their edge. What is not chosen follows from the proportions of the frame.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Smallest and largest height of a line, in percent of the frame's height.
const PERCENT: std::ops::RangeInclusive<f64> = 2.0..=10.0;
/// Smallest height of a line, in pixels.
const LEAST_PX: u32 = 8;

/// The height of a line of subtitles. It is written as `small`, `medium`, `large`, or as a share of the frame's height such as `6%`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum SubtitleSize {
    /// Four fifths of the usual height.
    Small,
    /// The usual height for the proportions of the frame.
    #[default]
    Medium,
    /// Five quarters of the usual height.
    Large,
    /// This share of the frame's height, in percent.
    Percent(f64),
}

/// Where subtitles are in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubtitlePosition {
    /// Near the lower edge. In an upright frame they are higher, because players have their controls there.
    #[default]
    Bottom,
    /// In the middle.
    Middle,
    /// Near the upper edge.
    Top,
}

/// How subtitles are set off from the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubtitleOutline {
    /// The letters have a dark edge.
    #[default]
    On,
    /// The letters are on a dark box, through which the picture is seen.
    Box,
    /// The letters have no edge.
    None,
}

/// The appearance of burnt subtitles in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtitleStyle {
    /// The frame's width, in pixels.
    pub width: u32,
    /// The frame's height, in pixels.
    pub height: u32,
    /// The font's family name. The font must have all characters of the text: a missing one is shown as a box.
    pub font: String,
    /// The height of a line, in pixels; None for the usual one.
    pub size: Option<u32>,
    /// Where the subtitles are.
    pub position: SubtitlePosition,
    /// How they are set off from the picture.
    pub outline: SubtitleOutline,
}

impl SubtitleStyle {
    /// Returns the usual appearance.
    pub fn usual((width, height): (u32, u32), font: String) -> Self {
        let (position, outline) = (SubtitlePosition::default(), SubtitleOutline::default());
        Self { width, height, font, size: None, position, outline }
    }

    /// Returns the height of a line, in pixels. In larger letters, a subtitle would not fit into the frame.
    pub fn line_height(&self) -> u32 {
        let size = self.size.unwrap_or_else(|| usual_size((self.width, self.height)));
        size.min(self.width / 9).max(LEAST_PX)
    }

    /// Returns the room at the left and at the right, in pixels.
    pub fn side_margin(&self) -> u32 {
        self.width / 20
    }

    /// Returns the distance from the upper or lower edge, in pixels.
    pub fn edge_margin(&self) -> u32 {
        let height = f64::from(self.height);
        let share = match (self.position, is_upright(self.width, self.height)) {
            (SubtitlePosition::Middle, _) => 0.0,
            (_, false) => 1.0 / 16.0,
            // Players have their controls and texts in the lower fifth, and their title at the top.
            (SubtitlePosition::Bottom, true) => 0.2,
            (SubtitlePosition::Top, true) => 0.12,
        };
        (height * share) as u32
    }
}

impl SubtitleSize {
    /// Returns the height of a line in a frame of this width and height, in pixels.
    pub fn pixels(self, frame: (u32, u32)) -> u32 {
        let usual = f64::from(usual_size(frame));
        let pixels = match self {
            Self::Small => usual * 0.8,
            Self::Medium => usual,
            Self::Large => usual * 1.25,
            Self::Percent(percent) => f64::from(frame.1) * percent / 100.0,
        };
        (pixels as u32).max(LEAST_PX)
    }
}

fn is_upright(width: u32, height: u32) -> bool {
    height > width
}

/// Returns the usual height of a line. In a wide frame, two lines take a tenth of the height. In others, 18 wide characters nearly fill the width:
/// an upright frame is seen on a small screen, so its letters are larger.
fn usual_size((width, height): (u32, u32)) -> u32 {
    let size = if is_upright(width, height) { width / 18 } else { (height / 20).min(width / 20) };
    size.max(LEAST_PX)
}

impl FromStr for SubtitleSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "small" => return Ok(Self::Small),
            "medium" => return Ok(Self::Medium),
            "large" => return Ok(Self::Large),
            _ => {}
        }
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        percent.filter(|percent| PERCENT.contains(percent)).map(Self::Percent).ok_or_else(|| {
            format!(
                "the size `{text}` is none: write small, medium, large, or a share of the frame's height from {}% to {}%",
                PERCENT.start(),
                PERCENT.end()
            )
        })
    }
}

impl fmt::Display for SubtitleSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small => f.write_str("small"),
            Self::Medium => f.write_str("medium"),
            Self::Large => f.write_str("large"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for SubtitleSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SubtitleSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_words_or_shares_of_the_height() {
        for (text, wide, upright, square) in [
            ("medium", 54, 60, 54),
            ("small", 43, 48, 43),
            ("large", 67, 75, 67),
            ("10%", 108, 192, 108),
            ("2.5%", 27, 48, 27),
        ] {
            let size: SubtitleSize = text.parse().unwrap();
            assert_eq!(size.to_string(), text);
            let pixels = [(1920, 1080), (1080, 1920), (1080, 1080)].map(|frame| size.pixels(frame));
            assert_eq!(pixels, [wide, upright, square], "{text}");
        }
        for wrong in ["", "big", "1%", "11%", "5", "NaN%", "inf%"] {
            assert!(wrong.parse::<SubtitleSize>().unwrap_err().contains("2% to 10%"), "{wrong}");
        }
        assert_eq!(SubtitleSize::Small.pixels((64, 64)), 8);
    }

    #[test]
    fn letters_are_never_too_large_for_the_frame() {
        for (size, width, expected) in
            [(None, 1080, 60), (Some(192), 1080, 120), (Some(50), 1080, 50), (Some(50), 64, 8)]
        {
            let style = SubtitleStyle { size, ..SubtitleStyle::usual((width, 1920), String::new()) };
            assert_eq!(style.line_height(), expected, "{size:?} {width}");
        }
    }

    #[test]
    fn subtitles_keep_away_from_the_controls_of_players() {
        use SubtitlePosition::{Bottom, Middle, Top};
        for (frame, position, margin) in [
            ((1920, 1080), Bottom, 67),
            ((1920, 1080), Top, 67),
            ((1920, 1080), Middle, 0),
            ((1080, 1080), Bottom, 67),
            ((1080, 1920), Bottom, 384),
            ((1080, 1920), Top, 230),
            ((1080, 1920), Middle, 0),
        ] {
            let style = SubtitleStyle { position, ..SubtitleStyle::usual(frame, String::new()) };
            assert_eq!(style.edge_margin(), margin, "{frame:?} {position:?}");
        }
    }
}
