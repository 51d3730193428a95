//! The cost of one frame of the dashboard. Budget: 2 ms at 250×80.
//!
//! `cargo bench --bench render`

use chordal::ui::{draw, fixture};
use criterion::{Criterion, criterion_group, criterion_main};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn frames(c: &mut Criterion) {
    for (width, height) in [(160, 45), (250, 80)] {
        for (name, app) in [("eight", fixture::eight()), ("sixty", fixture::sixty())] {
            let mut app = app;
            let mut terminal =
                Terminal::new(TestBackend::new(width, height)).expect("a test backend never fails");
            c.bench_function(&format!("frame {width}x{height} {name}"), |b| {
                b.iter(|| {
                    terminal
                        .draw(|frame| draw::draw(frame, &mut app))
                        .expect("a test backend never fails");
                });
            });
        }
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
