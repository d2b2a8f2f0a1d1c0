//! Tables in plain text.

/// A table: columns padded to the widest cell, numbers to the right, two blanks between.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str()).chain([header[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        format!("{}\n", padded.join("  "))
    };
    let head = line(&mut header.iter().copied());
    head + &rows.iter().map(|row| line(&mut row.iter().map(String::as_str))).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["1".into(), "−2.50".into()], vec!["10".into(), "3".into()]];
        assert_eq!(table(&["θ", "W"], &rows), " θ      W\n 1  −2.50\n10      3\n");
    }
}
