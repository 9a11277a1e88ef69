//! Outlines to runs of covered pixels, row by row: exact coverage at the edges, one run for what lies between them.
//!
//! Paths are filled by their winding number. Each edge leaves cells where it crosses pixels; a row is then the running
//! sum of its cells, so that a wide shape costs its outline, not its area.

use tiny_skia::{Path, PathSegment, Point};

/// What an edge leaves in one pixel: how much of its height, and how much of its area right of the edge, in `FULL`ths.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    row: u16,
    column: u16,
    height: i16,
    area: i16,
}

const FULL: f32 = 16_384.0;
/// Curves become lines that stay this close to them, in pixels.
const TOLERANCE: f32 = 0.05;

/// The outline that is being filled; it keeps its buffers from one path to the next.
pub struct Outline {
    width: f32,
    height: f32,
    cells: Vec<Cell>,
    sorted: Vec<Cell>,
    /// The first row that the path may touch.
    first: usize,
    /// From there: how many cells each row has, then where its cells end.
    ends: Vec<u32>,
}

impl Outline {
    /// For a picture of this size, at most 65,535 pixels a side.
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width: width as f32,
            height: height as f32,
            cells: Vec::new(),
            sorted: Vec::new(),
            first: 0,
            ends: Vec::new(),
        }
    }

    /// Reads a path; `runs` then tells what it covers.
    pub fn read(&mut self, path: &Path) {
        self.cells.clear();
        let bounds = path.bounds();
        self.first = bounds.top().clamp(0.0, self.height) as usize;
        let last = bounds.bottom().clamp(0.0, self.height) as usize;
        self.ends.clear();
        self.ends.resize(last - self.first + 1, 0);
        let (mut start, mut at) = (Point::zero(), Point::zero());
        for segment in path.segments() {
            match segment {
                PathSegment::MoveTo(to) => {
                    self.edge(at, start);
                    start = to;
                    at = to;
                }
                PathSegment::LineTo(to) => {
                    self.edge(at, to);
                    at = to;
                }
                PathSegment::QuadTo(control, to) => {
                    self.curve([at, control, control, to], 0.25);
                    at = to;
                }
                PathSegment::CubicTo(one, other, to) => {
                    self.curve([at, one, other, to], 0.75);
                    at = to;
                }
                PathSegment::Close => {
                    self.edge(at, start);
                    at = start;
                }
            }
        }
        self.edge(at, start);
        self.sort();
    }

    /// A curve as lines; a curve of one control is given it twice.
    fn curve(&mut self, [from, one, other, to]: [Point; 4], bend: f32) {
        let is_cubic = bend > 0.5;
        let sag = |a: Point, b: Point, c: Point| (a.x - 2.0 * b.x + c.x).hypot(a.y - 2.0 * b.y + c.y);
        let sags = if is_cubic { sag(from, one, other).max(sag(one, other, to)) } else { sag(from, one, to) };
        let steps = (sags * bend / TOLERANCE).sqrt().ceil().clamp(1.0, 64.0) as u32;
        let mut at = from;
        for step in 1..=steps {
            let along = step as f32 / steps as f32;
            let left = 1.0 - along;
            let blend = |a: f32, b: f32, c: f32, d: f32| {
                if is_cubic {
                    left * left * (left * a + 3.0 * along * b) + along * along * (3.0 * left * c + along * d)
                } else {
                    left * (left * a + 2.0 * along * b) + along * along * d
                }
            };
            let next = if step == steps {
                to
            } else {
                Point::from_xy(blend(from.x, one.x, other.x, to.x), blend(from.y, one.y, other.y, to.y))
            };
            self.edge(at, next);
            at = next;
        }
    }

    /// One straight edge: what it has above, below and beside the picture is cut off.
    fn edge(&mut self, from: Point, to: Point) {
        let (sign, top, foot) = if from.y <= to.y { (1.0, from, to) } else { (-1.0, to, from) };
        if foot.y <= 0.0 || top.y >= self.height || top.y >= foot.y {
            return;
        }
        let slope = (foot.x - top.x) / (foot.y - top.y);
        let (mut upper, mut lower) = (top, foot);
        if upper.y < 0.0 {
            upper = Point::from_xy(top.x - top.y * slope, 0.0);
        }
        if lower.y > self.height {
            lower = Point::from_xy(top.x + (self.height - top.y) * slope, self.height);
        }
        // The cuts at the left and the right side, in the order in which the edge meets them.
        let mut cuts = [0.0, self.width];
        if slope < 0.0 {
            cuts.reverse();
        }
        for side in cuts {
            if (upper.x - side) * (lower.x - side) < 0.0 {
                let y = (upper.y + (side - upper.x) / slope).clamp(upper.y, lower.y);
                let cut = Point::from_xy(side, y);
                self.inner_edge(sign, upper, cut);
                upper = cut;
            }
        }
        self.inner_edge(sign, upper, lower);
    }

    /// An edge that lies all inside the picture, or all on one side of it.
    fn inner_edge(&mut self, sign: f32, top: Point, foot: Point) {
        if top.x.min(foot.x) >= self.width || top.y >= foot.y {
            return;
        }
        let is_outside = top.x.max(foot.x) <= 0.0;
        let slope = (foot.x - top.x) / (foot.y - top.y);
        let mut row = top.y as u16;
        let (mut x, mut y) = (top.x, top.y);
        while y < foot.y {
            let below = f32::from(row + 1).min(foot.y);
            let next = if below < foot.y { top.x + (below - top.y) * slope } else { foot.x };
            if is_outside {
                self.leave(row, 0, sign * (below - y), 1.0);
            } else {
                self.cross_row(
                    row,
                    x.clamp(0.0, self.width),
                    next.clamp(0.0, self.width),
                    sign * (below - y),
                );
            }
            (x, y) = (next, below);
            row += 1;
        }
    }

    /// The part of an edge in one row, spread over the pixels that it crosses.
    fn cross_row(&mut self, row: u16, from: f32, to: f32, height: f32) {
        let (left, right) = if from < to { (from, to) } else { (to, from) };
        let mut column = left as u16;
        if right <= f32::from(column + 1) {
            self.leave(row, column, height, f32::from(column + 1) - (left + right) * 0.5);
            return;
        }
        let each = height / (right - left);
        let mut at = left;
        while at < right {
            let end = f32::from(column + 1).min(right);
            self.leave(row, column, each * (end - at), f32::from(column + 1) - (at + end) * 0.5);
            at = end;
            column += 1;
        }
    }

    fn leave(&mut self, row: u16, column: u16, height: f32, share: f32) {
        let nearest = |value: f32| (value * FULL + FULL + 0.5) as i16 - FULL as i16;
        self.cells.push(Cell { row, column, height: nearest(height), area: nearest(height * share) });
        if let Some(count) = self.ends.get_mut(usize::from(row).wrapping_sub(self.first)) {
            *count += 1;
        }
    }

    /// By rows by counting, then each row by columns.
    fn sort(&mut self) {
        let mut before = 0;
        for end in &mut self.ends {
            let count = *end;
            *end = before;
            before += count;
        }
        self.sorted.clear();
        self.sorted.resize(self.cells.len(), Cell::default());
        for cell in &self.cells {
            if let Some(next) = self.ends.get_mut(usize::from(cell.row).wrapping_sub(self.first)) {
                if let Some(place) = self.sorted.get_mut(*next as usize) {
                    *place = *cell;
                }
                *next += 1;
            }
        }
        let mut rest = self.sorted.as_mut_slice();
        let mut start = 0;
        for end in &self.ends {
            let (row, following) = rest.split_at_mut((end - start) as usize);
            row.sort_unstable_by_key(|cell| cell.column);
            rest = following;
            start = *end;
        }
    }

    /// The rows that the path touches: each with a number and its runs of pixels and their coverage in 256ths.
    pub fn rows(&self) -> impl Iterator<Item = (usize, Runs<'_>)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        (self.first..).zip(starts.zip(&self.ends)).filter_map(|(row, (start, end))| {
            let cells = self.sorted.get(start as usize..*end as usize).unwrap_or_default();
            let width = self.width as usize;
            (!cells.is_empty()).then_some((row, Runs { cells, height: 0, at: 0, width }))
        })
    }
}

/// Runs of equally covered pixels of one row, from left to right; none of them is empty.
pub struct Runs<'a> {
    cells: &'a [Cell],
    height: i32,
    at: usize,
    width: usize,
}

/// Any winding but zero is inside.
fn coverage(sum: i32) -> u16 {
    ((sum.unsigned_abs() + 32) >> 6).min(256) as u16
}

impl Iterator for Runs<'_> {
    /// From, up to, coverage.
    type Item = (usize, usize, u16);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.width {
            let column =
                self.cells.first().map_or(self.width, |cell| usize::from(cell.column)).min(self.width);
            let (from, cover);
            if column > self.at {
                (from, cover) = (self.at, coverage(self.height));
                self.at = column;
            } else {
                let mut area = 0;
                let mut sum = self.height;
                while let Some((cell, rest)) = self.cells.split_first()
                    && usize::from(cell.column) == column
                {
                    area += i32::from(cell.area);
                    sum += i32::from(cell.height);
                    self.cells = rest;
                }
                (from, cover) = (self.at, coverage(self.height + area));
                self.height = sum;
                self.at += 1;
            }
            if cover > 0 {
                return Some((from, self.at, cover));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use tiny_skia::{Path, PathBuilder, Rect};

    use super::Outline;

    /// Coverage of a 20×10 picture, in pixels.
    fn covered(path: &Path) -> f32 {
        let mut outline = Outline::new(20, 10);
        outline.read(path);
        let runs = outline.rows().flat_map(|(_, runs)| runs);
        runs.map(|(from, upto, cover)| (upto - from) as f32 * f32::from(cover) / 256.0).sum()
    }

    fn rect(left: f32, top: f32, width: f32, height: f32) -> Path {
        PathBuilder::from_rect(Rect::from_xywh(left, top, width, height).unwrap())
    }

    #[test]
    fn areas_are_exact_inside_and_cut_off_outside() {
        let circle = PathBuilder::from_circle(10.0, 5.0, 4.0).unwrap();
        let table = [
            (rect(2.0, 3.0, 5.0, 4.0), 20.0),
            (rect(2.25, 3.5, 5.0, 4.0), 20.0),
            (rect(-50.0, -50.0, 100.0, 100.0), 200.0),
            (rect(-5.0, 2.0, 10.0, 3.0), 15.0),
            (rect(15.0, 2.0, 10.0, 30.0), 40.0),
            (rect(30.0, 2.0, 10.0, 3.0), 0.0),
            (rect(-30.0, 2.0, 10.0, 3.0), 0.0),
            (circle, 49.8),
        ];
        for (number, (path, area)) in table.into_iter().enumerate() {
            assert!((covered(&path) - area).abs() < 0.7, "{number}: {}", covered(&path));
        }
    }

    #[test]
    fn slanted_edges_through_both_sides_leave_nothing_behind() {
        let mut builder = PathBuilder::new();
        builder.move_to(-20.0, 0.0);
        builder.line_to(40.0, 10.0);
        builder.line_to(-20.0, 10.0);
        assert!((covered(&builder.finish().unwrap()) - 100.0).abs() < 0.5);
    }

    #[test]
    fn overlapping_shapes_cover_once_and_holes_stay_open() {
        let mut twice = PathBuilder::new();
        twice.push_rect(Rect::from_xywh(1.0, 1.0, 8.0, 8.0).unwrap());
        twice.push_rect(Rect::from_xywh(1.0, 1.0, 8.0, 8.0).unwrap());
        assert!((covered(&twice.finish().unwrap()) - 64.0).abs() < 0.1);
        let ring = rect(4.0, 2.0, 6.0, 6.0);
        let ring = ring.stroke(&tiny_skia::Stroke { width: 2.0, ..Default::default() }, 1.0).unwrap();
        assert!((covered(&ring) - 48.0).abs() < 0.5);
    }
}
