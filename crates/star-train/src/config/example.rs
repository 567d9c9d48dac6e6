//! The example of a training file: every setting with what it does.

use anyhow::{Context, Result};

use super::{ModelSection, Preset, TrainConfig};

/// Where comments begin, as far as settings leave room.
const COLUMN: usize = 30;

/// What each setting that is written down does.
const COMMENTS: &[(&str, &str)] = &[
    ("scheme", "by name (wflw98, 300w, cofw29, hand21, leaf24), or a TOML file beside this one"),
    ("seed", "of weights, data order and augmentation"),
    ("epochs", "passes over the training set"),
    ("batch_size", "samples a step"),
    ("accumulate", "batches whose gradients are averaged into one step"),
    ("device", "cpu, cuda, cuda:1 or metal"),
    ("precision", "f32, tf32 on CUDA cards, f64, or bf16: faster on GPUs, with AMX, on AMD with AVX512-BF16"),
    ("tensorboard", "also write event files: tensorboard --logdir RUN/tensorboard"),
    ("ema_half_life", "images after which a value's weight in the averaged weights (EMA) has halved"),
    ("save_minutes", "between saved states inside an epoch; one is saved after every epoch, too"),
    ("workers", "threads that read and warp images, 0 for all cores; changes no result"),
    ("data.holdout", "share of the training samples to validate on where there is no [data.validation]"),
    (
        "data.train.format",
        "tsv, pts, wflw, 300w, cofw, 300vw, coco, hrnet, imglab, ljson, own, shards, synthetic",
    ),
    (
        "data.train.annotations",
        "file, or folder of a data set as it was unpacked; paths start from this file's folder",
    ),
    (
        "data.train.images",
        "folder that image paths start from; default: as the format has it, else that of the annotations",
    ),
    ("data.loading.unreadable", "fail stops with the first image that cannot be read, skip leaves it out"),
    ("data.loading.shuffle_buffer", "samples of shards that a shuffle mixes"),
    ("model.backbone", "hourglass (the paper's), hrnet or light_pyramid; star train --example --preset NAME"),
    ("model.stacks", "hourglasses, one behind the other"),
    ("model.levels", "halvings inside each"),
    ("model.channels", "feature channels of an hourglass"),
    ("model.image_size", "side of the input in pixels; maps are a quarter of it"),
    ("model.coord_conv", "coordinate channels at the stem and at each hourglass"),
    ("model.width", "channels of an HRNet's highest resolution: 18, 32 or 48"),
    ("model.pyramid.stem", "channels at half of the input's side"),
    ("model.pyramid.levels", "channels of each resolution, from a quarter of the input's side on"),
    ("model.pyramid.blocks", "blocks of each resolution"),
    ("model.pyramid.expansion", "channels inside a block over those of its input"),
    ("model.pyramid.kernel", "side of the windows: 3, 5 or 7"),
    ("model.pyramid.channels", "channels of the way up"),
    (
        "loss.kind",
        "star_per_axis (the paper's), star_whitened, plain (soft-argmax regression) or adl (ADNet's)",
    ),
    ("loss.distance", "smooth_l1, l1, l2 or wing"),
    (
        "loss.restriction",
        "what keeps STAR's eigenvalues from growing: value (added to the loss), detach or none",
    ),
    ("loss.restriction_weight", "weight of the eigenvalues"),
    ("loss.landmark_weight", "weight of the landmark term"),
    ("loss.aux_weight", "weight of point maps and of edge maps, where the network has them"),
    ("schedule.learning_rate", "the highest rate"),
    ("schedule.warmup_epochs", "over which the rate climbs from 0; may be a fraction"),
    (
        "schedule.decay.kind",
        "step, constant, cosine (min_lr) or one_cycle (pct_start, div_factor, final_div_factor)",
    ),
    ("schedule.decay.milestones", "epochs from which on the rate is multiplied by gamma once more"),
    ("schedule.decay.gamma", "factor at each milestone"),
    ("optimizer.kind", "adam, adam_w (and weight_decay) or sgd (momentum, nesterov, weight_decay)"),
    ("optimizer.beta1", "decay of the mean of gradients"),
    ("optimizer.beta2", "decay of the mean of squared gradients"),
    ("optimizer.eps", "added to the root of that mean"),
    ("augmentation.flip.probability", "of a mirrored image; each probability here is of one sample"),
    ("augmentation.similarity.probability", "of a shift, rotation and scale"),
    ("augmentation.similarity.shift", "standard deviation along each axis, a share of the crop's side"),
    ("augmentation.similarity.rotation", "standard deviation, degrees"),
    ("augmentation.similarity.scale", "standard deviation about 1"),
    ("augmentation.occlusion.probability", "of a black rectangle"),
    ("augmentation.occlusion.size", "smallest and largest height, a share of half of the crop"),
    ("augmentation.occlusion.spread", "the width's share is the height's, give or take up to this"),
    ("augmentation.blur.probability", "of a box blur"),
    ("augmentation.blur.kernel", "largest kernel, a share of the crop's side"),
    ("augmentation.gamma.probability", "of brighter or darker by a power"),
    ("augmentation.gamma.power", "the largest; the smallest is one over it"),
    ("augmentation.noise.probability", "of a blend with uniform noise"),
    ("augmentation.noise.alpha", "largest share of noise"),
    ("augmentation.grey.probability", "of no colour"),
    ("augmentation.motion_blur.probability", "of a blur along a line"),
    ("augmentation.motion_blur.length", "shortest and longest line, a share of the crop's side"),
    ("augmentation.colour.probability", "of other colours"),
    ("augmentation.colour.brightness", "values are multiplied by 1 give or take up to this"),
    ("augmentation.colour.contrast", "the same for their distance from the mean"),
    ("augmentation.colour.saturation", "the same for their distance from grey"),
    ("augmentation.colour.hue", "largest rotation either way, degrees"),
    ("augmentation.jpeg.probability", "of JPEG artefacts"),
    ("augmentation.jpeg.quality", "worst and best, 1 to 100"),
    ("augmentation.cut_out.probability", "of patches cut out"),
    ("augmentation.cut_out.patches", "fewest and most"),
    ("augmentation.cut_out.size", "smallest and largest side, a share of the crop's"),
    ("augmentation.cut_out.fill", "what they are filled with: black, mean (colour) or noise"),
    ("augmentation.occluder.probability", "of a coloured shape in front of the face"),
    ("augmentation.occluder.size", "smallest and largest side, a share of the crop's"),
    ("augmentation.side_light.probability", "of strong light from one side"),
    ("augmentation.side_light.stops", "fewest and most factors of 2 between the lit and the dark side"),
    ("augmentation.side_light.shadow", "smallest and largest share of the light in the shadow"),
    ("augmentation.low_resolution.probability", "of fewer pixels than the network's input has"),
    ("augmentation.low_resolution.side", "smallest and largest side that the crop is scaled down to, pixels"),
];

/// Settings that are absent by default: section, line, what it does. They are written behind a `#`.
const OPTIONAL: &[(&str, &str, &str)] = &[
    ("", "clip_norm = 1.0", "largest norm of a step's gradient; without it none is scaled down"),
    ("", "early_stop = 50", "epochs without a better validation after which the run ends"),
    (
        "",
        "init_from = \"weights\"",
        "start from a folder, a file, a name of star fetch --list, or hf:owner/repo/file",
    ),
    ("", "recompute = true", "less memory, more time, the same numbers; f32 and bf16 on the CPU"),
    ("data", "weights = \"weights.csv\"", "image,weight: how often each training image is seen in an epoch"),
    ("data.train", "split = \"train\"", "train, test or private; for own any word of its split column"),
    (
        "data.train",
        "subset = \"blur\"",
        "of the split; for formats without published ones a tag that samples must have",
    ),
    ("data.train", "category = \"person\"", "of coco annotations; default: the only one with keypoints"),
    (
        "data.train",
        "crop = \"stated\"",
        "box of a face: landmark_tight, reference_demo or stated; default: as published models had it",
    ),
    ("data.train", "map_98_to_68 = \"blend\"", "make 68 points of 98: pick or blend"),
    ("data.train", "compat = \"reference\"", "repeat faults of the reference's data reading"),
    ("data.train", "strip_prefix = \"/home\"", "cut this from the beginning of images' paths"),
    ("data.train", "basename = true", "of images' paths only the file name counts"),
    ("data.train", "lenient = true", "leave out rows that cannot be used, saying so; always on for 300vw"),
    (
        "data.loading.cache",
        "folder = \"cache\"",
        "keep decoded, cropped samples here; several runs can share it",
    ),
    ("data.loading.cache", "reach = 2.5", "side of what is kept about a face, in sides of its box"),
    ("data.loading.cache", "largest_face = 320", "pixels above which the box is made smaller, 0 for never"),
    (
        "model",
        "attention = false",
        "point and edge maps that gate the heatmaps; default: where the scheme has edges",
    ),
    ("model", "stem = 64", "channels of the hourglass's stem"),
    (
        "model",
        "activation = \"peak\"",
        "how an HRNet's or a light pyramid's maps become masses: instance_norm_relu, relu or peak",
    ),
    ("model", "face_scale = 0.8", "share of the input that a face's landmarks take up; default 1"),
];

/// Other sources of samples, as they may stand in place of the one in the example. Synthetic ones have these settings.
const SYNTHETIC: &[(&str, &str)] = &[
    ("format = \"synthetic\"", "drawn while the program runs: no file is needed"),
    ("subject = \"face\"", "face (98 points, wflw98), hand (21 points, hand21) or leaf (24 points, leaf24)"),
    ("count = 1000", "images, one subject each"),
    ("seed = 0", "sets of different seeds share no image: validate on another one"),
    ("image_size = 160", "side of the images, 32 to 4096 pixels"),
    ("strength = 1.0", "factor on the noise of the labels, 0 for none"),
    ("labels = \"annotated\"", "as an annotator would, with noise, or exact"),
    ("marks = \"none\"", "or ticks: a coloured tick at every keypoint shows where along its edge it lies"),
    (
        "noise = \"tangent\"",
        "each keypoint by itself, or slide: whole stretches along the curve, five annotators",
    ),
];

/// Every setting at its default for the network of `preset`.
///
/// # Errors
/// Never in practice: the defaults can be written.
pub(super) fn example(preset: Preset) -> Result<String> {
    let mut config: TrainConfig = toml::from_str(
        "scheme = \"wflw98\"\n[data.train]\nformat = \"tsv\"\nannotations = \"train.tsv\"\nimages = \"images\"\n",
    )?;
    config.model = ModelSection::preset(preset);
    let mut text = String::from(
        "# Every setting of `star train` at its default: the recipe of the published models. A setting behind a # is not made by default.\n",
    );
    let mut section = String::new();
    for written in toml::to_string(&config)?.lines() {
        if let Some(name) = written.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            end(&mut text, &section);
            section = name.to_string();
            text += &format!("\n[{name}]\n");
        } else if let Some((key, _)) = written.split_once(" = ") {
            let path = if section.is_empty() { key.to_string() } else { format!("{section}.{key}") };
            let comment = COMMENTS.iter().find(|(known, _)| *known == path);
            let (_, comment) = comment.with_context(|| format!("{path}: has no comment"))?;
            text += &line(written, comment);
        }
    }
    end(&mut text, &section);
    Ok(text)
}

/// What a section, and what may follow it, could have.
fn end(text: &mut String, section: &str) {
    for (_, setting, comment) in OPTIONAL.iter().filter(|(of, ..)| *of == section) {
        *text += &line(&format!("# {setting}"), comment);
    }
    match section {
        "data.train" => others(text),
        "data.loading" => {
            *text += "\n# [data.loading.cache]\n";
            end(text, "data.loading.cache");
        }
        _ => {}
    }
}

/// What else samples may come from.
fn others(text: &mut String) {
    *text += "\n# Synthetic images instead; the same settings work for `--synthetic` of star eval and star data:\n";
    SYNTHETIC.iter().for_each(|(setting, comment)| *text += &line(&format!("# {setting}"), comment));
    *text += "\n# Shards of `star data pack` instead:\n";
    *text += &line("# format = \"shards\"", "");
    *text += &line("# folder = \"packed\"", "where they are");
    *text += "\n# [[data.more]]: more samples of the same scheme, [data.validation]: those to choose the best epoch by, both with the settings\n\
              # of [data.train].\n";
}

fn line(setting: &str, comment: &str) -> String {
    match comment {
        "" => format!("{setting}\n"),
        comment => format!("{setting:<COLUMN$} # {comment}\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::{FilesSection, SourceSection};

    const PRESETS: [Preset; 5] =
        [Preset::Reference, Preset::Lite, Preset::Tiny, Preset::HrnetW18, Preset::Light];

    #[test]
    fn every_setting_has_its_comment_and_no_comment_is_of_a_setting_that_is_gone() {
        let all: String = PRESETS.iter().map(|preset| example(*preset).unwrap()).collect();
        let settings = all.lines().filter(|line| line.contains(" = "));
        let bare: Vec<&str> =
            settings.filter(|line| line.trim_start_matches("# ").split(" # ").count() < 2).collect();
        assert_eq!(bare, ["# format = \"shards\""; 5]);
        for (path, comment) in COMMENTS {
            assert!(all.contains(&format!("# {comment}\n")), "{path}");
        }
    }

    #[test]
    fn settings_behind_a_hash_can_be_made() {
        for (section, setting, _) in OPTIONAL {
            let mut table: toml::Table = toml::from_str(&example(Preset::HrnetW18).unwrap()).unwrap();
            let mut at = &mut table;
            let names = section.split('.').filter(|name| !name.is_empty());
            for name in names {
                let below = at.entry(name).or_insert_with(|| toml::Table::new().into());
                at = below.as_table_mut().unwrap();
            }
            if *section == "data.loading.cache" {
                at.insert("folder".into(), "cache".into());
            }
            at.extend(toml::from_str::<toml::Table>(setting).unwrap());
            let config = TrainConfig::deserialize(table);
            assert!(config.is_ok(), "{section} {setting}: {config:?}");
        }
        let text: String = SYNTHETIC.iter().map(|(setting, _)| format!("{setting}\n")).collect();
        let synthetic: SourceSection = toml::from_str(&text).unwrap();
        assert_eq!(synthetic, SourceSection::Synthetic(Default::default()));
        assert_eq!(toml::Table::try_from(&synthetic).unwrap().len(), SYNTHETIC.len());
        // A new field does not compile here until it has its comment.
        let FilesSection {
            annotations: _,
            images: _,
            split: _,
            subset: _,
            category: _,
            crop: _,
            map_98_to_68: _,
            compat: _,
            strip_prefix: _,
            basename: _,
            lenient: _,
        } = FilesSection::default();
        assert_eq!(OPTIONAL.iter().filter(|(section, ..)| *section == "data.train").count(), 11 - 2);
    }
}
