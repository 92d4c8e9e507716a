//! Where a session happens: a server, robots that do what the script says, and the program.

use crate::process::{Client, PATIENCE, ServerProcess};
use rollcall_proto::native::{OtaEvent, OtaRequest, RequestKind};
use rollcall_proto::{Code, Status};
use rollcall_tests::lean::Identity;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

pub(super) struct Stage {
    server: ServerProcess,
    identities: BTreeMap<String, Identity>,
    robots: BTreeMap<String, Robot>,
    directory: TempDir,
}

/// A robot with one ECU, `main`.
struct Robot {
    client: Client,
    boot: u64,
    counter: u64,
    request: Option<OtaRequest>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(directory.path(), "");
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
        std::os::unix::fs::symlink(examples, directory.path().join("examples")).unwrap();
        Self {
            server,
            identities: BTreeMap::new(),
            robots: BTreeMap::new(),
            directory,
        }
    }

    pub(super) fn directory(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    /// What the command prints, and its exit code unless that is 0.
    pub(super) fn command(&self, line: &str) -> String {
        let words = split(line);
        assert_eq!(words[0], "rollcall", "{line}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command
            .args(&words[1..])
            .current_dir(self.directory.path())
            .env("ROLLCALL_API", &self.server.api)
            .env("ROLLCALL_DATA_DIR", self.server.data_dir())
            .env_remove("ROLLCALL_TOKEN")
            .stdin(Stdio::null());
        // Both into one pipe: in the order in which people see it.
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        // The command holds its ends of the pipe too, which must all be closed.
        drop(command);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let status = child.wait().unwrap();
        if let Some(code) = status.code().filter(|code| *code != 0) {
            text.push_str(&format!("[exit code {code}]\n"));
        }
        text
    }

    /// What robots do, or what is waited for.
    pub(super) fn act(&mut self, act: &str, file: &str) {
        let words: Vec<_> = act.split_whitespace().collect();
        match words.as_slice() {
            ["file", name] => std::fs::write(self.directory.path().join(name), file).unwrap(),
            ["registered", hardware, names @ ..] => self.register(hardware, names),
            ["image", image, hardware] => self.image(image, hardware),
            ["online", names @ ..] => names.iter().for_each(|name| self.online(name)),
            ["offline", names @ ..] => names.iter().for_each(|name| self.offline(name)),
            ["update", names @ ..] => names.iter().for_each(|name| self.update(name)),
            ["acknowledge", names @ ..] => names
                .iter()
                .for_each(|name| self.say(name, Status::Acknowledged, None)),
            ["install", names @ ..] => names
                .iter()
                .for_each(|name| self.say(name, Status::Deploying, None)),
            ["finish", names @ ..] => names.iter().for_each(|name| self.finish(name)),
            ["fail", names @ ..] => names
                .iter()
                .for_each(|name| self.say(name, Status::Failure, Some(Code::IoError))),
            ["give-up", names @ ..] => names.iter().for_each(|name| self.give_up(name)),
            ["until", "rollout", id, "is", status] => {
                self.until(&format!("/v1/rollouts/{id}"), |rollout| {
                    rollout["status"] == *status
                });
            }
            ["update-all", "rollout", id, "until", status] => self.update_all(id, status),
            _ => panic!("nobody knows how to do this: {act}"),
        }
    }

    fn register(&mut self, hardware: &str, names: &[&str]) {
        for name in names {
            let ecu = json!({ "name": "main", "hardware_id": hardware, "primary": true });
            let robot = json!({ "id": name, "ecus": [ecu] });
            let answer = self
                .server
                .post("/v1/robots", &json!({ "robots": [robot] }));
            let robot = &answer["results"][0]["robot"];
            let ecu = rollcall_proto::native::EcuDescription {
                name: "main".to_owned(),
                hardware_id: hardware.to_owned(),
                primary: true,
            };
            let identity = Identity {
                realm: "fleet".to_owned(),
                id: (*name).to_owned(),
                secret: robot["credentials_secret"].as_str().unwrap().to_owned(),
                ecus: vec![ecu],
            };
            self.identities.insert((*name).to_owned(), identity);
        }
    }

    /// By URL; nobody fetches it.
    fn image(&self, image: &str, hardware: &str) {
        let image = json!({
            "image": image, "hardware_ids": [hardware], "url": "http://127.0.0.1:9/none",
            "size": 1, "sha256": "00".repeat(32),
        });
        self.server.post("/v1/images", &image);
    }

    fn online(&mut self, name: &str) {
        let client = Client::introduced(self.server.mqtt, &self.identities[name], 1);
        let robot = Robot {
            client,
            boot: 1,
            counter: 0,
            request: None,
        };
        self.robots.insert(name.to_owned(), robot);
        self.until(&format!("/v1/robots/{name}"), |robot| {
            robot["ready"] == true
        });
    }

    fn offline(&mut self, name: &str) {
        self.robots.remove(name).unwrap();
        self.until(&format!("/v1/robots/{name}"), |robot| {
            robot["online"] == false
        });
    }

    fn say(&mut self, name: &str, status: Status, code: Option<Code>) {
        let robot = self.robots.get_mut(name).expect(name);
        let request = robot.request.get_or_insert_with(|| robot.client.request());
        assert_eq!(request.kind, RequestKind::Update);
        robot.counter += 1;
        let event = OtaEvent {
            boot: robot.boot,
            counter: robot.counter,
            operation: request.operation,
            status,
            progress: 0,
            code,
            message: String::new(),
        };
        robot.client.event("main", &event).unwrap();
        if matches!(status, Status::Failure | Status::Success) {
            robot.request = None;
        }
    }

    fn finish(&mut self, name: &str) {
        let robot = self.robots.get_mut(name).expect(name);
        let request = robot.request.clone().unwrap();
        self.say(name, Status::Success, None);
        let robot = self.robots.get_mut(name).unwrap();
        let ecu = robot.client.identity.ecus[0].clone();
        let version = &request.image_version;
        robot
            .client
            .image(&ecu, version, Some(request.operation))
            .unwrap();
    }

    fn update(&mut self, name: &str) {
        self.say(name, Status::Acknowledged, None);
        self.say(name, Status::Deploying, None);
        self.finish(name);
    }

    /// Robots update themselves as they are told, until the rollout is in that status.
    fn update_all(&mut self, id: &str, status: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.server.get(&format!("/v1/rollouts/{id}"))["status"] != status {
            assert!(Instant::now() < deadline, "rollout {id} is never {status}");
            let robots = self.server.get(&format!("/v1/rollouts/{id}/robots"));
            let told = |robot: &&Value| robot["ecus"][0]["state"] == "requested";
            for robot in robots["items"].as_array().unwrap().iter().filter(told) {
                self.update(robot["robot"].as_str().unwrap());
            }
        }
    }

    /// Does what a Cancel asks for.
    fn give_up(&mut self, name: &str) {
        let robot = self.robots.get_mut(name).expect(name);
        assert_eq!(robot.client.request().kind, RequestKind::Cancel);
        self.say(name, Status::Failure, Some(Code::Canceled));
    }

    fn until(&self, path: &str, is: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.server.get(path);
            if is(&found) {
                return;
            }
            assert!(Instant::now() < deadline, "{path}: {found:#}");
            std::thread::yield_now();
        }
    }
}

/// The words of a line, as a shell sees them that knows quotes and nothing else.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
