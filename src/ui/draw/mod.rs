//! Drawing (being written).

use std::time::Duration;

use ratatui::Frame;

use super::state::App;

/// (being written)
pub fn draw(frame: &mut Frame, app: &mut App) {
    let line = format!("{} {}", app.snapshot().me, app.prompt.input.value());
    frame.render_widget(line.as_str(), frame.area());
}

/// (being written)
pub fn wants_tick(app: &App) -> Option<Duration> {
    app.prompt.running.as_ref().map(|_| Duration::from_millis(66))
}
