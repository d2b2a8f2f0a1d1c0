//! Event files for TensorBoard: a TFRecord file of `Event` messages of Protocol Buffers, written by hand, since they
//! need but a few fields.
//!
//! Sources: the TFRecord format (tensorflow.org, "TFRecord and tf.train.Example"), TensorFlow's `event.proto` and
//! `summary.proto`, and the encoding of Protocol Buffers (protobuf.dev, "Encoding").

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use crc::{CRC_32_ISCSI, Crc};

use crate::pictures::{Raster, read_png};

/// An event file that is being written. What has been written is with the system at once, so that a TensorBoard that
/// runs beside shows it.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Begins a new event file in this directory, and makes the directory if need be. `step` is the last step already
    /// done: what earlier files hold of later ones, TensorBoard forgets, since it will come again.
    ///
    /// # Errors
    /// The directory or the file cannot be made.
    pub fn create(dir: &Path, step: u64) -> Result<EventFile> {
        fs::create_dir_all(dir).with_context(|| format!("{}: cannot make the directory", dir.display()))?;
        let (file, path) = new_file(dir)?;
        let mut events = EventFile { file, path };
        events.write(event(0, |event| event.bytes(3, b"brain.Event:2")))?; // file_version
        // session_log with status START.
        events.write(event(step + 1, |event| event.message(7, |log| log.varint(1, 1))))?;
        Ok(events)
    }

    /// Writes numbers of a step, each with its tag.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalars(&mut self, step: u64, values: &[(impl AsRef<str>, f64)]) -> Result<()> {
        self.write(event(step, |event| {
            event.message(5, |summary| {
                for (tag, value) in values {
                    summary.message(1, |entry| {
                        entry.bytes(1, tag.as_ref().as_bytes());
                        entry.float(2, *value as f32);
                    });
                }
            });
        }))
    }

    /// Writes a picture of a step, the PNG file at `path`.
    ///
    /// # Errors
    /// The picture cannot be read, or the file not be written.
    pub fn image(&mut self, step: u64, tag: &str, path: &Path) -> Result<()> {
        let Raster { width, height, channels, .. } = read_png(path)?;
        let png = fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
        self.write(event(step, |event| {
            event.message(5, |summary| {
                summary.message(1, |entry| {
                    entry.bytes(1, tag.as_bytes());
                    entry.message(4, |image| {
                        image.varint(1, height as u64);
                        image.varint(2, width as u64);
                        image.varint(3, channels as u64);
                        image.bytes(4, &png);
                    });
                });
            });
        }))
    }

    /// Writes a message as a record.
    fn write(&mut self, message: Message) -> Result<()> {
        let written = self.file.write_all(&record(&message.0));
        written.with_context(|| format!("{}: cannot write", self.path.display()))
    }
}

/// A file that is not there yet. TensorBoard reads the files of a directory in the order of their names, so those of
/// later sessions must come later: the name begins with the second, and a number tells those of one second apart.
fn new_file(dir: &Path) -> Result<(File, PathBuf)> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for number in 0..1000 {
        let path = dir.join(format!("events.out.tfevents.{seconds:010}.{number:03}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("{}: cannot make the file", path.display())),
        }
    }
    anyhow::bail!("{}: found a thousand event files of this second; expected a free name", dir.display())
}

/// An `Event`: wall_time, step, and what `fill` adds.
fn event(step: u64, fill: impl FnOnce(&mut Message)) -> Message {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut event = Message::default();
    event.double(1, now);
    event.varint(2, step);
    fill(&mut event);
    event
}

/// A TFRecord: the length in eight bytes, its checksum, the data, its checksum; numbers little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let (length_sum, data_sum) = (masked_crc(&length).to_le_bytes(), masked_crc(data).to_le_bytes());
    [&length[..], &length_sum, data, &data_sum].concat()
}

/// CRC-32C, turned and shifted as the format wants it, because a checksum of data that holds checksums is weak.
fn masked_crc(data: &[u8]) -> u32 {
    // CRC-32C goes by the name of the iSCSI protocol as well.
    static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    CRC.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A message of Protocol Buffers in the making: fields one after the other, each with its number and its wire type.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Seven bits a byte, the lowest first; the eighth bit says that more follow.
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.raw_varint(field << 3 | wire_type);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::pictures::{Grid, write_grid};

    /// Test vectors of RFC 3720 (iSCSI), B.4, before the mask; the masks of TensorFlow's `crc32c_test`: masking is not
    /// the identity, and unmasking gives the checksum back.
    #[test]
    fn checksums_are_those_of_the_standard() {
        let unmasked = |data: &[u8]| masked_crc(data).wrapping_sub(0xa282_ead8).rotate_left(15);
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        assert_eq!(unmasked(&[0; 32]), 0x8a91_36aa);
        assert_eq!(unmasked(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(unmasked(&rising), 0x46dd_794e);
        assert_eq!(unmasked(&falling), 0x113f_db5c);
        assert_eq!(unmasked(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn messages_are_encoded_as_the_documentation_shows() {
        // protobuf.dev, "Encoding": field 1 is 150; field 2 is "testing"; field 3 holds the first message.
        let mut message = Message::default();
        message.varint(1, 150);
        assert_eq!(message.0, [0x08, 0x96, 0x01]);
        message.bytes(2, b"testing");
        assert_eq!(message.0[3..], [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let mut outer = Message::default();
        outer.message(3, |inner| inner.varint(1, 150));
        assert_eq!(outer.0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut numbers = Message::default();
        numbers.double(1, 1.0);
        numbers.float(2, -2.0);
        assert_eq!(numbers.0, [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x15, 0, 0, 0, 0xc0]);
    }

    /// The records of a file, after a check of their checksums.
    fn records(path: &Path) -> Vec<Vec<u8>> {
        let bytes = fs::read(path).unwrap();
        let (mut rest, mut records) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked_crc(data).to_le_bytes());
            records.push(data.to_vec());
            rest = &rest[16 + length..];
        }
        records
    }

    #[test]
    fn an_event_file_holds_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("tensorboard");
        let mut first = EventFile::create(&logs, 0).unwrap();
        let second = EventFile::create(&logs, 300).unwrap();
        assert!(first.path < second.path, "the later file comes later");
        first.scalars(300, &[("loss/d", 0.5), ("loss/g", -1.0)]).unwrap();
        let picture = dir.path().join("samples.png");
        let shape = ImageShape { channels: 3, height: 5, width: 7 };
        write_grid(&picture, &[0.0; 105], shape, Grid { columns: 1, scale: 1, gap: 0 }, &[], &[]).unwrap();
        first.image(301, "samples", &picture).unwrap();
        // Read while the file is open: nothing waits in a buffer.
        let records = records(&first.path);
        // The wall time, in bytes 1 to 9, is another each time.
        let timeless: Vec<Vec<u8>> = records.iter().map(|r| [&r[..1], &r[9..]].concat()).collect();
        assert_eq!(timeless[0], [b"\x09\x10\x00\x1a\x0d", &b"brain.Event:2"[..]].concat());
        assert_eq!(timeless[1], b"\x09\x10\x01\x3a\x02\x08\x01");
        let entries =
            [&b"\x0a\x0d\x0a\x06loss/d\x15\0\0\0\x3f"[..], b"\x0a\x0d\x0a\x06loss/g\x15\0\0\x80\xbf"].concat();
        assert_eq!(timeless[2], [b"\x09\x10\xac\x02\x2a\x1e", &entries[..]].concat());
        let png = fs::read(&picture).unwrap();
        let n = png.len() as u8;
        assert!(n < 109, "the lengths are single bytes");
        let head = [b"\x09\x10\xad\x02\x2a", &[n + 21, 0x0a, n + 19][..], b"\x0a\x07samples\x22", &[n + 8]].concat();
        assert_eq!(timeless[3], [&head[..], b"\x08\x05\x10\x07\x18\x03\x22", &[n], &png].concat());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let wall = f64::from_le_bytes(records[3][1..9].try_into().unwrap());
        assert!((0.0..60.0).contains(&(now - wall)));
    }

    #[test]
    fn a_failed_write_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("tensorboard");
        fs::write(&taken, "a file").unwrap();
        let message = format!("{:#}", EventFile::create(&taken, 0).unwrap_err());
        assert!(message.contains("tensorboard: cannot make the directory"), "{message}");
    }
}
