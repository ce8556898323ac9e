"""A real browser for tests of pages: opened from disk, steered through its own pipe, without any package.

with Browser(tmp_path, width=390) as browser:
    browser.open(page, "view=answers")
    browser.run("document.title")                what a script gives
    browser.key("ArrowDown")                     a key that a person presses
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
WAIT = 60.0


class Browser:
    def __init__(self, folder: Path, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True, exist_ok=True)
        down, self._write = os.pipe()
        self._read, up = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{down} 4>&{up}', "bash", BROWSER, *FLAGS,
             f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}", "about:blank"],
            pass_fds=(down, up), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(down)
        os.close(up)
        self._held, self._count, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Page.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **params: Any) -> Any:
        """One command of the browser's protocol, and what it gives."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + WAIT
        while True:
            one, found, rest = self._held.partition(b"\0")
            if found:
                self._held = rest
                reply = json.loads(one)
                if reply.get("id") == self._count:
                    assert "error" not in reply, f"{method}: {reply['error']}"
                    return reply["result"]
                continue
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the browser does not answer {method}"
            self._held += os.read(self._read, 1 << 16)

    def open(self, page: Path, address: str = "", ready: str = "document.readyState === 'complete'") -> None:
        """Open a page, or another address of it, and wait until it is ready."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=f"file://{quote(str(page))}" + (f"#{address}" if address else ""))
        self.wait(f"location.protocol === 'file:' && {ready}")

    def wait(self, condition: str) -> None:
        until = time.monotonic() + WAIT
        while not self.run(condition):
            assert time.monotonic() < until, f"never: {condition}"
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def key(self, key: str) -> None:
        """Press a key."""
        text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
        named = {"Space": " "}.get(key, key)
        codes = {"Tab": 9, "Enter": 13, "Space": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
                 "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip
        about = {"key": named, "code": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def downloaded(self, name: str) -> str:
        """The text of a file that the page has given."""
        until = time.monotonic() + WAIT
        while not (self.downloads / name).exists():
            assert time.monotonic() < until, f"{name} was not downloaded"
            time.sleep(0.05)
        return (self.downloads / name).read_text(encoding="utf-8")

    def faults(self) -> list[str]:
        """What the page gets wrong for its readers: contrast, names, captions, order of heads, languages, widths."""
        return list(self.run((Path(__file__).parent / "audit.js").read_text(encoding="utf-8")))
