//! Tables that format only the rows that are seen and drop columns by priority.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::scene::{Scene, put};
use super::text;
use crate::panel::TableState;

/// Cells between two columns.
const GAP: u16 = 2;

/// Rows from which a table has a row of titles.
pub(super) const TITLED: u16 = 3;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    min: u16,
    ideal: u16,
    /// Takes what is left over.
    grows: bool,
    right: bool,
    /// Columns of the highest rank go first when there is no room.
    rank: u8,
}

impl Column {
    /// A column of `min` to `ideal` cells; rank 0 stays as long as anything.
    pub(super) const fn new(title: &'static str, min: u16, ideal: u16, rank: u8) -> Column {
        Column { title, min, ideal, grows: false, right: false, rank }
    }

    /// Numbers stand at the right.
    pub(super) const fn right(self) -> Column {
        Column { right: true, ..self }
    }

    /// Takes what is left over.
    pub(super) const fn grows(self) -> Column {
        Column { grows: true, ..self }
    }
}

/// What a table is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    /// Whether the selected row is marked.
    pub(super) focus: bool,
    pub(super) columns: &'a [Column],
    pub(super) rows: usize,
}

/// Which rows are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) of: usize,
}

impl Shown {
    /// Whether there are rows that are not seen.
    pub(super) fn is_part(&self) -> bool {
        self.from > 0 || self.to < self.of
    }
}

/// A row: one cell for each column, whether it is drawn or not.
pub(super) struct Row {
    pub(super) cells: Vec<Line<'static>>,
    /// Drawn dim as a whole.
    pub(super) dim: bool,
}

/// Draws the rows that fit, with the selected one among them. `row` is called
/// for these only, with the widths of the columns (0: not drawn).
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    Table { focus, columns, rows }: Table,
    state: &mut TableState,
    row: impl Fn(usize, &[u16]) -> Row,
) -> Shown {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let widths = widths(columns, area.width.saturating_sub(2));
    let mut rest = area;
    if area.height >= TITLED {
        let cells: Vec<Line> = columns.iter().map(|c| Line::raw(c.title)).collect();
        draw_row(buf, area, columns, &widths, &cells, Some(theme.dim));
        rest.y += 1;
        rest.height -= 1;
    }
    let height = usize::from(rest.height);
    keep_visible(state, rows, height);
    let to = rows.min(state.offset + height);
    for (line, index) in (state.offset..to).enumerate() {
        let place = Rect { y: rest.y + line as u16, height: 1, ..rest };
        let Row { cells, dim } = row(index, &widths);
        let selected = focus && index == state.selected;
        let over = match (selected, dim) {
            (true, _) => Some(theme.selected),
            (false, true) => Some(theme.dim),
            (false, false) => None,
        };
        draw_row(buf, place, columns, &widths, &cells, over);
        if selected {
            put(buf, place, &Line::styled(glyphs.selected, theme.accent));
        }
    }
    Shown { from: state.offset, to, of: rows }
}

/// Moves the offset so that the selected row is seen.
fn keep_visible(state: &mut TableState, rows: usize, height: usize) {
    state.selected = state.selected.min(rows.saturating_sub(1));
    let last_offset = rows.saturating_sub(height);
    let lowest = (state.selected + 1).saturating_sub(height);
    state.offset = state.offset.min(state.selected).max(lowest).min(last_offset);
}

fn draw_row(
    buf: &mut Buffer,
    area: Rect,
    columns: &[Column],
    widths: &[u16],
    cells: &[Line],
    over: Option<Style>,
) {
    let mut x = area.x + 1;
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells) {
        if *width == 0 {
            continue;
        }
        let fitted = fit(cell, usize::from(*width));
        let shift = if column.right { *width - (fitted.width() as u16).min(*width) } else { 0 };
        let place = Rect { x: x + shift, width: *width - shift, height: 1, ..area };
        put(buf, place.intersection(area), &fitted);
        x += width + GAP;
    }
    if let Some(style) = over {
        buf.set_style(Rect { height: 1.min(area.height), ..area }, style);
    }
}

/// Shortens a cell of one span in its middle; one of several loses its end.
fn fit<'a>(cell: &Line<'a>, width: usize) -> Line<'a> {
    match cell.spans.as_slice() {
        [span] if cell.width() > width => Line::from(Span::styled(
            text::middle(&span.content, width).into_owned(),
            cell.style.patch(span.style),
        )),
        _ => cell.clone(),
    }
}

/// Widths that fit into `room`; 0 for a column that does not.
fn widths(columns: &[Column], room: u16) -> Vec<u16> {
    let mut kept: Vec<bool> = vec![true; columns.len()];
    let need = |kept: &[bool]| {
        let mins = columns.iter().zip(kept).filter(|(_, kept)| **kept).map(|(c, _)| c.min + GAP);
        mins.sum::<u16>().saturating_sub(GAP)
    };
    while need(&kept) > room && kept.iter().filter(|kept| **kept).count() > 1 {
        let last = (0..columns.len()).filter(|i| kept[*i]).max_by_key(|i| columns[*i].rank);
        if let Some(last) = last {
            kept[last] = false;
        }
    }
    let mut left = room.saturating_sub(need(&kept));
    let mut widths: Vec<u16> =
        columns.iter().zip(&kept).map(|(c, kept)| if *kept { c.min } else { 0 }).collect();
    if need(&kept) > room {
        for width in &mut widths {
            *width = (*width).min(room);
        }
    }
    let mut by_rank: Vec<usize> = (0..columns.len()).filter(|i| kept[*i]).collect();
    by_rank.sort_by_key(|i| columns[*i].rank);
    for i in &by_rank {
        let more = columns[*i].ideal.saturating_sub(widths[*i]).min(left);
        widths[*i] += more;
        left -= more;
    }
    let growing: Vec<usize> = by_rank.into_iter().filter(|i| columns[*i].grows).collect();
    if let Some(share) = left.checked_div(growing.len() as u16) {
        for i in growing {
            widths[i] += share;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::new("name", 6, 20, 0).grows(),
        Column::new("size", 7, 7, 2).right(),
        Column::new("copies", 8, 12, 1),
    ];

    #[test]
    fn columns_go_by_rank_and_the_rest_fills_the_line() {
        assert_eq!(widths(&COLUMNS, 4), [4, 0, 0]);
        assert_eq!(widths(&COLUMNS, 16), [6, 0, 8]);
        assert_eq!(widths(&COLUMNS, 25), [6, 7, 8]);
        assert_eq!(widths(&COLUMNS, 80), [57, 7, 12]);
    }

    #[test]
    fn the_selected_row_is_always_seen() {
        let mut state = TableState { selected: 30, offset: 0 };
        keep_visible(&mut state, 60, 10);
        assert_eq!(state, TableState { selected: 30, offset: 21 });
        state.selected = 5;
        keep_visible(&mut state, 60, 10);
        assert_eq!(state, TableState { selected: 5, offset: 5 });
        keep_visible(&mut state, 3, 10);
        assert_eq!(state, TableState { selected: 2, offset: 0 });
        keep_visible(&mut state, 0, 0);
        assert_eq!(state, TableState { selected: 0, offset: 0 });
    }
}
