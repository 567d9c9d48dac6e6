//! Loads batches of a data set of somebody's own and scores a guess, with star-data and star-eval alone.
use star_data::loader::{Loader, LoaderConfig};
use star_data::{Dataset, Sample, Scheme};
use star_eval::{Evaluation, Normalizer, Setting};

/// Grey squares of 41 pixels with two marks, 30 pixels apart.
struct Marks(Scheme);

impl Dataset for Marks {
    fn len(&self) -> usize {
        10
    }

    fn scheme(&self) -> &Scheme {
        &self.0
    }

    fn get(&self, index: usize) -> star_data::Result<Sample> {
        let image = image::RgbImage::from_pixel(41, 41, image::Rgb([128; 3]));
        Ok(Sample::new(image, vec![[5.0, 5.0 + index as f32], [35.0, 5.0 + index as f32]]))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut evaluation = Evaluation::new(Setting {
        dataset: "marks".into(),
        subset: "full".into(),
        normalizer_name: "distance of the marks".into(),
        normalizer: Normalizer::Between(vec![0], vec![1]),
        thresholds: vec![0.12],
        groups: Vec::new(),
        curves: Vec::new(),
        notes: Vec::new(),
    })?;
    for batch in Loader::new(Marks(Scheme::new("marks", 2)), LoaderConfig::evaluation(4, 64))?.epoch(0, 0) {
        let batch = batch?;
        for i in 0..batch.batch {
            let truth = batch.points_in_image(i)?;
            // A guess that is 3 pixels too far to the right: a tenth of the marks' distance.
            let guess: Vec<[f32; 2]> = truth.iter().map(|[x, y]| [x + 3.0, *y]).collect();
            evaluation.add(format!("square {}", batch.indices[i]), Some(&guess), &truth, None)?;
        }
    }
    let report = evaluation.report()?;
    println!("{}", report.to_markdown());
    let nme = report.nme_mean_fraction.ok_or("no NME")?;
    assert!((nme - 0.1).abs() < 1e-4 && report.images == 10, "{nme}");
    Ok(())
}
