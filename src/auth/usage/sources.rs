//! Where the calls of a credential came from in a minute, as far as it is told.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use crate::domain::network::network_of;

/// Which counters of a minute tell where calls came from.
#[derive(Default)]
pub(super) struct Sources {
    /// The counters, by hashes.
    pub(super) counters: HashSet<u64>,
    /// The addresses that are told of an IPv6 /64.
    of_network: HashMap<u64, Vec<IpAddr>>,
}

impl Sources {
    /// What is shown of an address: of a /64 with many others, of which whoever has one has all, no more than the network.
    pub(super) fn shown(&self, address: IpAddr) -> IpAddr {
        match (address, self.of_network.get(&network_of(address))) {
            (IpAddr::V6(v6), Some(told)) if told.len() >= MOST_OF_NETWORK && !told.contains(&address) => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
            }
            _ => address,
        }
    }

    /// Takes note of what is shown.
    pub(super) fn tell(&mut self, shown: IpAddr) {
        if shown.is_ipv6() {
            let told = self.of_network.entry(network_of(shown)).or_default();
            if told.len() < MOST_OF_NETWORK && !told.contains(&shown) {
                told.push(shown);
            }
        }
    }
}

/// Addresses of an IPv6 /64 that are told apart of a credential in a minute: the others are counted as the network, whose address ends
/// in zeros.
pub(super) const MOST_OF_NETWORK: usize = 25;
