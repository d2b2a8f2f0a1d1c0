//! Whether convolutions in f32 may trade some exactness for speed: detected once at run time, set by
//! `WENGERT_PRECISION`, scoped by tests and measurements.

use std::cell::Cell;
use std::ffi::OsStr;
use std::sync::OnceLock;

use super::level::scoped;

/// How exactly convolutions in f32 are computed. Those in f64, which check gradients, are always exact.
///
/// Either way the same input gives the same bits at any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// By Winograd's algorithm where it pays: 0.25 to 0.4 of the multiplications, several times the rounding error.
    Fast,
    /// By direct summation only.
    Exact,
}

impl Precision {
    /// Both, the default first.
    pub const ALL: [Precision; 2] = [Precision::Fast, Precision::Exact];

    /// The name that `WENGERT_PRECISION` takes.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Fast => "fast",
            Precision::Exact => "exact",
        }
    }

    /// What `WENGERT_PRECISION` names, or `Fast` when the variable is not set.
    ///
    /// # Errors
    /// The variable names neither.
    pub fn detect() -> Result<Precision, String> {
        Precision::of(std::env::var_os("WENGERT_PRECISION").as_deref())
    }

    fn of(wish: Option<&OsStr>) -> Result<Precision, String> {
        let Some(wish) = wish else { return Ok(Precision::Fast) };
        let named = Precision::ALL.into_iter().find(|precision| wish == precision.name());
        named.ok_or_else(|| format!("WENGERT_PRECISION is {wish:?}; expected fast or exact"))
    }

    /// The precision in force on this thread: that of the innermost [`Precision::scope`], else the detected one.
    ///
    /// # Panics
    /// On first use if [`Precision::detect`] fails; a program can call that first and report the error.
    pub fn current() -> Precision {
        static DETECTED: OnceLock<Precision> = OnceLock::new();
        let detect = || Precision::detect().unwrap_or_else(|message| panic!("{message}"));
        SCOPED.get().unwrap_or_else(|| *DETECTED.get_or_init(detect))
    }

    /// Runs `f` with this precision in force on this thread, so that one process can try both.
    ///
    /// A kernel reads the precision once, where it is called.
    pub fn scope<R>(self, f: impl FnOnce() -> R) -> R {
        scoped(&SCOPED, self, f)
    }
}

thread_local! {
    static SCOPED: Cell<Option<Precision>> = const { Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_and_end() {
        let outer = Precision::current();
        Precision::Exact.scope(|| {
            Precision::Fast.scope(|| assert_eq!(Precision::current(), Precision::Fast));
            assert_eq!(Precision::current(), Precision::Exact);
        });
        assert_eq!(Precision::current(), outer);
        let _ = std::panic::catch_unwind(|| Precision::Exact.scope(|| panic!("inside")));
        assert_eq!(Precision::current(), outer);
    }

    #[test]
    fn the_variable_is_checked() {
        assert_eq!(Precision::of(None), Ok(Precision::Fast));
        for precision in Precision::ALL {
            assert_eq!(Precision::of(Some(OsStr::new(precision.name()))), Ok(precision));
        }
        for wrong in ["", "FAST", "exactly"] {
            let message = format!("WENGERT_PRECISION is {wrong:?}; expected fast or exact");
            assert_eq!(Precision::of(Some(OsStr::new(wrong))), Err(message));
        }
    }
}
