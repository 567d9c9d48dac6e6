//! PyTorch's two file formats (`fixtures/pickles.py`), and hostile files of both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};

use candle_core::DType;
use star_model::checkpoint::{self, Tensors, Which};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn values(tensors: &Tensors, name: &str) -> Vec<f64> {
    tensors[name].to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn both_formats_hold_the_same_tensors() {
    for file in ["legacy.pth", "zipped.pth", "legacy_bare.pth"] {
        let tensors = checkpoint::read(&golden(file), Which::Net).unwrap();
        assert_eq!(tensors.len(), 10, "{file}");
        assert_eq!(values(&tensors, "single"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(tensors["transposed"].dims(), [3, 2]);
        assert_eq!(values(&tensors, "transposed"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(values(&tensors, "first"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(tensors["second"].dims(), [2, 4]);
        assert_eq!(values(&tensors, "second")[7], 11.0);
        assert_eq!((tensors["half"].dtype(), values(&tensors, "half")), (DType::F16, vec![0.5, -2.0]));
        assert_eq!((tensors["brain"].dtype(), values(&tensors, "brain")), (DType::BF16, vec![0.5, -2.0]));
        assert_eq!(values(&tensors, "double"), [0.1]);
        assert_eq!(tensors["counter"].to_scalar::<i64>().unwrap(), 7);
        assert_eq!(values(&tensors, "tied_a"), values(&tensors, "tied_b"));
    }
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let message = checkpoint::read(&path, Which::Net).unwrap_err().to_string();
    assert!(message.contains(name), "the file is not named in: {message}");
    message
}

#[test]
fn many_names_for_one_storage_do_not_fill_the_memory() {
    for file in ["overlapping_legacy.pth", "overlapping_zipped.pth"] {
        let message = checkpoint::read(&golden(file), Which::Net).unwrap_err().to_string();
        assert!(message.contains(file) && message.contains("share storages"), "{message}");
    }
}

#[test]
fn an_old_file_cut_anywhere_is_refused_without_a_panic() {
    let whole = std::fs::read(golden("legacy.pth")).unwrap();
    for length in (1..whole.len()).step_by(7) {
        let message = refusal("cut.pth", &whole[..length]);
        assert!(
            ["truncated", "torch.save", "neither", "empty"].iter().any(|part| message.contains(part)),
            "{message}"
        );
    }
}

#[test]
fn an_old_file_with_any_byte_changed_is_read_or_refused_and_never_panics() {
    let whole = std::fs::read(golden("legacy.pth")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changed.pth");
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        std::fs::write(&path, &bytes).unwrap();
        // What counts is that it comes back.
        let _ = checkpoint::read(&path, Which::Net);
    }
}

#[test]
fn an_old_file_that_would_call_the_shell_is_refused_and_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let witness = dir.path().join("ran");
    let command = format!("touch {}", witness.display());
    let whole = std::fs::read(golden("legacy.pth")).unwrap();
    // magic number and version end after the second full stop that ends a pickle; the machine's pickle follows
    let head = &whole[..21];
    let length = (command.len() as u32).to_le_bytes();
    let call = [&b"\x80\x02cposix\nsystem\nX"[..], &length, command.as_bytes(), b"\x85R."].concat();
    let message = refusal("hostile.pth", &[head, &call].concat());
    assert!(message.contains("`posix.system`") && message.contains("nothing was executed"), "{message}");
    assert!(!witness.exists());
}
