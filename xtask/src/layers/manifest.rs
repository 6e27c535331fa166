use std::path::Path;

/// Finds what a package's manifest lacks.
///
/// Without that line the package has none of the workspace's lints, in silence.
pub(super) fn fault(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| *line == "[lints]");
    let mut section = lines.take_while(|line| !line.starts_with('['));
    let inherited = section.any(|line| line.replace(' ', "") == "workspace=true");
    (!inherited).then_some("lacks `[lints] workspace = true`")
}

/// Tells whether a file would take the place of the root's `clippy.toml` for the sources below it:
/// clippy reads the nearest one only.
pub(super) fn is_second_clippy_config(root: &Path, file: &Path) -> bool {
    let names = ["clippy.toml", ".clippy.toml"];
    let is_config = names.iter().any(|name| file.ends_with(name));
    is_config && file != root.join("clippy.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_inherited_only_in_their_own_section() {
        assert_eq!(
            fault("[package]\nname = \"x\"\n[lints]\nworkspace = true\n"),
            None
        );
        assert!(fault("[package]\nname = \"x\"\n").is_some());
        assert!(fault("[lints]\n[dependencies]\nworkspace = true\n").is_some());
    }

    #[test]
    fn only_the_root_has_a_clippy_config() {
        let root = Path::new("/w");
        assert!(!is_second_clippy_config(root, Path::new("/w/clippy.toml")));
        assert!(is_second_clippy_config(root, Path::new("/w/.clippy.toml")));
        assert!(is_second_clippy_config(
            root,
            Path::new("/w/crates/a/clippy.toml")
        ));
        assert!(!is_second_clippy_config(
            root,
            Path::new("/w/crates/a/not-clippy.toml")
        ));
    }
}
