//! Passes over what stands behind convolutions: norms, sums, ReLUs.

use super::super::fold::Linear;
use super::super::lowered::{Conv, Kind, Lowered, ValueId};
use super::super::ops::pointwise::MOST_SOURCES;
use crate::activation::Activation;

/// A norm that alone reads a convolution scales its weights.
pub(super) fn fold_norms(lowered: &mut Lowered) {
    let readers = lowered.readers();
    for id in lowered.order.clone() {
        let Kind::Affine(x, norm) = &lowered.values[id].kind else { continue };
        let (x, norm) = (*x, norm.clone());
        if readers[x].len() != 1 {
            continue;
        }
        if let Some(conv) = lowered.conv(x).filter(|conv| conv.is_linear() && conv.addend.is_none()).cloned()
        {
            let linear = conv.linear.then(&norm.scale, &norm.shift);
            lowered.become_conv(id, x, Conv { linear, ..conv });
        }
    }
}

/// A sum is part of a convolution or an upsampling that nothing else reads; of two 1x1 convolutions it makes one of both inputs.
pub(super) fn merge_sums(lowered: &mut Lowered) {
    let readers = lowered.readers();
    for id in lowered.order.clone() {
        let Kind::Add(a, b) = lowered.values[id].kind else { continue };
        let free =
            |id: ValueId| lowered.conv(id).filter(|conv| readers[id].len() == 1 && conv.is_linear()).cloned();
        let (of_a, of_b) = (free(a), free(b));
        if let Some(both) = of_a.as_ref().zip(of_b.as_ref()).and_then(|(a, b)| joined(a, b)) {
            lowered.take(b);
            lowered.become_conv(id, a, both);
            continue;
        }
        let alone = |conv: Option<Conv>| conv.filter(|conv| conv.addend.is_none());
        if let Some(conv) = alone(of_b) {
            lowered.become_conv(id, b, Conv { addend: Some(a), ..conv });
        } else if let Some(conv) = alone(of_a) {
            lowered.become_conv(id, a, Conv { addend: Some(b), ..conv });
        } else if let Some(kind) = upsampled_onto(lowered, &readers, b, a) {
            lowered.values[id].kind = kind;
        } else if let Some(kind) = upsampled_onto(lowered, &readers, a, b) {
            lowered.values[id].kind = kind;
        }
    }
}

/// Two 1x1 convolutions of maps of one size, added up, as one.
fn joined(a: &Conv, b: &Conv) -> Option<Conv> {
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
        linear: Linear::sum(&[&first.linear, &second.linear]),
        sources: [&first.sources[..], &second.sources[..]].concat(),
        prepare: first.prepare.clone(),
        addend: a.addend.or(b.addend),
        multiplications: a.multiplications + b.multiplications,
        ..first.clone()
    })
}

/// The upsampling `id` onto `base`, where nothing else reads it; it is gone then.
fn upsampled_onto(
    lowered: &mut Lowered,
    readers: &[Vec<ValueId>],
    id: ValueId,
    base: ValueId,
) -> Option<Kind> {
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
        if readers[x].len() != 1 {
            continue;
        }
        let mut kind = lowered.values[x].kind.clone();
        match &mut kind {
            Kind::Conv(Conv { activation, .. }) | Kind::Bilinear { activation, .. } => {
                *activation = Activation::Relu;
            }
            _ => continue,
        }
        lowered.take(x);
        lowered.values[id].name = lowered.values[x].name.clone();
        lowered.values[id].kind = kind;
    }
}
