//! Helpers for stories about the ledger: a product's versions, their files, and the channel that follows it.

use super::*;

pub const SHA256: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
pub const IMAGE: &str = "dcl-fff1-8000@2.0.0";

pub fn channel() -> ChannelName {
    ChannelName::new("matter").unwrap()
}

pub fn source() -> LedgerSource {
    LedgerSource {
        origin: LedgerOrigin::File,
        product: Product {
            vid: 0xfff1,
            pid: 0x8000,
        },
        hardware_ids: [hw("hw")].into(),
        every: 3_600_000,
    }
}

/// Version 1 to 4 are `1.0.0` to `4.0.0`; 2 may be installed over 1.
pub fn record(number: u32) -> LedgerRecord {
    LedgerRecord {
        vid: 0xfff1,
        pid: 0x8000,
        software_version: number,
        software_version_string: format!("{number}.0.0"),
        cd_version_number: 1,
        firmware_information: String::new(),
        software_version_valid: true,
        ota_url: format!("https://vendor.example/{number}.ota"),
        ota_file_size: 7,
        ota_checksum: SHA256.into(),
        ota_checksum_type: 1,
        min_applicable_software_version: 1,
        max_applicable_software_version: number.saturating_sub(1).max(1),
        release_notes_url: String::new(),
        schema_version: 0,
    }
}

pub fn file() -> StoredFile {
    StoredFile {
        token: "t0".into(),
        size: 7,
        sha256: [9; 32],
        checksum: vec![9; 32],
    }
}

pub trait Ledger {
    fn source(&mut self, source: Source) -> Result<Reply, Refusal>;
    fn record(&mut self, record: LedgerRecord) -> Result<Reply, Refusal>;
    fn vanish(&mut self, number: u32) -> Result<Reply, Refusal>;
    fn attach(&mut self, number: u32, file: StoredFile) -> Result<Reply, Refusal>;
    /// Of what the channel follows now, or of [`source`] if it follows nothing.
    fn reading(&self) -> LedgerReading;
    fn version(&self, number: u32) -> &LedgerVersion;
    fn maps(&mut self, image: &str) -> Result<RolloutId, Refusal>;
}

impl Ledger for Fleet {
    fn source(&mut self, source: Source) -> Result<Reply, Refusal> {
        self.command(Command::SetChannelSource {
            channel: channel(),
            source,
        })
    }

    fn record(&mut self, record: LedgerRecord) -> Result<Reply, Refusal> {
        let reading = self.reading();
        self.command(Command::RecordLedgerVersion {
            channel: channel(),
            reading,
            record: Box::new(record),
        })
    }

    fn vanish(&mut self, number: u32) -> Result<Reply, Refusal> {
        let reading = self.reading();
        self.command(Command::WithdrawLedgerVersion {
            channel: channel(),
            reading,
            number,
        })
    }

    fn attach(&mut self, number: u32, file: StoredFile) -> Result<Reply, Refusal> {
        self.command(Command::AttachLedgerFile {
            channel: channel(),
            number,
            file,
        })
    }

    fn reading(&self) -> LedgerReading {
        let channel = self.state.channel("matter").unwrap();
        let followed = channel.source.ledger().cloned();
        followed.unwrap_or_else(source).reading(channel.key)
    }

    fn version(&self, number: u32) -> &LedgerVersion {
        let channel = self.state.channel("matter").unwrap();
        self.state.ledger_version(channel.key, number).unwrap()
    }

    fn maps(&mut self, image: &str) -> Result<RolloutId, Refusal> {
        let spec = self.spec(self.all(), &[("hw", image)]);
        self.create(spec)
    }
}

/// A channel that follows a product of which nothing is known yet.
pub fn following() -> Fleet {
    let mut fleet = Fleet::default();
    if fleet.state.channel("matter").is_none() {
        let groups = Default::default();
        let name = channel();
        fleet.command(Command::AddChannel { name, groups }).unwrap();
    }
    fleet.source(Source::Ledger(source())).unwrap();
    fleet
}

/// Versions 1, 2 and 3, of which 2 has its file here.
pub fn imported() -> Fleet {
    let mut fleet = following();
    for number in 1..=3 {
        fleet.record(record(number)).unwrap();
    }
    fleet.attach(2, file()).unwrap();
    fleet
}

/// One robot that runs `version`, and what a rollout of version 2 does to it.
pub fn offered_to(version: &str) -> (Fleet, RolloutId, TargetState) {
    let mut fleet = imported();
    let robot = fleet.robots(1)[0];
    fleet.online_with(robot, 1, version);
    let rollout = fleet.maps(IMAGE).unwrap();
    fleet.launch(rollout).unwrap();
    let state = fleet.target_state(rollout, robot);
    (fleet, rollout, state)
}
