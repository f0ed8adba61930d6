//! Which addresses are of the public internet: by the registries of special-purpose addresses (RFC 6890 and what IANA has added).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Whether an address is one of these networks, in whichever way it is written.
pub(super) fn is_within(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = plain(address);
    networks.iter().any(|network| network.contains(&address))
}

/// Whether an address is of the public internet, and of nobody's own network.
pub(super) fn is_public(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The IPv4 address that an IPv4-mapped (RFC 4291, section 2.5.5.2) or NAT64 address (RFC 6052, section 2.1) leads to, or the
/// address itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [.., high, low] = v6.segments();
    if v6.segments()[..6] == NAT64 {
        let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
        return Ipv4Addr::new(a, b, c, d).into();
    }
    v6.to_ipv4_mapped().map_or(address, IpAddr::V4)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation();
    let [a, b, c, _] = address.octets();
    let also = match (a, b, c) {
        // "This network", and what was reserved for later use (RFC 1112).
        (0 | 240.., ..) => true,
        // Shared by the customers of a provider (RFC 6598).
        (100, 64..=127, _) => true,
        // Assignments for protocols (RFC 6890), and the relays from 6to4 (RFC 7526).
        (192, 0, 0) | (192, 88, 99) => true,
        // Benchmarks (RFC 2544).
        (198, 18 | 19, _) => true,
        _ => false,
    };
    !special && !also
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    match (a, b) {
        // Assignments for protocols, Teredo among them (RFC 2928), documentation (RFC 3849, RFC 9637), and 6to4 (RFC 3056), which
        // leads to any IPv4 address.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff) => false,
        // All that was given out as global unicast (RFC 4291, section 2.4): loopback, link-local, unique local, site-local and
        // multicast addresses are outside of it, and so is the local prefix of NAT64 (RFC 8215).
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

/// 64:ff9b::/96.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:200::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn configured_networks_are_recognised_in_every_spelling() {
        let networks: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).into();
        for within in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "::1"] {
            assert!(is_within(within.parse().unwrap(), &networks), "{within}");
        }
        for without in ["11.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", "::2"] {
            assert!(!is_within(without.parse().unwrap(), &networks), "{without}");
        }
        assert!(!is_within("10.1.2.3".parse().unwrap(), &[]));
    }
}
