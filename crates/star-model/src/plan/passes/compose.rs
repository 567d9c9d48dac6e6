//! Passes that exchange or join linear maps.

use super::super::fold::Linear;
use super::super::lowered::{Conv, Kind, Lowered, Source, Value, ValueId};
use super::super::ops::pointwise::MOST_SOURCES;
use crate::activation::Activation;

/// A 1x1 convolution of a 1x1 convolution that nothing else reads is one of what that reads, where it costs no more.
pub(super) fn compose(lowered: &mut Lowered) {
    let readers = lowered.readers();
    for id in lowered.order.clone() {
        let mut at = 0;
        while let Some(source) = sources(lowered, id).get(at).copied() {
            let composed = if readers[source.x].len() == 1 { behind(lowered, id, at) } else { None };
            match composed {
                Some(conv) => {
                    lowered.take(source.x);
                    replace(lowered, id, conv);
                    at = 0;
                }
                None => at += 1,
            }
        }
    }
}

fn sources<'l>(lowered: &'l Lowered, id: ValueId) -> &'l [Source] {
    match &lowered.values[id].kind {
        Kind::Conv(conv) | Kind::Maps { raw: conv, .. } => &conv.sources,
        _ => &[],
    }
}

fn replace<'a>(lowered: &mut Lowered<'a>, id: ValueId, with: Conv<'a>) {
    if let Kind::Conv(conv) | Kind::Maps { raw: conv, .. } = &mut lowered.values[id].kind {
        *conv = with;
    }
}

/// Convolution `id` with source `at` replaced by what that source is a convolution of.
fn behind<'a>(lowered: &Lowered<'a>, id: ValueId, at: usize) -> Option<Conv<'a>> {
    let (Kind::Conv(outer) | Kind::Maps { raw: outer, .. }) = &lowered.values[id].kind else { return None };
    let source = outer.sources[at];
    let inner = lowered.conv(source.x)?;
    let (from_addend, inner_channels) = (inner.addend.is_some(), inner.linear.outputs);
    let count = outer.sources.len() - 1 + inner.sources.len() + usize::from(from_addend);
    let fits = outer.is_pointwise()
        && inner.is_pointwise()
        && inner.is_linear()
        && inner.constant.is_none()
        && source.len == inner_channels
        && count <= MOST_SOURCES
        && (outer.prepare.is_none() || at > 0)
        && (outer.prepare.is_none() || inner.prepare.is_none());
    let outputs = outer.linear.outputs;
    let before = outputs * inner_channels + inner_channels * inner.linear.inputs;
    let after = outputs * (inner.linear.inputs + if from_addend { inner_channels } else { 0 });
    if !fits || after > before {
        return None;
    }
    let mut parts: Vec<(Vec<Source>, Linear)> = Vec::with_capacity(count);
    let (mut from_inner, mut place) = (Vec::with_capacity(2), 0);
    for (i, &source) in outer.sources.iter().enumerate() {
        let columns = outer.linear.inputs(place..place + source.len);
        place += source.len;
        if i != at {
            parts.push((vec![source], columns));
            continue;
        }
        from_inner.push((inner.sources.clone(), columns.after(&inner.linear)));
        let same = inner.addend.map(|x| (vec![Source { x, len: inner_channels }], columns));
        from_inner.extend(same);
    }
    // What is prepared comes first.
    let parts = if inner.prepare.is_some() { [from_inner, parts] } else { [parts, from_inner] }.concat();
    let (sources, linear): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    Some(Conv {
        linear: Linear::sum(linear).biased(&outer.linear),
        sources: sources.concat(),
        prepare: outer.prepare.clone().or_else(|| inner.prepare.clone()),
        multiplications: outer.multiplications + inner.multiplications,
        ..outer.clone()
    })
}

/// A 1x1 convolution and an upsampling can change places: the convolution is cheaper on the smaller maps. Of several inputs, the
/// convolution of those that are not upsampled comes first, and the others are added to it one by one.
pub(super) fn convolve_before_upsampling<'a>(lowered: &mut Lowered<'a>) {
    let readers = lowered.readers();
    for id in lowered.convs() {
        let Some(conv) =
            lowered.conv(id).filter(|conv| conv.is_pointwise() && conv.prepare.is_none()).cloned()
        else {
            continue;
        };
        let upsampled = |source: &Source| match lowered.values[source.x].kind {
            Kind::Bilinear { low, factor, base: None, activation: Activation::None }
                if readers[source.x].len() == 1 =>
            {
                Some((low, factor))
            }
            _ => None,
        };
        let plan: Vec<_> = conv.sources.iter().map(|source| (*source, upsampled(source))).collect();
        let count = plan.iter().filter(|(_, low)| low.is_some()).count();
        if count == 0 || count == plan.len() {
            continue;
        }
        let share = |len: usize| conv.multiplications * len as u64 / conv.linear.inputs.max(1) as u64;
        let (mut first, mut kept, mut ups) = (0, Vec::new(), Vec::new());
        for (source, low) in plan {
            let part = conv.linear.inputs(first..first + source.len);
            first += source.len;
            match low {
                None => kept.push((source, part)),
                Some((low, factor)) => ups.push((source, part, low, factor)),
            }
        }
        let (name, side) = (lowered.values[id].name.clone(), lowered.values[id].side);
        let channels = conv.linear.outputs;
        let (kept, parts): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
        let linear = Linear::sum(parts).biased(&conv.linear);
        let base = Conv {
            multiplications: share(linear.inputs),
            linear,
            sources: kept,
            activation: Activation::None,
            ..conv.clone()
        };
        let value = |name: String, kind: Kind<'a>, side: usize| Value { name, kind, channels, side };
        let mut sum = lowered.insert_before(id, value(name.clone(), Kind::Conv(base), side));
        let last = ups.len() - 1;
        for (i, (source, part, low, factor)) in ups.into_iter().enumerate() {
            lowered.take(source.x);
            let small = Kind::Conv(Conv::of(part, low, 1, share(source.len)));
            let small = value(format!("{name}.{}", i + 1), small, lowered.values[low].side);
            let small = lowered.insert_before(id, small);
            let activation = Activation::relu_if(i == last && conv.activation.is_relu());
            let kind = Kind::Bilinear { low: small, factor, base: Some(sum), activation };
            if i == last {
                lowered.values[id].kind = kind;
            } else {
                sum = lowered.insert_before(id, value(format!("{name}.{}.up", i + 1), kind, side));
            }
        }
    }
}
