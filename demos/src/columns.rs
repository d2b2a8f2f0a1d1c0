//! Numbers by step in a file of comma-separated values: a header `step,NAME,…`, then a line for every step.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::files::{read_text, shown, write_whole};

/// The most bytes of such a file: some ten million steps.
const MOST_BYTES: u64 = 1 << 30;

/// Named columns of numbers, with a row for every step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// What the columns are called.
    pub names: Vec<String>,
    /// The step, and a number for each name.
    pub rows: Vec<(u64, Vec<f64>)>,
}

impl Columns {
    /// Writes them whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = self.header() + "\n";
        for (step, numbers) in &self.rows {
            text += &step.to_string();
            numbers.iter().for_each(|number| text += &format!(",{number}"));
            text.push('\n');
        }
        write_whole(path, text.as_bytes())
    }

    fn header(&self) -> String {
        ["step"].into_iter().chain(self.names.iter().map(String::as_str)).collect::<Vec<_>>().join(",")
    }

    /// Reads what [`write`](Columns::write) wrote; `None` if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn read(path: &Path) -> Result<Option<Columns>> {
        let Some(text) = read_text(path, MOST_BYTES)? else { return Ok(None) };
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let names = header.strip_prefix("step,").map(|names| names.split(',').map(String::from).collect());
        let expected = "expected \"step\" and the names of columns";
        let names =
            names.with_context(|| format!("{}, line 1: found {}, {expected}", path.display(), shown(header)))?;
        let mut columns = Columns { names, rows: Vec::new() };
        for (line, number) in lines.zip(2..) {
            let row = columns.parse(line).with_context(|| {
                let (found, expected, header) = (shown(line), columns.names.len() + 1, shown(header));
                format!("{}, line {number}: found {found}, expected {expected} numbers: {header}", path.display())
            })?;
            columns.rows.push(row);
        }
        Ok(Some(columns))
    }

    fn parse(&self, line: &str) -> Option<(u64, Vec<f64>)> {
        let (step, numbers) = line.split_once(',')?;
        let numbers: Vec<f64> = numbers.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        Some((step.parse().ok()?, numbers)).filter(|(_, numbers)| numbers.len() == self.names.len())
    }

    /// Leaves the rows up to the step `last`, which must be those of the steps 1 to `last`: what a run wrote after its
    /// last checkpoint will be computed again.
    ///
    /// # Errors
    /// Steps are missing; `path` is for the message.
    pub fn up_to(mut self, last: u64, path: &Path) -> Result<Columns> {
        self.rows.retain(|(step, _)| *step <= last);
        let (found, complete) = (self.rows.len(), self.rows.iter().map(|(step, _)| *step).eq(1..=last));
        let path = path.display();
        ensure!(complete, "{path}: found {found} steps up to that of the checkpoint, expected steps 1 to {last}");
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let rows = (1..=5).map(|step| (step, vec![step as f64 / 3.0, f64::INFINITY, -1e-9])).collect();
        Columns { names: ["a", "b", "c"].map(String::from).to_vec(), rows }
    }

    #[test]
    fn columns_come_back_bit_for_bit_and_up_to_a_step() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.csv");
        assert_eq!(Columns::read(&path).unwrap(), None);
        columns().write(&path).unwrap();
        let read = Columns::read(&path).unwrap().unwrap();
        assert_eq!(read, columns());
        assert_eq!(read.clone().up_to(3, &path).unwrap().rows, columns().rows[..3]);
        let message = read.up_to(6, &path).unwrap_err().to_string();
        assert!(message.contains("c.csv: found 5 steps") && message.contains("expected steps 1 to 6"), "{message}");
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.csv");
        let long = format!("step,a\n1,{}\x1b[2J\n", "9".repeat(300_000) + "x");
        let header = format!("step,\x1b[2J{}\n1,x\n", "a".repeat(300_000));
        for (text, part) in [
            ("", "line 1: found \"\""),
            ("1,2\n", "line 1: found \"1,2\""),
            ("step,a\n1,2\n2,x\n", "line 3: found \"2,x\", expected 2 numbers: \"step,a\""),
            ("step,a\n1,2,3\n", "line 2: found \"1,2,3\""),
            ("step,a\n1\n", "line 2: found \"1\""),
            ("step,a\n1\x1b,2\n", "line 2: found \"1\\u{1b},2\""),
            (&long, "line 2: found \"1,99"),
            (&header, "line 2: found \"1,x\", expected 2 numbers: \"step,\\u{1b}[2Jaa"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = format!("{:#}", Columns::read(&path).unwrap_err());
            assert!(message.contains("c.csv") && message.contains(part) && message.len() < 300, "{message}");
        }
    }
}
