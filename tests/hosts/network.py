"""Hosts h1, h2, ... of one machine: network namespaces that a bridge joins. They share the file system."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Runs a command on a host, as ssh would.
ON_HOST = Path(__file__).with_name("on_host")

#: Prefix of the names of namespaces: other programs may have an h1, too.
PREFIX = "ptyxrf-"
SWITCH = f"{PREFIX}switch"

NAMESPACES, ETC = Path("/run/netns"), Path("/etc/netns")
TOOLS = ("bash", "hostname", "ip", "mount", "nsenter", "unshare")

#: The commands that `network` and `on_host` need, in a test that leaves nothing behind.
TRIAL = (
    "ip link add trial type bridge && ip link add one type veth peer name other && "
    "hostname trial && mount -t tmpfs tmpfs /dev/shm"
)


def why_not() -> str:
    """Return why no hosts can be made here; empty if they can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "hosts need root"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"hosts need {', '.join(missing)} (Debian: iproute2, util-linux)"
    words = ["unshare", *"--net --uts --ipc --mount --pid --fork --mount-proc sh -ec".split(), TRIAL]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "hosts need namespaces: trying them took longer than a minute"
    return f"hosts need namespaces, not permitted here: {done.stderr.strip()}" if done.returncode else ""


@contextmanager
def network(count: int) -> Iterator[list[str]]:
    """Make hosts with the addresses 10.77.0.1, .2, ..., and remove them, with all that still runs there.

    Yields
    ------
    list of str
        Their names, h1 and so on.
    """
    names = [f"h{i + 1}" for i in range(count)]
    with _only_one():
        _remove_all()  # left by a killed run
        try:
            _make_all(names)
            yield names
        finally:
            _remove_all()


def run_on(
    host: str, words: list[str], *, timeout: float, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run a command on a host and return its outcome; after the timeout its processes are killed."""
    return subprocess.run(
        [str(ON_HOST), host, shlex.join(words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )


def processes_on(host: str) -> list[int]:
    """Return the processes of a host, by their numbers outside of it."""
    return [int(number) for number in _ip("netns", "pids", PREFIX + host).split()]


def cut_off(host: str) -> None:
    """Disconnect a host from the network, as if its cable were pulled."""
    _ip("-n", SWITCH, "link", "set", host, "down")


@contextmanager
def _only_one() -> Iterator[None]:
    """Exclude a second run: an abstract socket is a lock that even a killed process releases."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind("\0ptyxrf-test-hosts")
        except OSError as error:
            raise RuntimeError("another process has test hosts on this machine: wait for its end") from error
        yield


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _make_all(names: list[str]) -> None:
    addresses = {name: f"10.77.0.{i + 1}" for i, name in enumerate(names)}
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
    # the bridge has its own namespace, so that nothing appears among the machine's interfaces
    _ip("netns", "add", SWITCH)
    _ip("-n", SWITCH, "link", "add", "bridge", "type", "bridge")
    _ip("-n", SWITCH, "link", "set", "bridge", "up")
    for name, address in addresses.items():
        namespace = PREFIX + name
        folder = ETC / namespace
        folder.mkdir(parents=True)
        (folder / "hosts").write_text("\n".join(lines) + "\n")
        _ip("netns", "add", namespace)
        _ip("link", "add", name, "netns", SWITCH, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", SWITCH, "link", "set", name, "master", "bridge", "up")
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")


def _remove_all() -> None:
    """Remove all namespaces with the prefix, and with them their links."""
    for namespace in sorted(path.name for path in NAMESPACES.glob(f"{PREFIX}*")):
        _end_processes(namespace)
        _ip("netns", "delete", namespace)
    for folder in ETC.glob(f"{PREFIX}*"):
        shutil.rmtree(folder)
    with suppress(OSError):  # it holds those of others
        ETC.rmdir()


def _end_processes(namespace: str) -> None:
    """Kill the processes there and wait for their end: a namespace persists with its processes."""
    end = time.monotonic() + 20
    while numbers := _ip("netns", "pids", namespace).split():
        if time.monotonic() > end:
            raise RuntimeError(f"{namespace}: processes {' '.join(numbers)} do not end")
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        time.sleep(0.02)
