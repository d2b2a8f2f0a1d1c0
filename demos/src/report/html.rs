//! Pieces of HTML. Whatever comes from files goes through [`escape`].

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use base64::prelude::BASE64_STANDARD;
use base64::write::EncoderWriter;

use crate::files;

/// Stands on both sides of a file's name where the page will have its bytes. No text has it after [`escape`].
const MARK: char = '\u{1}';

/// The most bytes of a picture in the page.
const MOST_BYTES: u64 = 1 << 27;

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
            MARK => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The PNG file of this name within the page, with what it shows in words. `class` says whether it is a `plot` or made
/// of `pixels`.
pub fn image(name: &str, class: &str, alt: &str) -> String {
    let [name, alt] = [name, alt].map(escape);
    format!("<img class=\"{class}\" alt=\"{alt}\" src=\"data:image/png;base64,{MARK}{name}{MARK}\">")
}

/// The same with a line below.
pub fn figure(name: &str, class: &str, caption: &str) -> String {
    format!("<figure>{}<figcaption>{}</figcaption></figure>", image(name, class, caption), escape(caption))
}

/// Writes a page with the bytes of its pictures, which are files in `dir`. Only now, and one after another: a page made
/// of texts that hold the pictures has each of them in memory six times.
///
/// # Errors
/// A picture cannot be read, or is too large; or writing fails.
pub fn write(page: &str, dir: &Path, to: &mut impl Write) -> Result<()> {
    for (i, part) in page.split(MARK).enumerate() {
        if i % 2 == 0 {
            to.write_all(part.as_bytes())?;
        } else if let Some(png) = files::read(&dir.join(part), MOST_BYTES)? {
            let mut encoder = EncoderWriter::new(&mut *to, &BASE64_STANDARD);
            encoder.write_all(&png)?;
            encoder.finish()?;
        }
    }
    Ok(())
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
        assert!(!figure("a.png", "plot", "\"><b>").contains("<b>"));
        assert!(!section("<b>", "x").contains("<b>"));
    }

    #[test]
    fn pictures_are_written_where_their_names_stand() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.png"), "two words").unwrap();
        let page =
            format!("{}<p>{}</p>{}", image("a.png", "plot", "A"), escape("\u{1}b.png\u{1}"), image("b.png", "p", ""));
        let mut written = Vec::new();
        write(&page, dir.path(), &mut written).unwrap();
        let expected = "<img class=\"plot\" alt=\"A\" src=\"data:image/png;base64,dHdvIHdvcmRz\">\
                        <p>\u{fffd}b.png\u{fffd}</p>\
                        <img class=\"p\" alt=\"\" src=\"data:image/png;base64,\">";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 2500.0, -3.0, 0.123456, 12.3456, 1234.56, 0.000123456, 1e20, f64::NAN];
        let written = numbers.map(number);
        assert_eq!(written, ["0", "2500", "-3", "0.1235", "12.35", "1235", "1.235e-4", "1.000e20", "NaN"]);
    }
}
