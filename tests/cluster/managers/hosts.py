"""Hosts with addresses of their own, as network namespaces behind a bridge."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass

SCRIPT = """\
#!/bin/sh
# Run a command on the next host.
for host in {names}; do
    if mkdir "{folder}/$host" 2>/dev/null; then exec ip netns exec "$host" "$@"; fi
done
echo "no host is left" >&2
exit 1
"""


def ip(*words):
    return subprocess.run(
        ["ip", *map(str, words)], check=True, capture_output=True, text=True
    ).stdout


@dataclass
class Host:
    name: str
    address: str
    link: str

    @property
    def enter(self):
        return "ip", "netns", "exec", self.name

    def cut(self):
        ip("link", "set", self.link, "down")

    def join(self):
        ip("link", "set", self.link, "up")

    def slow_down(self, rate):
        words = ("qdisc", "add", "dev", self.link, "root", "tbf", "rate", rate)
        subprocess.run(["tc", *words, "burst", "16kb", "latency", "500ms"], check=True)


@dataclass
class Hosts:
    address: str
    all: list
    script: object

    def of(self, pid):
        """Return the host that a process runs on."""
        name = ip("netns", "identify", pid).strip()
        return next(host for host in self.all if host.name == name)


@contextlib.contextmanager
def open_hosts(folder, count=3):
    """Yield hosts on a network that this machine alone sees."""
    number = os.getpid()
    network = f"10.{213 + number // 250 % 20}.{number % 250}"
    bridge = f"tb{number}"
    with contextlib.ExitStack() as stack:
        ip("link", "add", bridge, "type", "bridge")
        stack.callback(ip, "link", "del", bridge)
        ip("addr", "add", f"{network}.254/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        hosts = []
        for index in range(1, count + 1):
            host = Host(f"th{number}-{index}", f"{network}.{index}", f"tv{number}-{index}")
            ip("netns", "add", host.name)
            stack.callback(ip, "netns", "del", host.name)
            ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            ip("link", "set", host.link, "master", bridge, "up")
            inside = ("-n", host.name)
            ip(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip(*inside, "link", "set", "lo", "up")
            ip(*inside, "link", "set", "eth0", "up")
            ip(*inside, "route", "add", "default", "via", f"{network}.254")
            hosts.append(host)
        folder.mkdir(parents=True)
        script = folder / "on-host"
        script.write_text(SCRIPT.format(names=" ".join(host.name for host in hosts), folder=folder))
        script.chmod(0o755)
        yield Hosts(f"{network}.254", hosts, script)


def why_no_hosts():
    """Why this machine has no network namespaces; empty where it has."""
    name = f"probe{os.getpid()}"
    try:
        ip("netns", "add", name)
        try:
            ip("link", "add", name[:15], "type", "bridge")
            ip("link", "del", name[:15])
        finally:
            ip("netns", "del", name)
    except FileNotFoundError:
        return "no command ip (iproute2)"
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"
    return ""
