//! `chordal seed [ADDR] [--count N]`: registries, on consecutive ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::args::{ScreenArgs, SeedArgs};
use super::failure::Failure;
use super::output::print;
use super::runtime::runtime;
use super::signals::EndSignals;
use super::{address, dashboard, log, node};

use tokio::sync::mpsc;

use chordal_engine::registry::{Config, Registry, default_data_dir, directory_name};
use chordal_tui as ui;
use chordal_view::{UiEvent, target};

/// The port of a registry when none is given.
pub(super) const DEFAULT_PORT: u16 = 5_000;

/// Time for threads that are still inside a call of the system.
const THREADS_DEADLINE: Duration = Duration::from_secs(2);

/// Runs registries until they are told to end.
pub(super) fn run(args: SeedArgs) -> Result<(), Failure> {
    if !args.screen.headless {
        dashboard::needs_terminal()?;
    }
    let listen = listen(args.address.as_deref())
        .map_err(|error: address::BadAddress| Failure::Usage(error.to_string()))?;
    let addresses = consecutive(listen, args.count)?;
    let log_dir = match &args.data_dir {
        Some(directory) => directory.clone(),
        None => default_data_dir(listen).ok_or_else(|| {
            Failure::Usage(
                "this user has no home directory; say where to keep the list: --data-dir".into(),
            )
        })?,
    };
    let console = args.screen.headless.then_some(args.screen.log_format);
    let log = log::start(log_dir.join("log"), console)?;
    let runtime = runtime()?;
    let mut running = false;
    let end = runtime.block_on(async {
        // Before anything is begun that a signal must not cut off.
        let signals = args.screen.headless.then(EndSignals::listen).transpose()?;
        let registries = start(&addresses, args.check, args.data_dir).await?;
        running = true;
        match signals {
            Some(signals) => headless(registries, signals).await,
            None => show(registries, args.screen).await,
        }
    });
    runtime.shutdown_timeout(THREADS_DEADLINE);
    if !running {
        log.discard();
    }
    end
}

/// Starts a registry at each address; all or none. Each has a directory of its
/// own in `place`, so that one more of them changes nothing for the others.
pub(super) async fn start(
    addresses: &[SocketAddr],
    check: Duration,
    place: Option<PathBuf>,
) -> Result<Vec<Registry>, Failure> {
    let mut registries = Vec::new();
    for address in addresses {
        // Without a port there is no name for a directory that lasts.
        let data_dir = place.as_ref().map(|place| match address.port() {
            0 => place.join(format!("seed-{}", registries.len() + 1)),
            _ => place.join(directory_name(*address)),
        });
        match Registry::start(Config { listen: *address, check, data_dir }).await {
            Ok(registry) => registries.push(registry),
            Err(error) => {
                for registry in registries {
                    Registry::shutdown(registry).await;
                }
                return Err(node::refused(error));
            }
        }
    }
    Ok(registries)
}

/// As many addresses as wanted: this one and the ports behind it.
pub(super) fn consecutive(first: SocketAddr, count: u16) -> Result<Vec<SocketAddr>, Failure> {
    let port = |i: u16| match first.port() {
        0 => Some(0),
        port => port.checked_add(i),
    };
    (0..count)
        .map(|i| {
            let port = port(i).ok_or_else(|| {
                Failure::Usage(format!(
                    "no port is left after 65535; choose a first port below {}",
                    first.port()
                ))
            })?;
            Ok(SocketAddr::new(first.ip(), port))
        })
        .collect()
}

/// Where the first registry listens.
fn listen(word: Option<&str>) -> Result<SocketAddr, address::BadAddress> {
    let Some(word) = word else {
        return Ok(SocketAddr::new(address::DEFAULT.ip(), DEFAULT_PORT));
    };
    let mut address = address::parse(word)?;
    // A host alone means this program's port, not a node's.
    if matches!(target::place(word), Ok((Some(_), None))) {
        address.set_port(DEFAULT_PORT);
    }
    Ok(address)
}

async fn show(registries: Vec<Registry>, screen: ScreenArgs) -> Result<(), Failure> {
    let mut feeds = Vec::new();
    let mut running = Vec::new();
    for mut registry in registries {
        let events = dashboard::logged(events_of(&mut registry));
        let (commands, _) = mpsc::channel(1);
        feeds.push(ui::Feed { snapshots: registry.snapshots.clone(), events, commands });
        running.push(registry);
    }
    let end = dashboard::run_registries(feeds, screen).await;
    for registry in running {
        registry.shutdown().await;
    }
    end.map(|_| ())
}

async fn headless(registries: Vec<Registry>, mut signals: EndSignals) -> Result<(), Failure> {
    let several = registries.len() > 1;
    let (told, mut events) = mpsc::channel(1);
    let mut running = Vec::new();
    for mut registry in registries {
        print(format!("ready registry {}\n", registry.address).as_bytes())?;
        let name = several.then_some(registry.address);
        tokio::spawn(relay(events_of(&mut registry), name, told.clone()));
        running.push(registry);
    }
    drop(told);
    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            event = events.recv() => match event {
                Some(event) => log::event(&event),
                None => {
                    return Err(Failure::Failed(
                        "all registries stopped by themselves; the log tells why".to_owned(),
                    ));
                }
            },
        }
    };
    tracing::info!(signal, "ending");
    for registry in running {
        registry.shutdown().await;
    }
    Ok(())
}

/// The events of a registry, for somebody else than its owner.
pub(super) fn events_of(registry: &mut Registry) -> mpsc::Receiver<UiEvent> {
    std::mem::replace(&mut registry.events, mpsc::channel(1).1)
}

/// Passes on what happens to one of several registries, under its name.
async fn relay(
    mut events: mpsc::Receiver<UiEvent>,
    name: Option<SocketAddr>,
    told: mpsc::Sender<UiEvent>,
) {
    while let Some(mut event) = events.recv().await {
        if let Some(name) = name {
            event.text = format!("{name}: {}", event.text);
        }
        if told.send(event).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_listen_from_port_5000_upwards() {
        let text = |word| listen(word).map(|at| at.to_string()).map_err(|error| error.to_string());
        for (word, address) in [
            (None, "127.0.0.1:5000"),
            (Some("5001"), "127.0.0.1:5001"),
            (Some(":7"), "127.0.0.1:7"),
            (Some("10.0.0.7"), "10.0.0.7:5000"),
            (Some("localhost"), "127.0.0.1:5000"),
            (Some("[::1]"), "[::1]:5000"),
            (Some("127.0.0.1:6000"), "127.0.0.1:6000"),
        ] {
            assert_eq!(text(word).as_deref(), Ok(address), "{word:?}");
        }
        assert!(text(Some("a b")).is_err());
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let several = consecutive(at(5000), 3).expect("they exist");
        assert_eq!(several, [at(5000), at(5001), at(5002)]);
        assert_eq!(consecutive(at(0), 2).expect("any"), [at(0), at(0)]);
        assert!(matches!(consecutive(at(65_535), 2), Err(Failure::Usage(_))));
    }
}
