//! The heads of a stage as one convolution, their maps side by side.

use super::super::fold::Linear;
use super::super::lowered::{Conv, Kind, Lowered, Source, ValueId};
use crate::HeatmapActivation;

/// What a stage consists of.
struct Stage {
    heatmaps: ValueId,
    activation: HeatmapActivation,
    /// Point maps and edge maps.
    aux: Option<[ValueId; 2]>,
    /// The convolutions of all.
    raw: Vec<ValueId>,
}

/// The convolutions of one stage's maps become one, whose maps lie side by side as `Layout` says; the gate is left to who reads them.
pub(super) fn join_heads(lowered: &mut Lowered) {
    for stage in 0..lowered.stages.len() {
        if let Some(parts) = parts(lowered, lowered.stages[stage]) {
            join(lowered, stage, &parts);
        }
    }
}

/// The parts of the stage that is shown as `shown`, where all its maps are convolutions of the same input that nothing else reads.
fn parts(lowered: &Lowered, shown: ValueId) -> Option<Stage> {
    let (heatmaps, aux) = match lowered.values[shown].kind {
        Kind::Gate([heatmaps, pointmaps, edgemaps]) => (heatmaps, Some([pointmaps, edgemaps])),
        _ => (shown, None),
    };
    let Kind::Heatmaps(raw, activation) = lowered.values[heatmaps].kind else { return None };
    let mut all = vec![raw];
    for map in aux.iter().flatten() {
        let Kind::Sigmoid(raw) = lowered.values[*map].kind else { return None };
        all.push(raw);
    }
    let readers = lowered.readers();
    let source = lowered.conv(raw)?.sources.clone();
    let plain = |conv: &Conv| {
        conv.is_pointwise() && conv.addend.is_none() && conv.prepare.is_none() && conv.sources == source
    };
    let fits = |&id: &ValueId| readers[id].len() == 1 && lowered.conv(id).is_some_and(plain);
    all.iter().all(fits).then_some(Stage { heatmaps, activation, aux, raw: all })
}

fn join(lowered: &mut Lowered, stage: usize, parts: &Stage) {
    let layout = lowered.layout.clone();
    // Channels that each part takes up, padding included.
    let widths = [layout.heat, layout.points, layout.channels - layout.first_edge().min(layout.channels)];
    let convs: Vec<Conv> = parts.raw.iter().filter_map(|&id| lowered.conv(id).cloned()).collect();
    let stacked = convs.iter().map(|conv| conv.linear.clone()).zip(widths).collect();
    let Some(first) = convs.first() else { return };
    let raw = Conv {
        linear: Linear::stack(stacked),
        multiplications: convs.iter().map(|conv| conv.multiplications).sum(),
        ..first.clone()
    };
    let maps = parts.heatmaps;
    lowered.values[maps].name = format!("heads.{stage}");
    lowered.values[maps].channels = layout.used();
    let shown = lowered.stages[stage];
    for &id in parts.raw.iter().chain(parts.aux.iter().flatten()).chain([&shown]).filter(|&&id| id != maps) {
        lowered.take(id);
    }
    lowered.values[maps].kind = Kind::Maps { raw, activation: parts.activation, stage };
    lowered.stages[stage] = maps;
    // Who reads one of the maps reads all of them, by weights of zero where it did not.
    let places: Vec<(ValueId, usize)> = std::iter::once((maps, 0))
        .chain(parts.aux.iter().flat_map(|&[p, e]| [(p, layout.heat), (e, layout.first_edge())]))
        .collect();
    for id in lowered.convs() {
        let Kind::Conv(conv) = &mut lowered.values[id].kind else { continue };
        if conv.sources.iter().any(|source| places.iter().any(|(map, _)| *map == source.x)) {
            read_together(conv, &places, maps, layout.used());
        }
    }
}

/// Replaces the sources that are among `places` by one of `maps`, `used` channels wide.
fn read_together(conv: &mut Conv, places: &[(ValueId, usize)], maps: ValueId, used: usize) {
    let (mut sources, mut rest, mut together, mut first) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for source in &conv.sources {
        let columns = first..first + source.len;
        first = columns.end;
        if let Some((_, at)) = places.iter().find(|(map, _)| *map == source.x) {
            together.push(conv.linear.placed(columns, *at, used));
        } else {
            sources.push(*source);
            rest.push(conv.linear.inputs(columns));
        }
    }
    sources.push(Source { x: maps, len: used });
    rest.push(Linear::plus(together));
    conv.linear = Linear::sum(rest).biased(&conv.linear);
    conv.sources = sources;
}
