//! Python with packages, for programs of others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// A Python with these packages, in a virtual environment in `folder`, which one test installs. `imports` are modules that are
/// there then.
pub fn python(folder: &Path, packages: &[&str], imports: &str) -> PathBuf {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let has_packages = || {
        let imported = Command::new(&python).args(["-c", &format!("import {imports}")]).output();
        imported.is_ok_and(|output| output.status.success())
    };
    if !has_packages() {
        // Start over after an incomplete installation.
        let _ = fs::remove_dir_all(folder);
        let run = |command: &mut Command| {
            let output = command.output();
            assert!(
                output.as_ref().is_ok_and(|output| output.status.success()),
                "this test needs python3 with venv and pip, which installs {packages:?} into {}: {output:?}",
                folder.display()
            );
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
    }
    python
}
