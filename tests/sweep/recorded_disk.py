"""Simulated disk: records what a program does to files, loses what was not synced, and fails.

A power cut leaves of every file and folder what was written before its last fsync, and of the
changes since then any part: a name without its data, half of the data, zeros, or nothing. The
entries of a folder are changes of the folder, so that a file that was synced is lost with its name.
"""

from __future__ import annotations

import errno
import io
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = 0  # number of the outermost folder, which exists from the beginning
CHANGES = ("open", "link", "replace", "rename", "mkdir", "unlink", "rmdir", "utime", "fsync")
QUERIES = ("stat", "lstat", "listdir", "scandir")


@dataclass(frozen=True)
class Names:
    """Changes of the names in folders, which are made together or not at all."""

    entries: tuple[tuple[int, str, int | None], ...]  # folder, name, node (None: removed)


@dataclass(frozen=True)
class Data:
    """Bytes written into a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Sync:
    """A sync of a file or folder."""

    node: int


@dataclass(frozen=True)
class Report:
    """What the program told its user at this moment."""

    message: object


@dataclass(frozen=True)
class Loss:
    """What a power cut leaves of the changes that were not synced.

    Args:
        names: The probability that a change of names is left.
        data: The parts of a file's bytes that may be left.
        zeros: Whether the bytes that are lost are zeros.
    """

    names: float
    data: tuple[float, ...]
    zeros: bool = False


LOSSES = {
    "everything": Loss(0.0, (0.0,)),
    "data": Loss(1.0, (0.0,)),
    "half of the data": Loss(1.0, (0.5,)),
    "data, which is zeros": Loss(1.0, (0.0,), zeros=True),
    "nothing": Loss(1.0, (1.0,)),
    "some": Loss(0.5, (0.0, 0.5, 1.0)),
    "others": Loss(0.7, (0.0, 1.0)),
}


@dataclass
class RecordedDisk:
    """Folder whose files are recorded while `recording()` is active.

    Args:
        root: The folder.
        fails: Called with each operation and path; the error number to fail with, 0 for none.
        ignores: Called likewise; whether the operation does nothing, for controls.
    """

    root: Path
    fails: Callable[[str, Path], int] = lambda operation, path: 0
    ignores: Callable[[str, Path], bool] = lambda operation, path: False
    log: list[Names | Data | Sync | Report] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    nodes: dict[int, int] = field(default_factory=dict)  # by the number of the inode
    folders: set[int] = field(default_factory=set)
    count: int = 0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the operations of this process below the folder."""
        self.nodes[os.stat(self.root).st_ino] = ROOT
        disk = self

        class File(io.FileIO):
            """File whose reads and writes are recorded."""

            def write(self, data: Any) -> int:
                disk.call("write", self.fileno())
                offset = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
                number = super().write(data)
                if disk.node(self.fileno()) is not None:
                    disk.log.append(Data(disk.node(self.fileno()), offset, bytes(data)))
                return number

            def read(self, size: int | None = -1) -> bytes:
                disk.call("read", self.fileno())
                return super().read(-1 if size is None else size)

            def readall(self) -> bytes:
                disk.call("read", self.fileno())
                return super().readall()

        def open_file(path: Any, mode: str = "r", *how: Any, **more: Any) -> Any:
            if isinstance(path, int) or not disk.path(path):
                return original_open(path, mode, *how, **more)
            flags = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC}
            flags["a"] = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            raw = File(os.open(path, flags[mode[0]]), mode[0])
            binary: Any = io.BufferedReader(raw) if mode[0] == "r" else io.BufferedWriter(raw)
            return binary if "b" in mode else io.TextIOWrapper(binary, encoding="utf-8")

        original_open = io.open
        with pytest.MonkeyPatch.context() as patch:
            for name in (*CHANGES, *QUERIES):
                patch.setattr(os, name, self._wrapped(name, getattr(os, name)))
            patch.setattr(io, "FileIO", File)
            patch.setattr(io, "open", open_file)
            yield

    def path(self, path: Any) -> Path | None:
        """Return the path of a file below the folder, None if it is elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        full = Path(os.path.abspath(path))
        return full if full.is_relative_to(self.root) else None

    def node(self, path: Any) -> int | None:
        """Return the number of a file or folder."""
        try:
            found = os.fstat(path) if isinstance(path, int) else original_lstat(path)
        except OSError:
            return None
        return self.nodes.get(found.st_ino)

    def call(self, operation: str, path: Any) -> None:
        """Count an operation, and let it fail if it should."""
        where = self.path(path)
        if where is None:
            return
        self.calls.append(f"{operation} {where.relative_to(self.root)}")
        if number := self.fails(operation, where):
            raise OSError(number, os.strerror(number), str(where))

    def _wrapped(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return an operation that is recorded."""

        def operation(path: Any = ".", *rest: Any, **options: Any) -> Any:
            where = None if options.get("dir_fd") is not None else self.path(path)
            if where is None:
                return original(path, *rest, **options)
            self.call(name, path)
            if self.ignores(name, where):
                return None
            if name in QUERIES:
                return original(path, *rest, **options)
            if name == "fsync":
                self.log.append(Sync(self.node(path)))
                return None  # the simulation needs no real disk
            before = self.node(path)
            returned = original(path, *rest, **options)
            self._record(name, path, before, rest)
            return returned

        return operation

    def _record(self, name: str, path: Any, before: int | None, rest: tuple[Any, ...]) -> None:
        """Record a change of names, which has just been made."""
        if name == "open":
            if rest[0] & os.O_CREAT and before is None:
                self.log.append(Names((self._entry(path, self._new(path)),)))
        elif name == "mkdir":
            self.folders.add(node := self._new(path))
            self.log.append(Names((self._entry(path, node),)))
        elif name in ("unlink", "rmdir"):
            self.log.append(Names((self._entry(path, None),)))
        elif name == "link":
            self.log.append(Names((self._entry(rest[0], before),)))
        elif name in ("replace", "rename"):
            self.log.append(Names((self._entry(path, None), self._entry(rest[0], before))))

    def _new(self, path: Any) -> int:
        """Number a new file or folder."""
        self.count += 1
        self.nodes[original_lstat(path).st_ino] = self.count
        return self.count

    def _entry(self, path: Any, node: int | None) -> tuple[int, str, int | None]:
        """Return the change of a name."""
        folder = self.node(Path(path).parent)
        assert folder is not None, path
        return folder, Path(path).name, node

    def after_power_cut(self, moment: int, loss: Loss, seed: int = 0) -> dict[str, bytes | None]:
        """Return what a power cut leaves: the content of each file by its path, None for folders.

        Args:
            moment: The number of entries of the log that were made before.
            loss: What it leaves of the changes that were not synced.
            seed: Seed of the choice among the parts that may be left.
        """
        chance, log = random.Random(seed), self.log[:moment]
        last_sync = {entry.node: k for k, entry in enumerate(log) if isinstance(entry, Sync)}
        folders: dict[int, dict[str, int]] = {}
        files: dict[int, bytearray] = {}
        for k, change in enumerate(log):
            if isinstance(change, Names):
                is_synced = all(last_sync.get(f, -1) > k for f, _, _ in change.entries)
                if is_synced or chance.random() < loss.names:
                    for folder, name, node in change.entries:
                        names = folders.setdefault(folder, {})
                        names.pop(name, None) if node is None else names.update({name: node})
            elif isinstance(change, Data):
                data, is_synced = change.data, last_sync.get(change.file, -1) > k
                if not is_synced:
                    data = data[: int(len(data) * chance.choice(loss.data))]
                    data += bytes(len(change.data) - len(data)) if loss.zeros else b""
                content = files.setdefault(change.file, bytearray())
                content[change.offset : change.offset + len(data)] = data
        tree: dict[str, bytes | None] = {}
        pending = [("", ROOT)]
        while pending:
            prefix, folder = pending.pop()
            for name, node in folders.get(folder, {}).items():
                if node in self.folders:
                    tree[prefix + name] = None
                    pending.append((f"{prefix}{name}/", node))
                else:
                    tree[prefix + name] = bytes(files.get(node, b""))
        return tree


original_lstat = os.lstat


def write_tree(tree: dict[str, bytes | None], root: Path) -> None:
    """Write files and folders."""
    root.mkdir(parents=True)
    for name in sorted(tree):
        content = tree[name]
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)


def fail_at(number: int, code: int = errno.EIO) -> Callable[[str, Path], int]:
    """Return a rule by which one call fails: the one of this number, from 0."""
    calls = iter(range(10**9))
    return lambda operation, path: code if next(calls) == number else 0


def fill_at(number: int, code: int = errno.ENOSPC) -> Callable[[str, Path], int]:
    """Return a rule by which everything that takes space fails from a call on."""
    calls = iter(range(10**9))
    takes_space = ("write", "mkdir", "link", "replace", "fsync")
    return lambda operation, path: code if next(calls) >= number and operation in takes_space else 0
