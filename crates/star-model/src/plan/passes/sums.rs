//! Passes over what stands behind convolutions: norms, sums, ReLUs.

use super::super::fold::Linear;
use super::super::lowered::{Conv, Depthwise, Kind, Lowered, ValueId};
use super::super::ops::pointwise::MOST_SOURCES;
use crate::activation::Activation;

/// A norm that alone reads a convolution scales its weights.
pub(super) fn fold_norms(lowered: &mut Lowered) {
    let readers = lowered.readers();
    for id in lowered.order.clone() {
        let Kind::Affine(x, _) = lowered.values[id].kind else { continue };
        let plain = |conv: &Conv| conv.is_linear() && conv.addend.is_none();
        let fits = match &lowered.values[x].kind {
            Kind::Conv(conv) => plain(conv),
            Kind::Depthwise(conv) => conv.activation == Activation::None,
            _ => false,
        };
        if readers[x].len() != 1 || !fits {
            continue;
        }
        let Kind::Affine(_, norm) = lowered.take(id) else { continue };
        let mut kind = lowered.take(x);
        if let Kind::Conv(Conv { linear, .. }) | Kind::Depthwise(Depthwise { linear, .. }) = &mut kind {
            *linear = linear.clone().then(&norm.scale, &norm.shift);
        }
        lowered.replace(id, x, kind);
    }
}

/// A sum is part of a convolution or an upsampling that nothing else reads; of two 1x1 convolutions it makes one of both inputs.
pub(super) fn merge_sums(lowered: &mut Lowered) {
    let readers = lowered.readers();
    for id in lowered.order.clone() {
        let Kind::Add(a, b) = lowered.values[id].kind else { continue };
        let free = |id: ValueId| lowered.conv(id).filter(|conv| readers[id].len() == 1 && conv.is_linear());
        if let Some(both) = free(a).zip(free(b)).and_then(|(a, b)| joined(a, b)) {
            lowered.take(b);
            lowered.replace(id, a, Kind::Conv(both));
            continue;
        }
        let alone = |id: ValueId| free(id).is_some_and(|conv| conv.addend.is_none());
        let onto = [(b, a), (a, b)].into_iter().find(|&(conv, _)| alone(conv));
        if let Some((of, addend)) = onto
            && let Kind::Conv(conv) = lowered.take(of)
        {
            lowered.replace(id, of, Kind::Conv(Conv { addend: Some(addend), ..conv }));
        } else if let Some(kind) = upsampled_onto(lowered, &readers, b, a) {
            lowered.values[id].kind = kind;
        } else if let Some(kind) = upsampled_onto(lowered, &readers, a, b) {
            lowered.values[id].kind = kind;
        }
    }
}

/// Two 1x1 convolutions of maps of one size, added up, as one.
fn joined<'a>(a: &Conv<'a>, b: &Conv<'a>) -> Option<Conv<'a>> {
    let fits = a.is_pointwise()
        && b.is_pointwise()
        && (a.prepare.is_none() || b.prepare.is_none())
        && (a.addend.is_none() || b.addend.is_none())
        && a.sources.len() + b.sources.len() <= MOST_SOURCES;
    if !fits {
        return None;
    }
    // What is prepared comes first.
    let (first, second) = if b.prepare.is_some() { (b, a) } else { (a, b) };
    Some(Conv {
        linear: Linear::sum(vec![first.linear.clone(), second.linear.clone()]),
        sources: [&first.sources[..], &second.sources[..]].concat(),
        prepare: first.prepare.clone(),
        addend: a.addend.or(b.addend),
        multiplications: a.multiplications + b.multiplications,
        ..first.clone()
    })
}

/// The upsampling `id` onto `base`, where nothing else reads it; it is gone then.
fn upsampled_onto<'a>(
    lowered: &mut Lowered<'a>,
    readers: &[Vec<ValueId>],
    id: ValueId,
    base: ValueId,
) -> Option<Kind<'a>> {
    match lowered.values[id].kind {
        Kind::Bilinear { low, factor, base: None, activation: Activation::None }
            if readers[id].len() == 1 =>
        {
            lowered.take(id);
            Some(Kind::Bilinear { low, factor, base: Some(base), activation: Activation::None })
        }
        _ => None,
    }
}

/// A ReLU that alone reads a convolution or an upsampling is done where its result is written.
pub(super) fn relus_behind(lowered: &mut Lowered) {
    let readers = lowered.readers();
    for id in lowered.order.clone() {
        let Kind::Relu(x) = lowered.values[id].kind else { continue };
        let takes_it =
            matches!(lowered.values[x].kind, Kind::Conv(_) | Kind::Depthwise(_) | Kind::Bilinear { .. });
        if readers[x].len() != 1 || !takes_it {
            continue;
        }
        let mut kind = lowered.take(x);
        if let Kind::Conv(Conv { activation, .. })
        | Kind::Depthwise(Depthwise { activation, .. })
        | Kind::Bilinear { activation, .. } = &mut kind
        {
            *activation = Activation::Relu;
        }
        lowered.replace(id, x, kind);
    }
}
