//! The calls of OpenCL, made safe but for two: [`Commands::write`], whose bytes must stay, as `memory.rs` sees to, and
//! [`Commands::start`], whose kernel must stay within its operands, for which `launch.rs` answers.
//!
//! Objects of OpenCL are released when dropped. Nothing here knows a tensor or a kernel of ours.

use std::ffi::{CString, c_void};
use std::fmt;
use std::ptr::{null, null_mut};
use std::time::Duration;

use cl3::command_queue::{self, CL_QUEUE_PROFILING_ENABLE};
use cl3::device::{self as cl_device, CL_DEVICE_TYPE_ALL, CL_DEVICE_TYPE_CPU};
use cl3::error_codes::{
    CL_DEVICE_NOT_FOUND, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES, DLOPEN_FUNCTION_NOT_AVAILABLE,
    DLOPEN_RUNTIME_LOAD_FAILED, error_text,
};
use cl3::memory::CL_MEM_READ_WRITE;
use cl3::types::{
    CL_BLOCKING, CL_NON_BLOCKING, cl_command_queue, cl_context, cl_device_id, cl_event, cl_int, cl_kernel,
};
use cl3::types::{cl_mem, cl_program};
use cl3::{context, event, kernel, memory, platform, program};

use crate::kernels::element::Plain;

/// What a call answered: the call and its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    call: &'static str,
    code: cl_int,
}

impl Failure {
    /// Whether memory is short: drivers give it when it is first used, and any command may say so.
    pub fn is_for_memory(&self) -> bool {
        [CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES].contains(&self.code)
    }
}

/// The loader found no driver at all: an extension's code, which the list of codes lacks.
const NO_PLATFORM: cl_int = -1001;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            DLOPEN_RUNTIME_LOAD_FAILED => write!(f, "this machine has no OpenCL: there is no library libOpenCL.so.1"),
            DLOPEN_FUNCTION_NOT_AVAILABLE => write!(f, "{}: the OpenCL library lacks this function", self.call),
            NO_PLATFORM => write!(f, "this machine's OpenCL has no driver for any device"),
            code => write!(f, "{}: {} ({code})", self.call, error_text(code)),
        }
    }
}

/// Names the call that failed.
fn of<R>(call: &'static str, result: Result<R, cl_int>) -> Result<R, Failure> {
    result.map_err(|code| Failure { call, code })
}

/// A device that the machine has.
#[derive(Clone, Copy, Debug)]
pub struct Id(cl_device_id);

// SAFETY: the handle of a root device, which lives as long as the process and may be used from any thread.
unsafe impl Send for Id {}
// SAFETY: as above.
unsafe impl Sync for Id {}

/// The devices of all platforms, in the order in which the loader gives them. A platform that fails has none, unless no
/// other has one either: a driver that is half installed must not hide those that work.
pub fn devices() -> Result<Vec<Id>, Failure> {
    let (mut devices, mut failed) = (Vec::new(), None);
    for platform in of("clGetPlatformIDs", platform::get_platform_ids())? {
        match cl_device::get_device_ids(platform, CL_DEVICE_TYPE_ALL) {
            Err(CL_DEVICE_NOT_FOUND) => {}
            Err(code) => failed = Some(Failure { call: "clGetDeviceIDs", code }),
            Ok(found) => devices.extend(found.into_iter().map(Id)),
        }
    }
    failed.filter(|_| devices.is_empty()).map_or(Ok(devices), Err)
}

impl Id {
    fn info(self, what: cl_device::cl_device_info) -> Result<cl3::info_type::InfoType, Failure> {
        of("clGetDeviceInfo", cl_device::get_device_info(self.0, what))
    }

    fn text(self, what: cl_device::cl_device_info) -> Result<String, Failure> {
        Ok(self.info(what)?.to_string().trim_end_matches('\0').trim().to_string())
    }

    /// What it calls itself.
    pub fn name(self) -> Result<String, Failure> {
        self.text(cl_device::CL_DEVICE_NAME)
    }

    /// Who made it.
    pub fn vendor(self) -> Result<String, Failure> {
        self.text(cl_device::CL_DEVICE_VENDOR)
    }

    /// The version of its driver.
    pub fn driver(self) -> Result<String, Failure> {
        self.text(cl_device::CL_DRIVER_VERSION)
    }

    /// Whether it is a processor.
    pub fn is_cpu(self) -> Result<bool, Failure> {
        Ok(self.info(cl_device::CL_DEVICE_TYPE)?.to_ulong() & CL_DEVICE_TYPE_CPU != 0)
    }

    /// Whether it computes in double precision.
    pub fn has_f64(self) -> Result<bool, Failure> {
        Ok(self.text(cl_device::CL_DEVICE_EXTENSIONS)?.split(' ').any(|name| name == "cl_khr_fp64"))
    }

    /// Whether division and square roots in f32 can be asked to be rounded correctly.
    pub fn rounds_division(self) -> Result<bool, Failure> {
        let config = self.info(cl_device::CL_DEVICE_SINGLE_FP_CONFIG)?.to_ulong();
        Ok(config & cl_device::CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT != 0)
    }

    /// Its memory, in bytes.
    pub fn memory(self) -> Result<u64, Failure> {
        Ok(self.info(cl_device::CL_DEVICE_GLOBAL_MEM_SIZE)?.to_ulong())
    }

    /// The largest piece of memory that it gives at once, in bytes.
    pub fn largest_piece(self) -> Result<u64, Failure> {
        Ok(self.info(cl_device::CL_DEVICE_MAX_MEM_ALLOC_SIZE)?.to_ulong())
    }

    /// The number of its cores, or what takes their place.
    pub fn units(self) -> Result<u32, Failure> {
        Ok(self.info(cl_device::CL_DEVICE_MAX_COMPUTE_UNITS)?.to_uint())
    }

    /// The most work-items of a work-group.
    pub fn group_size(self) -> Result<usize, Failure> {
        Ok(self.info(cl_device::CL_DEVICE_MAX_WORK_GROUP_SIZE)?.to_size())
    }
}

/// A context with one in-order queue, which measures the times of its commands.
#[derive(Debug)]
pub struct Commands {
    device: Id,
    context: cl_context,
    queue: cl_command_queue,
}

// SAFETY: OpenCL's objects may be used from any thread, all calls but those on one kernel object are safe to make at
// once (OpenCL 1.2, section A.2); a `Kernel` is only used through `&mut`.
unsafe impl Send for Commands {}
// SAFETY: as above.
unsafe impl Sync for Commands {}

impl Commands {
    /// Opens a device.
    pub fn open(device: Id) -> Result<Commands, Failure> {
        let context = of("clCreateContext", context::create_context(&[device.0], null(), None, null_mut()))?;
        // SAFETY: the device is that of the context.
        let queue = unsafe { command_queue::create_command_queue(context, device.0, CL_QUEUE_PROFILING_ENABLE) };
        let queue = of("clCreateCommandQueue", queue).inspect_err(|_| {
            // SAFETY: made above and not used any more.
            let _ = unsafe { context::release_context(context) };
        })?;
        Ok(Commands { device, context, queue })
    }

    /// Memory of so many bytes, at least 1, which hold anything.
    pub fn allocate(&self, bytes: usize) -> Result<Piece, Failure> {
        // SAFETY: no flag asks for host memory, so that the pointer may be null.
        let piece = unsafe { memory::create_buffer(self.context, CL_MEM_READ_WRITE, bytes, null_mut()) };
        Ok(Piece { memory: of("clCreateBuffer", piece)?, bytes })
    }

    /// Starts to write `bytes` to the beginning of a piece.
    ///
    /// # Safety
    /// The bytes must neither change nor go before the queue has finished.
    pub unsafe fn write(&self, piece: &Piece, bytes: *const [u8]) -> Result<(), Failure> {
        assert!(bytes.len() <= piece.bytes, "{} bytes for a piece of {}", bytes.len(), piece.bytes);
        // SAFETY: inside the piece, by the assertion; the bytes stay, by the caller's promise.
        let event = unsafe {
            let (queue, memory) = (self.queue, piece.memory);
            command_queue::enqueue_write_buffer(queue, memory, CL_NON_BLOCKING, 0, bytes.len(), bytes.cast(), 0, null())
        };
        drop(Event(of("clEnqueueWriteBuffer", event)?));
        Ok(())
    }

    /// Waits for all that was started, and reads a piece from byte `start` on.
    pub fn read(&self, piece: &Piece, start: usize, bytes: &mut [u8]) -> Result<(), Failure> {
        let (end, all) = (start + bytes.len(), piece.bytes);
        assert!(end <= all, "bytes {start} to {end} of a piece of {all}");
        // SAFETY: inside the piece, by the assertion; the call returns when the bytes are there.
        let event = unsafe {
            let (queue, memory, to) = (self.queue, piece.memory, bytes.as_mut_ptr().cast());
            command_queue::enqueue_read_buffer(queue, memory, CL_BLOCKING, start, bytes.len(), to, 0, null())
        };
        drop(Event(of("clEnqueueReadBuffer", event)?));
        Ok(())
    }

    /// Starts to fill the first `bytes` of a piece with a byte.
    pub fn fill(&self, piece: &Piece, byte: u8, bytes: usize) -> Result<(), Failure> {
        assert!(bytes <= piece.bytes, "{bytes} bytes of a piece of {}", piece.bytes);
        let pattern: *const c_void = (&raw const byte).cast();
        // SAFETY: inside the piece, by the assertion; the pattern is read before the call returns.
        let event =
            unsafe { command_queue::enqueue_fill_buffer(self.queue, piece.memory, pattern, 1, 0, bytes, 0, null()) };
        drop(Event(of("clEnqueueFillBuffer", event)?));
        Ok(())
    }

    /// Has the device begin with what was started.
    pub fn flush(&self) -> Result<(), Failure> {
        of("clFlush", command_queue::flush(self.queue))
    }

    /// Waits for all that was started.
    pub fn finish(&self) -> Result<(), Failure> {
        of("clFinish", command_queue::finish(self.queue))
    }

    /// Compiles a program; or the failure, and what the compiler said.
    pub fn build(&self, source: &str, options: &str) -> Result<Program, (Failure, String)> {
        let plain = |failure| (failure, String::new());
        let options = CString::new(options).expect("options without a zero byte");
        let made = program::create_program_with_source(self.context, &[source]);
        let program = Program(of("clCreateProgramWithSource", made).map_err(plain)?);
        match program::build_program(program.0, &[self.device.0], &options, None, null_mut()) {
            Ok(()) => Ok(program),
            Err(code) => {
                let log = program::get_program_build_info(program.0, self.device.0, program::CL_PROGRAM_BUILD_LOG);
                let log = log.map_or_else(|_| "(no build log)".into(), |log| log.to_string());
                Err((Failure { call: "clBuildProgram", code }, log.trim_end_matches('\0').trim().to_string()))
            }
        }
    }

    /// A kernel of a program.
    pub fn kernel(&self, program: &Program, name: &str) -> Result<Kernel, Failure> {
        let name = CString::new(name).expect("a name without a zero byte");
        let mut kernel = Kernel { kernel: of("clCreateKernel", kernel::create_kernel(program.0, &name))?, group: 1 };
        let what = kernel::CL_KERNEL_WORK_GROUP_SIZE;
        let group =
            of("clGetKernelWorkGroupInfo", kernel::get_kernel_work_group_info(kernel.kernel, self.device.0, what))?;
        kernel.group = group.to_size().max(1);
        Ok(kernel)
    }

    /// Starts a kernel whose arguments have been set.
    ///
    /// # Safety
    /// The kernel must read and write within the pieces that it was given, for these arguments and this many
    /// work-items, and the pieces must be of this context.
    pub unsafe fn start(&self, kernel: &mut Kernel, global: [usize; 3], local: [usize; 3]) -> Result<Event, Failure> {
        let (queue, none) = (self.queue, null());
        // SAFETY: three dimensions are given, offsets are none; the rest is the caller's promise.
        let event = unsafe {
            let (global, local) = (global.as_ptr(), local.as_ptr());
            command_queue::enqueue_nd_range_kernel(queue, kernel.kernel, 3, none, global, local, 0, null())
        };
        Ok(Event(of("clEnqueueNDRangeKernel", event)?))
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let _ = self.finish();
        // SAFETY: ours, and nobody has them after this.
        unsafe {
            let _ = command_queue::release_command_queue(self.queue);
            let _ = context::release_context(self.context);
        }
    }
}

/// A piece of a device's memory.
#[derive(Debug)]
pub struct Piece {
    memory: cl_mem,
    bytes: usize,
}

// SAFETY: as for `Commands`.
unsafe impl Send for Piece {}
// SAFETY: as above.
unsafe impl Sync for Piece {}

impl Piece {
    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: ours; commands that use it keep it until they are done.
        let _ = unsafe { memory::release_mem_object(self.memory) };
    }
}

/// A compiled program.
#[derive(Debug)]
pub struct Program(cl_program);

// SAFETY: as for `Commands`.
unsafe impl Send for Program {}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: ours; its kernels keep it for as long as they live.
        let _ = unsafe { program::release_program(self.0) };
    }
}

/// A kernel of a program, and the arguments that were set last.
#[derive(Debug)]
pub struct Kernel {
    kernel: cl_kernel,
    group: usize,
}

// SAFETY: as for `Commands`; all that changes it takes `&mut`.
unsafe impl Send for Kernel {}

impl Kernel {
    /// The most work-items that a work-group of it may have.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Sets an argument to these bytes.
    pub fn set_bytes(&mut self, index: u32, bytes: &[u8]) -> Result<(), Failure> {
        // SAFETY: the pointer is to as many bytes, which are copied; OpenCL compares their number with the argument's.
        let set = unsafe { kernel::set_kernel_arg(self.kernel, index, bytes.len(), bytes.as_ptr().cast()) };
        of("clSetKernelArg", set)
    }

    /// Sets an argument to a piece of memory.
    pub fn set_piece(&mut self, index: u32, piece: &Piece) -> Result<(), Failure> {
        let memory: *const c_void = (&raw const piece.memory).cast();
        // SAFETY: the pointer is to a memory object, as the size says.
        let set = unsafe { kernel::set_kernel_arg(self.kernel, index, size_of::<cl_mem>(), memory) };
        of("clSetKernelArg", set)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: ours; commands that use it keep it until they are done.
        let _ = unsafe { kernel::release_kernel(self.kernel) };
    }
}

/// A command that was started.
#[derive(Debug)]
pub struct Event(cl_event);

// SAFETY: as for `Commands`.
unsafe impl Send for Event {}

impl Event {
    /// How long the command ran, once the queue has finished it.
    pub fn time(&self) -> Result<Duration, Failure> {
        let at = |what| of("clGetEventProfilingInfo", event::get_event_profiling_info(self.0, what));
        let (start, end) = (at(event::CL_PROFILING_COMMAND_START)?, at(event::CL_PROFILING_COMMAND_END)?);
        Ok(Duration::from_nanos(end.to_ulong().saturating_sub(start.to_ulong())))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours; the command itself keeps what it needs.
        let _ = unsafe { event::release_event(self.0) };
    }
}

/// The bytes of some numbers.
pub fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: the same memory; a plain type has no padding, and bytes have no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of some numbers, for writing.
pub fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are a valid value of a plain type; the exclusive borrow goes over to the result.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}
