//! Why a node or a registry did not start.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", listen_advice(*address, .why))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        why: std::io::Error,
    },
    /// The advertised address is no address.
    #[error("{0} cannot be advertised; give the address that others reach with --advertise")]
    Unadvertisable(SocketAddr),
    /// The data directory cannot be used.
    #[error("{0}")]
    Store(String),
}

/// Why an address cannot be listened on, and what helps.
fn listen_advice(address: SocketAddr, why: &std::io::Error) -> String {
    match why.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; choose another address, or stop that program".to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            let any: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let any = SocketAddr::new(any, address.port());
            format!(
                "no network card of this machine has that address; listen on one that it has, or \
                 on all with {any} (a node then tells others its address with --advertise {})",
                address.ip()
            )
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 are for the system's programs; choose a higher one".to_owned()
        }
        _ => format!("{why}; choose another address"),
    }
}
