//! Programs of OpenCL C, compiled once for each device, and their kernels with arguments.

use std::any::TypeId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::driver::{self, Program};
use super::{Queue, State};
use crate::kernels::Element;
use crate::kernels::device::{Operand, Unsupported};
use crate::shape::MAX_RANK;

/// A family of kernels in OpenCL C: the text of a `.cl` file.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What messages call it.
    pub name: &'static str,
    /// The kernels, over the types and macros of `prelude.cl`.
    pub text: &'static str,
}

/// What every program begins with.
const PRELUDE: &str = include_str!("prelude.cl");

/// The numbers that a program is compiled with at most: sizes of tiles, variants of a kernel.
const MOST_DEFINES: usize = 8;

/// Commands that are started before the device is told to begin with them, if nobody waits first.
const FLUSH: usize = 16;

/// How far beyond the last element the loops of kernels count at most, in 32 bits: by the chains of a group.
const BEYOND: usize = 1 << 14;

/// What a program is known by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    family: &'static str,
    element: TypeId,
    /// The values of the defines.
    defines: [i32; MOST_DEFINES],
    /// The formula of a printed program, and its text where the type does not tell it.
    formula: Option<(TypeId, String)>,
}

/// The programs of a device.
#[derive(Default)]
pub(super) struct Programs(HashMap<Key, Compiled>);

struct Compiled {
    program: Program,
    kernels: HashMap<&'static str, driver::Kernel>,
}

enum Argument<'a> {
    Operand(Operand<'a>),
    Int(i32),
    Ints([i32; MAX_RANK]),
    Real(f64),
}

/// A kernel, its arguments, and over how many work-items it runs.
///
/// Arguments come in the order of the kernel's parameters: an operand for each `IN`, `OUT` or `INDICES`, see
/// `prelude.cl`.
pub struct Launch<'a, T> {
    queue: &'a Queue,
    source: Source,
    kernel: &'static str,
    /// The names of the numbers that the family is compiled with, and the numbers.
    defines: (&'static [&'static str], [i32; MOST_DEFINES]),
    formula: Option<(TypeId, String)>,
    /// What messages call the formula.
    label: &'static str,
    /// Writes what stands before the family's text: printed formulas.
    printed: Option<&'a dyn Fn() -> String>,
    arguments: Vec<Argument<'a>>,
    /// Whether a number does not fit 32 bits, which is what kernels count in.
    too_large: bool,
    element: std::marker::PhantomData<T>,
}

impl<'a, T: Element> Launch<'a, T> {
    /// A kernel of a family.
    pub fn new(queue: &'a Queue, source: Source, kernel: &'static str) -> Self {
        Launch {
            queue,
            source,
            kernel,
            defines: (&[], [0; MOST_DEFINES]),
            formula: None,
            label: "",
            printed: None,
            arguments: Vec::with_capacity(12),
            too_large: false,
            element: std::marker::PhantomData,
        }
    }

    /// Compiles the family with these numbers, by name; the names of a family are always the same.
    pub fn define<const N: usize>(mut self, names: &'static [&'static str; N], values: [usize; N]) -> Self {
        const { assert!(N <= MOST_DEFINES) };
        self.defines.0 = names;
        for (i, value) in values.into_iter().enumerate() {
            self.defines.1[i] = self.fits(value);
        }
        self
    }

    /// Compiles the family behind a printed text, which is known by a type and by what else it depends on.
    pub fn printed(mut self, label: &'static str, formula: (TypeId, String), print: &'a dyn Fn() -> String) -> Self {
        (self.label, self.formula, self.printed) = (label, Some(formula), Some(print));
        self
    }

    fn fits(&mut self, number: usize) -> i32 {
        i32::try_from(number).unwrap_or_else(|_| {
            self.too_large = true;
            0
        })
    }

    /// An operand.
    pub fn operand(mut self, operand: Operand<'a>) -> Self {
        self.fits(operand.start + operand.len + BEYOND);
        self.arguments.push(Argument::Operand(operand));
        self
    }

    /// Several operands.
    pub fn operands<'o>(self, operands: impl IntoIterator<Item = &'o Operand<'a>>) -> Self
    where
        'a: 'o,
    {
        operands.into_iter().fold(self, |launch, &operand| launch.operand(operand))
    }

    /// A whole number, `int` in the kernel.
    pub fn int(mut self, number: usize) -> Self {
        let number = self.fits(number);
        self.arguments.push(Argument::Int(number));
        self
    }

    /// Whole numbers, one `int` each.
    pub fn each(self, numbers: impl IntoIterator<Item = usize>) -> Self {
        numbers.into_iter().fold(self, Launch::int)
    }

    /// At most [`MAX_RANK`] whole numbers, `ints` in the kernel.
    ///
    /// # Panics
    /// If there are more.
    pub fn ints(mut self, numbers: &[usize]) -> Self {
        assert!(numbers.len() <= MAX_RANK, "{}: {numbers:?} are more than `ints` has", self.kernel);
        let mut list = [0; MAX_RANK];
        for (place, &number) in list.iter_mut().zip(numbers) {
            *place = self.fits(number);
        }
        self.arguments.push(Argument::Ints(list));
        self
    }

    /// A number, `real` in the kernel.
    pub fn real(mut self, number: f64) -> Self {
        self.arguments.push(Argument::Real(number));
        self
    }

    /// Starts the kernel over at least `sizes` work-items along each axis; those beyond must do nothing. Work-groups
    /// lie along the first axis.
    ///
    /// # Errors
    /// If a number does not fit 32 bits.
    ///
    /// # Panics
    /// With a [`DeviceError`](crate::DeviceError) if the program does not compile or the device fails.
    pub fn over(self, sizes: [usize; 3]) -> Result<(), Unsupported> {
        // Work-items that a processor runs as the lanes of vectors, or a GPU as some warps.
        let most = if self.queue.info().is_cpu { 64 } else { 256 };
        // Idle work-items of a single group cost less than another variant of the kernel, which PoCL compiles for every
        // size of group; those of many groups do not.
        let most = if sizes[1..] == [1, 1] { most } else { most.min(sizes[0].next_power_of_two()) };
        self.start(sizes, |group| [most.min(group), 1, 1])
    }

    /// As [`over`](Launch::over), with `size` work-items for each of some rows, of which there may be more than a
    /// device has work-groups along an axis: a work-item has row `OWN_ROW`, or none where that is beyond the last.
    ///
    /// # Errors
    /// As [`over`](Launch::over).
    ///
    /// # Panics
    /// As [`over`](Launch::over).
    pub fn over_rows(self, size: usize, rows: usize) -> Result<(), Unsupported> {
        let most = self.queue.most_groups().min(rows);
        self.over([size, most, rows.div_ceil(most.max(1))])
    }

    /// Starts the kernel over `groups` work-groups of `local` work-items along each axis.
    ///
    /// # Errors
    /// If a number does not fit 32 bits, or the device's work-groups are smaller.
    ///
    /// # Panics
    /// As [`over`](Launch::over).
    pub fn groups(self, groups: [usize; 3], local: [usize; 3]) -> Result<(), Unsupported> {
        let sizes = std::array::from_fn(|axis| groups[axis] * local[axis]);
        self.start(sizes, |_| local)
    }

    fn start(mut self, sizes: [usize; 3], local: impl Fn(usize) -> [usize; 3]) -> Result<(), Unsupported> {
        for size in sizes {
            self.fits(size);
        }
        if self.too_large || (T::NAME == "f64" && !self.queue.info().has_f64) {
            return Err(Unsupported);
        }
        if sizes.contains(&0) {
            return Ok(());
        }
        let queue = self.queue;
        let mut state = queue.state();
        let State { programs, free, events, unflushed, .. } = &mut *state;
        let kernel = self.compiled(programs);
        let local = local(kernel.group());
        if local.iter().product::<usize>() > kernel.group() {
            return Err(Unsupported);
        }
        let failed = |failure: driver::Failure| -> ! { queue.error(&self.name_and(sizes), failure).raise() };
        self.set(kernel).unwrap_or_else(|failure| failed(failure));
        let global: [usize; 3] = std::array::from_fn(|axis| sizes[axis].next_multiple_of(local[axis]));
        let too_many = |axis: usize| global[axis] / local[axis] > queue.most_groups();
        if global.iter().any(|&size| i32::try_from(size).is_err()) || too_many(1) || too_many(2) {
            return Err(Unsupported);
        }
        // SAFETY: the kernels of this crate stay within their operands, whose lengths `Kernel::opencl` is given, and
        // formulas are printed by this crate; every operand is of this queue, which `set` asserts.
        let event = queue.with_room(free, || unsafe { queue.0.commands.start(kernel, global, local) });
        let event = event.unwrap_or_else(|failure| failed(failure));
        queue.0.kernels.fetch_add(1, Relaxed);
        if let Some(events) = events {
            events.push((self.name(), event));
        }
        *unflushed += 1;
        if *unflushed >= FLUSH {
            *unflushed = 0;
            queue.0.commands.flush().unwrap_or_else(|failure| failed(failure));
        }
        Ok(())
    }

    /// The kernel, compiled if it was not yet.
    fn compiled<'p>(&self, programs: &'p mut Programs) -> &'p mut driver::Kernel {
        let key = Key {
            family: self.source.name,
            element: TypeId::of::<T>(),
            defines: self.defines.1,
            formula: self.formula.clone(),
        };
        let Compiled { program, kernels } = match programs.0.entry(key) {
            Entry::Occupied(compiled) => compiled.into_mut(),
            Entry::Vacant(place) => place.insert(Compiled { program: self.compile(), kernels: HashMap::new() }),
        };
        kernels.entry(self.kernel).or_insert_with(|| {
            let kernel = self.queue.0.commands.kernel(program, self.kernel);
            kernel.unwrap_or_else(|failure| self.queue.error(&self.name(), failure).raise())
        })
    }

    fn compile(&self) -> Program {
        let info = self.queue.info();
        let (real, wide) = match (T::NAME, info.has_f64) {
            ("f64", _) => ("double", "double"),
            (_, true) => ("float", "double"),
            (_, false) => ("float", "float"),
        };
        // Without warnings, which PoCL's compiler would print on the user's screen.
        let mut options = format!("-w -cl-std=CL1.2 -D REAL={real} -D WIDE={wide} -D IS_CPU={}", info.is_cpu as u8);
        let _ = write!(options, " -D MAX_RANK={MAX_RANK}");
        if real == "float" {
            options += " -cl-single-precision-constant";
            if self.queue.0.rounds_division {
                options += " -cl-fp32-correctly-rounded-divide-sqrt";
            }
        }
        if info.has_f64 {
            options += " -D HAS_F64";
        }
        for (name, value) in self.defines.0.iter().zip(self.defines.1) {
            let _ = write!(options, " -D {name}={value}");
        }
        let printed = self.printed.map_or_else(String::new, |print| print());
        let source = format!("{PRELUDE}\n{printed}\n{}", self.source.text);
        self.queue.0.commands.build(&source, &options).unwrap_or_else(|(failure, log)| {
            let reason = format!("the program does not compile ({options}): {failure}\n{log}");
            self.queue.error(self.source.name, reason).raise()
        })
    }

    fn set(&self, kernel: &mut driver::Kernel) -> Result<(), driver::Failure> {
        let mut index = 0;
        let mut next = || {
            index += 1;
            index - 1
        };
        for argument in &self.arguments {
            match *argument {
                Argument::Operand(Operand { memory, start, .. }) => {
                    assert!(memory.queue() == self.queue, "{}: an operand of another device", self.name());
                    match memory.piece() {
                        Some(piece) => kernel.set_piece(next(), piece)?,
                        // Nothing to read or write, and a null pointer for it.
                        None => kernel.set_bytes(next(), &[0; size_of::<usize>()])?,
                    }
                    kernel.set_bytes(next(), &(start as i32).to_ne_bytes())?;
                }
                Argument::Int(number) => kernel.set_bytes(next(), &number.to_ne_bytes())?,
                Argument::Ints(list) => kernel.set_bytes(next(), list.map(i32::to_ne_bytes).as_flattened())?,
                Argument::Real(number) if T::NAME == "f64" => kernel.set_bytes(next(), &number.to_ne_bytes())?,
                Argument::Real(number) => kernel.set_bytes(next(), &(number as f32).to_ne_bytes())?,
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        let space = if self.label.is_empty() { "" } else { " " };
        format!("{}.{}{space}{}", self.source.name, self.kernel, self.label)
    }

    /// The name, the lengths of the operands and the numbers of work-items, for messages.
    fn name_and(&self, sizes: [usize; 3]) -> String {
        let lengths = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Operand(operand) => Some(operand.len),
            _ => None,
        });
        let lengths: Vec<_> = lengths.collect();
        format!("{} of operands of {lengths:?} values over {sizes:?} work-items", self.name())
    }
}
