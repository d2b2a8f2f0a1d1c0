//! What optimisers remember of each parameter.

use crate::nn::{ParamGrads, Params, like};
use crate::{Archive, Element, StateError, Tensor};

/// `N` running averages and a step count for each parameter that has been trained.
#[derive(Clone)]
pub(super) struct Moments<T: Element, const N: usize> {
    /// PyTorch's names of the averages.
    names: [&'static str; N],
    /// The network that the slots are of, once there are any.
    structure: Option<u64>,
    /// By index among the entries of the store; `None` until the first step.
    slots: Vec<Option<Slot<T, N>>>,
}

#[derive(Clone)]
struct Slot<T: Element, const N: usize> {
    step: u64,
    averages: [Tensor<T>; N],
}

impl<T: Element, const N: usize> Moments<T, N> {
    pub(super) fn new(names: [&'static str; N]) -> Self {
        Moments { names, structure: None, slots: Vec::new() }
    }

    /// Calls `update(t, parameter, averages, gradient)` for every parameter that has a gradient, t = 1, 2, … being the
    /// number of its steps, this one included. All slices are in the memory order of the parameter.
    ///
    /// # Panics
    /// If the gradients, or earlier steps, are of another network: averages of one must not move the other.
    #[track_caller]
    pub(super) fn step(
        &mut self,
        params: &mut Params<T>,
        gradients: &ParamGrads<T>,
        mut update: impl FnMut(u64, &mut [T], [&mut [T]; N], &[T]),
    ) {
        gradients.check(params);
        let own = *self.structure.get_or_insert(params.structure()) == params.structure();
        assert!(own, "optimiser: its earlier steps were of another network; make an optimiser for each");
        self.slots.resize(params.len(), None);
        for (index, _, parameter) in params.parameters_mut() {
            let Some(gradient) = gradients.by_index(index) else { continue };
            let values = parameter.make_mut().len();
            let gradient = like(gradient, parameter);
            let slot = self.slots[index].get_or_insert_with(|| Slot {
                step: 0,
                averages: std::array::from_fn(|_| Tensor::zeros(parameter.shape())),
            });
            slot.step += 1;
            for average in &mut slot.averages {
                *average = like(average, parameter);
            }
            let averages = slot.averages.each_mut().map(Tensor::make_mut);
            update(slot.step, parameter.make_mut(), averages, &gradient.data()[..values]);
        }
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
        let kinds = || self.names.into_iter().chain(["step"]);
        let present = |name: &str| kinds().any(|kind| archive.contains(&key(name, kind)));
        let trained = params.parameters().filter(|(_, name, _)| present(name));
        let expected: Vec<String> = trained.flat_map(|(_, name, _)| kinds().map(move |kind| key(name, kind))).collect();
        archive.check_names(prefix, &expected)?;
        let mut slots = vec![None; params.len()];
        for (id, name, value) in params.parameters().filter(|(_, name, _)| present(name)) {
            let mut averages = std::array::from_fn(|_| value.clone());
            for (average, kind) in averages.iter_mut().zip(self.names) {
                *average = archive.tensor(&key(name, kind), value.shape())?;
            }
            slots[id.index()] = Some(Slot { step: archive.count(&key(name, "step"))?, averages });
        }
        (self.structure, self.slots) = (Some(params.structure()), slots);
        Ok(())
    }
}
