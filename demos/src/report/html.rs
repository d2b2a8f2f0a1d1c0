//! Pieces of HTML. Whatever comes from files goes through [`escape`].

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Text as HTML shows it: the characters with a meaning become entities, those of attributes too.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// A PNG file within the page, with what it shows in words. `class` says whether it is a `plot` or made of `pixels`.
pub fn image(png: &[u8], class: &str, alt: &str) -> String {
    let data = BASE64_STANDARD.encode(png);
    format!("<img class=\"{class}\" alt=\"{}\" src=\"data:image/png;base64,{data}\">", escape(alt))
}

/// The same with a line below.
pub fn figure(png: &[u8], class: &str, caption: &str) -> String {
    format!("<figure>{}<figcaption>{}</figcaption></figure>", image(png, class, caption), escape(caption))
}

/// A part of the page, or nothing if it would be empty.
pub fn section(title: &str, content: &str) -> String {
    match content {
        "" => String::new(),
        content => format!("<section><h2>{}</h2>{content}</section>\n", escape(title)),
    }
}

/// A number for people: four digits that count, whole numbers whole.
pub fn number(x: f64) -> String {
    match x.abs() {
        _ if x.fract() == 0.0 && x.abs() < 1e15 => format!("{x:.0}"),
        1e-3..1e5 => format!("{x:.*}", (3 - x.abs().log10().floor() as i32).clamp(0, 6) as usize),
        _ => format!("{x:.3e}"),
    }
}

/// A table: cells as HTML. Those of all columns but the first `words` are numbers, on the right.
pub fn table(head: &[&str], words: usize, rows: &[Vec<String>]) -> String {
    let class = |column: usize| if column < words { "" } else { " class=\"number\"" };
    let cells = |row: &[String]| -> String {
        row.iter()
            .enumerate()
            .map(|(i, cell)| match i {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td{}>{cell}</td>", class(i)),
            })
            .collect()
    };
    let head: String = head.iter().enumerate().map(|(i, cell)| format!("<th{}>{cell}</th>", class(i))).collect();
    // A row with a name only begins a part of the table.
    let begins = |row: &[String]| row[1..].iter().all(String::is_empty);
    let row =
        |row: &Vec<String>| format!("<tr{}>{}</tr>", if begins(row) { " class=\"part\"" } else { "" }, cells(row));
    let rows: String = rows.iter().map(row).collect();
    format!("<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_file_becomes_markup() {
        assert_eq!(escape("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        assert!(!figure(b"", "plot", "\"><b>").contains("<b>"));
        assert!(!section("<b>", "x").contains("<b>"));
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 2500.0, -3.0, 0.123456, 12.3456, 1234.56, 0.000123456, 1e20, f64::NAN];
        let written = numbers.map(number);
        assert_eq!(written, ["0", "2500", "-3", "0.1235", "12.35", "1235", "1.235e-4", "1.000e20", "NaN"]);
    }
}
