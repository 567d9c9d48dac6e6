//! Data sets that are not there.

use std::path::Path;

use super::{NOWHERE, path, reproduce, text};

#[test]
fn what_is_missing_is_asked_for_with_its_layout_and_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (path(dir.path().join("data")), path(dir.path().join("out")));
    std::fs::create_dir_all(&data).unwrap();
    let output = reproduce(dir.path(), NOWHERE, &["--profile", "300w", "--data", &data, "--out", &out]);
    let wrong = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for part in ["300W is not there", "never downloaded", "helen/{trainset,testset}", "research only", &data]
    {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    let plan =
        reproduce(dir.path(), NOWHERE, &["--profile", "all", "--data", &data, "--out", &out, "--dry-run"]);
    let printed = text(&plan.stdout);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    for part in ["WFLW is not there", "star-wflw", "2500 faces", "hours", "MB"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!Path::new(&out).exists(), "a dry run leaves nothing");
}
