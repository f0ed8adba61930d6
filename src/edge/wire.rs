//! The protobuf wire format, as far as the tables need it: records are written to a `Vec`, and read from a slice.

/// What is not protobuf, or not as `prost` writes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Corrupt;

/// A wire type, as its number in a tag.
pub(super) const VARINT: u8 = 0;
/// Eight bytes, little endian.
pub(super) const FIXED64: u8 = 1;
/// A length and as many bytes.
pub(super) const LEN: u8 = 2;
/// Four bytes, little endian.
pub(super) const FIXED32: u8 = 5;

/// Writes an unsigned varint.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes of a record's tag.
pub(super) fn tag(number: u32, wire_type: u8) -> Box<[u8]> {
    let mut out = Vec::with_capacity(5);
    put_varint(&mut out, u64::from(number) << 3 | u64::from(wire_type));
    out.into()
}

/// Writes bytes with their length before them.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Begins a record whose length is known when it is done; [`close`] ends it.
#[inline]
pub(super) fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Ends the record that [`open`] began.
#[inline]
pub(super) fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    // One byte was kept for the length. Records past 127 bytes need more, and move up for it.
    let mut prefix = Vec::with_capacity(5);
    put_varint(&mut prefix, length as u64);
    out.splice(start - 1..start, prefix);
}

/// Zigzag, which `sint32` and `sint64` take.
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Undoes [`zigzag`].
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads records from the front of a slice.
#[derive(Clone, Copy)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Reads from the first byte.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all is read.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next record's field number and wire type.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, u8), Corrupt> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Corrupt)?;
        Ok((number, (tag & 7) as u8))
    }

    /// Takes the next tag if it is this one.
    #[inline]
    pub(super) fn take_tag(&mut self, tag: &[u8]) -> bool {
        match self.rest.strip_prefix(tag) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A varint.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Corrupt> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Corrupt)
    }

    /// A length and as many bytes.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let length = usize::try_from(self.varint()?).map_err(|_| Corrupt)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Corrupt)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Four bytes.
    pub(super) fn fixed32(&mut self) -> Result<[u8; 4], Corrupt> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Corrupt)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// Eight bytes.
    pub(super) fn fixed64(&mut self) -> Result<[u8; 8], Corrupt> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Corrupt)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// Passes over one record's value.
    pub(super) fn skip(&mut self, wire_type: u8) -> Result<(), Corrupt> {
        match wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            LEN => self.bytes().map(drop),
            FIXED32 => self.fixed32().map(drop),
            _ => Err(Corrupt),
        }
    }
}
