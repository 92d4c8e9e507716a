//! The interfaces of the runtime's default build (device-contract 6): 26, of which the server owns 7.

use super::super::Robot;
use rand::seq::SliceRandom;

pub(super) const BASE_IMAGE: &str = "io.edgehog.devicemanager.BaseImage";
pub(super) const CAPABILITIES: &str = "io.edgehog.devicemanager.fileTransfer.Capabilities";
pub(super) const HARDWARE_INFO: &str = "io.edgehog.devicemanager.HardwareInfo";
pub(super) const NETWORK: &str = "io.edgehog.devicemanager.NetworkInterfaceProperties";
pub(super) const OS_INFO: &str = "io.edgehog.devicemanager.OSInfo";
pub(super) const RUNTIME_INFO: &str = "io.edgehog.devicemanager.RuntimeInfo";
pub(super) const SYSTEM_INFO: &str = "io.edgehog.devicemanager.SystemInfo";

/// Name and version, as introspection writes them.
const INTERFACES: [&str; 26] = [
    "io.edgehog.devicemanager.BaseImage:0:1",
    "io.edgehog.devicemanager.BatteryStatus:0:1",
    "io.edgehog.devicemanager.CellularConnectionProperties:0:1",
    "io.edgehog.devicemanager.CellularConnectionStatus:0:1",
    "io.edgehog.devicemanager.Commands:0:1",
    "io.edgehog.devicemanager.Geolocation:0:1",
    "io.edgehog.devicemanager.HardwareInfo:0:1",
    "io.edgehog.devicemanager.LedBehavior:0:1",
    "io.edgehog.devicemanager.NetworkInterfaceProperties:0:1",
    "io.edgehog.devicemanager.OSInfo:0:1",
    "io.edgehog.devicemanager.OTAEvent:0:1",
    "io.edgehog.devicemanager.OTARequest:1:0",
    "io.edgehog.devicemanager.RuntimeInfo:0:1",
    "io.edgehog.devicemanager.StorageUsage:1:0",
    "io.edgehog.devicemanager.SystemInfo:0:1",
    "io.edgehog.devicemanager.SystemStatus:0:1",
    "io.edgehog.devicemanager.WiFiScanResults:0:2",
    "io.edgehog.devicemanager.config.Telemetry:0:1",
    "io.edgehog.devicemanager.fileTransfer.Capabilities:0:1",
    "io.edgehog.devicemanager.fileTransfer.DeviceToServer:0:1",
    "io.edgehog.devicemanager.fileTransfer.Progress:0:1",
    "io.edgehog.devicemanager.fileTransfer.Response:0:1",
    "io.edgehog.devicemanager.fileTransfer.ServerToDevice:0:1",
    "io.edgehog.devicemanager.storage.DeleteFile:0:1",
    "io.edgehog.devicemanager.storage.File:0:1",
    "io.edgehog.devicemanager.storage.Response:0:1",
];

/// Where the server says which of its properties exist.
pub(super) const CONSUMER_PROPERTIES: &str = "control/consumer/properties";

/// What is subscribed of the server's interfaces.
const SERVER_OWNED: [&str; 7] = [
    "io.edgehog.devicemanager.Commands/#",
    "io.edgehog.devicemanager.LedBehavior/#",
    "io.edgehog.devicemanager.OTARequest/#",
    "io.edgehog.devicemanager.config.Telemetry/#",
    "io.edgehog.devicemanager.fileTransfer.DeviceToServer/#",
    "io.edgehog.devicemanager.fileTransfer.ServerToDevice/#",
    "io.edgehog.devicemanager.storage.DeleteFile/#",
];

impl Robot {
    /// The introspection. The SDK keeps its interfaces in a hash map, so their order means nothing.
    pub(super) fn introspection(&mut self) -> String {
        let mut interfaces = INTERFACES;
        interfaces.shuffle(&mut self.rng);
        interfaces.join(";")
    }

    /// The server's interfaces, in an order that means nothing.
    pub(super) fn server_owned(&mut self) -> [&'static str; 7] {
        let mut filters = SERVER_OWNED;
        filters.shuffle(&mut self.rng);
        filters
    }
}
