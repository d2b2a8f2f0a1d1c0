//! What optimisers remember of each parameter.

use std::fmt;

use crate::archive::Expected;
use crate::compute::update_alike;
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, Function, StateError, Tensor};

/// Running averages and a step count for each parameter that has been trained.
#[derive(Clone)]
pub(super) struct Moments<T: Element> {
    /// PyTorch's names of the averages.
    names: &'static [&'static str],
    /// The network that the slots are of, once there are any.
    structure: Option<u64>,
    /// By index among the entries of the store; `None` until the first step.
    slots: Vec<Option<Slot<T>>>,
}

#[derive(Clone)]
struct Slot<T: Element> {
    step: u64,
    /// One to each name.
    averages: Vec<Tensor<T>>,
}

impl<T: Element> Moments<T> {
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        Moments { names, structure: None, slots: Vec::new() }
    }

    /// Applies a function of (parameter, averages…, gradient) with the results (parameter, averages…) to every
    /// parameter that has a gradient: `function(t)`, t = 1, 2, … being the number of the parameter's steps, this one
    /// included.
    ///
    /// # Panics
    /// If the gradients, or earlier steps, are of another network: averages of one must not move the other.
    #[track_caller]
    pub(super) fn step<F: Function<IN, OUT>, const IN: usize, const OUT: usize>(
        &mut self,
        params: &mut Params<T>,
        gradients: &ParamGrads<T>,
        function: impl Fn(u64) -> F,
    ) {
        gradients.check(params);
        let own = *self.structure.get_or_insert(params.structure()) == params.structure();
        assert!(own, "optimiser: its earlier steps were of another network; make an optimiser for each");
        self.slots.resize(params.len(), None);
        for (index, _, parameter) in params.parameters_mut() {
            let Some(gradient) = gradients.by_index(index) else { continue };
            let slot = self.slots[index].get_or_insert_with(|| Slot {
                step: 0,
                averages: self.names.iter().map(|_| Tensor::zeros(parameter.shape())).collect(),
            });
            slot.step += 1;
            let mut updated = [parameter].into_iter().chain(&mut slot.averages);
            let updated: [&mut Tensor<T>; OUT] =
                std::array::from_fn(|_| updated.next().expect("a result for each average"));
            update_alike(function(slot.step), updated, &[gradient]);
        }
    }

    pub(super) fn to(&mut self, device: &Device) -> Result<(), DeviceError> {
        for average in self.slots.iter_mut().flatten().flat_map(|slot| &mut slot.averages) {
            *average = average.to(device)?;
        }
        Ok(())
    }

    pub(super) fn store(&self, params: &Params<T>, archive: &mut Archive, prefix: &str) {
        for (id, name, _) in params.parameters() {
            let Some(Some(slot)) = self.slots.get(id.index()) else { continue };
            archive.set_count(format!("{prefix}{name}.step"), slot.step);
            for (average, value) in self.names.iter().zip(&slot.averages) {
                archive.set_tensor(format!("{prefix}{name}.{average}"), value);
            }
        }
    }

    pub(super) fn restore(&mut self, params: &Params<T>, archive: &Archive, prefix: &str) -> Result<(), StateError> {
        let key = |name: &str, what: &str| format!("{prefix}{name}.{what}");
        let present = |name: &str| self.names.iter().chain(&["step"]).any(|kind| archive.contains(&key(name, kind)));
        let mut expected = Vec::new();
        for (_, name, value) in params.parameters().filter(|(_, name, _)| present(name)) {
            expected.extend(self.names.iter().map(|kind| Expected::tensor::<T>(key(name, kind), value.shape())));
            expected.push(Expected::count(key(name, "step")));
        }
        archive.check(prefix, &expected)?;
        let mut slots = vec![None; params.len()];
        for (id, name, value) in params.parameters().filter(|(_, name, _)| present(name)) {
            let read = |kind: &&str| Ok(archive.tensor(&key(name, kind), value.shape())?.to(&value.device())?);
            let averages = self.names.iter().map(read).collect::<Result<_, StateError>>()?;
            slots[id.index()] = Some(Slot { step: archive.count(&key(name, "step"))?, averages });
        }
        (self.structure, self.slots) = (Some(params.structure()), slots);
        Ok(())
    }
}

impl<T: Element> fmt::Debug for Moments<T> {
    /// The names of the averages, and how many parameters have been trained.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trained = self.slots.iter().flatten().count();
        write!(f, "[{}] of {trained} parameters", self.names.join(", "))
    }
}
