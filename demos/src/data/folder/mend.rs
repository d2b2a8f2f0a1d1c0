//! Small faults of PNG files that every viewer passes over.

use crate::files::crc32_number;
use anyhow::{Context, Result, ensure};
use flate2::{Decompress, FlushDecompress, Status};

/// What was wrong with a file whose pixels are all there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// It ended without the chunk IEND.
    pub(super) no_end: bool,
    /// The checksum of a chunk was wrong, of one that holds pixels or that may be left out.
    pub(super) wrong_checksum: bool,
}

const SIGNATURE: usize = 8;
const END: &[u8] = &[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

/// Gives chunks of pixels their right checksums, and the file its end, in the place of what was cut off of a chunk.
///
/// A file is its signature and then chunks: a length of four bytes, a kind of four letters, data, a checksum of kind
/// and data (PNG specification, 5.3). A small first letter marks a chunk that may be left out: with a wrong checksum
/// the decoder does that. Whatever else is wrong the decoder refuses.
///
/// # Errors
/// Pixels have a wrong checksum, and zlib's, which covers them once more, is no better.
pub(super) fn mend(bytes: &mut Vec<u8>) -> Result<Faults> {
    let mut faults = Faults::default();
    let mut of_pixels = false;
    let mut at = SIGNATURE;
    while let Some((kind, end)) = chunk(bytes, at) {
        let right = crc32_number(&[&bytes[at + 4..end - 4]]).to_be_bytes();
        if bytes[end - 4..end] != right {
            faults.wrong_checksum |= kind == *b"IDAT" || kind[0].is_ascii_lowercase();
            if kind == *b"IDAT" {
                of_pixels = true;
                bytes[end - 4..end].copy_from_slice(&right);
            }
        }
        at = end;
        if kind == *b"IEND" {
            break;
        }
        faults.no_end = chunk(bytes, at).is_none();
    }
    if faults.no_end {
        bytes.truncate(at);
        bytes.extend_from_slice(END);
    }
    if of_pixels {
        check_pixels(bytes).context("found a wrong checksum of pixels that are damaged")?;
    }
    Ok(faults)
}

/// Whether the compressed pixels are as zlib's own checksum says. (The decoder of PNGs stops before it where damage has
/// made them longer.)
fn check_pixels(bytes: &[u8]) -> Result<()> {
    let mut packed = Vec::new();
    let mut at = SIGNATURE;
    while let Some((kind, end)) = chunk(bytes, at) {
        if kind == *b"IDAT" {
            packed.extend_from_slice(&bytes[at + 8..end - 4]);
        }
        at = end;
    }
    let mut zlib = Decompress::new(true);
    let mut pixels = vec![0; 1 << 16];
    loop {
        let (taken, given) = (zlib.total_in(), zlib.total_out());
        let status = zlib.decompress(&packed[taken as usize..], &mut pixels, FlushDecompress::None)?;
        if status == Status::StreamEnd {
            return Ok(());
        }
        ensure!((zlib.total_in(), zlib.total_out()) != (taken, given), "truncated");
    }
}

/// The kind of the chunk at this place, and where it ends; `None` unless it is there as a whole.
fn chunk(bytes: &[u8], at: usize) -> Option<([u8; 4], usize)> {
    let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    let kind = *bytes.get(at + 4..)?.first_chunk()?;
    let end = at.checked_add(12)?.checked_add(usize::try_from(length).ok()?)?;
    (end <= bytes.len()).then_some((kind, end))
}
