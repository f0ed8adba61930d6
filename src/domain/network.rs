//! Client addresses and the ranges they may come from.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The ranges a credential may be used from. An empty list allows any address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowList(Box<[IpNet]>);

impl AllowList {
    /// The list of these ranges.
    pub fn new(ranges: impl IntoIterator<Item = IpNet>) -> Self {
        let mut ranges: Vec<IpNet> = ranges.into_iter().collect();
        ranges.sort();
        ranges.dedup();
        Self(ranges.into())
    }

    /// Whether any address is allowed.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this address is allowed. IPv4-mapped IPv6 addresses count as the IPv4 address they hold.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = unmapped(address);
        self.is_open() || self.0.iter().any(|range| range.contains(&address))
    }

    /// Whether every address that `other` allows is allowed here too.
    pub fn covers(&self, other: &Self) -> bool {
        let held = |inner: &IpNet| self.0.iter().any(|outer| outer.contains(inner));
        self.is_open() || !other.is_open() && other.0.iter().all(held)
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }
}

/// What is done about a call from an address that is not on a list.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AddressMode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is told that it would have been.
    Report,
}

impl AddressMode {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
        }
    }

    /// The mode of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enforce, Self::Report].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// The network that an address stands for where sources are counted: an IPv4 address by itself, an IPv6 address with its
/// whole /64, for whoever has one address of it has all (RFC 6177, section 2).
pub fn network_of(address: IpAddr) -> u64 {
    match unmapped(address) {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        // No /64 that is in use begins like an IPv4 address here: their first 32 bits are not zero.
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

/// Reads a CIDR range (`10.0.0.0/8`, `2001:db8::/32`) or a single address. Host bits must be zero, so that nobody takes
/// `10.0.0.7/8` for one address; an IPv4-mapped range is the IPv4 range it holds. None if it breaks the rule ([`RANGE_RULE`]).
pub fn parse_range(text: &str) -> Option<IpNet> {
    if text.len() > 64 {
        return None;
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(unmapped(address)));
    }
    let range = text.parse::<IpNet>().ok()?;
    if range.addr() != range.network() {
        return None;
    }
    match range {
        IpNet::V6(v6) if is_mapped(v6.addr()) && v6.prefix_len() >= MAPPED_BITS => {
            IpNet::new(unmapped(v6.addr().into()), v6.prefix_len() - MAPPED_BITS).ok()
        }
        other => Some(other),
    }
}

/// The rule a range keeps, for error messages.
pub const RANGE_RULE: &str = "an address range is an IPv4 or IPv6 address or a CIDR range whose host bits are zero";

/// The IPv4 address that an IPv4-mapped IPv6 address holds (RFC 4291, section 2.5.5.2), or the address itself.
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

const MAPPED_BITS: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_should() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "192.0.2.7", false),
        ];
        for (range, address, allowed) in cases {
            let list = AllowList::new([parse_range(range).unwrap()]);
            assert_eq!(list.allows(address.parse().unwrap()), allowed, "{address} in {range}");
        }
        assert!(AllowList::default().allows("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn a_list_covers_what_it_allows_and_no_more() {
        let list = |ranges: &[&str]| AllowList::new(ranges.iter().map(|range| parse_range(range).unwrap()));
        let home = list(&["10.0.0.0/8", "2001:db8::/32"]);
        for inner in [&["10.0.0.0/8"][..], &["10.1.0.0/16", "10.2.0.7"], &["2001:db8:1::/48"], &["::ffff:10.1.1.1"]] {
            assert!(home.covers(&list(inner)), "{inner:?}");
        }
        for outer in [&[][..], &["0.0.0.0/0"], &["10.0.0.0/7"], &["10.1.0.0/16", "11.0.0.1"], &["::/0"]] {
            assert!(!home.covers(&list(outer)), "{outer:?}");
        }
        assert!(AllowList::default().covers(&home) && AllowList::default().covers(&AllowList::default()));
    }

    #[test]
    fn what_is_not_a_range_is_refused() {
        for bad in
            ["", "10.0.0.7/8", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/-1", "2001:db8::1/32", "010.0.0.1"]
        {
            assert!(parse_range(bad).is_none(), "{bad:?}");
        }
    }
}
