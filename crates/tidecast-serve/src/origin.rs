//! Where a request comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionOrigin {
    /// The address of the listener that accepted the connection.
    pub listener: SocketAddr,
    /// The client's address, or that of the last proxy before the server.
    pub client: SocketAddr,
    /// Whether the connection itself is encrypted.
    pub encrypted: bool,
}

impl ConnectionOrigin {
    /// Creates the origin of a connection that is not encrypted.
    #[must_use]
    pub fn plain(listener: SocketAddr, client: SocketAddr) -> Self {
        Self { listener, client, encrypted: false }
    }

    /// Returns the client's address without its port.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.client.ip()
    }
}

/// Returns what limits per client count as one client: an IPv4 address, or the network of 64 bits of an IPv6 address,
/// because one client usually has that whole network.
#[must_use]
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_of_64_bits() {
        for (address, client) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ] {
            assert_eq!(client_network(address.parse().unwrap()), client.parse::<IpAddr>().unwrap());
        }
    }
}
