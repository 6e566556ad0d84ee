#!/usr/bin/env python3
"""Drives a control socket with the field's own QMP client, the qemu.qmp package.

usage: qmp_client.py SOCKET [URI]     (with the python that tools/python-env prints)

Negotiates, asks for the status, stops and continues the guest, and checks the events. If the machine has a balloon, it is inflated and
deflated, and its guest is asked for statistics. With a URI the script also migrates the guest there and waits for the end. Then qmp-shell
does the same from its standard input. Exits with 0 if every answer was as QMP promises.
"""

import asyncio
import json
import os
import subprocess
import sys

from qemu.qmp import EventListener, ExecuteError, QMPClient

SECONDS = 120
MEBIBYTE = 1 << 20


async def drive(path, uri):
    client = QMPClient("aerostat-test")
    heard = EventListener()
    await client.connect(path)
    with client.listen(heard):
        version = await client.execute("query-version")
        assert "package" in version, version

        status = await client.execute("query-status")
        assert status == {"status": "running", "running": True}, status

        await client.execute("stop")
        status = await client.execute("query-status")
        assert status == {"status": "paused", "running": False}, status
        await client.execute("cont")
        assert (await client.execute("query-status"))["running"]
        assert (await heard.get())["event"] == "STOP"
        resumed = await heard.get()
        assert resumed["event"] == "RESUME", resumed
        assert resumed["timestamp"]["seconds"] > 1_600_000_000, resumed

        await client.execute("migrate-set-parameters", {"downtime-limit": 250, "max-bandwidth": 1 << 40})
        parameters = await client.execute("query-migrate-parameters")
        assert parameters["downtime-limit"] == 250 and parameters["max-bandwidth"] == 1 << 40, parameters
        assert {"capability": "events", "state": True} in await client.execute("query-migrate-capabilities")

        await refuses(client, "GenericError", "migrate", {})
        await refuses(client, "GenericError", "migrate", {"uri": "carrier-pigeon:"})
        await refuses(client, "CommandNotFound", "launch-rocket", {})

        names = {command["name"] for command in await client.execute("query-commands")}
        if "balloon" in names:
            await drive_balloon(client, heard)

        if uri:
            assert await client.execute("query-migrate") == {}
            await client.execute("migrate", {"uri": uri})
            statuses = []
            while not statuses or statuses[-1] not in ("completed", "failed", "cancelled", "outcome-unknown"):
                event = await heard.get()
                if event["event"] == "MIGRATION":
                    statuses.append(event["data"]["status"])
            assert statuses[0] == "setup" and statuses[-1] == "completed", statuses
            report = await client.execute("query-migrate")
            assert report["status"] == "completed" and report["ram"]["page-size"] == 4096, report
            assert (await client.execute("query-status"))["status"] == "postmigrate"
            print(json.dumps({"statuses": statuses, "total-time": report["total-time"]}))
    await client.disconnect()


async def refuses(client, kind, command, arguments):
    """The server must refuse the command with an error of this class."""
    try:
        await client.execute(command, arguments)
    except ExecuteError as error:
        assert error.error_class == kind, error
    else:
        raise AssertionError(f"{command} {arguments} was not refused")


async def drive_balloon(client, heard):
    """Takes 8 MiB from the guest and gives them back, and asks it for its statistics."""
    whole = (await client.execute("query-balloon"))["actual"]
    for size in (whole - 8 * MEBIBYTE, whole):
        await client.execute("balloon", {"value": size})
        told = None
        while told != size:
            event = await heard.get()
            if event["event"] == "BALLOON_CHANGE":
                told = event["data"]["actual"]
        assert (await client.execute("query-balloon"))["actual"] == size

    balloon = {"path": "/machine/peripheral/balloon0"}
    period = {**balloon, "property": "guest-stats-polling-interval"}
    await client.execute("qom-set", {**period, "value": 1})
    assert await client.execute("qom-get", period) == 1
    statistics = {"last-update": 0}
    while statistics["last-update"] == 0:
        await asyncio.sleep(0.1)
        statistics = await client.execute("qom-get", {**balloon, "property": "guest-stats"})
    assert 0 < statistics["stats"]["stat-free-memory"] < statistics["stats"]["stat-total-memory"] <= whole, statistics
    await client.execute("qom-set", {**period, "value": 0})

    await refuses(client, "GenericError", "balloon", {"value": 0})
    await refuses(client, "DeviceNotFound", "qom-get", {"path": "/machine/peripheral/balloon7", "property": "guest-stats"})
    await refuses(client, "GenericError", "qom-set", {**period, "value": -1})
    print(json.dumps({"balloon": statistics["stats"]}))


def shell(path, is_migrated):
    """Uses qmp-shell as a person would."""
    lines = ["query-status", "query-migrate", "migrate-set-parameters downtime-limit=300"]
    if not is_migrated:
        lines += ["stop", "query-status", "cont"]
    program = os.path.join(os.path.dirname(sys.executable), "qmp-shell")
    # The shell keeps its history in the home folder.
    environment = dict(os.environ, HOME=os.environ.get("TMPDIR", "/tmp"))
    done = subprocess.run(
        [program, path],
        input="".join(line + "\n" for line in lines),
        capture_output=True, text=True, timeout=SECONDS, check=True, env=environment,
    )
    answers = [line for line in done.stdout.splitlines() if '"return"' in line or "'return'" in line]
    assert len(answers) == len(lines), (done.stdout, done.stderr)
    expected = "postmigrate" if is_migrated else "running"
    assert expected in answers[0], answers[0]


def main():
    path = sys.argv[1]
    uri = sys.argv[2] if len(sys.argv) > 2 else None
    asyncio.run(asyncio.wait_for(drive(path, uri), SECONDS))
    shell(path, is_migrated=uri is not None)


main()
