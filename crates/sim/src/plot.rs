//! Small plots for a terminal: charts of curves and points, and bars.
//!
//! They are plain text: no colours, no terminal, no I/O. Curves are drawn in braille dots,
//! two by four per character cell, so that a chart of twelve rows has 48 steps; without
//! Unicode each cell is one dot.

use std::fmt::Write;

/// Maximum width of a plot in cells: wider ones are harder to read, not finer.
pub const MAX_WIDTH: usize = 100;

/// Minimum width: below it a chart has no room beside its scale.
const MIN_WIDTH: usize = 40;

/// Rows of a chart between its title and its scale.
const ROWS: usize = 12;

/// Dots of a braille cell, across and down.
const DOTS: (usize, usize) = (2, 4);

/// The bit of each braille dot, by row and column (Unicode 15, chapter 21.1).
const BRAILLE: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// The first braille pattern, which has no dot.
const NO_DOTS: u32 = 0x2800;

/// Parts of a block, from one eighth to eight.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Symbols of points that are not joined, in the order of the curves.
const MARKS: [char; 4] = ['●', '○', '◆', '×'];

/// The same in ASCII.
const ASCII_MARKS: [char; 4] = ['o', 'x', '+', '#'];

/// The characters with which a plot is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Braille dots and blocks.
    Unicode,
    /// ASCII only.
    Ascii,
}

/// How values are placed on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their difference.
    Linear,
    /// By their ratio. Values must be above 0; others are left out.
    Log,
}

/// A chart or bars.
#[derive(Clone, Debug, PartialEq)]
pub enum Plot {
    /// Curves over an axis.
    Chart(Chart),
    /// One bar per value.
    Bars(Bars),
}

/// Curves over an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub title: String,
    /// The name of the horizontal axis.
    pub across: String,
    /// The scale of the horizontal axis.
    pub scale: Scale,
    /// Whether the vertical scale begins at 0, however far the values are above it.
    pub from_zero: bool,
    pub curves: Vec<Curve>,
}

/// A series of points.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend; empty if the legend has it already.
    pub name: String,
    /// Whether the points are joined by a line.
    pub joined: bool,
    /// Horizontal and vertical values; for a line from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// Makes a curve with a point for each of `rows`.
    pub(super) fn over<'a, R: 'a>(
        rows: impl IntoIterator<Item = &'a R>,
        name: &str,
        joined: bool,
        across: impl Fn(&R) -> f64,
        up: impl Fn(&R) -> f64,
    ) -> Curve {
        let points = rows.into_iter().map(|row| (across(row), up(row))).collect();
        Curve { name: name.to_owned(), joined, points }
    }
}

/// One bar per value.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    pub title: String,
    pub bars: Vec<Bar>,
}

/// A bar with its texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The text before it.
    pub label: String,
    /// Its length; the longest fills the width.
    pub value: f64,
    /// The text behind it.
    pub shown: String,
}

impl Plot {
    /// Draws the plot, at most `width` cells wide (and at most [`MAX_WIDTH`]). Lines have
    /// no trailing blanks.
    pub fn draw(&self, width: usize, glyphs: Glyphs) -> Vec<String> {
        let width = width.clamp(MIN_WIDTH, MAX_WIDTH);
        let lines = match self {
            Plot::Chart(chart) => chart.draw(width, glyphs),
            Plot::Bars(bars) => bars.draw(width, glyphs),
        };
        lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// An axis, which maps a value to 0..=1.
struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, scale: Scale) -> Option<Axis> {
        let fits = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(fits) {
            (low, high) = (low.min(value), high.max(value));
        }
        (low <= high).then_some(Axis { low, high, scale })
    }

    fn at(&self, value: f64) -> Option<f64> {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        // With a single value the place would be 0/0.
        let place = if self.low < self.high { place } else { 0.5 };
        place.is_finite().then_some(place.clamp(0.0, 1.0))
    }
}

/// The drawing area: dots, and symbols above them.
struct Canvas {
    columns: usize,
    dots: Vec<u8>,
    marks: Vec<Option<char>>,
    glyphs: Glyphs,
}

impl Canvas {
    fn new(columns: usize, glyphs: Glyphs) -> Canvas {
        let cells = columns * ROWS;
        Canvas { columns, dots: vec![0; cells], marks: vec![None; cells], glyphs }
    }

    /// Number of dots in each direction.
    fn size(&self) -> (usize, usize) {
        (self.columns * DOTS.0, ROWS * DOTS.1)
    }

    /// Sets a dot, counted from the lower left corner.
    fn dot(&mut self, across: usize, up: usize) {
        let down = ROWS * DOTS.1 - 1 - up;
        let cell = down / DOTS.1 * self.columns + across / DOTS.0;
        self.dots[cell] |= BRAILLE[down % DOTS.1][across % DOTS.0];
    }

    /// Draws a line between two places of 0..=1.
    fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        let (wide, high) = self.size();
        let step = |place: f64, of: usize| place * (of - 1) as f64;
        let (x0, y0) = (step(from.0, wide), step(from.1, high));
        let (x1, y1) = (step(to.0, wide), step(to.1, high));
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0);
        for at in 0..=steps as usize {
            let part = at as f64 / steps;
            let (x, y) = (x0 + (x1 - x0) * part, y0 + (y1 - y0) * part);
            self.dot(x.round() as usize, y.round() as usize);
        }
    }

    fn mark(&mut self, place: (f64, f64), mark: char) {
        let column = (place.0 * (self.columns - 1) as f64).round() as usize;
        let row = ROWS - 1 - (place.1 * (ROWS - 1) as f64).round() as usize;
        self.marks[row * self.columns + column] = Some(mark);
    }

    fn row(&self, row: usize) -> String {
        let cells = row * self.columns..(row + 1) * self.columns;
        let cell = |at: usize| match (self.marks[at], self.dots[at], self.glyphs) {
            (Some(mark), ..) => mark,
            (None, 0, _) => ' ',
            (None, dots, Glyphs::Unicode) => {
                char::from_u32(NO_DOTS + u32::from(dots)).unwrap_or('.')
            }
            (None, _, Glyphs::Ascii) => '.',
        };
        cells.map(cell).collect()
    }
}

impl Chart {
    fn draw(&self, width: usize, glyphs: Glyphs) -> Vec<String> {
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter());
        let zero = self.from_zero.then_some(0.0);
        let across = Axis::over(points().map(|point| point.0), self.scale);
        let up = Axis::over(points().map(|point| point.1).chain(zero), Scale::Linear);
        let (Some(across), Some(up)) = (across, up) else {
            return vec![self.title.clone(), "(no values)".to_owned()];
        };

        let (top, bottom) = (short(up.high), short(up.low));
        let scale = top.chars().count().max(bottom.chars().count());
        let mut canvas = Canvas::new(width - scale - 2, glyphs);
        let place = |point: &(f64, f64)| Some((across.at(point.0)?, up.at(point.1)?));
        let marks = if glyphs == Glyphs::Unicode { MARKS } else { ASCII_MARKS };
        let mut legend = Vec::new();
        // Symbols are drawn above all lines, whatever the order of the curves.
        for curve in self.curves.iter().filter(|curve| curve.joined) {
            let places: Vec<_> = curve.points.iter().filter_map(place).collect();
            if let [only] = places[..] {
                canvas.line(only, only);
            }
            for pair in places.windows(2) {
                canvas.line(pair[0], pair[1]);
            }
            let sample = if glyphs == Glyphs::Unicode { "⠤⠤" } else { ".." };
            if !curve.name.is_empty() {
                legend.push(format!("{sample} {}", curve.name));
            }
        }
        let single = self.curves.iter().filter(|curve| !curve.joined);
        for (curve, mark) in single.zip(marks.into_iter().cycle()) {
            for place in curve.points.iter().filter_map(place) {
                canvas.mark(place, mark);
            }
            legend.push(format!("{mark} {}", curve.name));
        }

        let (side, corner, floor) = match glyphs {
            Glyphs::Unicode => ('│', '└', '─'),
            Glyphs::Ascii => ('|', '+', '-'),
        };
        let mut lines = vec![self.title.clone()];
        for row in 0..ROWS {
            let number = match row {
                0 => top.as_str(),
                row if row + 1 == ROWS => bottom.as_str(),
                _ => "",
            };
            lines.push(format!("{number:>scale$} {side}{}", canvas.row(row)));
        }
        let floor: String = std::iter::repeat_n(floor, canvas.columns).collect();
        lines.push(format!("{:scale$} {corner}{floor}", ""));
        let (left, right) = (short(across.low), short(across.high));
        let room = canvas.columns.saturating_sub(left.len() + right.len());
        let name = &self.across;
        lines.push(format!("{:scale$}  {left}{name:^room$}{right}", ""));
        lines.push(format!("{:scale$}  {}", "", legend.join("   ")));
        lines
    }
}

impl Bars {
    fn draw(&self, width: usize, glyphs: Glyphs) -> Vec<String> {
        let cells = |text: fn(&Bar) -> &String| {
            self.bars.iter().map(|bar| text(bar).chars().count()).max().unwrap_or(0)
        };
        let (label, shown) = (cells(|bar| &bar.label), cells(|bar| &bar.shown));
        let room = width.saturating_sub(label + shown + 2).max(1);
        let most = self.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        let mut lines = vec![self.title.clone()];
        for bar in &self.bars {
            let share = if most > 0.0 { bar.value / most } else { 0.0 };
            let eighths = (share * (room * 8) as f64).round() as usize;
            let mut line = format!("{:>label$} ", bar.label);
            match glyphs {
                Glyphs::Unicode => {
                    line.extend(std::iter::repeat_n(EIGHTHS[7], eighths / 8));
                    line.extend(
                        eighths
                            .checked_rem(8)
                            .filter(|rest| *rest > 0)
                            .map(|rest| EIGHTHS[rest - 1]),
                    );
                }
                Glyphs::Ascii => line.extend(std::iter::repeat_n('#', (eighths + 4) / 8)),
            }
            // Writing to a string cannot fail.
            let _ = write!(line, " {}", bar.shown);
            lines.push(line);
        }
        lines
    }
}

/// A number for a scale, in its shortest form.
fn short(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", grouped(value.abs() as u64));
    }
    let decimals = if value.abs() < 0.1 { 3 } else { 2 };
    format!("{value:.decimals$}")
}

/// A whole number with a blank between thousands.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(curves: Vec<Curve>) -> Plot {
        let (title, across) = ("contacts".to_owned(), "nodes".to_owned());
        Plot::Chart(Chart { title, across, scale: Scale::Log, from_zero: false, curves })
    }

    fn curve(name: &str, joined: bool, points: &[(f64, f64)]) -> Curve {
        Curve { name: name.to_owned(), joined, points: points.to_vec() }
    }

    #[test]
    fn a_chart_joins_lines_and_sets_marks_above_them() {
        let line = curve("formula", true, &[(128.0, 4.0), (1024.0, 5.5), (8192.0, 7.0)]);
        let ours = curve("ours", false, &[(128.0, 4.0), (8192.0, 7.0)]);
        let lines = chart(vec![ours, line]).draw(44, Glyphs::Ascii);
        assert_eq!(
            lines.join("\n"),
            "\
contacts
7 |                                     ...o
  |                                  ....
  |                              ....
  |                           ....
  |                       ....
  |                    ....
  |                 ....
  |              ....
  |          ....
  |       ....
  |   ....
4 |o...
  +-----------------------------------------
   128              nodes              8 192
   .. formula   o ours"
        );
    }

    #[test]
    fn a_chart_in_braille_has_the_same_form_and_finer_steps() {
        let line = curve("formula", true, &[(1.0, 0.0), (2.0, 1.0)]);
        let lines = chart(vec![line]).draw(60, Glyphs::Unicode);
        assert_eq!(lines.len(), ROWS + 4);
        assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:#?}");
        let dots: usize = lines[1..=ROWS]
            .iter()
            .flat_map(|line| line.chars())
            .filter(|c| (NO_DOTS..NO_DOTS + 256).contains(&u32::from(*c)))
            .map(|c| (u32::from(c) - NO_DOTS).count_ones() as usize)
            .sum();
        assert_eq!(dots, (60 - 1 - 2) * DOTS.0, "a dot for every step across");
    }

    #[test]
    fn what_has_no_place_on_a_scale_is_left_out() {
        let odd = curve("odd", true, &[(0.0, 1.0), (f64::NAN, 1.0), (4.0, f64::INFINITY)]);
        let lines = chart(vec![odd.clone()]).draw(50, Glyphs::Unicode);
        assert!(lines.len() > 2 || lines[1] == "(no values)", "{lines:?}");
        assert_eq!(chart(vec![]).draw(50, Glyphs::Unicode)[1], "(no values)");
        let one = curve("one", false, &[(5.0, 5.0)]);
        let lines = chart(vec![odd, one]).draw(50, Glyphs::Ascii);
        assert!(lines.iter().any(|line| line.contains('o')), "{lines:#?}");
    }

    #[test]
    fn the_longest_bar_fills_the_width_and_an_eighth_shows() {
        let bar = |label: &str, value| Bar {
            label: label.to_owned(),
            value,
            shown: format!("{value:.0} %"),
        };
        let bars = vec![bar("9", 80.0), bar("10", 10.0), bar("11", 0.0)];
        let plot = Plot::Bars(Bars { title: "share".to_owned(), bars });
        let lines = plot.draw(40, Glyphs::Unicode);
        assert_eq!(lines[1], format!(" 9 {} 80 %", "█".repeat(32)));
        assert_eq!(lines[2], "10 ████ 10 %");
        assert_eq!(lines[3], "11  0 %");
        assert_eq!(plot.draw(40, Glyphs::Ascii)[2], "10 #### 10 %");
    }

    #[test]
    fn numbers_of_a_scale_are_short() {
        for (value, text) in [
            (1_048_576.0, "1 048 576"),
            (0.5, "0.50"),
            (0.001, "0.001"),
            (-1_000.0, "-1 000"),
            (7.0, "7"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
