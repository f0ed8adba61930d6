//! Whose request it is when proxies stand in front: what `X-Forwarded-For` and `X-Forwarded-Proto` are worth.
//!
//! A header is worth exactly what our own proxies wrote into it. Each of `n` trusted proxies appends the address that
//! it was called from, so the n-th hop from the right is the outermost trusted proxy's word and everything to the left
//! of it is the client's. Nothing here ever reads that left part.

use std::net::{IpAddr, SocketAddr};

/// Where a request comes from, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// The end client, by the word of the socket or of a trusted proxy.
    Known(IpAddr),
    /// The trusted proxies did not say. `peer` is only the one that connected to us, and must not pass for the client:
    /// an address rule that allows the proxy's own network would then admit anybody behind it.
    Unknown {
        /// The address at the other end of the socket.
        peer: IpAddr,
    },
}

impl ClientAddress {
    /// The address to hold against an allow-list: none when it is not known, and none must be refused.
    pub fn known(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(address),
            Self::Unknown { .. } => None,
        }
    }

    /// The address to count against and to write down: the peer when the client is not known.
    pub fn or_peer(self) -> IpAddr {
        match self {
            Self::Known(address) | Self::Unknown { peer: address } => address,
        }
    }
}

/// The end client of a request that came from `peer` through `proxies` trusted proxies.
///
/// `forwarded_for` are the values of all `X-Forwarded-For` fields in the order received. With no trusted proxy they are
/// not read and the peer is the client. Otherwise the client is the `proxies`-th hop from the right; where there are
/// fewer hops, or that hop is not an IP address (a port behind it and brackets around IPv6 are allowed), it is unknown.
/// `::ffff:a.b.c.d` is given as `a.b.c.d`.
pub fn client_address<'a, V>(peer: SocketAddr, forwarded_for: V, proxies: usize) -> ClientAddress
where
    V: IntoIterator<Item = &'a [u8]>,
    V::IntoIter: DoubleEndedIterator,
{
    let peer = peer.ip().to_canonical();
    if proxies == 0 {
        return ClientAddress::Known(peer);
    }
    forwarded_for
        .into_iter()
        .rev()
        .flat_map(|value| value.rsplit(|byte| *byte == b','))
        .nth(proxies - 1)
        .and_then(parse_hop)
        .map_or(ClientAddress::Unknown { peer }, ClientAddress::Known)
}

/// Whether the trusted proxies say that the client came over HTTPS.
///
/// `forwarded_proto` are the values of all `X-Forwarded-Proto` fields. Proxies overwrite this header or append to it,
/// and nothing tells which, so every entry has to say `https`: an entry that the client made up can only make the
/// answer stricter. With no trusted proxy, or no entry, it is false.
pub fn forwarded_https<'a>(forwarded_proto: impl IntoIterator<Item = &'a [u8]>, proxies: usize) -> bool {
    if proxies == 0 {
        return false;
    }
    let mut entries =
        forwarded_proto.into_iter().flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    entries.next().is_some_and(is_https) && entries.all(is_https)
}

fn is_https(entry: &[u8]) -> bool {
    entry.eq_ignore_ascii_case(b"https")
}

/// One hop: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(bare) = bare {
        return bare.parse().ok().map(IpAddr::V6).map(|address| address.to_canonical());
    }
    let address = hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.9:4711";

    fn resolve(headers: &[&str], proxies: usize) -> ClientAddress {
        let peer = PEER.parse().expect("a socket address");
        client_address(peer, headers.iter().map(|header| header.as_bytes()), proxies)
    }

    #[test]
    fn the_client_is_the_nth_hop_from_the_right() {
        let cases: &[(&[&str], usize, &str)] = &[
            (&[], 0, "10.0.0.9"),
            (&["203.0.113.7"], 0, "10.0.0.9"),
            (&["203.0.113.7"], 1, "203.0.113.7"),
            (&["6.6.6.6, 203.0.113.7"], 1, "203.0.113.7"),
            (&["6.6.6.6,203.0.113.7,10.0.0.2"], 2, "203.0.113.7"),
            (&["6.6.6.6, 203.0.113.7", "10.0.0.2"], 2, "203.0.113.7"),
            (&["6.6.6.6", "203.0.113.7"], 1, "203.0.113.7"),
            (&["garbage, , \u{7f}, 203.0.113.7"], 1, "203.0.113.7"),
            (&["  203.0.113.7\t"], 1, "203.0.113.7"),
            (&["203.0.113.7:55012"], 1, "203.0.113.7"),
            (&["2001:db8::1"], 1, "2001:db8::1"),
            (&["[2001:db8::1]"], 1, "2001:db8::1"),
            (&["[2001:db8::1]:443"], 1, "2001:db8::1"),
            (&["::ffff:203.0.113.7"], 1, "203.0.113.7"),
            (&["[::ffff:203.0.113.7]:80"], 1, "203.0.113.7"),
        ];
        for (headers, proxies, expected) in cases {
            let expected = ClientAddress::Known(expected.parse().expect("an address"));
            assert_eq!(resolve(headers, *proxies), expected, "{headers:?} behind {proxies}");
        }
    }

    #[test]
    fn an_unsaid_hop_leaves_the_client_unknown() {
        let cases: &[(&[&str], usize)] = &[
            (&[], 1),
            (&[""], 1),
            (&["203.0.113.7"], 2),
            (&["203.0.113.7, 10.0.0.2"], 3),
            (&["203.0.113.7"], usize::MAX),
            (&["203.0.113.7, unknown"], 1),
            (&["203.0.113.7, _hidden"], 1),
            (&["203.0.113.7,"], 1),
            (&["203.0.113.7 10.0.0.1"], 1),
            (&["203.0.113"], 1),
            (&["0xcb007107"], 1),
            (&["203.0.113.007"], 1),
            (&["203.0.113.7:99999"], 1),
            (&["[203.0.113.7]"], 1),
            (&["[2001:db8::1"], 1),
            (&["fe80::1%eth0"], 1),
            (&["\"203.0.113.7\""], 1),
        ];
        let peer: IpAddr = "10.0.0.9".parse().expect("an address");
        for (headers, proxies) in cases {
            let resolved = resolve(headers, *proxies);
            assert_eq!(resolved, ClientAddress::Unknown { peer }, "{headers:?} behind {proxies}");
            assert_eq!(resolved.known(), None);
            assert_eq!(resolved.or_peer(), peer);
        }
    }

    #[test]
    fn bytes_that_are_no_text_leave_the_client_unknown() {
        let peer = PEER.parse().expect("a socket address");
        assert_eq!(client_address(peer, [&b"\xff\xfe"[..]], 1).known(), None);
    }

    #[test]
    fn a_mapped_peer_is_ipv4() {
        let peer = "[::ffff:192.0.2.1]:80".parse().expect("a socket address");
        let expected: IpAddr = "192.0.2.1".parse().expect("an address");
        assert_eq!(client_address(peer, [], 0), ClientAddress::Known(expected));
    }

    #[test]
    fn https_needs_every_entry_of_a_trusted_header() {
        let cases: &[(&[&str], usize, bool)] = &[
            (&["https"], 0, false),
            (&["https"], 1, true),
            (&[" HTTPS "], 1, true),
            (&["https, https"], 2, true),
            (&["https", "https"], 2, true),
            (&[], 1, false),
            (&[""], 1, false),
            (&["http"], 1, false),
            (&["https, http"], 1, false),
            (&["http, https"], 1, false),
            (&["https", "http"], 2, false),
            (&["https,"], 1, false),
            (&["httpsx"], 1, false),
        ];
        for (headers, proxies, expected) in cases {
            let values = headers.iter().map(|header| header.as_bytes());
            assert_eq!(forwarded_https(values, *proxies), *expected, "{headers:?} behind {proxies}");
        }
    }
}
