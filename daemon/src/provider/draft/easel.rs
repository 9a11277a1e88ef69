//! What drawing keeps from one panel to the next: memory that would else be asked from the system, page by page, for each.

/// The memory of a canvas and of an encoder's output, empty at first. Dropping it gives all of it back.
#[derive(Debug, Default)]
pub struct Easel {
    /// The canvas, and later the sheet.
    pub(super) canvas: Vec<u8>,
    /// Pixels as they are compressed.
    pub(super) packed: Vec<u8>,
}

impl Easel {
    /// What it holds while nothing is drawn.
    pub const fn held_bytes(&self) -> u64 {
        self.canvas.capacity() as u64 + self.packed.capacity() as u64
    }

    /// Holds so many bytes, as if something had been drawn.
    #[cfg(test)]
    pub fn canvas_for_tests(&mut self, bytes: usize) {
        self.canvas.reserve_exact(bytes);
    }
}
