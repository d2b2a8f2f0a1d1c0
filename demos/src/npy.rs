//! Arrays in NumPy's format (numpy.org, "numpy.lib.format").

use anyhow::{Context, Result};

/// An empty file for an array of bytes of this shape, row by row: its header, with memory for all the bytes that are to
/// follow.
///
/// # Errors
/// There is no memory for them.
pub fn bytes_of_shape(shape: &[usize]) -> Result<Vec<u8>> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Magic, version, length, header and a line break fill a multiple of 64 bytes.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let numbers = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let total = numbers.and_then(|numbers| numbers.checked_add(10 + length));
    let mut file = Vec::new();
    let room = total.and_then(|total| file.try_reserve_exact(total).ok());
    room.with_context(|| format!("there is no memory for an array of {shape:?} bytes"))?;
    file.extend_from_slice(b"\x93NUMPY\x01\x00");
    file.extend_from_slice(&(length as u16).to_le_bytes());
    file.extend_from_slice(format!("{header:<0$}\n", length - 1).as_bytes());
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_the_format() {
        let file = bytes_of_shape(&[3, 32, 32, 1]).unwrap();
        assert_eq!((&file[..8], file.len() % 64, file.last()), (&b"\x93NUMPY\x01\x00"[..], 0, Some(&b'\n')));
        let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
        assert_eq!(10 + length, file.len());
        let header = String::from_utf8(file[10..].to_vec()).unwrap();
        assert_eq!(header.trim_end(), "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 32, 32, 1, ), }");
        assert!(bytes_of_shape(&[usize::MAX, 2]).is_err());
    }
}
