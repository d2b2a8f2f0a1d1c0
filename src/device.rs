//! The places where values live and operations run: the host, or an OpenCL device.

use std::fmt;
use std::str::FromStr;

use crate::Element;
use crate::kernels::opencl::{self, Queue};

pub use crate::kernels::device::{Counts, DeviceError, DeviceInfo, KernelTime};

/// The host with its processor, or an OpenCL device, which needs the feature `opencl`.
///
/// An operation runs where its operands live: on the device of the first that lives on one, to which the others are
/// copied then. [`Tensor::to`](crate::Tensor::to) moves a tensor, [`Params::to`](crate::nn::Params::to) a network. The
/// host waits for a device where it reads values, in `data`, `view`, `item`, `to_vec` and their kin; besides only where
/// hundreds of megabytes are on their way to it, or its memory has run out.
///
/// ```
/// use wengert::{Device, Tensor};
///
/// let device = Device::opencl(0).unwrap_or(Device::host());
/// let x = Tensor::<f32>::ones([3]).to(&device)?;
/// let y = x.reshape([3, 1]).map(|x| x + 1.0); // lives where x does
/// assert_eq!(y.device(), device);
/// assert_eq!(y.to_vec(), [2.0; 3]); // waits
/// # Ok::<(), wengert::DeviceError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device(Option<Queue>);

impl Device {
    /// The host.
    pub fn host() -> Device {
        Device(None)
    }

    /// The OpenCL device of this index in [`list`](Device::list). Who opens it again gets the same.
    ///
    /// # Errors
    /// If there is none, the machine has no OpenCL, or the program was built without the feature `opencl`.
    pub fn opencl(index: usize) -> Result<Device, DeviceError> {
        Queue::open(index).map(|queue| Device(Some(queue)))
    }

    /// The OpenCL devices of this machine.
    ///
    /// # Errors
    /// If it has no OpenCL, or the program was built without the feature `opencl`.
    pub fn list() -> Result<Vec<DeviceInfo>, DeviceError> {
        opencl::devices()
    }

    pub(crate) fn of(queue: Option<&Queue>) -> Device {
        Device(queue.cloned())
    }

    pub(crate) fn queue(&self) -> Option<&Queue> {
        self.0.as_ref()
    }

    /// Whether this is the host.
    pub fn is_host(&self) -> bool {
        self.0.is_none()
    }

    /// What the device is; nothing for the host.
    pub fn info(&self) -> Option<&DeviceInfo> {
        self.queue().map(Queue::info)
    }

    /// What the device has done since it was opened; zeros for the host.
    pub fn counts(&self) -> Counts {
        self.queue().map(Queue::counts).unwrap_or_default()
    }

    /// Waits until the device has done all that it was given; at once for the host. For measurements: whoever reads a
    /// value waits anyway.
    ///
    /// # Errors
    /// If the device fails.
    pub fn wait(&self) -> Result<(), DeviceError> {
        self.queue().map_or(Ok(()), Queue::wait)
    }

    /// Begins to measure the time of each kernel on the device.
    pub fn measure(&self) {
        if let Some(queue) = self.queue() {
            queue.measure();
        }
    }

    /// Waits for the device and gives the times since [`measure`](Device::measure), the longest first; nothing is
    /// measured any more. None for the host.
    ///
    /// # Errors
    /// If the device fails.
    pub fn times(&self) -> Result<Vec<KernelTime>, DeviceError> {
        self.queue().map_or(Ok(Vec::new()), Queue::times)
    }

    /// Whether tensors of `T` can live there.
    ///
    /// # Errors
    /// If they cannot, with the reason.
    pub fn check<T: Element>(&self) -> Result<(), DeviceError> {
        match self.info() {
            Some(info) if T::NAME == "f64" && !info.has_f64 => {
                let reason = "it has no double precision (cl_khr_fp64), so that it holds f32 only";
                Err(DeviceError::new(format!("{self} ({})", info.name), reason))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Device {
    /// As it is parsed: `cpu`, `opencl:0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            None => f.write_str("cpu"),
            Some(info) => write!(f, "opencl:{}", info.index),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    /// `cpu`, `opencl` for the first device, or `opencl:INDEX`.
    fn from_str(text: &str) -> Result<Device, DeviceError> {
        let index = match text {
            "cpu" => return Ok(Device::host()),
            "opencl" => Some(0),
            _ => text.strip_prefix("opencl:").and_then(|index| index.parse().ok()),
        };
        match index {
            Some(index) => Device::opencl(index),
            None => Err(DeviceError::new(text, "no such kind of device; expected cpu, opencl or opencl:INDEX")),
        }
    }
}
