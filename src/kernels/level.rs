//! Which instructions the kernels may use: detected once at run time, forced by `WENGERT_CPU`, scoped by tests.

use std::cell::Cell;
use std::sync::OnceLock;
use std::thread::LocalKey;

use super::simd::{self, Simd, WithSimd};

/// A set of CPU instructions that a kernel is written for, from plain loops up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain loops for any machine: the oracle of the other levels.
    Scalar,
    /// The fast kernels for any machine, with the instructions that the library is compiled for and no others.
    ///
    /// It gives the same bits on every machine (with IEEE 754 arithmetic, as every processor of 64 bits has), at any
    /// number of threads, for these operations in `f32`: arithmetic, comparisons, absolute values, square roots,
    /// squares and what is made of them (leaky ReLU, clipping); `tanh`, `sigmoid`; sums, means, variances, maxima;
    /// matrix products; all convolutions; pooling and upsampling; batch norm, layer norm, spectral norm; softmax; and
    /// their gradients. None of their kernels calls a fused multiply-add, and the order of their sums depends on the
    /// sizes alone.
    /// `tests/engine/portable.rs` holds the bits.
    ///
    /// What calls the C library may differ in the last place from machine to machine: `exp`, `ln`, `ln_1p`, `sin`,
    /// `cos`, `powf`, and what is made of them (`softplus`, `log_softmax`, `logsumexp`, losses by these),
    /// Adam's bias correction, and a few draws of [`Rng::normal`](crate::Rng::normal). So may `powi`, whose precision
    /// Rust leaves open, except for the exponents −2 to 2, and everything in `f64`, whose products `matrixmultiply`
    /// computes with the instructions that it finds. The bits of a NaN are not the same everywhere either, nor are
    /// those of any result in another version of the library.
    Portable,
    /// AVX2 and FMA (x86-64 since 2013).
    Avx2,
    /// AVX-512 F, VL, BW and DQ (x86-64 servers since 2017, desktops since 2022).
    Avx512,
}

impl Level {
    /// Every level, the slowest first.
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Portable, Level::Avx2, Level::Avx512];

    /// The name that `WENGERT_CPU` takes.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }

    /// Whether this machine can run the level.
    pub fn is_available(self) -> bool {
        match self {
            Level::Scalar | Level::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Whether the kernels of this level may call `f32::mul_add`. Below AVX2 they may not, though some machines have
    /// the instruction (every aarch64): its one rounding would give other bits there than elsewhere.
    pub(crate) fn has_fma(self) -> bool {
        self >= Level::Avx2
    }

    /// The level that `WENGERT_CPU` names, or the best of this machine when the variable is not set.
    ///
    /// # Errors
    /// The variable names no level, or one that this machine lacks.
    pub fn detect() -> Result<Level, String> {
        let Some(wish) = std::env::var_os("WENGERT_CPU") else {
            let best = Level::ALL.into_iter().rev().find(|l| l.is_available());
            return Ok(best.unwrap_or(Level::Portable));
        };
        let level = Level::ALL.into_iter().find(|l| wish == l.name());
        let level =
            level.ok_or_else(|| format!("WENGERT_CPU is {wish:?}; expected scalar, portable, avx2 or avx512"))?;
        if level.is_available() {
            Ok(level)
        } else {
            Err(format!("WENGERT_CPU is {wish:?}, but this machine has no such instructions"))
        }
    }

    /// The level in force on this thread: that of the innermost [`Level::scope`], else the detected one.
    ///
    /// # Panics
    /// On first use if [`Level::detect`] fails; a program can call that first and report the error.
    pub fn current() -> Level {
        static DETECTED: OnceLock<Level> = OnceLock::new();
        SCOPED
            .get()
            .unwrap_or_else(|| *DETECTED.get_or_init(|| Level::detect().unwrap_or_else(|message| panic!("{message}"))))
    }

    /// Runs `f` with this level in force on this thread, so that one test process can try every level.
    ///
    /// A kernel reads the level once, where it is called, and takes it along to its worker threads.
    ///
    /// # Panics
    /// If this machine lacks the level.
    pub fn scope<R>(self, f: impl FnOnce() -> R) -> R {
        assert!(self.is_available(), "this machine cannot run the level {}", self.name());
        scoped(&SCOPED, self, f)
    }

    /// Runs a plain loop compiled for this level: the compiler vectorises what is inlined into `f`.
    ///
    /// Only loops over slices belong here. Sums keep their order, since the compiler never reorders floats. A closure
    /// within `f` has the instructions of the level only if it is inlined: mark it `#[inline(always)]`, or write a
    /// loop. Some iterators of the standard library are calls as well (`zip` of a `zip`, `fill`, `map` of an array):
    /// inner loops should count an index instead.
    ///
    /// # Panics
    /// If this machine cannot run the level.
    #[inline(always)]
    pub(crate) fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        /// A loop that leaves the vectors to the compiler.
        struct Loop<F>(F);
        impl<R, F: FnOnce() -> R> WithSimd for Loop<F> {
            type Output = R;

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> R {
                (self.0)()
            }
        }
        simd::run_inlined(self, Loop(f))
    }
}

/// Runs `f` with a setting of this thread set.
pub(super) fn scoped<V: Copy + 'static, R>(
    setting: &'static LocalKey<Cell<Option<V>>>,
    value: V,
    f: impl FnOnce() -> R,
) -> R {
    /// Puts the outer value back even if `f` panics.
    struct Restore<V: Copy + 'static>(&'static LocalKey<Cell<Option<V>>>, Option<V>);
    impl<V: Copy + 'static> Drop for Restore<V> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(setting, setting.replace(Some(value)));
    f()
}

thread_local! {
    static SCOPED: Cell<Option<Level>> = const { Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_and_end() {
        let outer = Level::current();
        Level::Scalar.scope(|| assert_eq!(Level::current(), Level::Scalar));
        assert_eq!(Level::current(), outer);
        let _ = std::panic::catch_unwind(|| Level::Scalar.scope(|| panic!("inside")));
        assert_eq!(Level::current(), outer);
    }

    /// On a machine that has all levels there is none to refuse.
    #[test]
    fn a_level_that_the_machine_lacks_is_refused() {
        for level in Level::ALL.into_iter().filter(|level| !level.is_available()) {
            assert!(std::panic::catch_unwind(|| level.scope(|| ())).is_err());
            assert!(std::panic::catch_unwind(|| level.vectorize(|| ())).is_err());
        }
    }
}
