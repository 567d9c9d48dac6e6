//! Passes over what convolutions read.

use super::super::lowered::{Conv, Kind, Lowered, Source, ValueId};

/// A convolution of maps side by side reads each by itself.
pub(super) fn split_concatenations(lowered: &mut Lowered) {
    for id in lowered.convs() {
        let parts = |source: &Source| match &lowered.values[source.x].kind {
            Kind::Concat(parts) => {
                parts.iter().map(|&x| Source { x, len: lowered.values[x].channels }).collect()
            }
            _ => vec![*source],
        };
        let sources = lowered.conv(id).map(|conv| conv.sources.iter().flat_map(parts).collect());
        if let (Kind::Conv(conv), Some(sources)) = (&mut lowered.values[id].kind, sources) {
            conv.sources = sources;
        }
    }
    forget_unread(lowered, |kind| matches!(kind, Kind::Concat(_)));
}

/// What coordinates contribute to a convolution with a window does not depend on the image: a map that is added.
pub(super) fn coordinate_constants(lowered: &mut Lowered) {
    for id in lowered.convs() {
        let Kind::Conv(conv) = &lowered.values[id].kind else { continue };
        let [first, second] = conv.sources[..] else { continue };
        let constant = matches!(lowered.values[second.x].kind, Kind::Coordinates { boundary: None });
        if conv.linear.kernel == 1 || !constant {
            continue;
        }
        let mut conv = conv.clone();
        conv.constant = Some(conv.linear.inputs(first.len..first.len + second.len));
        conv.linear = conv.linear.inputs(0..first.len).biased(&conv.linear);
        conv.sources.truncate(1);
        lowered.values[id].kind = Kind::Conv(conv);
    }
    forget_unread(lowered, |kind| matches!(kind, Kind::Coordinates { .. }));
}

/// A norm with its ReLU that only 1x1 convolutions read is done on their input, pixel by pixel.
pub(super) fn norms_in_front(lowered: &mut Lowered) {
    let readers = lowered.readers();
    for id in lowered.order.clone() {
        let Kind::Relu(norm) = lowered.values[id].kind else { continue };
        let Kind::Affine(x, prepare) = &lowered.values[norm].kind else { continue };
        let (x, prepare) = (*x, prepare.clone());
        let reads_it_alone = |conv: &Conv| {
            conv.is_pointwise()
                && conv.prepare.is_none()
                && conv.sources.len() == 1
                && conv.sources[0].x == id
        };
        let all = readers[id].iter().all(|&reader| lowered.conv(reader).is_some_and(reads_it_alone));
        if readers[norm].len() != 1 || readers[id].is_empty() || !all {
            continue;
        }
        for &reader in &readers[id] {
            if let Kind::Conv(conv) = &mut lowered.values[reader].kind {
                conv.sources[0].x = x;
                conv.prepare = Some(prepare.clone());
            }
        }
        lowered.take(id);
        lowered.take(norm);
    }
}

/// Drops values of a kind that nothing reads any more.
fn forget_unread(lowered: &mut Lowered, which: impl Fn(&Kind<'_>) -> bool) {
    let readers = lowered.readers();
    let unread = |id: &ValueId| readers[*id].is_empty() && which(&lowered.values[*id].kind);
    let unread: Vec<ValueId> = lowered.order.iter().copied().filter(unread).collect();
    unread.into_iter().for_each(|id| {
        lowered.take(id);
    });
}
