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

/// What `pickle.dumps(value, 2)` makes of things that training programs put beside weights.
const BESIDE: [(&str, &[u8]); 6] = [
    // argparse.Namespace(lr=1)
    ("args", b"cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb"),
    // numpy.float64(0.5): its type, with a state, and eight bytes, which protocol 2 says as text to encode
    (
        "best",
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0f8\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\
          \xffK\0tbc_codecs\nencode\nX\x09\0\0\0\0\0\0\0\0\0\xc3\xa0?X\x06\0\0\0latin1\x86R\x86R",
    ),
    ("path", b"cpathlib\nPosixPath\n(X\x01\0\0\0/X\x03\0\0\0tmptR"),
    ("dtype", b"ctorch\nfloat16\n"),
    // A dictionary with attributes: an instance, its items, its state.
    ("hparams", b"clightning.parsing\nAttributeDict\n)\x81(X\x01\0\0\0aK\x01X\x01\0\0\0bK\x02u}b"),
    ("history", b"ccollections\ndeque\n]\x85R(K\x01K\x02e"),
];

/// `file` with things beside its weights.
fn with_beside(file: &str) -> Vec<u8> {
    let whole = std::fs::read(golden(file)).unwrap();
    let first = b"X\x05\0\0\0epoch";
    let at = whole.windows(first.len()).position(|part| part == first).unwrap();
    let (head, rest) = whole.split_at(at);
    let beside = BESIDE.iter().flat_map(|(name, value)| {
        [&b"X"[..], &(name.len() as u32).to_le_bytes(), name.as_bytes(), value].concat()
    });
    [head.to_vec(), beside.collect(), rest.to_vec()].concat()
}

#[test]
fn what_a_training_program_puts_beside_the_weights_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("beside.pth");
    std::fs::write(&path, with_beside("legacy.pth")).unwrap();
    let plain = checkpoint::read(&golden("legacy.pth"), Which::Net).unwrap();
    let read = checkpoint::read(&path, Which::Net).unwrap();
    assert_eq!(read.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    plain.keys().for_each(|name| assert_eq!(values(&read, name), values(&plain, name), "{name}"));
    // The zip format has the same pickle in a file of its own.
    let zipped = checkpoint::read(&golden("beside_zipped.pth"), Which::Net).unwrap();
    plain.keys().for_each(|name| assert_eq!(values(&zipped, name), values(&plain, name), "{name}"));
    // Without the weights there is nothing to pass over it for.
    let message = checkpoint::read(&path, Which::Ema).unwrap_err().to_string();
    assert!(message.contains("beside.pth") && message.contains("`argparse.Namespace`"), "{message}");
    assert!(message.contains("nothing was executed"), "{message}");
}

#[test]
fn a_call_beside_the_weights_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let witness = dir.path().join("ran");
    let command = format!("touch {}", witness.display());
    let length = (command.len() as u32).to_le_bytes();
    let call = [&b"cposix\nsystem\nX"[..], &length, command.as_bytes(), b"\x85R"].concat();
    let whole = with_beside("legacy.pth");
    let value = b"ctorch\nfloat16\n";
    let at = whole.windows(value.len()).position(|part| part == value).unwrap();
    let path = dir.path().join("calls.pth");
    std::fs::write(&path, [&whole[..at], &call, &whole[at + value.len()..]].concat()).unwrap();
    assert_eq!(checkpoint::read(&path, Which::Net).unwrap().len(), 10);
    assert!(!witness.exists());
}
