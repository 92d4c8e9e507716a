#!/usr/bin/env python3
"""A stand-in for RAUC on the session bus, as far as edgehog-device-runtime needs one (device-contract 3.3).

It "installs" in half a second. FILE holds the name of the slot that is booted; whoever plays the boot loader changes it.
Needs the package dbus-fast.
"""

import argparse
import asyncio
from pathlib import Path

from dbus_fast import BusType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property, method, signal


class Installer(ServiceInterface):
    def __init__(self, slot: Path) -> None:
        super().__init__("de.pengutronix.rauc.Installer")
        self.slot = slot
        self.progress = [0, "", 0]
        self.operation = "idle"

    def booted(self) -> str:
        return self.slot.read_text().strip()

    @method()
    def InstallBundle(self, source: "s", args: "a{sv}"):  # noqa: F821
        asyncio.get_running_loop().create_task(self.install())

    async def install(self) -> None:
        self.operation = "installing"
        # A stale 100 would end the runtime's progress at once.
        for percent, words in ((0, "installing"), (40, "copying"), (80, "copying"), (100, "done")):
            self.progress = [percent, words, 1]
            self.emit_properties_changed({"Progress": self.progress})
            await asyncio.sleep(0.2)
        self.operation = "idle"
        self.Completed(0)

    @method()
    def Info(self, bundle: "s") -> "ss":  # noqa: F821
        return ["test-board", "1"]

    @method()
    def Mark(self, state: "s", slot: "s") -> "ss":  # noqa: F821
        return [slot, f"marked {slot} as {state}"]

    @method()
    def GetPrimary(self) -> "s":  # noqa: F821
        return self.booted()

    @dbus_property(access=PropertyAccess.READ)
    def Operation(self) -> "s":  # noqa: F821
        return self.operation

    @dbus_property(access=PropertyAccess.READ)
    def LastError(self) -> "s":  # noqa: F821
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def Progress(self) -> "(isi)":  # noqa: F821
        return self.progress

    @dbus_property(access=PropertyAccess.READ)
    def Compatible(self) -> "s":  # noqa: F821
        return "test-board"

    @dbus_property(access=PropertyAccess.READ)
    def Variant(self) -> "s":  # noqa: F821
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def BootSlot(self) -> "s":  # noqa: F821
        return self.booted()

    @signal()
    def Completed(self, result: int) -> "i":  # noqa: F821
        return result


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slot", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    bus = await MessageBus(bus_type=BusType.SESSION).connect()
    bus.export("/", Installer(arguments.slot))
    await bus.request_name("de.pengutronix.rauc")
    print("ready", flush=True)
    await bus.wait_for_disconnect()


asyncio.run(main())
