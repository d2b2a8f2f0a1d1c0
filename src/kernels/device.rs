//! What the kernels say to a device and hear from it, whether or not there is one.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::time::Duration;

use super::opencl::Memory;

/// A device that the machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its place in the list: `opencl:INDEX` names it.
    pub index: usize,
    /// What it calls itself.
    pub name: String,
    /// Who made it.
    pub vendor: String,
    /// The version of its driver.
    pub driver: String,
    /// Its memory, in bytes.
    pub memory: u64,
    /// The largest piece of memory that it gives at once, in bytes: the largest tensor.
    pub largest_piece: u64,
    /// The number of its cores, or of what takes their place.
    pub units: u32,
    /// The most work-items of a work-group.
    pub group_size: usize,
    /// Whether it computes in double precision; if not, it holds no `f64`.
    pub has_f64: bool,
    /// Whether it is a processor.
    pub is_cpu: bool,
}

/// What a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Kernels that it was given.
    pub kernels: u64,
    /// Computations that the processor did in its place, because their kernels have no form for devices.
    pub fallbacks: u64,
    /// Bytes copied to the device.
    pub up: u64,
    /// Bytes copied from the device.
    pub down: u64,
    /// How often the host waited for it.
    pub waits: u64,
}

impl std::ops::Sub for Counts {
    type Output = Counts;

    /// What was counted since `earlier`.
    fn sub(self, earlier: Counts) -> Counts {
        Counts {
            kernels: self.kernels - earlier.kernels,
            fallbacks: self.fallbacks - earlier.fallbacks,
            up: self.up - earlier.up,
            down: self.down - earlier.down,
            waits: self.waits - earlier.waits,
        }
    }
}

/// How long the runs of a kernel took together, by the clock of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelTime {
    /// The kernel.
    pub kernel: String,
    /// Its time on the device.
    pub time: Duration,
    /// How often it ran.
    pub runs: u64,
}

/// A device that cannot be had, or that failed: which, in what, and why.
///
/// Operations cannot fail by their types. Where a device runs out of memory or is lost in the middle of one, they panic
/// with a value of this type, which [`catch`](DeviceError::catch) gives to who wants to go on; who does not is told the
/// reason on the standard error, since the panic's own message cannot show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError {
    device: String,
    reason: String,
}

impl DeviceError {
    pub(crate) fn new(device: impl Into<String>, reason: impl fmt::Display) -> DeviceError {
        DeviceError { device: device.into(), reason: reason.to_string() }
    }

    /// What `work` gives, or the error of a device that fails in the middle of it, of which nothing is printed if it
    /// fails on this thread. Other panics go on.
    ///
    /// What `work` changes must not be used after an error, but for tensors: those are as they were.
    ///
    /// # Errors
    /// If a device fails.
    ///
    /// ```
    /// use wengert::{Device, DeviceError, Tensor};
    /// let x = Tensor::<f32>::ones([3]).to(&Device::host())?;
    /// let y = DeviceError::catch(|| x.map(|x| x + 1.0))?;
    /// assert_eq!(y.to_vec(), [2.0; 3]);
    /// # Ok::<(), DeviceError>(())
    /// ```
    pub fn catch<R>(work: impl FnOnce() -> R) -> Result<R, DeviceError> {
        let around = CAUGHT.replace(true);
        let result = catch_unwind(AssertUnwindSafe(work));
        CAUGHT.set(around);
        result.map_err(|panic| match panic.downcast::<DeviceError>() {
            Ok(error) => *error,
            Err(other) => resume_unwind(other),
        })
    }

    /// Panics with this error, as operations do; [`catch`](DeviceError::catch) gives it.
    ///
    /// # Panics
    /// Always.
    #[cold]
    #[track_caller]
    pub fn raise(self) -> ! {
        if CAUGHT.get() {
            // Past the panic hook, which has nothing to say of it.
            resume_unwind(Box::new(self));
        }
        eprintln!("{self}");
        panic_any(self)
    }
}

thread_local! {
    /// Whether somebody catches errors of devices on this thread.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device, self.reason)
    }
}

impl std::error::Error for DeviceError {}

/// A kernel has no form for devices, or none for these sizes: the processor does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// A tensor's values on a device.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "opencl"), allow(dead_code, reason = "there is no device to read them"))]
pub struct Operand<'a> {
    /// The memory that they lie in.
    pub memory: &'a Memory,
    /// Where the first element lies.
    pub start: usize,
    /// From the first element to the last.
    pub len: usize,
}

/// What a kernel reads, or what it writes: updated tensors hold their values and have no gaps.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// The tensors.
    pub tensors: &'a [Operand<'a>],
    /// Lists of whole numbers.
    pub indices: &'a [Operand<'a>],
}

#[cfg(feature = "opencl")]
impl<'a> Operands<'a> {
    /// The tensors of a kernel that has `N`.
    ///
    /// # Panics
    /// If it was given another number.
    #[track_caller]
    pub fn tensors<const N: usize>(self) -> [Operand<'a>; N] {
        let found = self.tensors.len();
        let Ok(array) = self.tensors.try_into() else {
            panic!("this kernel has {N} operand(s), and was given {found}")
        };
        array
    }

    /// The lists of indices of a kernel that has `N`.
    ///
    /// # Panics
    /// If it was given another number.
    #[track_caller]
    pub fn indices<const N: usize>(self) -> [Operand<'a>; N] {
        let found = self.indices.len();
        let Ok(array) = self.indices.try_into() else { panic!("this kernel has {N} list(s), and was given {found}") };
        array
    }
}
