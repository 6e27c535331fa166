/// Lays rows out in columns that are as wide as what is in them.
pub(crate) fn table<const N: usize>(
    headings: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let mut widths = headings.map(|it| it.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heading = line(headings.iter().copied(), &widths);
    let rows = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str), &widths));
    let lines: Vec<String> = std::iter::once(heading).chain(rows).collect();
    lines.join("\n")
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let padded = cells
        .zip(widths)
        .map(|(cell, width)| format!("{cell:<width$}"));
    let joined: Vec<String> = padded.collect();
    joined.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let rows = [
            ["é".to_owned(), "1".to_owned()],
            ["long".to_owned(), "2".to_owned()],
        ];
        let text = table(&["A", "B"], rows.into_iter());
        assert_eq!(text, "A     B\né     1\nlong  2");
    }
}
