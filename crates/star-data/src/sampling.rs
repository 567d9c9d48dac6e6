//! How often each sample of a data set is seen in an epoch: rare kinds more often, bad labels never.

use std::path::Path;

use glob::{MatchOptions, Pattern};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::{Dataset, Error, Result, formats};

/// Most often that one sample is seen in an epoch: more is a mistake in a file.
const MOST: f64 = 1000.0;

/// Most samples of an epoch, whose indices are kept in memory, 8 bytes each.
const LONGEST: f64 = 1e8;

/// A row of a file of weights.
#[derive(Deserialize)]
struct Row {
    image: String,
    weight: f64,
}

/// The weight of every sample of `dataset` by the CSV file `path` with the columns `image,weight`.
///
/// `image` is the end of an image's path and may hold `*`, `?` and `[a-z]`: `t2i_*` is every file of that beginning, `b/*.jpg` those of
/// every folder `b`. The last row that matches an image counts; an image that no row matches has weight 1. Weight 2 is twice an epoch,
/// 0.5 in half of them at random, 0 never.
///
/// # Errors
/// Names the file, line and field of a row that cannot be used, and of one that matches no image.
pub fn read_weights(path: &Path, dataset: &impl Dataset) -> Result<Vec<f64>> {
    let wrong = |line: usize, field: &'static str, expected: &str, got: &str| {
        let (path, expected, got) = (path.to_path_buf(), expected.into(), got.into());
        Error::Row { path, line, field, expected, got }
    };
    let bytes = formats::read_rows(path, "CSV with the columns image,weight")?;
    let images: Vec<_> =
        (0..dataset.len()).map(|i| dataset.image_path(i).unwrap_or_else(|| dataset.source(i))).collect();
    let separators = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let mut weights = vec![1.0; images.len()];
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().cloned().unwrap_or_default();
    for record in reader.records() {
        let line = |position: Option<&csv::Position>| position.map_or(1, |p| formats::line_of(&bytes, p));
        let no_row = |line: usize, error: csv::Error| {
            wrong(line, "row", "the columns `image,weight`, between commas", &error.to_string())
        };
        let record = record.map_err(|error| no_row(line(error.position()), error))?;
        let line = line(record.position());
        let Row { image, weight } = record.deserialize(Some(&header)).map_err(|error| no_row(line, error))?;
        if !(0.0..=MOST).contains(&weight) {
            return Err(wrong(line, "weight", "a number from 0 to 1000", &weight.to_string()));
        }
        let pattern = Pattern::new(&format!("**/{image}"))
            .map_err(|error| wrong(line, "image", "a path, `*` for any part of a name", error.msg))?;
        let matched = images.iter().map(|image| pattern.matches_path_with(image, separators));
        let mut found = false;
        for (weight_of, _) in weights.iter_mut().zip(matched).filter(|(_, matches)| *matches) {
            (*weight_of, found) = (weight, true);
        }
        if !found {
            return Err(wrong(line, "image", "the end of an image's path in the data set", &image));
        }
    }
    let samples: f64 = weights.iter().sum();
    if samples > LONGEST {
        let expected = "weights of at most 100000000 samples an epoch together";
        return Err(wrong(1, "weight", expected, &format!("{samples:.0}")));
    }
    Ok(weights)
}

/// Indices of samples, each as often as its weight says, in order: for [`Subset::new`](crate::dataset::Subset::new).
///
/// A weight's whole part is certain; its fraction is drawn from `seed`, by systematic sampling, so that the number of indices is the
/// sum of the weights to within one.
pub fn repeated(weights: &[f64], seed: u64) -> Vec<usize> {
    let mut passed = ChaCha8Rng::seed_from_u64(seed).random::<f64>();
    let mut indices = Vec::new();
    for (index, weight) in weights.iter().enumerate() {
        let before = passed.floor();
        passed += weight;
        indices.extend(std::iter::repeat_n(index, (passed.floor() - before) as usize));
    }
    indices
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{Sample, Scheme};

    struct Named(Vec<&'static str>, Scheme);

    impl Dataset for Named {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn scheme(&self) -> &Scheme {
            &self.1
        }

        fn get(&self, index: usize) -> Result<Sample> {
            Err(Error::Index { index, len: 0 })
        }

        fn image_path(&self, index: usize) -> Option<PathBuf> {
            Some(PathBuf::from(self.0[index]))
        }
    }

    fn weights_of(csv: &str) -> Result<Vec<f64>> {
        let images = vec!["set/a/t2i_1.jpg", "set/a/us_1.jpg", "set/b/us_1.jpg"];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.csv");
        std::fs::write(&path, csv).unwrap();
        read_weights(&path, &Named(images, Scheme::named("cofw29").unwrap()))
    }

    #[test]
    fn the_last_row_that_matches_the_end_of_a_path_counts() {
        assert_eq!(weights_of("image,weight\n").unwrap(), [1.0; 3]);
        assert_eq!(weights_of("image,weight\nt2i_*,3\nus_1.jpg,2\nb/us_1.jpg,0\n").unwrap(), [3.0, 2.0, 0.0]);
    }

    #[test]
    fn a_row_that_cannot_be_used_is_named() {
        for (row, hint) in
            [("x_*,2", "x_*"), ("us_1.jpg,-1", "weight"), ("us_1.jpg,much", "row"), ("[,1", "image")]
        {
            let message = weights_of(&format!("image,weight\nt2i_*,1\n{row}\n")).unwrap_err().to_string();
            assert!(message.contains("line 3") && message.contains(hint), "{message}");
        }
    }

    #[test]
    fn a_row_after_blank_lines_is_named_by_its_own_line_and_a_mark_before_the_header_is_passed_over() {
        assert_eq!(weights_of("\u{feff}image,weight\nt2i_*,3\n").unwrap(), [3.0, 1.0, 1.0]);
        for rows in ["\n\nus_1.jpg,-1\n", "\n\nus_1.jpg,much\n", "\n\nus_1.jpg,1,2\n"] {
            let message = weights_of(&format!("image,weight\n{rows}")).unwrap_err().to_string();
            assert!(message.contains("line 4"), "{message}");
        }
        let message = weights_of("image;weight\nus_1.jpg;1\n").unwrap_err().to_string();
        assert!(message.contains("between commas"), "{message}");
        assert!(weights_of("<weights/>").unwrap_err().to_string().contains("XML"));
    }

    #[test]
    fn an_epoch_of_more_samples_than_indices_fit_the_memory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.csv");
        std::fs::write(&path, "image,weight\n*,1000\n").unwrap();
        let images = Named(vec!["a.jpg"; 200_000], Scheme::named("cofw29").unwrap());
        let message = read_weights(&path, &images).unwrap_err().to_string();
        assert!(message.contains("at most 100000000 samples") && message.contains("200000000"), "{message}");
    }

    #[test]
    fn whole_parts_are_certain_and_fractions_are_shared_out() {
        let indices = repeated(&[2.0, 0.0, 1.0, 3.0], 7);
        assert_eq!(indices, [0, 0, 2, 3, 3, 3]);
        for seed in 0..20 {
            let indices = repeated(&[0.5; 1000], seed);
            assert!((499..=501).contains(&indices.len()), "{}", indices.len());
            assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(repeated(&[0.3; 100], 5), repeated(&[0.3; 100], 5));
    }
}
