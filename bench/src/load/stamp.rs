//! The data of a published event: which event it is, when it was published, and filling up to the wanted size.
//!
//! Each hexadecimal digit is one of the 16 letters from `@`, so that eight digits are parsed in a few instructions and
//! none needs an escape in JSON. The filling is known, so that every changed byte is found.

/// The number of bytes that identify the event.
pub(crate) const STAMP_BYTES: usize = 40;

const FILLING: u8 = b'x';

/// The identity of an event and its time of publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) channel: u32,
    /// The number in its channel, from 0.
    pub(crate) number: u32,
    /// The number among all events, from 0.
    pub(crate) serial: u32,
    /// The time in nanoseconds on the clock of this process.
    pub(crate) at: u64,
}

impl Stamp {
    /// Writes the stamp to the beginning of an event's data.
    pub(crate) fn write(&self, data: &mut [u8]) {
        let fields = [self.channel, self.number, self.serial, (self.at >> 32) as u32, self.at as u32];
        for (field, place) in fields.into_iter().zip(data.chunks_exact_mut(8)) {
            place.copy_from_slice(&letters(field));
        }
    }

    /// Reads the stamp of an event's data. Returns `None` if the data were not published or were changed.
    pub(crate) fn read(data: &[u8], filling: &[u8]) -> Option<Self> {
        let (stamp, rest) = data.split_first_chunk::<STAMP_BYTES>()?;
        if rest != filling {
            return None;
        }
        let field = |at: usize| number(stamp[at * 8..][..8].try_into().ok()?);
        let at = u64::from(field(3)?) << 32 | u64::from(field(4)?);
        Some(Self { channel: field(0)?, number: field(1)?, serial: field(2)?, at })
    }
}

/// Returns the bytes after the stamp in data of this length.
pub(crate) fn filling(data_bytes: usize) -> Vec<u8> {
    vec![FILLING; data_bytes.saturating_sub(STAMP_BYTES)]
}

/// Returns data of so many bytes with a stamp of zeros.
pub(crate) fn blank(data_bytes: usize) -> String {
    let filling = filling(data_bytes);
    format!("{}{}", "@".repeat(data_bytes - filling.len()), "x".repeat(filling.len()))
}

fn letters(number: u32) -> [u8; 8] {
    let mut letters = [0; 8];
    for (letter, at) in letters.iter_mut().zip((0..8).rev()) {
        *letter = b'@' + (number >> (4 * at) & 15) as u8;
    }
    letters
}

fn number(letters: [u8; 8]) -> Option<u32> {
    let letters = u64::from_be_bytes(letters);
    if letters & 0xf0f0_f0f0_f0f0_f0f0 != 0x4040_4040_4040_4040 {
        return None;
    }
    let digits = letters & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (digits | digits >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    Some((fours | fours >> 16) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_stamp_is_read() {
        let stamp = Stamp { channel: 4_999, number: 0x0123_4567, serial: u32::MAX, at: 0x0123_4567_89ab_cdef };
        let mut data = [vec![0; STAMP_BYTES], filling(64)].concat();
        stamp.write(&mut data);
        assert_eq!(data.len(), 64);
        assert_eq!(Stamp::read(&data, &filling(64)), Some(stamp));
    }

    #[test]
    fn every_changed_byte_is_found() {
        let mut data = [vec![0; STAMP_BYTES], filling(64)].concat();
        Stamp { channel: 1, number: 2, serial: 3, at: 4 }.write(&mut data);
        for at in 0..data.len() {
            let mut garbled = data.clone();
            garbled[at] ^= 0x20;
            assert_eq!(Stamp::read(&garbled, &filling(64)), None, "byte {at}");
        }
        assert_eq!(Stamp::read(&data[..63], &filling(64)), None);
    }
}
