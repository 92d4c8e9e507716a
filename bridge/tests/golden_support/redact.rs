//! What differs from run to run, made the same.

use super::stage::Stage;
use regex::Regex;
use std::sync::LazyLock;

static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
            "<time>",
        ),
        (
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
            "<operation>",
        ),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
        // Spans that are measured are written in brackets, those that are chosen are not.
        (r"\((in )?\d+[a-z]+( \d+[a-z]+)?( ago)?\)", "(<span>)"),
    ]
    .map(|(rule, text)| (Regex::new(rule).unwrap(), text))
    .into()
});

/// The output without times, ports, identifiers and directories.
pub(super) fn redact(output: &str, stage: &Stage) -> String {
    let mut output = output.replace(stage.directory(), "<directory>");
    for (rule, text) in &*RULES {
        output = rule.replace_all(&output, *text).into_owned();
    }
    output
}
