//! What the system says of this process and machine: page faults, memory, processor time. Linux only; 0 elsewhere.
//! And numbers and names in the words that people read.

use std::fs::read_to_string;

/// Counters of this process since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Pages that were touched for the first time and needed no disk.
    pub minor_faults: u64,
    /// Seconds of processor time in the program, over all threads.
    pub user_seconds: f64,
    /// Seconds of processor time in the system on behalf of the program.
    pub system_seconds: f64,
}

/// Clock ticks per second in `/proc/self/stat`: fixed at 100 for user space on Linux.
const TICKS: f64 = 100.0;

impl Usage {
    /// The counters now (proc(5), `/proc/self/stat`: fields 10, 14 and 15).
    pub fn now() -> Usage {
        let stat = read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the program's name in parentheses, which may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        Usage {
            minor_faults: field(10),
            user_seconds: field(14) as f64 / TICKS,
            system_seconds: field(15) as f64 / TICKS,
        }
    }
}

/// The most memory that this process has held at once, in bytes.
pub fn peak_memory() -> u64 {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// The memory that this process holds now, in bytes.
pub fn resident_memory() -> u64 {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// The memory that this machine could still give, in bytes; `None` if it does not say.
pub fn available_memory() -> Option<u64> {
    Some(kilobytes("/proc/meminfo", "MemAvailable:")).filter(|&bytes| bytes > 0)
}

fn kilobytes(file: &str, key: &str) -> u64 {
    let text = read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// From how many bytes on a block of memory goes back to the system when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const RETURNED: libc::c_int = 4 << 20;

/// Has large blocks of memory go back to the system when they are freed. glibc keeps all blocks up to the largest that
/// was ever freed, in each thread: the buffers of a picture then stay, or not, as threads happen to meet. A run at 64
/// pixels took 121 to 138 MB, and takes 119 or 120 with this. (Tensors have a pool of their own.)
pub fn return_large_blocks() {
    // SAFETY: called with a parameter that glibc has, and a number in its range.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED);
    }
}

/// A number of bytes for people: "640 KB", "35 MB", "1.2 GB".
pub fn human_bytes(bytes: u64) -> String {
    match bytes as f64 {
        b if b >= 1e9 => format!("{:.1} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.0} KB", b / 1e3),
    }
}

/// A number of things for people: "1 image", "2 images".
pub fn count(n: u64, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// A number of seconds for people: "45 s", "3 min 20 s", "2 h 5 min", "99 days".
pub fn human_seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// The word that names a value on the command line.
pub fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_units_that_people_use() {
        let times = [44.6, 60.0, 200.0, 7500.0, 172_799.0, 172_800.0, 8.624e6].map(human_seconds);
        assert_eq!(times, ["45 s", "1 min 0 s", "3 min 20 s", "2 h 5 min", "47 h 59 min", "2 days", "100 days"]);
    }
}
