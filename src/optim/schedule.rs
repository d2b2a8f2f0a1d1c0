//! Schedules of the learning rate.

use super::check;

/// The learning rate as a function of the step t = 0, 1, 2, …, for [`Optimizer::set_lr`](super::Optimizer::set_lr).
/// A schedule knows no optimiser and keeps no state: a resumed run needs the number of its step and nothing else.
///
/// ```
/// use wengert::optim::{Adam, Optimizer, Schedule};
/// let schedule = Schedule::cosine(1e-3, 0.0, 100).warmup(10);
/// let mut adam = Adam::<f32>::new(1e-3);
/// for step in 0..110 {
///     adam.set_lr(schedule.lr(step));
///     // … gradients, and the optimiser's step
/// }
/// assert_eq!([0, 9, 10, 60].map(|step| schedule.lr(step)), [1e-4, 1e-3, 1e-3, 5e-4]);
/// assert!(schedule.lr(109) < 1e-6 && schedule.lr(110) == 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    warmup: u64,
    curve: Curve,
    from: f64,
    to: f64,
    steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Curve {
    Linear,
    Cosine,
}

impl Schedule {
    /// lr(t) = lr.
    ///
    /// # Panics
    /// If the rate is negative or not finite.
    #[track_caller]
    pub fn constant(lr: f64) -> Schedule {
        Schedule::new(Curve::Linear, lr, lr, 1)
    }

    /// A straight line: lr(t) = (1 − s)·from + s·to, s = min(t/steps, 1), PyTorch's `LinearLR`.
    ///
    /// # Panics
    /// If a rate is negative or not finite, or there are no steps.
    #[track_caller]
    pub fn linear(from: f64, to: f64, steps: u64) -> Schedule {
        Schedule::new(Curve::Linear, from, to, steps)
    }

    /// Half a wave: lr(t) = (1 − s)·from + s·to, s = (1 − cos(π·min(t/steps, 1)))/2 (Loshchilov and Hutter 2017,
    /// arXiv:1608.03983, equation 5, without restarts), PyTorch's `CosineAnnealingLR`; but it stays at `to`.
    ///
    /// # Panics
    /// If a rate is negative or not finite, or there are no steps.
    #[track_caller]
    pub fn cosine(from: f64, to: f64, steps: u64) -> Schedule {
        Schedule::new(Curve::Cosine, from, to, steps)
    }

    /// The same after a straight rise to its beginning in these many steps: lr(t) = (t + 1)/steps · from for
    /// t < steps, and what was lr(t − steps) from there on. 0 is none; it takes the place of an earlier warm-up.
    pub fn warmup(self, steps: u64) -> Schedule {
        Schedule { warmup: steps, ..self }
    }

    /// The learning rate of step t, the first being 0.
    pub fn lr(&self, t: u64) -> f64 {
        let &Schedule { warmup, curve, from, to, steps } = self;
        if t < warmup {
            return (t + 1) as f64 / warmup as f64 * from;
        }
        let done = (t - warmup).min(steps) as f64 / steps as f64;
        let part = match curve {
            Curve::Linear => done,
            Curve::Cosine => (1.0 - (std::f64::consts::PI * done).cos()) / 2.0,
        };
        // Not from + s·(to − from), which does not end at `to`.
        (1.0 - part) * from + part * to
    }

    #[track_caller]
    fn new(curve: Curve, from: f64, to: f64, steps: u64) -> Schedule {
        check("Schedule", "the first lr", from, 0.0..);
        check("Schedule", "the last lr", to, 0.0..);
        assert!(steps > 0, "Schedule: expected at least 1 step, found 0");
        Schedule { warmup: 0, curve, from, to, steps }
    }
}
