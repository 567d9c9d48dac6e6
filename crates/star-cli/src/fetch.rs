//! `star fetch`, which `cargo xtask fetch-weights` starts.

use std::path::Path;

use anyhow::Result;
use star_model::hub::registry::{self, Purpose};
use star_predict::weights;

use crate::args::FetchArgs;
use crate::output;
use crate::progress::FetchBar;

/// Fetches the named weights, or lists those that are known.
///
/// # Errors
/// At the first of the weights that cannot be had.
pub(crate) fn run(args: &FetchArgs) -> Result<()> {
    if args.list {
        return output::write_text(Path::new("-"), &list());
    }
    let all = || registry::entries().into_iter().map(|entry| entry.name).collect();
    for name in &if args.all { all() } else { args.names.clone() } {
        let path = weights::fetch(name, &mut FetchBar::default())?;
        output::write_text(Path::new("-"), &format!("{name}\t{}\n", path.display()))?;
    }
    Ok(())
}

fn list() -> String {
    let mut text = String::from("name\tuse\tscheme\tlicence\taddress\tsource\n");
    for entry in registry::entries() {
        let used = match entry.purpose {
            Purpose::Landmarks => "--weights",
            Purpose::Trunk => "init_from",
        };
        let scheme = entry.scheme.clone().unwrap_or_else(|| "-".to_string());
        text += &format!(
            "{}\t{used}\t{scheme}\t{}\t{}\t{}\n",
            entry.name,
            entry.licence,
            entry.address(),
            entry.source
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_entry() {
        let list = list();
        assert_eq!(list.lines().count(), 1 + registry::entries().len());
        assert!(
            list.contains("star-wflw\t--weights\twflw98") && list.contains("hrnet-w18-imagenet\tinit_from")
        );
    }
}
