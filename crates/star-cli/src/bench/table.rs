//! The figures of a network for a person to read.

use std::fmt::Write;

use super::measure::Figures;

/// The group that a step is counted in: the part of the network, and what kind of step at which size follows from its name.
fn group(name: &str) -> String {
    let part = name.split('.').next().unwrap_or(name);
    let kind = match name.rsplit('.').next().unwrap_or(name) {
        kind if kind == part => return kind.to_string(),
        kind @ ("conv1" | "conv2" | "conv3" | "coordconv" | "activate" | "stage") => kind,
        _ => "conv",
    };
    let depth = name.matches(".low").count();
    match part {
        "hgs" => format!("hgs level {depth} {kind}"),
        part => format!("{part} {kind}"),
    }
}

/// Groups of steps that are shown unless all steps are asked for.
const SLOWEST: usize = 5;

/// Speed, memory, and the time of each step or group of steps.
pub(super) fn table(figures: &Figures, every_step: bool) -> String {
    let mut text = String::new();
    let f = figures;
    let peak = f.peak_gmac_per_second;
    // Writing into a string cannot fail.
    let mut line = |what: String| {
        let _ = writeln!(text, "{what}");
    };
    line(format!("network       {} ({:.2} GMAC an image)", f.network, f.gmac));
    line(format!(
        "runs          {} of {} images, {} threads, {}, {}",
        f.runs, f.batch_size, f.threads, f.isa, f.precision
    ));
    line(format!("start         {:.0} ms", f.start_ms));
    line(format!(
        "latency       median {:.1} ms, min {:.1}, 90 % {:.1}, 99 % {:.1}",
        f.median_ms, f.min_ms, f.p90_ms, f.p99_ms
    ));
    line(format!(
        "throughput    {:.1} images/s, {:.1} GMAC/s of plain convolution",
        f.images_per_second, f.gmac_per_second
    ));
    line(format!(
        "machine       kernel {peak:.1} GMAC/s, registers alone {:.1}, copying {:.1} GB/s",
        f.register_gmac_per_second, f.copy_gb_per_second
    ));
    line(format!(
        "memory        weights {:.0} MiB, activations {:.0} MiB{}",
        f.weights_mib,
        f.activations_mib,
        f.process_peak_mib.map_or(String::new(), |peak| format!(", process at most {peak:.0} MiB"))
    ));
    if let Some(d) = &f.distances {
        line(format!(
            "landmarks     {:.3} px from those in {} on average, {:.2} px at most",
            d.mean_px, d.against, d.largest_px
        ));
    }
    let mut groups: Vec<(String, f64, f64)> = Vec::new();
    for step in &f.steps {
        let name = if every_step { step.name.clone() } else { group(&step.name) };
        match groups.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, ms, gmac)) => {
                *ms += step.ms;
                *gmac += step.gmac;
            }
            None => groups.push((name, step.ms, step.gmac)),
        }
    }
    if !every_step {
        groups.sort_by(|(_, a, _), (_, b, _)| b.total_cmp(a));
    }
    let total: f64 = groups.iter().map(|(_, ms, _)| ms).sum();
    line(format!(
        "\n{:<40} {:>9} {:>7} {:>8} {:>9}",
        "one image, all threads", "ms", "share", "GMAC", "GMAC/s"
    ));
    let shown = if every_step { groups.len() } else { SLOWEST.min(groups.len()) };
    for (name, ms, gmac) in &groups[..shown] {
        let speed = if *gmac > 0.0 { format!("{:.0}", gmac / ms * 1e3) } else { String::new() };
        line(format!("{name:<40} {ms:>9.3} {:>6.1}% {gmac:>8.3} {speed:>9}", 100.0 * ms / total));
    }
    if shown < groups.len() {
        let (count, ms): (usize, f64) =
            (groups.len() - shown, groups[shown..].iter().map(|(_, ms, _)| ms).sum());
        let others = format!("{count} more groups; step by step: --steps");
        line(format!("{others:<40} {ms:>9.3} {:>6.1}%", 100.0 * ms / total));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_grouped_by_part_level_and_kind() {
        assert_eq!(group("hgs.0.low2.low1.conv2"), "hgs level 2 conv2");
        assert_eq!(group("hgs.3.up1.conv1"), "hgs level 0 conv1");
        assert_eq!(group("features.2.0.conv1"), "features conv1");
        assert_eq!(group("merge.1"), "merge conv");
    }
}
