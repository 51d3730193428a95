//! The circle of the ring diagram: where a place of the ring lies on the
//! screen, and the dots of circle, chords and paths.
//!
//! Identifiers run clockwise from 12 o'clock. Cells are twice as high as wide,
//! so the canvas counts two units to a cell's width and four to its height: a
//! dot of a Braille cell is one unit, and the circle is round.
//!
//! A Braille cell has one colour. Dots are painted in colours that stand for
//! layers; afterwards each cell gets the style of its layer, which may be more
//! than a colour (dim, in the standard theme).

use std::f64::consts::TAU;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Context, Points};

use chordal_core::id::{Id, Space};

/// A point of the canvas, the circle's centre at (0, 0).
pub(super) type Point = (f64, f64);

/// What a dot belongs to; a later one covers an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// The circle.
    Rim,
    /// From this node to its fingers.
    Chord,
    /// To the selected finger.
    Selected,
    /// The part of the circle whose keys belong to this node.
    Own,
    /// The path of a lookup.
    Path,
}

impl Layer {
    const ALL: [Layer; 5] = [Layer::Rim, Layer::Chord, Layer::Selected, Layer::Own, Layer::Path];

    const fn colour(self) -> Color {
        Color::Indexed(self as u8)
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dash {
    /// Every dot.
    Solid,
    /// Two dots of five.
    Dashed,
}

/// A circle inside an area.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circle {
    pub(super) area: Rect,
    /// In canvas units: half a cell's width, a quarter of its height.
    pub(super) radius: f64,
}

/// Dots of several layers.
#[derive(Debug, Default)]
pub(super) struct Dots {
    layers: [Vec<Point>; Layer::ALL.len()],
}

impl Circle {
    /// The largest circle that leaves `side` columns left and right and one
    /// row above and below for labels.
    pub(super) fn fitting(area: Rect, side: u16) -> Circle {
        let columns = f64::from(area.width) - 2.0 * f64::from(side) - 2.0;
        let rows = f64::from(area.height) - if area.height > 8 { 2.0 } else { 0.0 };
        let radius = (columns).min(2.0 * rows - 2.0).max(3.0);
        Circle { area, radius }
    }

    /// The cell of a point, if it lies inside the area.
    pub(super) fn cell(self, (x, y): Point) -> Option<Position> {
        // The canvas rounds to its dots in the same way.
        let (columns, rows) = (f64::from(self.area.width), f64::from(self.area.height));
        let dot_x = ((x + columns) * (2.0 * columns - 1.0) / (2.0 * columns)).round();
        let dot_y = ((2.0 * rows - y) * (4.0 * rows - 1.0) / (4.0 * rows)).round();
        let (column, row) = ((dot_x / 2.0).floor(), (dot_y / 4.0).floor());
        let inside = column >= 0.0 && column < columns && row >= 0.0 && row < rows;
        inside.then(|| Position::new(self.area.x + column as u16, self.area.y + row as u16))
    }

    /// Paints the dots into the buffer, each layer in its style.
    pub(super) fn paint(
        self,
        buf: &mut Buffer,
        marker: Marker,
        dots: &Dots,
        style: impl Fn(Layer) -> Style,
    ) {
        let (columns, rows) = (f64::from(self.area.width), f64::from(self.area.height));
        Canvas::default()
            .marker(marker)
            .x_bounds([-columns, columns])
            .y_bounds([-2.0 * rows, 2.0 * rows])
            .paint(|canvas: &mut Context| {
                for layer in Layer::ALL {
                    canvas.draw(&Points {
                        coords: &dots.layers[layer as usize],
                        color: layer.colour(),
                    });
                }
            })
            .render(self.area, buf);
        for position in self.area.positions() {
            let cell = &mut buf[position];
            if let Some(layer) = Layer::ALL.into_iter().find(|l| l.colour() == cell.fg) {
                cell.set_fg(Color::Reset);
                cell.set_style(style(layer));
            }
        }
    }
}

impl Dots {
    /// Dots of the arc from `from` to `to`, clockwise, `radius` units from the
    /// centre.
    pub(super) fn arc(&mut self, layer: Layer, from: f64, to: f64, radius: f64) {
        let length = if to > from { to - from } else { to - from + 1.0 };
        let steps = (length * TAU * radius).ceil().max(1.0);
        let turns = (0..=steps as usize).map(|i| from + length * i as f64 / steps);
        self.layers[layer as usize].extend(turns.map(|turn| polar(turn, radius)));
    }

    /// Dots of a straight line.
    pub(super) fn line(&mut self, layer: Layer, from: Point, to: Point, dash: Dash) {
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let steps = length.ceil().max(1.0) as usize;
        let points = (0..=steps)
            .filter(|i| dash == Dash::Solid || i % 5 < 2)
            .map(|i| along(from, to, i as f64 / steps as f64));
        self.layers[layer as usize].extend(points);
    }
}

/// The point a part of the way from one point to another.
pub(super) fn along(from: Point, to: Point, part: f64) -> Point {
    (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part)
}

/// Where this part of a whole turn lies, `radius` units from the centre.
pub(super) fn polar(turn: f64, radius: f64) -> Point {
    let angle = turn * TAU;
    (radius * angle.sin(), radius * angle.cos())
}

/// The part of a whole turn at which a place lies, from 12 o'clock on.
pub(super) fn turn(space: Space, id: Id) -> f64 {
    id.value() as f64 / (space.last().value() as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_run_clockwise_from_twelve() {
        let space = Space::default();
        let circle = Circle::fitting(Rect::new(0, 0, 60, 30), 5);
        let r = circle.radius;
        for (id, (x, y)) in [(0, (0.0, r)), (256, (r, 0.0)), (512, (0.0, -r)), (768, (-r, 0.0))] {
            let (px, py) = polar(turn(space, Id::new(id)), r);
            assert!((px - x).abs() < 1e-9 && (py - y).abs() < 1e-9, "{id}");
        }
    }

    #[test]
    fn the_circle_is_round_and_inside() {
        let circle = Circle::fitting(Rect::new(0, 0, 60, 30), 5);
        let top = circle.cell(polar(0.0, circle.radius)).expect("inside");
        let right = circle.cell(polar(0.25, circle.radius)).expect("inside");
        let (dx, dy) = (i32::from(right.x) - 30, 15 - i32::from(top.y));
        assert!((dx - 2 * dy).abs() <= 3, "{dx} columns, {dy} rows");
    }
}
