//! The store of parameters and buffers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::Expected;
use crate::{Archive, Device, DeviceError, Element, StateError, Tensor};

/// The parameters and buffers of a network, by name and in the order in which its layers made them.
///
/// Parameters are what an optimiser trains. Buffers are what a network remembers besides: running statistics, the
/// vectors of spectral norm, counters. Names are PyTorch's, so that files go both ways: `l.weight`, `b.0.running_mean`,
/// `c.0.parametrizations.weight.0._u`.
///
/// Buffers sit behind interior mutability, because a forward pass updates them; they change only through a
/// [`Pass`](super::Pass) in [`Mode::Train`](super::Mode), and through [`set`](Params::set) and
/// [`restore`](Params::restore). Clones have values of their own and serve the same layers.
///
/// A clone costs little: its tensors share the memory of the first until one of both is changed. So threads that
/// sample from one network take a clone each; a store can be sent to another thread, though not shared:
///
/// ```
/// use std::thread;
/// use wengert::nn::{Init, Linear, Mode, Params, Pass, Sequential};
/// use wengert::{Rng, Tensor, Var};
/// let mut rng = Rng::seed(0);
/// let mut params = Params::<f32>::new();
/// let net = Sequential::builder(&mut params.scope("g"))
///     .layer(|scope| Linear::new(scope, 8, 2, Init::PyTorch, &mut rng))
///     .function(Var::tanh)
///     .build();
/// let samples: Vec<Tensor> = thread::scope(|threads| {
///     let start = |seed| {
///         let (net, params) = (&net, params.clone());
///         threads.spawn(move || {
///             let z = Rng::seed(seed).normal([4, 8]).into();
///             net.forward(&Pass::frozen(&params, Mode::Eval), &z).into_value()
///         })
///     };
///     let started: Vec<_> = (0..3).map(start).collect();
///     started.into_iter().map(|thread| thread.join().unwrap()).collect()
/// });
/// assert!(samples.len() == 3 && samples[0] != samples[1]);
/// ```
///
/// A store by itself:
///
/// ```
/// use wengert::{Rng, nn::{Init, Linear, Params}};
/// let mut params = Params::<f32>::new();
/// let layer = Linear::new(&mut params.scope("g").scope("0"), 3, 2, Init::PyTorch, &mut Rng::seed(0));
/// assert_eq!(params.names().collect::<Vec<_>>(), ["g.0.weight", "g.0.bias"]);
/// assert_eq!(params.size(), 8);
/// ```
#[derive(Clone)]
pub struct Params<T: Element = f32> {
    /// Which network this is; clones share it, and ids carry it.
    structure: u64,
    entries: Vec<Entry<T>>,
    by_name: HashMap<Arc<str>, usize>,
}

#[derive(Clone)]
struct Entry<T: Element> {
    name: Arc<str>,
    slot: Slot<T>,
}

#[derive(Clone)]
enum Slot<T: Element> {
    Parameter(Tensor<T>),
    Buffer(RefCell<Tensor<T>>),
    Counter(Cell<u64>),
}

/// A place in a store: which network, and which entry of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    structure: u64,
    index: usize,
}

impl fmt::Debug for Key {
    /// The number of the entry, counted from 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.index)
    }
}

/// The place of a parameter in its [`Params`] and in clones of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(Key);

/// The place of a buffer in its [`Params`] and in clones of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(Key);

/// The place of a counter in its [`Params`] and in clones of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CounterId(Key);

impl ParamId {
    /// The parameter at this position among the entries of that network's store.
    pub(super) fn new(structure: u64, index: usize) -> ParamId {
        ParamId(Key { structure, index })
    }

    /// The position among the entries of the store.
    pub(crate) fn index(self) -> usize {
        self.0.index
    }

    /// The network that it is a parameter of; see [`Params::structure`].
    pub(crate) fn structure(self) -> u64 {
        self.0.structure
    }
}

impl<T: Element> Default for Params<T> {
    fn default() -> Self {
        Params::new()
    }
}

impl<T: Element> Params<T> {
    /// An empty store.
    pub fn new() -> Params<T> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let structure = NEXT.fetch_add(1, Ordering::Relaxed);
        Params { structure, entries: Vec::new(), by_name: HashMap::new() }
    }

    /// Where a layer puts its parameters: names get the prefix `name.`, or none if `name` is empty.
    pub fn scope(&mut self, name: &str) -> Scope<'_, T> {
        Scope { prefix: extend("", name), params: self }
    }

    /// All names, in the order of making.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// The parameters, in the order of making, without the buffers.
    pub fn parameters(&self) -> impl Iterator<Item = (ParamId, &str, &Tensor<T>)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.slot {
            Slot::Parameter(value) => Some((ParamId(self.key(index)), &*entry.name, value)),
            _ => None,
        })
    }

    /// The number of trainable numbers: the elements of all parameters.
    pub fn size(&self) -> usize {
        self.parameters().map(|(_, _, value)| value.size()).sum()
    }

    /// The place of the parameter of this name.
    pub fn id(&self, name: &str) -> Option<ParamId> {
        let index = *self.by_name.get(name)?;
        matches!(self.entries[index].slot, Slot::Parameter(_)).then(|| ParamId(self.key(index)))
    }

    /// The value of the parameter or buffer of this name; `None` for counters too.
    pub fn get(&self, name: &str) -> Option<Tensor<T>> {
        match &self.entries[*self.by_name.get(name)?].slot {
            Slot::Parameter(value) => Some(value.clone()),
            Slot::Buffer(value) => Some(value.borrow().clone()),
            Slot::Counter(_) => None,
        }
    }

    /// The counter of this name.
    pub fn count(&self, name: &str) -> Option<u64> {
        match &self.entries[*self.by_name.get(name)?].slot {
            Slot::Counter(count) => Some(count.get()),
            _ => None,
        }
    }

    /// Sets the parameter or buffer of this name. It keeps its order in memory, and lives where the old one did.
    ///
    /// # Panics
    /// If there is none, or it has another shape; with a [`DeviceError`] if its device has no memory left or fails.
    #[track_caller]
    pub fn set(&mut self, name: &str, value: Tensor<T>) {
        let Some(old) = self.get(name) else { panic!("Params::set: there is no tensor `{name}`") };
        let (expected, found) = (old.shape(), value.shape());
        assert!(expected == found, "Params::set: `{name}` has shape {expected}, found {found}");
        let value = in_place_of(&old, value).unwrap_or_else(|error| error.raise());
        match &mut self.entries[self.by_name[name]].slot {
            Slot::Parameter(place) => *place = value,
            Slot::Buffer(place) => *place.get_mut() = value,
            Slot::Counter(_) => unreachable!("`get` found a tensor"),
        }
    }

    /// Moves all parameters and buffers to a device, or to the host: a network computes where its parameters live.
    /// Counters stay on the host. On an error, nothing has changed.
    ///
    /// # Errors
    /// If the device cannot hold `T`, has no memory left, or fails.
    pub fn to(&mut self, device: &Device) -> Result<(), DeviceError> {
        let slots = self.entries.iter().map(|entry| match &entry.slot {
            Slot::Parameter(value) => value.to(device).map(Slot::Parameter),
            Slot::Buffer(value) => value.borrow().to(device).map(|value| Slot::Buffer(RefCell::new(value))),
            Slot::Counter(count) => Ok(Slot::Counter(count.clone())),
        });
        let slots: Vec<Slot<T>> = slots.collect::<Result<_, DeviceError>>()?;
        self.replace_slots(slots);
        Ok(())
    }

    fn replace_slots(&mut self, slots: Vec<Slot<T>>) {
        self.entries.iter_mut().zip(slots).for_each(|(entry, slot)| entry.slot = slot);
    }

    /// Puts everything into an archive, names prefixed.
    pub fn store(&self, archive: &mut Archive, prefix: &str) {
        for entry in &self.entries {
            let name = format!("{prefix}{}", entry.name);
            match &entry.slot {
                Slot::Parameter(value) => archive.set_tensor(name, value),
                Slot::Buffer(value) => archive.set_tensor(name, &value.borrow()),
                Slot::Counter(count) => archive.set_count(name, count.get()),
            }
        }
    }

    /// Takes everything from an archive; a network that was moved to a device stays there. On an error, nothing has
    /// changed.
    ///
    /// # Errors
    /// If names are missing or unexpected under the prefix, shapes or element types differ, or a device has no memory
    /// left or fails.
    pub fn restore(&mut self, archive: &Archive, prefix: &str) -> Result<(), StateError> {
        let names: Vec<String> = self.names().map(|name| format!("{prefix}{name}")).collect();
        let expected = self.entries.iter().zip(&names).map(|(entry, name)| match &entry.slot {
            Slot::Parameter(old) => Expected::tensor::<T>(name.clone(), old.shape()),
            Slot::Buffer(old) => Expected::tensor::<T>(name.clone(), old.borrow().shape()),
            Slot::Counter(_) => Expected::count(name.clone()),
        });
        archive.check(prefix, &expected.collect::<Vec<_>>())?;
        let read = |old: &Tensor<T>, name: &str| Ok(in_place_of(old, archive.tensor(name, old.shape())?)?);
        let slots = self.entries.iter().zip(&names).map(|(entry, name)| match &entry.slot {
            Slot::Parameter(old) => read(old, name).map(Slot::Parameter),
            Slot::Buffer(old) => read(&old.borrow(), name).map(|value| Slot::Buffer(RefCell::new(value))),
            Slot::Counter(_) => archive.count(name).map(|count| Slot::Counter(Cell::new(count))),
        });
        let slots: Vec<Slot<T>> = slots.collect::<Result<_, StateError>>()?;
        self.replace_slots(slots);
        Ok(())
    }

    /// Writes everything to a safetensors file, whole or not at all. Needs the feature `safetensors`, which is on by
    /// default.
    ///
    /// # Errors
    /// If the system refuses to write.
    #[cfg(feature = "safetensors")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<(), StateError> {
        let mut archive = Archive::new();
        self.store(&mut archive, "");
        archive.save(path)
    }

    /// Reads everything from a safetensors file, one that [`save`](Params::save) or PyTorch has written. On an error,
    /// nothing has changed. Needs the feature `safetensors`, which is on by default.
    ///
    /// # Errors
    /// If the file cannot be read or is no safetensors file, and as [`restore`](Params::restore).
    #[cfg(feature = "safetensors")]
    pub fn load(&mut self, path: impl AsRef<std::path::Path>) -> Result<(), StateError> {
        self.restore(&Archive::load(path)?, "")
    }

    fn key(&self, index: usize) -> Key {
        Key { structure: self.structure, index }
    }

    #[track_caller]
    fn add(&mut self, name: String, slot: Slot<T>) -> Key {
        let key = self.key(self.entries.len());
        let name: Arc<str> = name.into();
        let old = self.by_name.insert(name.clone(), key.index);
        assert!(old.is_none(), "Params: there is a `{name}` already");
        self.entries.push(Entry { name, slot });
        key
    }

    #[track_caller]
    fn slot(&self, key: Key) -> &Slot<T> {
        let own = key.structure == self.structure && key.index < self.entries.len();
        assert!(own, "Params: this layer was made in another store");
        &self.entries[key.index].slot
    }

    /// The name of an entry.
    pub(super) fn name(&self, index: usize) -> &Arc<str> {
        &self.entries[index].name
    }

    /// Whether the gradients or averages of that network are of this one.
    pub(crate) fn structure(&self) -> u64 {
        self.structure
    }

    /// The number of parameters, buffers and counters.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[track_caller]
    pub(crate) fn parameter(&self, id: ParamId) -> &Tensor<T> {
        match self.slot(id.0) {
            Slot::Parameter(value) => value,
            _ => unreachable!("the id of a parameter"),
        }
    }

    /// The parameters for writing, each with its index among all entries.
    pub(crate) fn parameters_mut(&mut self) -> impl Iterator<Item = (usize, &str, &mut Tensor<T>)> {
        self.entries.iter_mut().enumerate().filter_map(|(index, entry)| match &mut entry.slot {
            Slot::Parameter(value) => Some((index, &*entry.name, value)),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn buffer(&self, id: BufferId) -> Tensor<T> {
        match self.slot(id.0) {
            Slot::Buffer(value) => value.borrow().clone(),
            _ => unreachable!("the id of a buffer"),
        }
    }

    #[track_caller]
    pub(crate) fn set_buffer(&self, id: BufferId, value: Tensor<T>) {
        match self.slot(id.0) {
            Slot::Buffer(place) => drop(place.replace(value)),
            _ => unreachable!("the id of a buffer"),
        }
    }

    #[track_caller]
    pub(crate) fn increment(&self, id: CounterId) {
        match self.slot(id.0) {
            Slot::Counter(count) => count.set(count.get() + 1),
            _ => unreachable!("the id of a counter"),
        }
    }

    /// Copies the buffers and counters of a clone of this store.
    pub(crate) fn copy_buffers(&self, from: &Params<T>) {
        for (own, other) in self.entries.iter().zip(&from.entries) {
            match (&own.slot, &other.slot) {
                (Slot::Buffer(own), Slot::Buffer(other)) => drop(own.replace(other.borrow().clone())),
                (Slot::Counter(own), Slot::Counter(other)) => own.set(other.get()),
                _ => {}
            }
        }
    }
}

impl<T: Element> fmt::Debug for Params<T> {
    /// Names and shapes, and of counters the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |slot: &Slot<T>| match slot {
            Slot::Parameter(value) => value.shape().to_string(),
            Slot::Buffer(value) => value.borrow().shape().to_string(),
            Slot::Counter(count) => count.get().to_string(),
        };
        list_shapes(f, "Params", self.entries.iter().map(|entry| (&*entry.name, about(&entry.slot))))
    }
}

/// `title {name: shape, …}`
pub(super) fn list_shapes<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    entries: impl Iterator<Item = (&'a str, String)>,
) -> fmt::Result {
    write!(f, "{title} ")?;
    let shown = entries.map(|(name, shape)| (Plain(name.to_string()), Plain(shape)));
    f.debug_map().entries(shown).finish()
}

/// A text that is shown without quotation marks.
struct Plain(String);

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value in the memory order of the old one, living where that does.
fn in_place_of<T: Element>(old: &Tensor<T>, value: Tensor<T>) -> Result<Tensor<T>, DeviceError> {
    value.like(old).to(&old.device())
}

/// A part of a [`Params`] under a prefix, in which a layer makes its parameters and buffers.
pub struct Scope<'a, T: Element = f32> {
    params: &'a mut Params<T>,
    /// With its last dot, or empty.
    prefix: String,
}

fn extend(prefix: &str, name: &str) -> String {
    if name.is_empty() { prefix.into() } else { format!("{prefix}{name}.") }
}

impl<T: Element> Scope<'_, T> {
    /// A scope within this one: `params.scope("d").scope("0")` makes `d.0.weight`.
    pub fn scope(&mut self, name: &str) -> Scope<'_, T> {
        Scope { prefix: extend(&self.prefix, name), params: self.params }
    }

    /// Makes a parameter.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn parameter(&mut self, name: &str, value: Tensor<T>) -> ParamId {
        ParamId(self.params.add(format!("{}{name}", self.prefix), Slot::Parameter(value)))
    }

    /// Makes a buffer.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn buffer(&mut self, name: &str, value: Tensor<T>) -> BufferId {
        BufferId(self.params.add(format!("{}{name}", self.prefix), Slot::Buffer(RefCell::new(value))))
    }

    /// Makes a counter that starts at 0.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn counter(&mut self, name: &str) -> CounterId {
        CounterId(self.params.add(format!("{}{name}", self.prefix), Slot::Counter(Cell::new(0))))
    }
}
