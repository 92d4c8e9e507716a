//! A whole rollout in a file: the form that `rollout create --from` reads and `rollout show --toml` writes
//! (`docs/rollouts.md`).
//!
//! The keys are those of the API; spans are texts such as `"15m"`, and what is not given has the same default.

mod mechanism;
mod source;
#[cfg(test)]
mod tests;
mod write;

pub(super) use write::write;

use crate::api::{MappedImage, NewRollout};
use crate::cli::exit::{Exit, Failure};
use rollcall_engine::{
    GroupName, HardwareId, ImageRef, RobotId, RolloutName, Selector, TargetSelection,
};
use source::{Section, Source};
use std::io::Read;
use std::path::Path;

/// Longest file, bytes. Lists of robots are the longest thing in one.
const MAX_BYTES: u64 = 16 << 20;
const TARGET: &str = "{ group = \"NAME\" }, { selector = 'EXPRESSION' }, { hardware = \"ID\" } or { robots = [\"ID\"] }";

/// Reads the file at `path`, or standard input if that is `-`. `name` stands in for the name in it.
pub(super) fn read(path: &Path, name: Option<RolloutName>) -> Result<NewRollout, Failure> {
    let shown = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let text = load(path).map_err(|error| {
        let message = format!("{shown} cannot be read: {error}");
        Failure::new(Exit::Usage, "file", message).hint("check the path; `-` is standard input")
    })?;
    parse(&shown, &text, name)
}

fn load(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)?
    } else {
        std::fs::File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)?
    };
    if read as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is longer than 16 MiB"));
    }
    Ok(text)
}

/// Reads the text of a file.
fn parse(shown: &str, text: &str, name: Option<RolloutName>) -> Result<NewRollout, Failure> {
    let source = Source { name: shown, text };
    let document = source.parse()?;
    let mut top = Section::new(&source, String::new(), 0..0, document.get_ref());
    let own = top.take("name");
    let own = own
        .map(|name| name.read(RolloutName::new, "write a name in quotes"))
        .transpose()?;
    let name = match name.or(own) {
        Some(name) => name,
        None => top
            .need("name", "name = \"NAME\", or give --name")?
            .read(RolloutName::new, "")?,
    };
    let new = NewRollout {
        name,
        target: target(&mut top)?,
        images: images(&mut top)?,
        mechanism: mechanism::read(&mut top)?,
    };
    top.end()?;
    Ok(new)
}

fn target(top: &mut Section<'_>) -> Result<TargetSelection, Failure> {
    let target = top.need("target", &format!("target = {TARGET}"))?;
    let such_as = format!("write {TARGET}");
    let mut section = target.section("`target`", &such_as)?;
    let mut found = Vec::new();
    if let Some(name) = section.take("group") {
        found.push(TargetSelection::Group(name.read(GroupName::new, &such_as)?));
    }
    if let Some(selector) = section.take("selector") {
        found.push(TargetSelection::Selector(
            selector.parse::<Selector>(&such_as)?,
        ));
    }
    if let Some(id) = section.take("hardware") {
        found.push(TargetSelection::Hardware(
            id.read(HardwareId::new, &such_as)?,
        ));
    }
    if let Some(list) = section.take("robots") {
        let robots = list.list("robot", &such_as)?;
        let robots = robots
            .iter()
            .map(|robot| robot.read(RobotId::new, "write a robot's id in quotes"));
        found.push(TargetSelection::Robots(robots.collect::<Result<_, _>>()?));
    }
    section.end()?;
    match found.pop() {
        Some(target) if found.is_empty() => Ok(target),
        _ => Err(target.bad(format_args!("write one of {TARGET}"))),
    }
}

fn images(top: &mut Section<'_>) -> Result<Vec<MappedImage>, Failure> {
    let such_as = "images = { HARDWARE_ID = \"NAME@VERSION\" }";
    let entry = top.need("images", such_as)?;
    let section = entry.section("`images`", &format!("write {such_as}"))?;
    let mut images = Vec::new();
    for (hardware_id, span, image) in section.rest() {
        let hardware_id = HardwareId::new(hardware_id);
        let hardware_id = hardware_id.map_err(|error| image.key_is_bad(&span, error))?;
        let image: ImageRef = image.parse("write NAME@VERSION in quotes")?;
        let image = image.to_string();
        images.push(MappedImage { hardware_id, image });
    }
    if images.is_empty() {
        return Err(entry.bad(format_args!("map at least one hardware id: {such_as}")));
    }
    Ok(images)
}
