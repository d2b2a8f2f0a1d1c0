//! Ctrl-C, and other signals that ask the program to end.
//!
//! Usually such a signal ends the program at once, with the exit code that a shell gives for it: 128 and its number.
//! While a [`Deferral`] lives, the first one is only noted, so that what has been computed can be saved; the second
//! ends the program.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

/// The error of work that a signal has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The number of the signal.
    pub signal: i32,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by signal {}", self.signal)
    }
}

impl std::error::Error for Interrupted {}

impl Interrupted {
    /// The exit code that shells report of a program that this signal has ended.
    pub fn exit_code(self) -> u8 {
        u8::try_from(128 + self.signal).unwrap_or(u8::MAX)
    }
}

struct Signals {
    /// Whether the next signal ends the program on the spot.
    ends: Arc<AtomicBool>,
    /// Which have come.
    come: Vec<(i32, Arc<AtomicBool>)>,
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// Begins to listen. Before, signals do what the system does with them.
///
/// # Errors
/// The system refuses.
pub fn listen() -> Result<()> {
    let ends = Arc::new(AtomicBool::new(true));
    let mut come = Vec::new();
    // Under `nohup`, a closed terminal is to stop nothing.
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(SIGHUP)) {
        let flag = Arc::new(AtomicBool::new(false));
        // In this order: the first signal of a deferral ends nothing, and prepares the second.
        register_conditional_shutdown(signal, 128 + signal, ends.clone())
            .and_then(|_| register(signal, ends.clone()))
            .and_then(|_| register(signal, flag.clone()))
            .with_context(|| format!("cannot listen for signal {signal}"))?;
        come.push((signal, flag));
    }
    SIGNALS.get_or_init(|| Signals { ends, come });
    Ok(())
}

/// Whether whoever started this program has told it to ignore a signal; `false` where the system does not say.
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// The signal that has asked for an end, if one has.
pub fn requested() -> Option<Interrupted> {
    let come = SIGNALS.get()?.come.iter().find(|(_, flag)| flag.load(Ordering::Relaxed));
    come.map(|&(signal, _)| Interrupted { signal })
}

/// Asks for an end, as the first Ctrl-C does. Nothing happens where nobody listens.
pub fn request() {
    if let Some(signals) = SIGNALS.get() {
        // As for a signal that has come: the next one ends the program.
        signals.ends.store(true, Ordering::Relaxed);
        let interrupt = signals.come.iter().find(|(signal, _)| *signal == SIGINT);
        interrupt.into_iter().for_each(|(_, flag)| flag.store(true, Ordering::Relaxed));
    }
}

/// An error if a signal has asked for an end.
///
/// # Errors
/// [`Interrupted`].
pub fn check() -> Result<(), Interrupted> {
    requested().map_or(Ok(()), Err)
}

/// How often it is looked whether a signal has come.
const TICK: Duration = Duration::from_millis(100);

/// What is said once a signal has come.
type Acknowledge = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// While it lives, the first signal is only noted.
pub struct Deferral {
    over: Arc<AtomicBool>,
    acknowledge: Arc<Acknowledge>,
}

impl Deferral {
    /// Begins now. `acknowledge` is called, on another thread, within a fraction of a second after the first signal.
    pub fn begin(acknowledge: impl FnOnce() + Send + 'static) -> Deferral {
        let acknowledge: Arc<Acknowledge> = Arc::new(Mutex::new(Some(Box::new(acknowledge))));
        let over = Arc::new(AtomicBool::new(false));
        if let Some(signals) = SIGNALS.get() {
            signals.ends.store(false, Ordering::Relaxed);
            let (over, acknowledge) = (over.clone(), acknowledge.clone());
            std::thread::spawn(move || {
                while requested().is_none() && !over.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                }
                say_once(&acknowledge);
            });
        }
        Deferral { over, acknowledge }
    }
}

/// Acknowledges the signal, if one has come and nobody has yet.
fn say_once(acknowledge: &Acknowledge) {
    let say = acknowledge.lock().ok().filter(|_| requested().is_some()).and_then(|mut say| say.take());
    if let Some(say) = say {
        say();
    }
}

impl Drop for Deferral {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // What was at hand may have ended before the other thread looked.
        say_once(&self.acknowledge);
        if let Some(signals) = SIGNALS.get() {
            signals.ends.store(true, Ordering::Relaxed);
        }
    }
}
