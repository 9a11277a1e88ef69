//! Draws storyboard panels from prompts, offline and deterministically: equal panels give equal bytes.
//!
//! A picture depends on the words of its prompt (`keywords`, `brief`) and on a digest of the whole request (`dice`). `scene` paints it in layers from
//! `elements`, `treatment` applies its style, `frame` adds the border and the caption, and `encode` writes the PNG. This crate uses no tasks, threads
//! or clocks.

mod brief;
mod canvas;
mod caption;
mod card;
mod dice;
mod elements;
mod encode;
mod font;
mod frame;
mod keywords;
mod palette;
mod paper;
mod scene;
mod sheet;
mod stage;
mod style;
#[cfg(test)]
mod tests;
mod tone;
mod treatment;

/// The embedded font, for other crates that draw text.
pub mod letters {
    pub use super::font::{FAMILY, FONT, has};
}

use std::ops::ControlFlow;

use brief::Brief;
use canvas::Canvas;
use dice::RequestDigest;
use frame::Frame;
use sheet::Sheet;
use stage::Stage;
use style::Style;

/// The version of the drawing. It changes whenever the same panel is drawn differently, so cache keys must contain it.
pub const VERSION: u32 = 4;
/// Shortest side of a panel, in pixels.
pub const MIN_SIDE: u32 = 64;
/// Longest side of a panel, in pixels.
pub const MAX_SIDE: u32 = 2048;
/// Memory for fonts, glyphs and paths, in bytes. It does not depend on the size of the panel.
const FIXED_BYTES: u64 = 12 * 1024 * 1024;

/// The description of a panel to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panel {
    /// The prompt. It says what is drawn, and is the caption.
    pub prompt: String,
    /// A text that changes the random choices. It does not remove anything from the scene.
    pub negative_prompt: Option<String>,
    /// One of the seven style names. An unknown name means the plain style.
    pub style: Option<String>,
    /// Width in pixels, from 64 to 2048.
    pub width: u32,
    /// Height in pixels, from 64 to 2048.
    pub height: u32,
    /// The seed. Another seed gives another picture.
    pub seed: u64,
    /// The number of the sample. Each sample of a request is another picture.
    pub sample: u32,
    /// Whether the panel has a border, with a caption and a line of parameters below the picture. Without it the picture fills the panel. The draft
    /// mark is always drawn.
    pub has_caption: bool,
    /// Whether the panel is a card: only the prompt, in the middle of a plain ground.
    pub is_card: bool,
}

/// A finished panel of exactly the requested size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnPanel {
    /// The PNG file: RGB with 8 bits per channel.
    pub png: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// The reason why a panel was not drawn.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// `report` returned `Break`.
    #[error("drawing was cancelled")]
    Cancelled,
    /// A side is too short or too long.
    #[error("a panel is {MIN_SIDE} to {MAX_SIDE} pixels wide and high, not {width}×{height}")]
    Size {
        /// The requested width in pixels.
        width: u32,
        /// The requested height in pixels.
        height: u32,
    },
    /// The memory for the pixels cannot be allocated.
    #[error("no memory for a canvas of {width}×{height} pixels")]
    Canvas {
        /// The requested width in pixels.
        width: u32,
        /// The requested height in pixels.
        height: u32,
    },
    /// The PNG encoder failed.
    #[error("the panel cannot be encoded as PNG")]
    Encode {
        /// The error of the encoder.
        source: png::EncodingError,
    },
}

/// Returns an upper bound of the memory, in bytes, that drawing a panel of this size and its PNG need at the peak.
pub fn buffer_bytes(width: u32, height: u32) -> u64 {
    // The canvas has 4 bytes per pixel and the sheet 3. The PNG has at most 3 and may be copied once while it grows.
    (u64::from(width) * u64::from(height)).saturating_mul(10).saturating_add(FIXED_BYTES)
}

/// Draws a panel. `report` receives the finished fraction (0 to 1) and the name of the next step. It cancels the drawing by returning `Break`.
pub fn draw(
    panel: &Panel,
    report: &mut dyn FnMut(f32, &str) -> ControlFlow<()>,
) -> Result<DrawnPanel, DrawError> {
    let Panel { width, height, .. } = *panel;
    let sides = MIN_SIDE..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(DrawError::Size { width, height });
    }
    let mut step = |fraction: f32, doing: &str| match report(fraction, doing) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(DrawError::Cancelled),
    };
    step(0.0, "composition")?;
    let sheet = if panel.is_card {
        card::draw(&panel.prompt, width, height).ok_or(DrawError::Canvas { width, height })?
    } else {
        paint(panel, &mut step)?
    };
    step(0.7, "encoding")?;
    let png = encode::encode(&sheet, &panel.prompt).map_err(|source| DrawError::Encode { source })?;
    step(1.0, "done")?;
    Ok(DrawnPanel { png, width, height })
}

/// Paints the scene of the prompt in its frame.
fn paint(
    panel: &Panel,
    step: &mut dyn FnMut(f32, &str) -> Result<(), DrawError>,
) -> Result<Sheet, DrawError> {
    let Panel { width, height, .. } = *panel;
    let digest = RequestDigest::of(panel);
    let style = Style::named(panel.style.as_deref());
    let brief = Brief::read(&panel.prompt, &digest);
    step(0.02, "caption")?;
    let frame = Frame::plan(panel, style);
    let mount = frame.mount(style);
    let (columns, rows) = mount.canvas();
    let no_memory = || DrawError::Canvas { width, height };
    let canvas = Canvas::new(columns, rows).ok_or_else(no_memory)?;
    let mut stage = Stage::new(canvas, brief, style, digest);
    for (layer, (name, paint_layer)) in scene::LAYERS.into_iter().enumerate() {
        step(0.08 + 0.08 * layer as f32, name)?;
        paint_layer(&mut stage);
    }
    step(0.58, "treatment")?;
    let Stage { canvas, palette, .. } = stage;
    let ground = frame::ground(&palette).bytes();
    let mut sheet = treatment::develop(canvas, style, &digest, mount, ground).ok_or_else(no_memory)?;
    step(0.68, "lettering")?;
    frame.letter(&mut sheet, &palette);
    Ok(sheet)
}
