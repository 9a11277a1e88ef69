//! Draws storyboard panels from prompts, offline and deterministically: the same panel is the same bytes.
//!
//! A panel's picture comes from two things: from what its prompt says (`keywords`, `brief`), and from a digest of the
//! whole request (`dice`). `scene` paints it in layers from `elements`, `treatment` develops it in its style, `frame`
//! sets it into a slate with its caption, `encode` makes it a PNG. Nothing here knows of tasks, threads or clocks.

mod brief;
mod canvas;
mod caption;
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

/// The embedded font, for others that draw letters.
pub mod letters {
    pub use super::font::{FAMILY, FONT, has};
}

use std::ops::ControlFlow;

use brief::Brief;
use canvas::Canvas;
use dice::Seal;
use frame::Frame;
use stage::Stage;
use style::Style;

/// Changes when the same panel is drawn differently; it belongs into a cache's key.
pub const VERSION: u32 = 3;
/// Shortest side of a panel, in pixels.
pub const MIN_SIDE: u32 = 64;
/// Longest side of a panel, in pixels.
pub const MAX_SIDE: u32 = 2048;
/// Fonts, glyphs and paths: what drawing needs whatever the size.
const FIXED_BYTES: u64 = 12 * 1024 * 1024;

/// What to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panel {
    /// Names what is drawn, and is the caption.
    pub prompt: String,
    /// Changes the picture's chance; what it names is not taken out of the scene.
    pub negative_prompt: Option<String>,
    /// One of the seven style names; another one draws plainly.
    pub style: Option<String>,
    /// 64 to 2048 pixels.
    pub width: u32,
    /// 64 to 2048 pixels.
    pub height: u32,
    /// Another seed is another picture.
    pub seed: u64,
    /// Another sample of the same request is another picture.
    pub sample: u32,
    /// Whether the panel has a border, with the prompt and what it was drawn by below the picture. Without it the picture fills the panel; the mark
    /// that says that it is a draft stays.
    pub has_caption: bool,
}

/// A finished panel of exactly the size that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnPanel {
    /// The file: RGB, 8 bits.
    pub png: Vec<u8>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Why there is no panel.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The report broke off.
    #[error("drawing was cancelled")]
    Cancelled,
    /// A side is out of bounds.
    #[error("a panel is {MIN_SIDE} to {MAX_SIDE} pixels wide and high, not {width}×{height}")]
    Size {
        /// As asked for.
        width: u32,
        /// As asked for.
        height: u32,
    },
    /// The pixels cannot be allocated.
    #[error("no memory for a canvas of {width}×{height} pixels")]
    Canvas {
        /// As asked for.
        width: u32,
        /// As asked for.
        height: u32,
    },
    /// The encoder refused.
    #[error("the panel cannot be encoded as PNG")]
    Encode {
        /// What it said.
        source: png::EncodingError,
    },
}

/// Upper bound of the memory, in bytes, that drawing a panel of this size needs at its peak, with its PNG.
pub fn buffer_bytes(width: u32, height: u32) -> u64 {
    // The canvas has 4 bytes a pixel and the sheet 3. The PNG has at most 3 and may be copied once while it grows.
    (u64::from(width) * u64::from(height)).saturating_mul(10).saturating_add(FIXED_BYTES)
}

/// Draws a panel. `report` hears the fraction done and the name of the next step, and stops the drawing by breaking.
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
    let seal = Seal::of(panel);
    let style = Style::named(panel.style.as_deref());
    let brief = Brief::read(&panel.prompt, &seal);
    step(0.02, "caption")?;
    let frame = Frame::plan(panel, style);
    let mount = frame.mount(style);
    let (columns, rows) = mount.canvas();
    let no_memory = || DrawError::Canvas { width, height };
    let canvas = Canvas::new(columns, rows).ok_or_else(no_memory)?;
    let mut stage = Stage::new(canvas, brief, style, seal);
    for (layer, (name, paint)) in scene::LAYERS.into_iter().enumerate() {
        step(0.08 + 0.08 * layer as f32, name)?;
        paint(&mut stage);
    }
    step(0.58, "treatment")?;
    let Stage { canvas, palette, .. } = stage;
    let ground = frame::ground(&palette).bytes();
    let mut sheet = treatment::develop(canvas, style, &seal, mount, ground).ok_or_else(no_memory)?;
    step(0.68, "lettering")?;
    frame.letter(&mut sheet, &palette);
    step(0.7, "encoding")?;
    let png = encode::encode(&sheet, &panel.prompt).map_err(|source| DrawError::Encode { source })?;
    step(1.0, "done")?;
    Ok(DrawnPanel { png, width, height })
}
