//! The `[model]` part of a training file: which network is trained, and from where.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::Scheme;
use star_model::checkpoint::Architecture;
use star_model::{
    HeatmapActivation, HrNetConfig, LightPyramidConfig, SlimHourglassConfig, StackedHourglassConfig,
};

/// Width of an HRNet where none is named: that of the published landmark checkpoints.
const HRNET_WIDTH: usize = 18;

/// Networks that have a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// The published hourglass: 4 stacks, 256 channels, 256 px.
    #[default]
    Reference,
    /// An hourglass for the CPU of a laptop: 2 stacks, 128 channels, 256 px.
    Lite,
    /// An hourglass for trials: 1 stack of 3 levels, 64 channels, 128 px.
    Tiny,
    /// HRNetV2-W18, 256 px; its trunk can start from `init_from = "hrnet-w18-imagenet"`.
    HrnetW18,
    /// A light pyramid, for landmarks in milliseconds on one core: 256 px.
    Light,
}

/// Kind of network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// The paper's stacked hourglass.
    #[default]
    Hourglass,
    /// HRNetV2 with its landmark head.
    HrNet,
    /// Inverted residuals down, a feature pyramid up.
    #[serde(rename = "light_pyramid")]
    LightPyramid,
}

/// Shape of a light pyramid. Defaults: [`LightPyramidConfig::standard`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PyramidSection {
    /// Channels of the stem, at half the input's side.
    pub stem: usize,
    /// Channels of each resolution, from a quarter of the input's side on.
    pub levels: Vec<usize>,
    /// Blocks of each resolution.
    pub blocks: Vec<usize>,
    /// Channels inside a block over those of its input.
    pub expansion: usize,
    /// Side of the windows: 3, 5 or 7.
    pub kernel: usize,
    /// Channels of the way up.
    pub channels: usize,
}

impl Default for PyramidSection {
    fn default() -> Self {
        let LightPyramidConfig { stem, levels, blocks, expansion, kernel, channels, .. } =
            LightPyramidConfig::standard(1);
        Self { stem, levels, blocks, expansion, kernel, channels }
    }
}

/// Shape of the network. Defaults: the published hourglass. `stacks` to `stem` are the hourglass's, `width` the HRNet's, `pyramid` the
/// light pyramid's, `activation` that of both; naming one of another network is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// Kind of network.
    pub backbone: Backbone,
    /// Number of hourglasses.
    pub stacks: usize,
    /// Halvings inside each.
    pub levels: usize,
    /// Feature channels.
    pub channels: usize,
    /// Side of the input in pixels; maps are a quarter of it.
    pub image_size: usize,
    /// Coordinate channels at the stem and at each hourglass.
    pub coord_conv: bool,
    /// Point and edge maps that gate the heatmaps; default: where the scheme has edges, which it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<bool>,
    /// Channels of the hourglass's stem; default 64, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<usize>,
    /// Channels of the HRNet's highest resolution: 18, 32 or 48 as published; default 18.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Shape of a light pyramid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pyramid: Option<PyramidSection>,
    /// How raw maps become masses, where the network is no hourglass; default `instance_norm_relu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<HeatmapActivation>,
    /// Share of the input that a face's landmarks take up; default 1; 0.8 in the public HRNets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face_scale: Option<f32>,
}

impl Default for ModelSection {
    fn default() -> Self {
        StackedHourglassConfig::reference(1, vec![vec![0]]).into()
    }
}

impl From<StackedHourglassConfig> for ModelSection {
    fn from(config: StackedHourglassConfig) -> Self {
        let StackedHourglassConfig { stacks, levels, channels, image_size, coord_conv, attention, .. } =
            config;
        Self {
            backbone: Backbone::Hourglass,
            stacks,
            levels,
            channels,
            image_size,
            coord_conv,
            // With it, as by default, where the scheme has edges.
            attention: (!attention).then_some(false),
            stem: None,
            width: None,
            pyramid: None,
            activation: None,
            face_scale: None,
        }
    }
}

impl ModelSection {
    /// A network by name.
    pub fn preset(preset: Preset) -> Self {
        // The scheme decides on keypoints and edges; here they only have to be there.
        let edges = vec![vec![0]];
        match preset {
            Preset::Reference => StackedHourglassConfig::reference(1, edges).into(),
            Preset::Lite => StackedHourglassConfig::lite(1, edges).into(),
            Preset::Tiny => StackedHourglassConfig::tiny(1, edges).into(),
            Preset::HrnetW18 => {
                Self { backbone: Backbone::HrNet, width: Some(HRNET_WIDTH), ..Self::default() }
            }
            Preset::Light => {
                let pyramid = Some(PyramidSection::default());
                Self { backbone: Backbone::LightPyramid, pyramid, ..Self::default() }
            }
        }
    }

    /// The network for `scheme`.
    ///
    /// # Errors
    /// Names a field that is out of range, or of the other network.
    pub fn architecture(&self, scheme: &Scheme) -> Result<Architecture> {
        let architecture = match self.backbone {
            Backbone::Hourglass => {
                ensure!(
                    self.width.is_none() && self.activation.is_none() && self.pyramid.is_none(),
                    "`width`, `pyramid` and `activation` are other networks'; the backbone is the hourglass, whose width is \
                     `channels`"
                );
                let hourglass = self.hourglass(scheme);
                if self.stem.is_none() && self.face_scale.is_none() {
                    Architecture::StackedHourglass(hourglass)
                } else {
                    let published = SlimHourglassConfig::from(hourglass);
                    Architecture::SlimHourglass(SlimHourglassConfig {
                        stem: self.stem.unwrap_or(published.stem),
                        face_scale: self.face_scale.unwrap_or(published.face_scale),
                        ..published
                    })
                }
            }
            Backbone::HrNet => {
                ensure!(
                    *self == Self { width: self.width, ..self.without_hourglass() },
                    "`stacks`, `levels`, `channels`, `coord_conv`, `attention` and `stem` are the hourglass's, `pyramid` the \
                     light pyramid's; the backbone is an HRNet, which is sized by `width`"
                );
                let published = HrNetConfig::published(scheme.keypoints, self.width.unwrap_or(HRNET_WIDTH));
                Architecture::HrNet(HrNetConfig {
                    image_size: self.image_size,
                    activation: self.activation.unwrap_or_default(),
                    face_scale: self.face_scale.unwrap_or(published.face_scale),
                    ..published
                })
            }
            Backbone::LightPyramid => {
                ensure!(
                    *self == Self { pyramid: self.pyramid.clone(), ..self.without_hourglass() },
                    "`stacks`, `levels`, `channels`, `coord_conv`, `attention` and `stem` are the hourglass's, `width` the HRNet's; \
                     the backbone is a light pyramid, whose shape is `[model.pyramid]`"
                );
                let PyramidSection { stem, levels, blocks, expansion, kernel, channels } =
                    self.pyramid.clone().unwrap_or_default();
                let standard = LightPyramidConfig::standard(scheme.keypoints);
                Architecture::LightPyramid(LightPyramidConfig {
                    keypoints: scheme.keypoints,
                    stem,
                    levels,
                    blocks,
                    expansion,
                    kernel,
                    channels,
                    image_size: self.image_size,
                    activation: self.activation.unwrap_or_default(),
                    face_scale: self.face_scale.unwrap_or(standard.face_scale),
                })
            }
        };
        architecture.validate()?;
        Ok(architecture)
    }

    /// What every network has, the rest as by default.
    fn without_hourglass(&self) -> Self {
        Self {
            backbone: self.backbone,
            image_size: self.image_size,
            activation: self.activation,
            face_scale: self.face_scale,
            // The hourglass's default, which training files kept by earlier runs state.
            attention: self.attention.filter(|on| *on),
            ..Self::default()
        }
    }

    /// Whether an hourglass for `scheme` has the attention branch.
    pub(super) fn attends(&self, scheme: &Scheme) -> bool {
        self.attention.unwrap_or(!scheme.edges.is_empty())
    }

    fn hourglass(&self, scheme: &Scheme) -> StackedHourglassConfig {
        StackedHourglassConfig {
            keypoints: scheme.keypoints,
            edges: scheme.edge_points(),
            stacks: self.stacks,
            levels: self.levels,
            channels: self.channels,
            image_size: self.image_size,
            coord_conv: self.coord_conv,
            attention: self.attends(scheme),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Result<Architecture> {
        let section: ModelSection = toml::from_str(text)?;
        section.architecture(&Scheme::named("cofw29")?)
    }

    #[test]
    fn an_hrnet_is_named_by_its_width() {
        let w32 = section("backbone = \"hrnet\"\nwidth = 32\nimage_size = 128\n").unwrap();
        assert_eq!(w32, Architecture::HrNet(HrNetConfig { image_size: 128, ..HrNetConfig::w32(29) }));
        let w18 = section("backbone = \"hrnet\"\nactivation = \"peak\"\n").unwrap();
        let peak = HrNetConfig { activation: HeatmapActivation::Peak, ..HrNetConfig::w18(29) };
        assert_eq!(w18, Architecture::HrNet(peak));
    }

    #[test]
    fn a_light_pyramid_has_a_table_of_its_own() {
        let of = |text: &str| section(&format!("backbone = \"light_pyramid\"\n{text}"));
        let standard = LightPyramidConfig::standard(29);
        assert_eq!(of("").unwrap(), Architecture::LightPyramid(standard.clone()));
        let own = LightPyramidConfig { kernel: 3, image_size: 128, face_scale: 0.8, ..standard };
        let text = "image_size = 128\nface_scale = 0.8\npyramid = { kernel = 3 }\n";
        assert_eq!(of(text).unwrap(), Architecture::LightPyramid(own));
        let message = of("pyramid = { levels = [8] }\n").unwrap_err().to_string();
        assert!(message.contains("blocks: expected one number a level"), "{message}");
        let message = of("stacks = 2\n").unwrap_err().to_string();
        assert!(message.contains("`stacks`") && message.contains("[model.pyramid]"), "{message}");
        assert!(section("pyramid = {}\n").unwrap_err().to_string().contains("`pyramid`"));
        assert!(
            section("backbone = \"hrnet\"\npyramid = {}\n").unwrap_err().to_string().contains("`pyramid`")
        );
    }

    #[test]
    fn a_stem_or_a_margin_makes_the_hourglass_a_slim_one() {
        let of = |text: &str| match section(&format!("stacks = 1\n{text}")).unwrap() {
            Architecture::SlimHourglass(c) => (c.hourglass.stacks, c.stem, c.face_scale),
            other => panic!("{other}"),
        };
        assert_eq!(of("stem = 32\n"), (1, 32, 1.0));
        assert_eq!(of("face_scale = 0.8\n"), (1, 64, 0.8));
        assert!(section("stem = 7\n").unwrap_err().to_string().contains("stem"));
    }

    #[test]
    fn a_scheme_without_edges_has_no_attention_unless_it_is_asked_for_which_is_an_error() {
        let attends = |text: &str, scheme: &Scheme| {
            let section: ModelSection = toml::from_str(text).unwrap();
            section.architecture(scheme).map(|architecture| architecture.edges().is_some())
        };
        let (bare, face) = (Scheme::new("bare", 3), Scheme::named("cofw29").unwrap());
        assert!(!attends("", &bare).unwrap() && attends("", &face).unwrap());
        assert!(!attends("attention = false", &face).unwrap());
        let message = attends("attention = true", &bare).unwrap_err().to_string();
        assert!(message.contains("edges") && message.contains("attention = false"), "{message}");
        assert!(section("backbone = \"hrnet\"\nattention = true\n").is_ok(), "a file kept by an earlier run");
        assert!(section("backbone = \"hrnet\"\nattention = false\n").is_err());
    }

    #[test]
    fn a_setting_of_the_other_network_is_refused() {
        let message = section("backbone = \"hrnet\"\nstacks = 2\n").unwrap_err().to_string();
        assert!(message.contains("`stacks`") && message.contains("`width`"), "{message}");
        let message = section("width = 18\n").unwrap_err().to_string();
        assert!(message.contains("hourglass"), "{message}");
        let message = section("backbone = \"hrnet\"\nimage_size = 100\n").unwrap_err().to_string();
        assert!(message.contains("image_size"), "{message}");
    }
}
