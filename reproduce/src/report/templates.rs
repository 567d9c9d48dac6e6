//! The templates, built in, and what they can call.

use anyhow::Result;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};

use super::figures::Figures;
use super::filters;

/// Each file of `templates/` by its name there.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../../templates/", $name)))),*] };
}

const TEMPLATES: [(&str, &str); 27] = built_in![
    "default_model/ablations.md",
    "default_model/confidence.md",
    "default_model/detection.md",
    "default_model/notice.md",
    "default_model/pose.md",
    "default_model/report.md",
    "front_page/paper.md",
    "front_page/ambiguity.md",
    "front_page/result.md",
    "networks.md",
    "offline/appendix.md",
    "offline/method.md",
    "offline/plan.txt",
    "offline/report.md",
    "offline/words.md",
    "overhead.md",
    "portraits/plan.txt",
    "portraits/report.md",
    "portraits/words.md",
    "real/ablations.md",
    "real/kinds.md",
    "real/leaders.md",
    "real/method.md",
    "real/plan.txt",
    "real/report.md",
    "real/subsets.md",
    "real/verdicts.md",
];

/// Everything a template needs; what it draws is added to `figures`.
///
/// # Errors
/// When a template is not well-formed, which a test excludes.
pub(super) fn environment(figures: &Figures) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?,
    );
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    filters::add(&mut environment);
    figures.add(&mut environment);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    #[cfg(test)]
    environment.add_template("test.md", include_str!("test.md"))?;
    Ok(environment)
}
