//! Training on something that is no face, under a loss that needs the scheme's edges.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;

use star_model::checkpoint::Folder;
use star_train::Outcome;
use star_train::config::{Options, TrainConfig};
use star_train::records::{self, Record};

fn config(scheme: &str, kind: &str) -> TrainConfig {
    let text = format!(
        "scheme = \"{scheme}\"\nepochs = 2\nbatch_size = 4\nworkers = 1\n\
         [data]\nholdout = 0.3\n[data.train]\nformat = \"synthetic\"\nsubject = \"hand\"\ncount = 12\nimage_size = 48\n\
         [model]\nstacks = 1\nlevels = 1\nchannels = 8\nimage_size = 32\n[loss]\nkind = \"{kind}\"\n"
    );
    toml::from_str(&text).unwrap()
}

#[test]
fn hands_are_trained_under_every_loss_and_their_eigenvalues_are_kept_track_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut ends = Vec::new();
    for kind in ["plain", "star_per_axis", "star_whitened", "adl"] {
        let out = dir.path().join(kind);
        let outcome = config("hand21", kind).run(Path::new("."), &out, Options::default()).unwrap();
        assert!(matches!(outcome, Outcome::Finished(Some(_))));
        let epochs = records::read(&out.join("metrics.jsonl")).unwrap();
        let mut seen = 0;
        for record in epochs {
            if let Record::Epoch(epoch) = record {
                let [small, large] = epoch.validation_eigenvalues.unwrap();
                // Coordinates lie in [-1, 1], where no variance is above 1; the unbiased one of two far pixels is twice that.
                assert!(0.0 <= small && small <= large && large < 2.1, "{kind}: {small} {large}");
                seen += 1;
                ends.push(epoch.terms["landmark"]);
            }
        }
        assert_eq!(seen, 2, "{kind}");
        let folder = Folder::load(&out.join("best")).unwrap();
        assert_eq!((folder.config.scheme.as_str(), folder.config.architecture.keypoints()), ("hand21", 21));
    }
    // Each takes the same errors in its own way.
    for (i, a) in ends.iter().enumerate() {
        assert!(ends[i + 1..].iter().all(|b| a != b), "{ends:?}");
    }
}

#[test]
fn hands_under_the_scheme_of_faces_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let error = config("wflw98", "plain").run(Path::new("."), dir.path(), Options::default()).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.contains("hand21") && message.contains("wflw98"), "{message}");
}
