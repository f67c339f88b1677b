//! Whether something was made from what is there now: a hash of its inputs, written beside it.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use crate::paths;
use crate::shell::Outcome;

/// A thing that is made from files.
pub struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    /// `name` is what is made; `inputs` are files and directories below the root.
    pub fn of(name: &str, inputs: &[&str]) -> Outcome<Stamp> {
        let mut hasher = DefaultHasher::new();
        for input in inputs {
            add(&mut hasher, &paths::root().join(input))
                .map_err(|error| format!("{input} cannot be read: {error}"))?;
        }
        Ok(Stamp {
            file: paths::root().join("target/stamps").join(name),
            hash: format!("{:016x}", hasher.finish()),
        })
    }

    /// Whether it was made from these inputs.
    pub fn is_fresh(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|hash| hash == self.hash)
    }

    /// It has been made.
    pub fn write(&self) -> Outcome<()> {
        let failed = |error| format!("{} cannot be written: {error}", self.file.display());
        if let Some(directory) = self.file.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        fs::write(&self.file, &self.hash).map_err(failed)
    }
}

fn add(hasher: &mut DefaultHasher, path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        entries.retain(|entry| !is_made(entry));
        entries.sort();
        return entries.iter().try_for_each(|entry| add(hasher, entry));
    }
    hasher.write(path.as_os_str().as_encoded_bytes());
    hasher.write(&fs::read(path)?);
    Ok(())
}

/// What building leaves in the sources.
fn is_made(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "__pycache__" || name.starts_with('.') || name.ends_with(".so")
}
