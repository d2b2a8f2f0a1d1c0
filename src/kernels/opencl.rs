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
//! without anybody waiting. The host waits where it reads values, where [`memory`] has too many bytes on their way to
//! the device, and where memory has run out.

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
pub use self::launch::{Launch, Source};
pub use self::memory::Memory;
use super::device::{Counts, DeviceError, DeviceInfo, KernelTime};

/// An open device.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    commands: Commands,
    info: DeviceInfo,
    taken_for: TakenFor,
    /// The most work-groups along the second and the third axis.
    most_groups: usize,
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

/// What `WENGERT_OPENCL_AS` has devices taken for, by words with commas between them: for tests, of what the device at
/// hand would not do.
#[derive(Clone, Copy, Debug, Default)]
struct TakenFor {
    /// The kernels for processors, or those for GPUs, whatever the device is.
    is_cpu: Option<bool>,
    /// No double precision.
    f32: bool,
    /// Memory to the byte, and none used twice, so that what reads or writes beyond an operand is outside of it.
    exact: bool,
    /// Few work-groups along the second and the third axis, so that the sizes of tests have too many.
    few: bool,
}

impl TakenFor {
    fn read() -> Result<TakenFor, DeviceError> {
        let (mut taken, words) = (TakenFor::default(), std::env::var("WENGERT_OPENCL_AS").unwrap_or_default());
        let refused = |reason: &str| Err(DeviceError::new("OpenCL", format!("WENGERT_OPENCL_AS={words}: {reason}")));
        for word in words.split(',').filter(|word| !word.is_empty()) {
            match word {
                "cpu" | "gpu" if taken.is_cpu == Some(word != "cpu") => return refused("a device is cpu or gpu"),
                "cpu" | "gpu" => taken.is_cpu = Some(word == "cpu"),
                "f32" => taken.f32 = true,
                "exact" => taken.exact = true,
                "few" => taken.few = true,
                _ => return refused("expected words of cpu, gpu, f32, exact and few"),
            }
        }
        Ok(taken)
    }
}

/// The most work-groups of a GPU along the second and the third axis: CUDA's grids, on which NVIDIA's OpenCL stands,
/// have no more.
const MOST_GROUPS: usize = 65535;

/// What this machine's OpenCL offers, in the order of the indices. A device that does not say what it is, is not there,
/// unless all are so.
pub fn devices() -> Result<Vec<DeviceInfo>, DeviceError> {
    let ids = driver::devices().map_err(|failure| DeviceError::new("OpenCL", failure))?;
    let (mut devices, mut failed, taken_for) = (Vec::new(), None, TakenFor::read()?);
    for (index, id) in ids.into_iter().enumerate() {
        match about(index, id, taken_for) {
            Ok(info) => devices.push(info),
            Err(error) => failed = Some(error),
        }
    }
    failed.filter(|_| devices.is_empty()).map_or(Ok(devices), Err)
}

fn about(index: usize, id: Id, taken_for: TakenFor) -> Result<DeviceInfo, DeviceError> {
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
            has_f64: id.has_f64()? && !taken_for.f32,
            is_cpu: taken_for.is_cpu.map_or_else(|| id.is_cpu(), Ok)?,
        })
    };
    read().map_err(|failure| DeviceError::new(format!("opencl:{index}"), failure))
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
        let taken_for = TakenFor::read()?;
        let shared = Shared {
            commands: Commands::open(id).map_err(failed)?,
            info: about(index, id, taken_for)?,
            taken_for,
            most_groups: match id.is_cpu().map_err(failed)? {
                _ if taken_for.few => 100,
                true => usize::MAX,
                false => MOST_GROUPS,
            },
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

    /// The most work-groups along the second and the third axis.
    pub(super) fn most_groups(&self) -> usize {
        self.0.most_groups
    }

    /// Waits, and gives the times that were measured, longest first; then nothing is measured any more.
    pub fn times(&self) -> Result<Vec<KernelTime>, DeviceError> {
        let failed = |failure: Failure| self.error("the times of kernels", failure);
        // Under one lock: kernels that another thread starts after the wait have no times yet.
        let events = {
            let mut state = self.state();
            self.finish(&mut state).map_err(failed)?;
            state.events.take().unwrap_or_default()
        };
        let mut sums: HashMap<String, (Duration, u64)> = HashMap::new();
        for (name, event) in events {
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
