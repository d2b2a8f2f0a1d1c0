//! The safetensors format, and files that are written whole or not at all.

use std::fs::{self, File};
use std::io::Write;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Archive, Path, StateError, Stored};
use crate::MAX_RANK;

/// The element types that an archive holds, by name.
const DTYPES: [(&str, Dtype); 3] = [("F32", Dtype::F32), ("F64", Dtype::F64), ("I64", Dtype::I64)];

impl Stored {
    fn view(&self) -> TensorView<'_> {
        let dtype = DTYPES.iter().find(|(name, _)| *name == self.dtype).expect("one of the three").1;
        TensorView::new(dtype, self.shape.clone(), &self.bytes).expect("as many bytes as the shape asks for")
    }
}

/// The header begins after its own length.
const LENGTH: usize = 8;

impl Archive {
    /// The archive as a safetensors file. Needs the feature `safetensors`, which is on by default.
    pub fn to_bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, stored)| (name, stored.view()));
        let bytes = safetensors::serialize(views.collect::<Vec<_>>(), None).expect("views of the right sizes");
        if self.texts.is_empty() { bytes } else { self.with_texts(bytes) }
    }

    /// Adds the texts to the header in alphabetical order. The crate takes them as a `HashMap`, whose order changes
    /// from run to run, so that equal archives would not give equal files.
    fn with_texts(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let end = LENGTH + header_length(&bytes);
        let header = std::str::from_utf8(&bytes[LENGTH..end]).expect("the header is JSON").trim_end();
        let rest = header.strip_prefix('{').expect("the header is an object");
        let texts: Vec<String> = self.texts.iter().map(|(k, v)| format!("{}:{}", json(k), json(v))).collect();
        let comma = if rest == "}" { "" } else { "," };
        let mut header = format!("{{\"__metadata__\":{{{}}}{comma}{rest}", texts.join(",")).into_bytes();
        header.resize(header.len().next_multiple_of(LENGTH), b' ');
        // In place: the tensors are not there twice.
        let length = (header.len() as u64).to_le_bytes();
        bytes.splice(..end, length.into_iter().chain(header));
        bytes
    }

    /// Reads a safetensors file that is in memory; `source` names it in messages. Needs the feature `safetensors`,
    /// which is on by default.
    ///
    /// # Errors
    /// If the bytes are no whole safetensors file, or hold element types other than F32, F64 and I64.
    pub fn from_bytes(bytes: &[u8], source: &str) -> Result<Archive, StateError> {
        let bad = |reason: String| StateError::Format { file: source.into(), reason };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| bad(e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| bad(e.to_string()))?;
        let mut archive = Archive { source: source.into(), ..Archive::default() };
        for (name, view) in file.iter() {
            let Some((dtype, _)) = DTYPES.iter().find(|(_, dtype)| *dtype == view.dtype()) else {
                return Err(bad(format!("{name}: found element type {:?}, expected F32, F64 or I64", view.dtype())));
            };
            if view.shape().len() > MAX_RANK {
                return Err(bad(format!("{name}: found {} axes, expected at most {MAX_RANK}", view.shape().len())));
            }
            let stored = Stored { dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() };
            archive.tensors.insert(name.into(), stored);
        }
        archive.texts = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(archive)
    }

    /// Writes a safetensors file, whole or not at all: a temporary file beside it, synchronised with the disk, takes
    /// its name at the end. Needs the feature `safetensors`, which is on by default.
    ///
    /// # Errors
    /// If the system refuses to write.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        write_whole(path.as_ref(), &self.to_bytes())
    }

    /// Reads a safetensors file. Needs the feature `safetensors`, which is on by default.
    ///
    /// # Errors
    /// If the system refuses to read, and as [`from_bytes`](Archive::from_bytes).
    pub fn load(path: impl AsRef<Path>) -> Result<Archive, StateError> {
        let file = path.as_ref().display().to_string();
        let failed = |source| StateError::Io { file: file.clone(), action: "read", source };
        // A device or a pipe might never end.
        if !fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::other("this is no file")));
        }
        let bytes = fs::read(path).map_err(failed)?;
        Archive::from_bytes(&bytes, &file)
    }
}

fn header_length(bytes: &[u8]) -> usize {
    let (length, _) = bytes.split_first_chunk().expect("a file begins with the length of its header");
    u64::from_le_bytes(*length) as usize
}

/// A JSON string.
fn json(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c < ' ' => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let failed = |action| move |source| StateError::Io { file: path.display().to_string(), action, source };
    let Some(name) = path.file_name() else {
        return Err(failed("write")(std::io::Error::other("the path names no file")));
    };
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = directory.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    if let Err(source) = write() {
        // What is left of the attempt helps nobody; if it cannot be removed, the first error is still the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(failed("write")(source));
    }
    // The new name reaches the disk with the directory. Only Unix lets a directory be opened for that.
    if cfg!(unix) {
        File::open(directory).and_then(|d| d.sync_all()).map_err(failed("synchronise the directory of"))?;
    }
    Ok(())
}
