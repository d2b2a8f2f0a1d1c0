//! How a camera was held: the one tag of EXIF that changes what a picture shows.
//!
//! EXIF is a TIFF file inside another (CIPA DC-008, "Exif", 4.5 and 4.6.4): the order of bytes, where the first
//! directory is, and there, after their number, entries of 12 bytes: tag, type, count, value.

const ORIENTATION: u16 = 0x112;
const SHORT: u16 = 3;

/// Which way up the stored rows and columns are, by EXIF's numbers 1 to 8; 1, as they should be, if the bytes do not
/// say.
pub(super) fn orientation(tiff: &[u8]) -> u8 {
    find(tiff).and_then(|value| u8::try_from(value).ok()).filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

/// The value of the tag; `None` if there is none, or the bytes are no EXIF.
fn find(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let two = |at: usize| {
        let bytes = tiff.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(*bytes) } else { u16::from_be_bytes(*bytes) })
    };
    let four = *tiff.get(4..)?.first_chunk::<4>()?;
    let directory = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize;
    let count = usize::from(two(directory)?);
    let mut entries = (0..count).map_while(|i| directory.checked_add(2 + 12 * i));
    let entry = entries.find(|&at| two(at) == Some(ORIENTATION))?;
    (two(entry.checked_add(2)?)? == SHORT).then_some(())?;
    two(entry.checked_add(8)?)
}

/// The square picture, `size` × `size` pixels of three bytes, turned and mirrored as its orientation says.
///
/// # Panics
/// If `pixels` is no such picture.
pub(super) fn upright(pixels: Vec<u8>, size: usize, orientation: u8) -> Vec<u8> {
    assert_eq!(pixels.len(), 3 * size * size, "upright: a picture of {size}×{size}");
    let last = size - 1;
    // Where the pixel of row y and column x was stored.
    let stored = |y: usize, x: usize| match orientation {
        2 => (y, last - x),
        3 => (last - y, last - x),
        4 => (last - y, x),
        5 => (x, y),
        6 => (last - x, y),
        7 => (last - x, last - y),
        8 => (x, last - y),
        _ => (y, x),
    };
    let places = (0..size * size).map(|k| stored(k / size, k % size));
    places.flat_map(|(y, x)| [0, 1, 2].map(|c| pixels[3 * (y * size + x) + c])).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// EXIF with an entry before that of the orientation.
    pub(in super::super) fn exif(orientation: u16, little: bool) -> Vec<u8> {
        let two = |n: u16| if little { n.to_le_bytes() } else { n.to_be_bytes() };
        let four = |n: u32| if little { n.to_le_bytes() } else { n.to_be_bytes() };
        let entry = |tag: u16, value: [u8; 4]| [&two(tag)[..], &two(SHORT), &four(1), &value].concat();
        let value = [two(orientation), [0; 2]].concat().try_into().unwrap();
        let start = if little { *b"II*\0" } else { *b"MM\0*" };
        [&start[..], &four(10), &[0; 2], &two(2), &entry(0x100, [9; 4]), &entry(ORIENTATION, value), &four(0)].concat()
    }

    #[test]
    fn the_tag_is_found_in_both_orders_of_bytes() {
        for little in [false, true] {
            for value in 1..=8 {
                assert_eq!(orientation(&exif(value.into(), little)), value);
            }
            for value in [0, 9, 0x106, u16::MAX] {
                assert_eq!(orientation(&exif(value, little)), 1, "{value} is no orientation");
            }
        }
        let mut other = exif(6, true);
        let kind = other.windows(2).position(|two| two == [0x12, 1]).unwrap() + 2;
        other[kind] = 4;
        assert_eq!(orientation(&other), 1, "of another type");
        assert_eq!(orientation(b"II*"), 1);
    }

    #[test]
    fn the_eight_orientations_are_those_of_the_standard() {
        // Where the stored row 0 and column 0 are to be seen (CIPA DC-008, 4.6.4 A, Orientation).
        let corner = |orientation: u8| {
            let stored: Vec<u8> = (0..9).flat_map(|k| [k; 3]).collect();
            let seen = upright(stored, 3, orientation);
            let find = |k: u8| seen.chunks(3).position(|pixel| pixel[0] == k).map(|at| (at / 3, at % 3)).unwrap();
            // The ends of row 0 and of column 0.
            (find(0), find(2), find(6))
        };
        let (top, bottom, left, right) = (0, 2, 0, 2);
        for (orientation, row, column) in [
            (1, [(top, left), (top, right)], (bottom, left)),
            (2, [(top, right), (top, left)], (bottom, right)),
            (3, [(bottom, right), (bottom, left)], (top, right)),
            (4, [(bottom, left), (bottom, right)], (top, left)),
            (5, [(top, left), (bottom, left)], (top, right)),
            (6, [(top, right), (bottom, right)], (top, left)),
            (7, [(bottom, right), (top, right)], (bottom, left)),
            (8, [(bottom, left), (top, left)], (bottom, right)),
        ] {
            assert_eq!(corner(orientation), (row[0], row[1], column), "orientation {orientation}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..64),
            little: bool,
            directory: u32,
            changes in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..4),
        ) {
            prop_assert!((1..=8).contains(&orientation(&bytes)));
            // Those that begin as EXIF does, and say any place as that of their directory.
            let start: &[u8] = if little { b"II*\0" } else { b"MM\0*" };
            let place = if little { directory.to_le_bytes() } else { directory.to_be_bytes() };
            bytes.splice(..bytes.len().min(8), [start, &place].concat());
            prop_assert!((1..=8).contains(&orientation(&bytes)));
            let mut damaged = exif(6, little);
            for (at, byte) in changes {
                let at = usize::from(at) % damaged.len();
                damaged[at] = byte;
            }
            prop_assert!((1..=8).contains(&orientation(&damaged)));
        }
    }
}
