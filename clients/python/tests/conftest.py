from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator

import pytest

BINARY = os.environ.get("OTTLA_BINARY", "../../bin/ottla")


class Server:
    """A broker of its own, that can be killed and started again on its port."""

    def __init__(self) -> None:
        self.dir = tempfile.mkdtemp(prefix="ottla-python-")
        self.listen = "127.0.0.1:0"
        self.url = ""
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", self.listen, "--data-dir", self.dir],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.dir if os.path.isabs(BINARY) else None,
        )
        assert self.process.stdout is not None
        found = re.search(r"listening on (http://(\S+)),", self.process.stdout.readline())
        assert found, "the server does not say where it listens"
        self.url, self.listen = found[1], found[2]
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=2):
                    return
            except OSError:
                assert time.monotonic() < deadline, "the server does not get ready"
                time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    s = Server()
    yield s
    s.end()
