//! A terminal's picture as an SVG image, for the README: what is in the
//! documentation is what the program really drew.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;
use vt100::{Cell, Color};

/// A character cell in SVG units: the proportions of common monospaced fonts
/// at [`FONT_SIZE`].
const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 17.0;
const FONT_SIZE: u32 = 14;
const MARGIN: f64 = 12.0;

/// The terminal's own colours: what "default" stands for.
const FOREGROUND: &str = "#d5d8e0";
const BACKGROUND: &str = "#16181f";

/// The sixteen named colours, as a common dark theme has them.
const NAMED: [&str; 16] = [
    "#22242c", "#f06a75", "#8fcf7f", "#e8b765", "#6ea8f7", "#c58cf0", "#54c6d6", "#c3c8d4",
    "#6b7182", "#ff8b94", "#a9e39a", "#f6cd85", "#92c1ff", "#d8adff", "#7fe0ee", "#ffffff",
];

/// How a run of cells looks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    foreground: Color,
    background: Color,
    inverse: bool,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        Look {
            foreground: cell.fgcolor(),
            background: cell.bgcolor(),
            inverse: cell.inverse(),
            bold: cell.bold(),
            dim: cell.dim(),
            italic: cell.italic(),
            underline: cell.underline(),
        }
    }

    fn colours(self) -> (String, String) {
        let foreground = colour(self.foreground, FOREGROUND);
        let background = colour(self.background, BACKGROUND);
        if self.inverse { (background, foreground) } else { (foreground, background) }
    }
}

/// The picture as an SVG document.
pub(crate) fn svg(screen: &vt100::Screen) -> String {
    let (rows, cols) = screen.size();
    let width = f64::from(cols.get()) * CELL_WIDTH + 2.0 * MARGIN;
    let height = f64::from(rows.get()) * CELL_HEIGHT + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"'JetBrains Mono','DejaVu Sans Mono',Menlo,Consolas,monospace\" \
         font-size=\"{FONT_SIZE}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows.get() {
        let mut column = 0;
        while column < cols.get() {
            let (text, cells, look) = run(screen, row, column, cols.get());
            draw(&mut out, row, column, &text, cells, look);
            column += cells;
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The longest run of cells from here that look alike.
fn run(screen: &vt100::Screen, row: u16, start: u16, cols: u16) -> (String, u16, Look) {
    let look_at = |column| screen.cell(row, column).expect("inside the screen");
    let look = Look::of(look_at(start));
    let mut text = String::new();
    let mut column = start;
    while column < cols {
        let cell = look_at(column);
        if Look::of(cell) != look {
            break;
        }
        if cell.has_contents() {
            text.push_str(cell.contents());
        } else if !cell.is_wide_continuation() {
            text.push(' ');
        }
        column += 1;
    }
    (text, column - start, look)
}

fn draw(out: &mut String, row: u16, column: u16, text: &str, cells: u16, look: Look) {
    let x = MARGIN + f64::from(column) * CELL_WIDTH;
    let top = MARGIN + f64::from(row) * CELL_HEIGHT;
    let width = f64::from(cells) * CELL_WIDTH;
    let (foreground, background) = look.colours();
    if background != BACKGROUND {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{CELL_HEIGHT}\" \
             fill=\"{background}\"/>"
        );
    }
    let y = top + CELL_HEIGHT * 0.76;
    let mut style = String::new();
    for (on, attribute) in [
        (look.bold, " font-weight=\"bold\""),
        (look.dim, " opacity=\"0.6\""),
        (look.italic, " font-style=\"italic\""),
        (look.underline, " text-decoration=\"underline\""),
    ] {
        style.push_str(if on { attribute } else { "" });
    }
    // Word by word: each stands on the grid, whatever the reader's font.
    let mut cell = 0;
    for word in text.split(' ') {
        let cells = word.width();
        if cells > 0 {
            let x = x + cell as f64 * CELL_WIDTH;
            let length = cells as f64 * CELL_WIDTH;
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" \
                 lengthAdjust=\"spacingAndGlyphs\" fill=\"{foreground}\"{style}>{}</text>",
                escape(word)
            );
        }
        cell += cells + 1;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A colour as SVG writes it: the sixteen named ones by the theme, then the
/// 6×6×6 cube and the greys of the 256-colour palette.
fn colour(colour: Color, default: &str) -> String {
    let rgb = |r: u8, g: u8, b: u8| format!("#{r:02x}{g:02x}{b:02x}");
    match colour {
        Color::Default => default.to_owned(),
        Color::Rgb(r, g, b) => rgb(r, g, b),
        Color::Idx(index @ 0..=15) => NAMED[usize::from(index)].to_owned(),
        Color::Idx(index @ 16..=231) => {
            let step = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
            let place = index - 16;
            rgb(step(place / 36), step(place / 6 % 6), step(place % 6))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            rgb(grey, grey, grey)
        }
    }
}

#[test]
fn colours_and_text_of_the_screen_reach_the_image() {
    let size = |length| std::num::NonZeroU16::new(length).expect("not 0");
    let mut parser = vt100::Parser::new(size(3), size(20), 0);
    parser.process(b"a<b \x1b[1;31mred\x1b[0m\r\n\x1b[48;5;21m  \x1b[0m \x1b[38;2;1;2;3mrgb");
    let image = svg(parser.screen());
    assert!(image.contains(">a&lt;b</text>"), "{image}");
    assert!(image.contains("fill=\"#f06a75\" font-weight=\"bold\">red<"));
    assert!(image.contains("fill=\"#0000ff\"/>"), "{image}");
    assert!(image.contains("fill=\"#010203\""), "{image}");
}
