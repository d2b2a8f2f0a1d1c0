//! Pieces of HTML. Whatever comes from files goes through [`escape`].

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

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

/// The most rows of a table made of a file.
const MOST_ROWS: usize = 200;

/// The figures in a JSON object, whatever they are: a row for each, by its path. Members that are objects stand side by
/// side, a column for each.
pub fn figures(value: &Value) -> String {
    let Value::Object(members) = value else { return String::new() };
    let (objects, plain): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| value.is_object());
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (column, (_, object)) in objects.iter().enumerate() {
        let mut leaves = Vec::new();
        flatten("", object, &mut leaves);
        for (path, leaf) in leaves {
            let place = rows.iter().position(|(other, _)| *other == path).unwrap_or_else(|| {
                rows.push((path, vec![String::new(); objects.len()]));
                rows.len() - 1
            });
            rows[place].1[column] = leaf;
        }
    }
    let mut leaves = Vec::new();
    plain.iter().for_each(|(name, value)| flatten(name, value, &mut leaves));
    rows.extend(leaves.into_iter().map(|(path, leaf)| (path, vec![leaf])));
    rows.truncate(MOST_ROWS);
    let names: Vec<String> = objects.iter().map(|(name, _)| escape(name)).collect();
    let head: Vec<&str> = [""].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|(path, cells)| [path].into_iter().chain(cells).map(|cell| escape(cell)).collect()).collect();
    if rows.is_empty() { String::new() } else { table(&head, 1, &rows) }
}

/// The numbers and texts within a value, each with its path. Long lists are counted only.
fn flatten(path: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path} · {name}") };
    let is_leaf = |value: &Value| !value.is_object() && !value.is_array();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), self::number),
        other => other.to_string(),
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(&below(name), value, leaves)),
        Value::Array(list) if list.len() > 12 => leaves.push((path.into(), format!("{} entries", list.len()))),
        Value::Array(list) if list.iter().all(is_leaf) => {
            leaves.push((path.into(), list.iter().map(text).collect::<Vec<_>>().join(", ")));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| flatten(&below(&i.to_string()), value, leaves));
        }
        leaf => leaves.push((path.into(), text(leaf))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_file_becomes_markup() {
        assert_eq!(escape("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        let evil = serde_json::json!({"<b>": {"<i>": "<script>"}, "<u>": "<p>", "<q>": ["<s>"]});
        let html = figures(&evil);
        for tag in ["<b>", "<i>", "<script>", "<u>", "<p>", "<q>", "<s>"] {
            assert!(!html.contains(tag) && html.contains(&escape(tag)), "{tag}: {html}");
        }
        assert!(!figure(b"", "plot", "\"><b>").contains("<b>"));
        assert!(!section("<b>", "x").contains("<b>"));
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 2500.0, -3.0, 0.123456, 12.3456, 1234.56, 0.000123456, 1e20, f64::NAN];
        let written = numbers.map(number);
        assert_eq!(written, ["0", "2500", "-3", "0.1235", "12.35", "1235", "1.235e-4", "1.000e20", "NaN"]);
    }

    #[test]
    fn objects_stand_side_by_side() {
        let value = serde_json::json!({
            "best": {"step": 200, "generated": {"frechet": 4.5}},
            "last": {"step": 300, "generated": {"frechet": 6.25, "levels": [{"side": 32}, {"side": 16}]}},
            "n": 500, "shares": [0.25, 0.75], "all": vec![0; 13],
        });
        let html = figures(&value);
        let row = |cells: &[&str]| {
            let numbers: String = cells[1..].iter().map(|cell| format!("<td class=\"number\">{cell}</td>")).collect();
            format!("<tr><th scope=\"row\">{}</th>{numbers}</tr>", cells[0])
        };
        assert!(html.contains("<th></th><th class=\"number\">best</th><th class=\"number\">last</th>"), "{html}");
        for cells in [
            &["step", "200", "300"][..],
            &["generated · frechet", "4.500", "6.250"],
            &["generated · levels · 1 · side", "", "16"],
            &["n", "500"],
            &["shares", "0.2500, 0.7500"],
            &["all", "13 entries"],
        ] {
            assert!(html.contains(&row(cells)), "{cells:?}: {html}");
        }
        assert_eq!(figures(&serde_json::json!([1])), "");
        assert_eq!(figures(&serde_json::json!({})), "");
        let many: serde_json::Map<String, Value> = (0..1000).map(|i| (i.to_string(), Value::from(i))).collect();
        assert_eq!(figures(&Value::Object(many)).matches("<tr>").count(), 1 + MOST_ROWS);
    }
}
