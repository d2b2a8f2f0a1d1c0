//! The OpenCL path: a [`Queue`] runs kernels on a device, [`Memory`] holds values there.
//!
//! - [`driver`]: OpenCL's own calls, made safe.
//! - this file: a device with its one in-order queue, what it counts and measures.
//! - [`memory`]: pieces of its memory, pooled.
//! - [`by_element`], [`mod@reduce`]: kernels around printed formulas.
//! - [`gemm`]: what products of matrices and convolutions share.
//! - [`sums`]: work-groups that share sums.
//! - [`loops`]: nested loops over memory, as kernels get them.
//! - [`launch`]: programs, compiled once, and their kernels with arguments.
//!
//! Commands run in the order in which they were started, so that memory which one has finished with may serve the next
//! without anybody waiting. The host waits only where it reads values.

pub mod by_element;
mod driver;
pub mod gemm;
mod launch;
pub mod loops;
mod memory;
pub mod reduce;
pub mod sums;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::driver::{Commands, Event, Failure, Id};
pub use self::launch::{Launch, MOST_GROUPS, Source};
pub use self::memory::Memory;
use super::device::{Counts, DeviceError, DeviceInfo, KernelTime};

/// An open device.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    commands: Commands,
    info: DeviceInfo,
    /// Whether it rounds divisions and roots correctly when asked to.
    rounds_division: bool,
    state: Mutex<State>,
    kernels: AtomicU64,
    fallbacks: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    waits: AtomicU64,
}

/// What only one thread may use at a time.
#[derive(Default)]
struct State {
    programs: launch::Programs,
    free: memory::Free,
    /// Bytes that are on their way to the device.
    uploads: Vec<Box<[u8]>>,
    upload_bytes: usize,
    /// Commands since the device was told to begin.
    unflushed: usize,
    /// The kernels that ran, where times are measured.
    events: Option<Vec<(String, Event)>>,
}

/// What this machine's OpenCL offers, in the order of the indices.
pub fn devices() -> Result<Vec<DeviceInfo>, DeviceError> {
    let ids = driver::devices().map_err(|failure| DeviceError::new("OpenCL", failure))?;
    ids.into_iter().enumerate().map(|(index, id)| about(index, id)).collect()
}

fn about(index: usize, id: Id) -> Result<DeviceInfo, DeviceError> {
    let name = format!("opencl:{index}");
    // For tests: the kernels meant for a GPU, or for a device without double precision, on one that is neither.
    let taken_for = std::env::var("WENGERT_OPENCL_AS").unwrap_or_default();
    let is_taken_for = |kind: &str| taken_for.split(',').any(|word| word == kind);
    if let Some(unknown) = taken_for.split(',').find(|word| !["", "cpu", "gpu", "f32"].contains(word)) {
        return Err(DeviceError::new(name, format!("WENGERT_OPENCL_AS has {unknown:?}; expected cpu, gpu or f32")));
    }
    let read = || -> Result<DeviceInfo, Failure> {
        Ok(DeviceInfo {
            index,
            name: id.name()?,
            vendor: id.vendor()?,
            driver: id.driver()?,
            memory: id.memory()?,
            largest_piece: id.largest_piece()?,
            units: id.units()?,
            group_size: id.group_size()?,
            has_f64: id.has_f64()? && !is_taken_for("f32"),
            is_cpu: id.is_cpu()? && !is_taken_for("gpu"),
        })
    };
    read().map_err(|failure| DeviceError::new(name, failure))
}

/// The devices that are open: whoever opens one again gets the same, so that all values of a device live together.
static OPEN: Mutex<Option<HashMap<usize, Queue>>> = Mutex::new(None);

impl Queue {
    /// Opens the device of this index.
    pub fn open(index: usize) -> Result<Queue, DeviceError> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        if let Some(queue) = open.get(&index) {
            return Ok(queue.clone());
        }
        let name = format!("opencl:{index}");
        let failed = |failure: Failure| DeviceError::new(&name, failure);
        let ids = driver::devices().map_err(failed)?;
        let Some(&id) = ids.get(index) else {
            let there = match ids.len() {
                0 => "there is no device".to_string(),
                n => format!("there are devices 0 to {}", n - 1),
            };
            return Err(DeviceError::new(&name, format!("no such device; {there}")));
        };
        let shared = Shared {
            commands: Commands::open(id).map_err(failed)?,
            info: about(index, id)?,
            rounds_division: id.rounds_division().map_err(failed)?,
            state: Mutex::default(),
            kernels: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        };
        let queue = Queue(Arc::new(shared));
        open.insert(index, queue.clone());
        Ok(queue)
    }

    /// What the device is.
    pub fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let Shared { kernels, fallbacks, up, down, waits, .. } = &*self.0;
        let [kernels, fallbacks, up, down, waits] =
            [kernels, fallbacks, up, down, waits].map(|count| count.load(Relaxed));
        Counts { kernels, fallbacks, up, down, waits }
    }

    /// Counts a computation that the processor did because its kernel has no form for devices.
    pub fn count_fallback(&self) {
        self.0.fallbacks.fetch_add(1, Relaxed);
    }

    /// Begins to measure the time of each kernel.
    pub fn measure(&self) {
        self.state().events = Some(Vec::new());
    }

    /// Waits for all that was started.
    pub fn wait(&self) -> Result<(), DeviceError> {
        self.finish(&mut self.state()).map_err(|failure| self.error("the wait for its work", failure))
    }

    /// Waits, and gives the times that were measured, longest first; then nothing is measured any more.
    pub fn times(&self) -> Result<Vec<KernelTime>, DeviceError> {
        let failed = |failure: Failure| self.error("the times of kernels", failure);
        self.wait()?;
        let mut sums: HashMap<String, (Duration, u64)> = HashMap::new();
        for (name, event) in self.state().events.take().unwrap_or_default() {
            let sum = sums.entry(name).or_default();
            *sum = (sum.0 + event.time().map_err(failed)?, sum.1 + 1);
        }
        let mut times: Vec<_> =
            sums.into_iter().map(|(kernel, (time, runs))| KernelTime { kernel, time, runs }).collect();
        times.sort_by_key(|time| std::cmp::Reverse(time.time));
        Ok(times)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves caches that are whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went wrong in `what`.
    fn error(&self, what: &str, reason: impl fmt::Display) -> DeviceError {
        let device = format!("opencl:{} ({})", self.info().index, self.info().name);
        DeviceError::new(device, format!("{what}: {reason}"))
    }
}

impl PartialEq for Queue {
    /// Whether it is the same device.
    fn eq(&self, other: &Queue) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opencl:{}", self.info().index)
    }
}
