/// Finds, in the source of a room, each line that reveals plaintext without a reason, or that hands
/// another room on to those who import this one. Lines count from 1.
pub(super) fn faults(source: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let lines = without_tests(source);
    (0..lines.len()).filter_map(move |index| Some((index + 1, fault(&lines, index)?)))
}

fn fault(lines: &[&str], index: usize) -> Option<&'static str> {
    let line = lines.get(index)?.trim_start();
    if line.starts_with("//") {
        return None;
    }
    if RE_EXPORTS.iter().any(|start| line.starts_with(start)) {
        return Some("re-exports another room, which is a hole in a wall");
    }
    let reveals = DOORS.iter().any(|door| line.contains(door));
    let above = lines.get(index.saturating_sub(REASON_WITHIN)..index)?;
    let explained = above.iter().any(|line| line.contains("// EXPOSE: "));
    (reveals && !explained).then_some("reveals plaintext without `// EXPOSE: <why, and why safe>`")
}

/// Returns the lines above the module of tests, which stands at the foot of a file.
fn without_tests(source: &str) -> Vec<&str> {
    let lines: Vec<&str> = source.lines().collect();
    let opens = |pair: &[&str]| matches!(pair, ["#[cfg(test)]", next] if next.starts_with("mod "));
    let end = lines.windows(2).position(opens).unwrap_or(lines.len());
    lines.into_iter().take(end).collect()
}

const DOORS: [&str; 2] = [".expose(", "Expose::expose"];
const RE_EXPORTS: [&str; 3] = [
    "pub use leasehold_",
    "pub use ::leasehold_",
    "pub extern crate leasehold_",
];
/// How many lines above the call the reason may stand.
const REASON_WITHIN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(source: &str) -> Vec<usize> {
        faults(source).map(|(line, _)| line).collect()
    }

    #[test]
    fn a_reason_must_stand_close_above() {
        assert_eq!(lines("let x = secret.expose();\n"), [1]);
        assert_eq!(
            lines("// EXPOSE: sent upstream.\nlet x = secret\n    .expose();\n"),
            NONE
        );
        assert_eq!(
            lines("// EXPOSE: far.\n\n\n\nlet x = Expose::expose(&secret);\n"),
            [5]
        );
        assert_eq!(
            lines("// EXPOSE:\nlet x = secret.expose();\n"),
            [2],
            "no reason given"
        );
    }

    #[test]
    fn comments_and_tests_reveal_nothing() {
        assert_eq!(lines("/// Call `.expose()` last.\nfn f() {}\n"), NONE);
        let source = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() { s.expose(); }\n}\n";
        assert_eq!(lines(source), NONE);
    }

    #[test]
    fn another_room_is_not_handed_on() {
        assert_eq!(lines("use leasehold_secret::Secret;\n"), NONE);
        assert_eq!(lines("\npub use leasehold_secret::Secret;\n"), [2]);
    }
}
