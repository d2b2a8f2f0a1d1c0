//! Archives: named tensors, counts and texts, and the files that hold them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
#[cfg(feature = "safetensors")]
use std::path::Path;

use crate::kernels::element::cast;
use crate::{DeviceError, Element, Shape, Tensor};

#[cfg(feature = "safetensors")]
mod file;

/// Named tensors, counts and texts: what a file of weights or a checkpoint holds.
///
/// In memory it is a plain map. With the feature `safetensors` (on by default) it reads and writes files of that
/// format, which PyTorch reads as well: values lie row-major in little-endian order, whatever their layout in memory
/// was; counts are I64 scalars; texts are the file's metadata. Equal archives give equal bytes.
///
/// A checkpoint puts several stores into one archive, each under a prefix. No prefix may begin with another, since
/// reading is strict: every name under the prefix must be wanted, and every wanted name must be there.
///
/// ```
/// use wengert::{Archive, Rng, nn::{Init, Linear, Params}};
/// let mut rng = Rng::seed(0);
/// let mut params = Params::<f32>::new();
/// let _ = Linear::new(&mut params.scope("l"), 4, 2, Init::PyTorch, &mut rng);
/// let mut archive = Archive::new();
/// params.store(&mut archive, "generator.");
/// archive.set_text("step", "100");
///
/// params.set("l.bias", wengert::Tensor::zeros([2]));
/// params.restore(&archive, "generator.")?;
/// assert_ne!(params.get("l.bias"), Some(wengert::Tensor::zeros([2])));
/// assert_eq!(archive.text("step")?, "100");
/// # Ok::<(), wengert::StateError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// The file that it was read from, for messages.
    source: String,
    tensors: BTreeMap<String, Stored>,
    texts: BTreeMap<String, String>,
}

/// Values as a file holds them: row-major, little-endian.
#[derive(Clone, Debug, PartialEq)]
struct Stored {
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl PartialEq for Archive {
    /// The same contents, bit for bit, wherever they were read from.
    fn eq(&self, other: &Archive) -> bool {
        (&self.tensors, &self.texts) == (&other.tensors, &other.texts)
    }
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Archive {
        Archive { source: "archive".into(), ..Archive::default() }
    }

    /// Puts a tensor in, in place of one of the same name.
    pub fn set_tensor<T: Element>(&mut self, name: impl Into<String>, tensor: &Tensor<T>) {
        let (dtype, bytes) = to_le_bytes(&tensor.to_vec());
        self.tensors.insert(name.into(), Stored { dtype, shape: tensor.shape().to_vec(), bytes });
    }

    /// Puts a whole number in, as an I64 scalar; numbers above `i64::MAX` become that.
    pub fn set_count(&mut self, name: impl Into<String>, count: u64) {
        let bytes = i64::try_from(count).unwrap_or(i64::MAX).to_le_bytes().to_vec();
        self.tensors.insert(name.into(), Stored { dtype: "I64", shape: Vec::new(), bytes });
    }

    /// Puts a text in: settings, the step, the state of a generator.
    pub fn set_text(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.texts.insert(key.into(), text.into());
    }

    /// The tensor of this name, which must have this shape and the element type T.
    ///
    /// # Errors
    /// If it is missing, or has another shape or element type.
    pub fn tensor<T: Element>(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor<T>, StateError> {
        let shape = shape.into();
        let stored = self.stored(name, &kind::<T>(), &shape)?;
        Ok(Tensor::from_vec(shape, from_le_bytes(&stored.bytes)))
    }

    /// The same with every tensor in the element type T; counts and texts stay as they are.
    ///
    /// ```
    /// use wengert::{Archive, Tensor};
    /// let mut archive = Archive::new();
    /// archive.set_tensor("x", &Tensor::<f32>::full([2], 0.5));
    /// assert_eq!(archive.cast::<f64>().tensor::<f64>("x", [2])?, Tensor::full([2], 0.5));
    /// # Ok::<(), wengert::StateError>(())
    /// ```
    pub fn cast<T: Element>(&self) -> Archive {
        let mut archive = self.clone();
        for stored in archive.tensors.values_mut() {
            let values: Vec<f64> = match stored.dtype {
                "F32" => from_le_bytes::<f32>(&stored.bytes).into_iter().map(f64::from).collect(),
                "F64" => from_le_bytes(&stored.bytes),
                _ => continue,
            };
            let values: Vec<T> = values.into_iter().map(T::of).collect();
            (stored.dtype, stored.bytes) = to_le_bytes(&values);
        }
        archive
    }

    /// The count of this name.
    ///
    /// # Errors
    /// If it is missing, negative, or no I64 scalar.
    pub fn count(&self, name: &str) -> Result<u64, StateError> {
        let stored = self.stored(name, "I64", &Shape::from([]))?;
        let bytes = stored.bytes.as_slice().try_into().expect("one I64, by its shape");
        u64::try_from(i64::from_le_bytes(bytes)).map_err(|_| StateError::Mismatch {
            file: self.source.clone(),
            name: name.into(),
            found: i64::from_le_bytes(bytes).to_string(),
            expected: "a count of at least 0".into(),
        })
    }

    /// The text of this key.
    ///
    /// # Errors
    /// If there is none.
    pub fn text(&self, key: &str) -> Result<&str, StateError> {
        let missing = || StateError::NoText { file: self.source.clone(), key: key.into() };
        self.texts.get(key).map(String::as_str).ok_or_else(missing)
    }

    /// The names of tensors and counts that begin with `prefix`, in alphabetical order.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let all =
            self.tensors.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)).map(|(name, _)| name.as_str());
        all.take_while(move |name| name.starts_with(prefix))
    }

    /// Whether there is a tensor or count of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Checks that exactly these tensors and counts are there under `prefix`, each with this element type and shape.
    pub(crate) fn check(&self, prefix: &str, expected: &[Expected]) -> Result<(), StateError> {
        let (there, missing): (Vec<_>, Vec<_>) = expected.iter().partition(|wanted| self.contains(&wanted.name));
        let wanted: std::collections::HashSet<&str> = expected.iter().map(|wanted| wanted.name.as_str()).collect();
        let missing: Vec<String> = missing.iter().map(|wanted| wanted.name.clone()).collect();
        let unexpected: Vec<String> = self.names(prefix).filter(|n| !wanted.contains(n)).map(String::from).collect();
        let wrong = there.iter().filter_map(|Expected { name, dtype, shape }| self.stored(name, dtype, shape).err());
        let mut wrong: Vec<StateError> = wrong.collect();
        match (missing.is_empty() && unexpected.is_empty(), wrong.len()) {
            (true, 0) => Ok(()),
            (true, 1) => Err(wrong.remove(0)),
            _ => Err(StateError::Names { file: self.source.clone(), missing, unexpected, wrong }),
        }
    }

    fn stored(&self, name: &str, dtype: &str, shape: &Shape) -> Result<&Stored, StateError> {
        let missing = || StateError::Names {
            file: self.source.clone(),
            missing: vec![name.into()],
            unexpected: Vec::new(),
            wrong: Vec::new(),
        };
        let stored = self.tensors.get(name).ok_or_else(missing)?;
        if stored.dtype == dtype && stored.shape == **shape {
            return Ok(stored);
        }
        Err(StateError::Mismatch {
            file: self.source.clone(),
            name: name.into(),
            found: format!("{} {:?}", stored.dtype, stored.shape),
            expected: format!("{dtype} {:?}", &**shape),
        })
    }
}

/// What an archive must have.
pub(crate) struct Expected {
    name: String,
    dtype: String,
    shape: Shape,
}

impl Expected {
    /// A tensor of the element type T.
    pub(crate) fn tensor<T: Element>(name: String, shape: &Shape) -> Expected {
        Expected { name, dtype: kind::<T>(), shape: *shape }
    }

    pub(crate) fn count(name: String) -> Expected {
        Expected { name, dtype: "I64".into(), shape: Shape::from([]) }
    }
}

/// The format's name for an element type.
fn kind<T: Element>() -> String {
    T::NAME.to_uppercase()
}

fn to_le_bytes<T: Element>(values: &[T]) -> (&'static str, Vec<u8>) {
    match (cast::<T, f32>(values), cast::<T, f64>(values)) {
        (Some(values), _) => ("F32", values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        (_, Some(values)) => ("F64", values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        _ => unreachable!("an Element is f32 or f64"),
    }
}

fn from_le_bytes<T: Element>(bytes: &[u8]) -> Vec<T> {
    let (singles, _) = bytes.as_chunks::<4>();
    let (doubles, _) = bytes.as_chunks::<8>();
    match size_of::<T>() {
        4 => {
            let values: Vec<f32> = singles.iter().map(|&x| f32::from_le_bytes(x)).collect();
            cast::<f32, T>(&values).map(<[T]>::to_vec)
        }
        _ => {
            let values: Vec<f64> = doubles.iter().map(|&x| f64::from_le_bytes(x)).collect();
            cast::<f64, T>(&values).map(<[T]>::to_vec)
        }
    }
    .expect("an Element is f32 or f64")
}

/// Why state could not be read or written. Every message names the file, what was found, and what was expected.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// The system refused.
    Io {
        /// The file.
        file: String,
        /// What was tried: "read", "write", …
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is truncated, damaged, or of another format.
    Format {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Tensors are missing, or there are some that nobody asked for, or several are of another shape: it is the file of
    /// another network.
    Names {
        /// The file.
        file: String,
        /// The names that were expected and not found.
        missing: Vec<String>,
        /// The names that were found and not expected.
        unexpected: Vec<String>,
        /// What has another shape or element type: a [`Mismatch`](StateError::Mismatch) for each.
        wrong: Vec<StateError>,
    },
    /// A tensor has another shape or element type, or a count another range.
    Mismatch {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// What the file has.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The device on which what is read is to live has no memory left, or failed.
    Device(DeviceError),
    /// A text is missing.
    NoText {
        /// The file.
        file: String,
        /// Its key.
        key: String,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Io { file, action, source } => write!(f, "{file}: cannot {action}: {source}"),
            StateError::Format { file, reason } => {
                write!(f, "{file}: {reason}; expected a whole safetensors file")
            }
            StateError::Names { file, missing, unexpected, wrong } => {
                let wrong: Vec<String> = wrong.iter().map(StateError::without_file).collect();
                let lists = [("missing", missing), ("unexpected", unexpected), ("of another kind", &wrong)];
                let lists: Vec<String> = lists
                    .iter()
                    .filter(|(_, names)| !names.is_empty())
                    .map(|(what, names)| list(what, names))
                    .collect();
                write!(f, "{file}: {}", lists.join("; "))
            }
            StateError::Mismatch { file, .. } => write!(f, "{file}: {}", self.without_file()),
            StateError::Device(error) => error.fmt(f),
            StateError::NoText { file, key } => {
                write!(f, "{file}: expected a text `{key}` in the metadata, found none")
            }
        }
    }
}

impl From<DeviceError> for StateError {
    fn from(error: DeviceError) -> StateError {
        StateError::Device(error)
    }
}

impl StateError {
    /// What a mismatch is, in a message that has named the file.
    fn without_file(&self) -> String {
        match self {
            StateError::Mismatch { name, found, expected, .. } => format!("{name}: found {found}, expected {expected}"),
            other => other.to_string(),
        }
    }
}

/// The first of a list, and how many more there are.
fn list(what: &str, names: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{what}: {}{more}", names[..names.len().min(SHOWN)].join(", "))
}

// Without `source`: the message holds the system's reason, which reports that print the chain would give twice.
impl std::error::Error for StateError {}
