//! Python with the packages of these tests, and the scripts beside them.

use std::path::{Path, PathBuf};

pub(crate) fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("senders-python");
    testkit::python(&folder, &["aiosmtpd", "standardwebhooks"], "aiosmtpd.smtp, standardwebhooks.webhooks")
}

/// The path of a script.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}
