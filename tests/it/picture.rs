//! A terminal's picture as an SVG image, for the README: what is in the
//! documentation is what the program really drew.
//!
//! `CHORDAL_SVG=dashboard.svg cargo test --test it the_readmes_picture -- --ignored`
//!
//! Lines, dots and blocks are drawn as shapes and every other character is put
//! into its own cell, so that the image is the same whatever fonts its viewer
//! has. `assets/dashboard.png` is that image, converted.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;
use vt100::{Cell, Color};

use crate::process::{PROGRAM, SKY_SHIP};
use crate::pty::{Launch, Screen};

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
         font-family=\"'DejaVu Sans Mono',Menlo,Consolas,monospace\" \
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
    let mut ink = Ink::default();
    let mut x = x;
    for c in text.chars() {
        ink.add(c, x, top);
        let mut buffer = [0; 4];
        x += c.encode_utf8(&mut buffer).width() as f64 * CELL_WIDTH;
    }
    ink.write(out, &foreground, look);
}

/// What is to be drawn of a run, by the way of drawing it.
#[derive(Default)]
struct Ink {
    /// Round dots.
    dots: String,
    /// Thin lines.
    thin: String,
    /// Thick lines.
    thick: String,
    /// Areas, with their opacity.
    blocks: Vec<(String, f64)>,
    /// Characters, each with the middle of its cell.
    signs: Vec<(char, f64)>,
    baseline: f64,
}

impl Ink {
    fn add(&mut self, c: char, x: f64, top: f64) {
        self.baseline = top + CELL_HEIGHT * 0.76;
        let (middle, centre) = (x + CELL_WIDTH / 2.0, top + CELL_HEIGHT / 2.0);
        let (right, bottom) = (x + CELL_WIDTH, top + CELL_HEIGHT);
        match c {
            ' ' => {}
            '\u{2800}'..='\u{28FF}' => {
                // Dots 1 to 8 of a Braille cell, as columns and rows.
                let places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)];
                for (bit, (column, row)) in places.into_iter().enumerate() {
                    if (u32::from(c) >> bit) & 1 == 1 {
                        let dot_x = x + CELL_WIDTH * (0.25 + 0.5 * f64::from(column));
                        let dot_y = top + CELL_HEIGHT * (0.125 + 0.25 * f64::from(row));
                        let _ = write!(self.dots, "M{dot_x:.1} {dot_y:.1}h.01");
                    }
                }
            }
            '█' | '▓' | '▒' | '░' => {
                let opacity = match c {
                    '█' => 1.0,
                    '▓' => 0.75,
                    '▒' => 0.5,
                    _ => 0.25,
                };
                // A little over the edge, so that no seam is seen between two.
                let (right, bottom) = (right + 0.4, bottom + 0.4);
                let path = format!("M{x:.1} {top:.1}H{right:.1}V{bottom:.1}H{x:.1}Z");
                self.blocks.push((path, opacity));
            }
            _ => match arms(c) {
                Some((heavy, [up, to_right, down, to_left])) => {
                    let lines = if heavy { &mut self.thick } else { &mut self.thin };
                    for (there, end_x, end_y) in [
                        (up, middle, top),
                        (to_right, right, centre),
                        (down, middle, bottom),
                        (to_left, x, centre),
                    ] {
                        if there {
                            let _ = write!(lines, "M{middle:.1} {centre:.1}L{end_x:.1} {end_y:.1}");
                        }
                    }
                }
                None => self.signs.push((c, middle)),
            },
        }
    }

    fn write(self, out: &mut String, colour: &str, look: Look) {
        let opacity = if look.dim { " opacity=\"0.6\"" } else { "" };
        for (path, width) in [(self.dots, 2.2), (self.thin, 1.1), (self.thick, 2.4)] {
            if !path.is_empty() {
                let _ = writeln!(
                    out,
                    "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{width}\" \
                     stroke-linecap=\"round\" fill=\"none\"{opacity}/>"
                );
            }
        }
        for (path, strength) in self.blocks {
            let _ = writeln!(
                out,
                "<path d=\"{path}\" fill=\"{colour}\" fill-opacity=\"{strength}\"{opacity}/>"
            );
        }
        let mut style = String::new();
        for (on, attribute) in [
            (look.bold, " font-weight=\"bold\""),
            (look.dim, " opacity=\"0.6\""),
            (look.italic, " font-style=\"italic\""),
            (look.underline, " text-decoration=\"underline\""),
        ] {
            style.push_str(if on { attribute } else { "" });
        }
        // Words stay together as text; each character has a place of its own.
        let ascii = |(c, _): &(char, f64)| c.is_ascii();
        for word in self.signs.chunk_by(|a, b| ascii(a) && ascii(b) && b.1 - a.1 < CELL_WIDTH * 1.5)
        {
            let places: Vec<_> = word
                .iter()
                .map(|(c, x)| if c.is_ascii() { x - CELL_WIDTH / 2.0 } else { *x })
                .map(|x| format!("{x:.1}"))
                .collect();
            let text: String = word.iter().map(|(c, _)| c).collect();
            let anchor = if text.is_ascii() { "" } else { " text-anchor=\"middle\"" };
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\"{anchor}{style}>{}</text>",
                places.join(" "),
                self.baseline,
                escape(&text)
            );
        }
    }
}

/// Where the lines of a box-drawing character go: whether they are heavy; up,
/// right, down, left.
fn arms(c: char) -> Option<(bool, [bool; 4])> {
    let way = |text: &str| ['u', 'r', 'd', 'l'].map(|side| text.contains(side));
    let (heavy, ways) = match c {
        '─' => (false, "rl"),
        '│' => (false, "ud"),
        '╭' | '┌' => (false, "rd"),
        '╮' | '┐' => (false, "dl"),
        '╰' | '└' => (false, "ur"),
        '╯' | '┘' => (false, "ul"),
        '├' => (false, "urd"),
        '┤' => (false, "udl"),
        '┬' => (false, "rdl"),
        '┴' => (false, "url"),
        '┼' => (false, "urdl"),
        '━' => (true, "rl"),
        '┃' => (true, "ud"),
        '┏' => (true, "rd"),
        '┓' => (true, "dl"),
        '┗' => (true, "ur"),
        '┛' => (true, "ul"),
        _ => return None,
    };
    Some((heavy, way(ways)))
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

/// Eight nodes, some files, and a lookup on its way.
#[test]
#[ignore = "makes the README's picture; takes the ports from 2000 on"]
fn the_readmes_picture() {
    let target = std::env::var_os("CHORDAL_SVG").expect("CHORDAL_SVG names a file to write");
    let home = TempDir::new().expect("a temporary directory");
    let words = [PROGRAM, "lab", "8", "--port", "2000"];
    let launch = Launch { size: (160, 45), dir: home.path(), env: &[] };
    let mut screen = Screen::start(&launch, &words);
    screen.wait_for("eight nodes, healthy", |view| view.shows("8 nodes") && view.shows("healthy"));
    for (name, bytes) in [
        ("lecture-04.pdf", 1_900_000),
        ("holiday.mp4", 18_400_000),
        ("notes.md", 2_140),
        ("backup.tar.zst", 7_340_000),
        ("letter.odt", 41_000),
    ] {
        let content: Vec<u8> = (0_u32..bytes).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        fs::write(home.path().join(name), content).expect("a file");
        store(&mut screen, name, home.path());
    }
    fs::copy(SKY_SHIP, home.path().join("SkyShip.jpg")).expect("the picture");
    store(&mut screen, "SkyShip.jpg", home.path());
    screen
        .wait_for("all copies counted", |view| view.shows("margin 7") && !view.shows("repairing"));
    screen.line("lookup SkyShip.jpg");
    screen.wait_for_text("its owner is");
    // The way of the lookup stands complete for two seconds.
    screen.wait_for("the way is drawn", |view| view.shows("½log₂N") && !view.shows("◉"));
    fs::write(target, svg(&screen.picture())).expect("CHORDAL_SVG names a file to write");
}

fn store(screen: &mut Screen, name: &str, home: &Path) {
    screen.line(&format!("put {}", home.join(name).display()));
    screen.wait_for_text(&format!("{name} stored"));
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
