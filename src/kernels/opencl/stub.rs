//! What stands in for the OpenCL path in a build without it: the same interface, and no device.

use super::device::{Counts, DeviceError, DeviceInfo, KernelTime};
use super::element::Plain;

/// A device, of which there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue(Never);

/// Memory of a device, of which there is none.
#[derive(Clone, Debug)]
pub struct Memory(Never);

/// No value at all: the compiler leaves out what would use one.
#[derive(Clone, Debug, PartialEq)]
enum Never {}

fn absent() -> DeviceError {
    DeviceError::new(
        "OpenCL",
        "this program was built without the feature `opencl`; `--features opencl` builds it with",
    )
}

pub fn devices() -> Result<Vec<DeviceInfo>, DeviceError> {
    Err(absent())
}

impl Memory {
    pub fn queue(&self) -> &Queue {
        match self.0 {}
    }
}

impl Queue {
    pub fn open(_index: usize) -> Result<Queue, DeviceError> {
        Err(absent())
    }

    pub fn info(&self) -> &DeviceInfo {
        match self.0 {}
    }

    pub fn counts(&self) -> Counts {
        match self.0 {}
    }

    pub fn count_fallback(&self) {
        match self.0 {}
    }

    pub fn measure(&self) {
        match self.0 {}
    }

    pub fn wait(&self) -> Result<(), DeviceError> {
        match self.0 {}
    }

    pub fn times(&self) -> Result<Vec<KernelTime>, DeviceError> {
        match self.0 {}
    }

    pub fn allocate<T: Plain>(&self, _len: usize, _what: &dyn Fn() -> String) -> Result<Memory, DeviceError> {
        match self.0 {}
    }

    pub fn upload<T: Plain>(&self, _values: &[T]) -> Result<Memory, DeviceError> {
        match self.0 {}
    }

    pub fn download<T: Plain>(&self, _memory: &Memory, _start: usize, _values: &mut [T]) -> Result<(), DeviceError> {
        match self.0 {}
    }
}
