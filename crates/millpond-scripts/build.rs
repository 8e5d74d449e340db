//! Puts the Python packages below `python/` into the program: a list of their paths and bytes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with(['.', '_']) {
                files(&path, found)?;
            }
        } else if name.ends_with(".py") || (name.starts_with("requirements-") && name.ends_with(".txt")) {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("python");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut found = Vec::new();
    files(&root, &mut found)?;
    found.sort();
    let mut text = String::from("pub static FILES: &[(&str, &[u8])] = &[\n");
    for path in found {
        let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
        writeln!(text, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())?;
    }
    text.push_str("];\n");
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("bundle.rs"), text)?;
    Ok(())
}
