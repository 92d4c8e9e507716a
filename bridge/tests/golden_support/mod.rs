//! Plays a session and compares it with what is written down.

mod redact;
mod stage;

use redact::redact;
use stage::Stage;
use std::path::PathBuf;

/// Plays `sessions/NAME.txt`.
pub(crate) fn play(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/sessions/{name}.txt"));
    let written = std::fs::read_to_string(&path).unwrap();
    let mut stage = Stage::new();
    let mut played = String::new();
    let mut lines = written.lines().peekable();
    while let Some(line) = lines.next() {
        let output = if let Some(command) = line.strip_prefix("$ ") {
            let output = stage.command(command);
            // What was printed last time.
            while lines.next_if(|line| !is_script(line)).is_some() {}
            redact(&output, &stage)
        } else {
            if let Some(act) = line.strip_prefix("> ") {
                let mut file = String::new();
                let mut shown = String::new();
                while let Some(more) = lines.next_if(|line| line.starts_with('|')) {
                    file.push_str(more[1..].strip_prefix(' ').unwrap_or(&more[1..]));
                    file.push('\n');
                    shown.push_str(&format!("{more}\n"));
                }
                stage.act(act, &file);
                shown
            } else {
                String::new()
            }
        };
        played.push_str(&format!("{line}\n{output}"));
        if line.starts_with("$ ") && lines.peek().is_some() {
            played.push('\n');
        }
    }
    if std::env::var_os("ROLLCALL_BLESS").is_some() {
        std::fs::write(&path, &played).unwrap();
        return;
    }
    let mut pairs = written.lines().zip(played.lines()).zip(1..);
    if let Some(((expected, found), number)) =
        pairs.find(|((expected, found), _)| expected != found)
    {
        panic!(
            "{name}.txt, line {number}:\nexpected {expected}\nfound    {found}\n\nall of it:\n{played}"
        );
    }
    assert_eq!(written, played, "{name}.txt");
}

fn is_script(line: &str) -> bool {
    line.starts_with("$ ") || line.starts_with("> ") || line.starts_with('#')
}
