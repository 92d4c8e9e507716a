//! The table itself (device-contract 5 and 6, as released with edgehog-device-runtime 0.13.1).

use super::Kind::{Individual, Object, Properties};
use super::Owner::{Device, Server};
use super::Reliability::{Guaranteed, Unique, Unreliable};
use super::Type::{
    Boolean, DateTime, Double, Integer, LongInteger, LongIntegerArray, String as Text, StringArray,
};
use super::{Interface, Kind, Mapping, Owner, Reliability};

impl Interface {
    const fn new(
        name: &'static str,
        version: (u32, u32),
        owner: Owner,
        kind: Kind,
        mappings: &'static [Mapping],
    ) -> Self {
        Self {
            name,
            version,
            owner,
            kind,
            reliability: if matches!(kind, Properties) {
                Unique
            } else {
                Unreliable
            },
            explicit_timestamp: false,
            allow_unset: false,
            base: "",
            mappings,
        }
    }

    const fn properties(name: &'static str, owner: Owner, mappings: &'static [Mapping]) -> Self {
        Self::new(name, (0, 1), owner, Properties, mappings)
    }

    /// Measurements of a device: objects with the time of the measurement.
    const fn measured(
        name: &'static str,
        version: (u32, u32),
        base: &'static str,
        mappings: &'static [Mapping],
    ) -> Self {
        let mut interface = Self::new(name, version, Device, Object, mappings);
        interface.explicit_timestamp = true;
        interface.base = base;
        interface
    }

    const fn object(
        name: &'static str,
        version: (u32, u32),
        owner: Owner,
        base: &'static str,
        mappings: &'static [Mapping],
    ) -> Self {
        let mut interface = Self::new(name, version, owner, Object, mappings);
        interface.base = base;
        interface
    }

    /// A request of Edgehog's that this server never makes: only its name and owner matter.
    const fn never_sent(name: &'static str, version: (u32, u32), base: &'static str) -> Self {
        Self::object(name, version, Server, base, &[]).with(Guaranteed)
    }

    const fn unsettable(mut self) -> Self {
        self.allow_unset = true;
        self
    }

    const fn with(mut self, reliability: Reliability) -> Self {
        self.reliability = reliability;
        self
    }
}

/// Sorted by name.
#[rustfmt::skip]
pub(super) static INTERFACES: [Interface; 56] = [
    Interface::properties("BaseImage", Device, &[
        ("fingerprint", Text), ("name", Text), ("version", Text), ("buildId", Text),
    ]),
    Interface::measured("BatteryStatus", (0, 1), "%{battery_slot}", &[
        ("levelAbsoluteError", Double), ("levelPercentage", Double), ("status", Text),
    ]),
    Interface::properties("CellularConnectionProperties", Device, &[
        ("%{id}/apn", Text), ("%{id}/imei", Text), ("%{id}/imsi", Text),
    ]).unsettable(),
    Interface::measured("CellularConnectionStatus", (0, 1), "%{id}", &[
        ("carrier", Text), ("registrationStatus", Text), ("technology", Text), ("cellId", LongInteger),
        ("mobileCountryCode", Integer), ("mobileNetworkCode", Integer), ("localAreaCode", Integer), ("rssi", Double),
    ]),
    Interface::new("Commands", (0, 1), Server, Individual, &[("request", Text)]).with(Unique),
    Interface::object("ForwarderSessionRequest", (0, 1), Server, "request", &[
        ("session_token", Text), ("host", Text), ("port", Integer), ("secure", Boolean),
    ]),
    Interface::properties("ForwarderSessionState", Device, &[("%{session_token}/status", Text)]).unsettable(),
    Interface::measured("Geolocation", (0, 1), "%{id}", &[
        ("latitude", Double), ("longitude", Double), ("altitude", Double), ("accuracy", Double),
        ("altitudeAccuracy", Double), ("heading", Double), ("speed", Double),
    ]),
    Interface::properties("HardwareInfo", Device, &[
        ("cpu/architecture", Text), ("cpu/model", Text), ("cpu/modelName", Text), ("cpu/vendor", Text),
        ("mem/totalBytes", LongInteger),
    ]),
    Interface::new("LedBehavior", (0, 1), Server, Individual, &[("%{led_id}/behavior", Text)]).with(Unique),
    Interface::properties("NetworkInterfaceProperties", Device, &[
        ("%{iface_name}/macAddress", Text), ("%{iface_name}/technologyType", Text),
    ]).unsettable(),
    Interface::properties("OSInfo", Device, &[("osName", Text), ("osVersion", Text)]),
    Interface::measured("OTAEvent", (0, 1), "event", &[
        ("requestUUID", Text), ("status", Text), ("statusCode", Text), ("message", Text), ("statusProgress", Integer),
    ]).with(Unique),
    Interface::object("OTARequest", (1, 0), Server, "request", &[("operation", Text), ("url", Text), ("uuid", Text)]),
    Interface::properties("RuntimeInfo", Device, &[
        ("name", Text), ("url", Text), ("version", Text), ("environment", Text),
    ]),
    Interface::measured("StorageUsage", (1, 0), "%{storageId}", &[
        ("mounts", StringArray), ("name", Text), ("fstype", Text), ("kind", Text), ("totalBytes", LongInteger),
        ("freeBytes", LongInteger),
    ]),
    Interface::properties("SystemInfo", Device, &[("serialNumber", Text), ("partNumber", Text)]),
    Interface::measured("SystemStatus", (0, 1), "systemStatus", &[
        ("availMemoryBytes", LongInteger), ("uptimeMillis", LongInteger), ("bootId", Text), ("taskCount", Integer),
    ]),
    Interface::measured("WiFiScanResults", (0, 2), "ap", &[
        ("channel", Integer), ("rssi", Integer), ("connected", Boolean), ("essid", Text), ("macAddress", Text),
    ]),
    Interface::properties("apps.AvailableContainers", Device, &[("%{container_id}/status", Text)]).unsettable(),
    Interface::properties("apps.AvailableDeployments", Device, &[("%{deployment_id}/status", Text)]).unsettable(),
    Interface::properties("apps.AvailableDeviceMappings", Device, &[
        ("%{device_mapping_id}/present", Boolean),
    ]).unsettable(),
    Interface::properties("apps.AvailableDeviceRequests", Device, &[("%{device_id}/present", Boolean)]).unsettable(),
    Interface::properties("apps.AvailableEnvFiles", Device, &[("%{env_file_id}/present", Boolean)]).unsettable(),
    Interface::properties("apps.AvailableFileBinds", Device, &[("%{bind_id}/present", Boolean)]).unsettable(),
    Interface::properties("apps.AvailableImages", Device, &[("%{image_id}/pulled", Boolean)]).unsettable(),
    Interface::properties("apps.AvailableNetworks", Device, &[("%{network_id}/created", Boolean)]).unsettable(),
    Interface::properties("apps.AvailableVolumes", Device, &[("%{volume_id}/created", Boolean)]).unsettable(),
    Interface::never_sent("apps.CreateContainerRequest", (1, 1), "container"),
    Interface::never_sent("apps.CreateDeploymentRequest", (0, 1), "deployment"),
    Interface::never_sent("apps.CreateDeviceMappingRequest", (0, 1), "deviceMapping"),
    Interface::never_sent("apps.CreateDeviceRequest", (1, 0), "deviceRequest"),
    Interface::never_sent("apps.CreateEnvFileRequest", (0, 1), "env"),
    Interface::never_sent("apps.CreateFileBindRequest", (0, 1), "bind"),
    Interface::never_sent("apps.CreateImageRequest", (0, 1), "image"),
    Interface::never_sent("apps.CreateNetworkRequest", (0, 1), "network"),
    Interface::never_sent("apps.CreateVolumeRequest", (0, 1), "volume"),
    Interface::new("apps.DeploymentCommand", (0, 1), Server, Individual, &[("%{deployment_id}/command", Text)]),
    Interface::measured("apps.DeploymentEvent", (0, 2), "%{deployment_id}", &[
        ("status", Text), ("message", Text), ("addInfo", StringArray),
    ]),
    Interface::object("apps.DeploymentUpdate", (0, 1), Server, "deployment", &[("from", Text), ("to", Text)]),
    Interface::measured("apps.stats.ContainerBlkio", (0, 1), "%{container_id}", &[
        ("name", Text), ("op", Text), ("major", LongInteger), ("minor", LongInteger), ("value", LongInteger),
    ]),
    Interface::measured("apps.stats.ContainerCpu", (0, 1), "%{container_id}", &[
        ("cpuUsageTotalUsage", LongInteger), ("cpuUsageUsageInKernelmode", LongInteger),
        ("cpuUsageUsageInUsermode", LongInteger), ("systemCpuUsage", LongInteger),
        ("throttlingDataPeriods", LongInteger), ("throttlingDataThrottledPeriods", LongInteger),
        ("throttlingDataThrottledTime", LongInteger), ("preCpuUsageTotalUsage", LongInteger),
        ("preCpuUsageUsageInKernelmode", LongInteger), ("preCpuUsageUsageInUsermode", LongInteger),
        ("preSystemCpuUsage", LongInteger), ("preThrottlingDataPeriods", LongInteger),
        ("preThrottlingDataThrottledPeriods", LongInteger), ("preThrottlingDataThrottledTime", LongInteger),
        ("cpuUsagePercpuUsage", LongIntegerArray), ("preCpuUsagePercpuUsage", LongIntegerArray),
        ("onlineCpus", Integer), ("preOnlineCpus", Integer),
    ]),
    Interface::measured("apps.stats.ContainerMemory", (0, 1), "%{container_id}", &[
        ("usage", LongInteger), ("maxUsage", LongInteger), ("failcnt", LongInteger), ("limit", LongInteger),
    ]),
    Interface::measured("apps.stats.ContainerMemoryStats", (0, 1), "%{container_id}", &[
        ("name", Text), ("value", LongInteger),
    ]),
    Interface::measured("apps.stats.ContainerNetworks", (0, 1), "%{container_id}", &[
        ("interface", Text), ("rxBytes", LongInteger), ("rxPackets", LongInteger), ("rxDropped", LongInteger),
        ("rxErrors", LongInteger), ("txBytes", LongInteger), ("txPackets", LongInteger), ("txErrors", LongInteger),
        ("txDropped", LongInteger),
    ]),
    Interface::measured("apps.stats.ContainerProcesses", (0, 1), "%{container_id}", &[
        ("current", LongInteger), ("limit", LongInteger),
    ]),
    Interface::measured("apps.stats.VolumeUsage", (0, 1), "%{volume_id}", &[
        ("driver", Text), ("mountpoint", Text), ("createdAt", DateTime), ("usageDataSize", LongInteger),
        ("usageDataRefCount", LongInteger),
    ]),
    Interface::properties("config.Telemetry", Server, &[
        ("request/%{interface_name}/enable", Boolean), ("request/%{interface_name}/periodSeconds", LongInteger),
    ]).unsettable(),
    Interface::properties("fileTransfer.Capabilities", Device, &[
        ("transfer/unixPermissions", Boolean), ("transfer/serverToDevice/targets", StringArray),
        ("transfer/deviceToServer/targets", StringArray), ("deviceToServer/%{target}/encodings", StringArray),
        ("serverToDevice/%{target}/encodings", StringArray),
    ]),
    Interface::never_sent("fileTransfer.DeviceToServer", (0, 1), "request"),
    Interface::object("fileTransfer.Progress", (0, 1), Device, "request", &[
        ("id", Text), ("type", Text), ("bytes", LongInteger), ("totalBytes", LongInteger),
    ]),
    Interface::object("fileTransfer.Response", (0, 1), Device, "request", &[
        ("id", Text), ("type", Text), ("message", Text), ("code", LongInteger),
    ]).with(Guaranteed),
    Interface::never_sent("fileTransfer.ServerToDevice", (0, 1), "request"),
    Interface::never_sent("storage.DeleteFile", (0, 1), "request").with(Unreliable),
    Interface::properties("storage.File", Device, &[
        ("%{fileId}/pathOnDevice", Text), ("%{fileId}/sizeBytes", LongInteger),
    ]).unsettable(),
    Interface::object("storage.Response", (0, 1), Device, "request", &[
        ("id", Text), ("type", Text), ("code", LongInteger), ("messages", StringArray),
    ]).with(Guaranteed),
];
