//! `rollcall image …`

use super::args::{AddImage, ImageCommand};
use super::client::{Client, segment};
use super::exit::Failure;
use super::output::{Output, confirm, or_dash, sheet, table};
use crate::api::{ImageView, NewImage};
use crate::artifacts::Condition;
use rollcall_engine::Requirement;
use serde_json::Value;
use std::fs::File;
use std::path::Path;

pub(super) fn run(
    command: ImageCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        ImageCommand::Add(args) => {
            let image = add(args, client)?;
            print(&image, output)
        }
        ImageCommand::Ls => list(client, output),
        ImageCommand::Show { image } => {
            let image: ImageView = client.get(&format!("/images/{}", segment(&image)))?;
            print(&image, output)
        }
        ImageCommand::Restore { image, file } => {
            let url = format!("/images/{}/file", segment(&image));
            let (file, size) = open(&file)?;
            let image: ImageView = client.upload("PUT", &url, file, size)?;
            print(&image, output)
        }
        ImageCommand::Rm {
            image,
            confirm: yes,
        } => {
            confirm(
                yes.yes,
                &format!("Remove image {image} and its file? Robots can no longer be given it."),
            )?;
            let removed: Value = client.delete(&format!("/images/{}", segment(&image)))?;
            if output.json {
                return Ok(output.json(&removed)?);
            }
            Ok(output.line(format_args!("removed image {image}"))?)
        }
    }
}

fn add(args: AddImage, client: &Client) -> Result<ImageView, Failure> {
    if let Some(path) = &args.file {
        return upload(&args, path, client);
    }
    let missing = || Failure::usage("an image needs --file, or --url with --size and --sha256");
    let image = NewImage {
        image: args.image.to_string(),
        hardware_ids: args.hardware.iter().map(ToString::to_string).collect(),
        model: args.model.map(|model| model.to_string()),
        build_id: args.build_id,
        from_version: args.from_version.map(|requirement| requirement.to_string()),
        url: args.url.ok_or_else(missing)?,
        size: args.size.ok_or_else(missing)?,
        sha256: args.sha256.ok_or_else(missing)?,
    };
    client.post("/images", &image)
}

/// The file and its size.
fn open(path: &Path) -> Result<(File, u64), Failure> {
    let unreadable = |why: String| {
        Failure::usage(format!("file {} cannot be uploaded: {why}", path.display()))
            .hint("check --file")
    };
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let metadata = file
        .metadata()
        .map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    Ok((file, metadata.len()))
}

fn upload(args: &AddImage, path: &Path, client: &Client) -> Result<ImageView, Failure> {
    let (file, size) = open(path)?;
    let hardware: Vec<_> = args.hardware.iter().map(|id| id.as_str()).collect();
    let mut url = format!(
        "/images/{}/file?hardware={}",
        segment(&args.image.to_string()),
        segment(&hardware.join(","))
    );
    let model = args.model.as_ref().map(|model| model.as_str());
    let optional = [
        ("model", model),
        ("build_id", args.build_id.as_deref()),
        (
            "from_version",
            args.from_version.as_ref().map(Requirement::as_str),
        ),
        ("sha256", args.sha256.as_deref()),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            url.push_str(&format!("&{key}={}", segment(value)));
        }
    }
    client.upload("POST", &url, file, size)
}

fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let images = client.all::<ImageView>("/images")?;
    if output.json {
        return Ok(output.json(&images)?);
    }
    let mut table = table(["image", "hardware ids", "model", "size", "file", "sha-256"]);
    for image in &images.items {
        table.add_row([
            image.image.as_str(),
            &hardware(image),
            or_dash(image.model.as_deref()),
            &image.size.to_string(),
            file(image),
            image.sha256.get(..12).unwrap_or(&image.sha256),
        ]);
    }
    Ok(output.table(table)?)
}

fn hardware(image: &ImageView) -> String {
    let ids: Vec<_> = image.hardware_ids.iter().map(String::as_str).collect();
    ids.join(", ")
}

fn file(image: &ImageView) -> &'static str {
    match image.file {
        None => "elsewhere",
        Some(Condition::Unchecked) => "here",
        Some(Condition::Whole) => "here, checked",
        Some(Condition::Damaged) => "DAMAGED; image restore",
        Some(Condition::Missing) => "MISSING; image restore",
    }
}

fn print(image: &ImageView, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(image)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["image", &image.image]);
    sheet.add_row(["hardware ids", &hardware(image)]);
    sheet.add_row(["model", or_dash(image.model.as_deref())]);
    sheet.add_row(["build id", or_dash(image.build_id.as_deref())]);
    sheet.add_row(["from version", or_dash(image.from_version.as_deref())]);
    sheet.add_row(["size", &format!("{} bytes", image.size)]);
    sheet.add_row(["sha-256", &image.sha256]);
    sheet.add_row(["url", &image.url]);
    sheet.add_row(["file", file(image)]);
    sheet.add_row(["created", &image.created]);
    Ok(output.table(sheet)?)
}
