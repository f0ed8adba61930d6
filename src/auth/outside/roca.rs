//! RSA keys that a library of Infineon made from 2012 to 2017 (CVE-2017-15361, "ROCA"): their private half can be computed.
//!
//! Such a modulus is a power of 65537 modulo each of the small primes, which one in 2^27 others is. See Nemec, Sys, Svenda,
//! Klinec, Matyas: The Return of Coppersmith's Attack, CCS 2017, section 2.

/// Whether a modulus, most significant byte first, has the mark of these keys.
pub(super) fn marks(modulus: &[u8]) -> bool {
    PRIMES.into_iter().all(|prime| is_power(remainder(modulus, prime), prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

fn is_power(number: u32, prime: u32) -> bool {
    let mut power = 1;
    loop {
        if power == number {
            return true;
        }
        power = power * GENERATOR % prime;
        if power == 1 {
            return false;
        }
    }
}

const GENERATOR: u32 = 65537;
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
