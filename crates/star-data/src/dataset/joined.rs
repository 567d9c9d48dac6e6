//! Several data sets as one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dataset, Written};
use crate::{Annotation, Error, Result, Sample, Scheme};

/// The samples of several data sets of one scheme, one set after the other.
pub struct Joined {
    parts: Vec<Arc<dyn Dataset>>,
    /// Samples of each part and those before it.
    ends: Vec<usize>,
}

impl Joined {
    /// Joins data sets.
    ///
    /// # Errors
    /// Without any, and where one has another number of keypoints than the first.
    pub fn new(parts: Vec<Arc<dyn Dataset>>) -> Result<Self> {
        let wrong = |expected: String, got: String| {
            Error::content(Path::new("joined data sets"), "scheme", expected, got)
        };
        let Some(first) = parts.first() else { return Err(wrong("at least one".into(), "none".into())) };
        let keypoints = first.scheme().keypoints;
        if let Some(other) = parts.iter().find(|part| part.scheme().keypoints != keypoints) {
            let Scheme { name, keypoints: got, .. } = other.scheme();
            return Err(wrong(
                format!("{keypoints} keypoints, as the first has"),
                format!("{got} of `{name}`"),
            ));
        }
        let mut count = 0;
        let mut end = |part: &Arc<dyn Dataset>| {
            count += part.len();
            count
        };
        let ends = parts.iter().map(&mut end).collect();
        Ok(Self { parts, ends })
    }

    /// The part that sample `index` is in, and its index there.
    fn place(&self, index: usize) -> Option<(&dyn Dataset, usize)> {
        let part = self.ends.partition_point(|&end| end <= index);
        let dataset = self.parts.get(part)?;
        Some((&**dataset, index + dataset.len() - self.ends[part]))
    }

    fn part(&self, index: usize) -> Result<(&dyn Dataset, usize)> {
        self.place(index).ok_or(Error::Index { index, len: self.len() })
    }
}

impl Dataset for Joined {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn scheme(&self) -> &Scheme {
        self.parts[0].scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.place(index).map(|(part, index)| part.source(index)).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let (part, index) = self.part(index)?;
        part.get(index)
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        let (part, index) = self.part(index)?;
        part.annotation(index)
    }

    fn shards(&self) -> Vec<usize> {
        self.parts.iter().flat_map(|part| part.shards()).collect()
    }

    fn written(&self, index: usize) -> Written {
        self.place(index).map(|(part, index)| part.written(index)).unwrap_or_default()
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        let (part, index) = self.place(index)?;
        part.image_path(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Subset;
    use super::super::test_set::counting;
    use super::*;

    #[test]
    fn samples_come_one_set_after_the_other() {
        let part = |indices: Vec<usize>| Arc::new(Subset::new(counting(), indices)) as Arc<dyn Dataset>;
        let joined = Joined::new(vec![part(vec![7, 3]), part(vec![]), part(vec![1, 2, 3])]).unwrap();
        let points =
            |set: &dyn Dataset| (0..set.len()).map(|i| set.get(i).unwrap().points).collect::<Vec<_>>();
        assert_eq!(points(&joined), points(&Subset::new(counting(), vec![7, 3, 1, 2, 3])));
        assert_eq!(joined.source(4), PathBuf::from("sample 3"));
        assert!(matches!(joined.get(5), Err(Error::Index { index: 5, len: 5 })));
        assert_eq!(joined.shards().iter().sum::<usize>(), 5);
    }

    #[test]
    fn sets_of_other_schemes_and_no_sets_are_refused() {
        let other = crate::synthetic::SyntheticFaces::new(Default::default()).unwrap();
        let parts: Vec<Arc<dyn Dataset>> = vec![Arc::new(counting()), Arc::new(other)];
        assert!(Joined::new(parts).err().unwrap().to_string().contains("as the first has"));
        assert!(Joined::new(Vec::new()).is_err());
    }
}
