"""A browser to look at pages with, driven over the pipe of its DevTools protocol.

Tests that need one are skipped with a message where there is none (Debian's package is
``chromium``; ``RRTOOL_BROWSER`` names another program of that family).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = os.environ.get("RRTOOL_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    PROGRAM is None, reason="no browser is here to look at the pages (Debian: chromium)"
)
_PATIENCE_S = 60.0
_KEYS = {"Backspace": 8, "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37,
         "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip

# The WCAG's ratio of the luminances of an element's text and of the ground that it is on.
CONTRASTS = """((selector) => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((x) => x / 255)
      .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (e) => {
    const colour = e ? getComputedStyle(e).backgroundColor : 'rgb(255, 255, 255)';
    return colour === 'rgba(0, 0, 0, 0)' ? ground(e.parentElement) : colour;
  };
  return [...document.querySelectorAll(selector)].map((e) => {
    const pair = [light(getComputedStyle(e).color), light(ground(e))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  });
})(%s)"""


def each(selector: str, body: str) -> str:
    """JavaScript: the value of ``body`` for each element ``e`` of a CSS selector."""
    return f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => {body})"


class Browser:
    """A headless browser, and the one page that it shows."""

    def __init__(self, profile: Path) -> None:
        # A new pipe's ends are moved out of the way of 3 and 4, where the browser looks for them.
        commands, self._commands = (_high(end) for end in os.pipe())
        self._answers, answers = (_high(end) for end in os.pipe())
        words = (
            str(PROGRAM), "--headless=new", "--remote-debugging-pipe", "--no-sandbox",
            "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={profile}", "about:blank",
        )  # fmt: skip
        null = _high(os.open(os.devnull, os.O_RDWR))
        self._process = os.posix_spawn(
            words[0], words, os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, commands, 3), (os.POSIX_SPAWN_DUP2, answers, 4),
                *((os.POSIX_SPAWN_DUP2, null, stream) for stream in range(3)),
            ],
            setpgroup=0,
        )  # fmt: skip
        for end in (commands, answers, null):
            os.close(end)
        self._received = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End it, and all that it started."""
        os.close(self._commands)
        os.close(self._answers)
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something, and wait for the answer."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            asked["sessionId"] = self._session
        os.write(self._commands, json.dumps(asked).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._received:
            wait = max(deadline - time.monotonic(), 0)
            ready = select.select([self._answers], [], [], wait)[0]
            assert ready, "the browser does not answer"
            got = os.read(self._answers, 1 << 20)
            assert got, "the browser has ended"
            self._received += got
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)

    def show(self, page: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Load a page in a window of this size, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives on the page, JSON-compatible."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        """Press a key, or that of a character, and let it go."""
        common = {"key": key, "code": key, "modifiers": 8 * shift + 2 * control,
                  "windowsVirtualKeyCode": _KEYS.get(key) or ord(key.upper())}  # fmt: skip
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 and not control else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Press the key of each character."""
        for character in text:
            self.press(character)

    def click(self, selector: str) -> None:
        """Click on the middle of the first element of a CSS selector."""
        x, y = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.click_at(x, y)

    def click_at(self, x: float, y: float) -> None:
        """Click somewhere in the window, in pixels from its corner."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """What the window shows, or the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def complaints(self) -> list[str]:
        """What the page did wrong since it was loaded: errors, refusals, requests over a net."""
        found = []
        for event in self.events:
            of = event.get("params", {})
            if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown"):
                found.append(json.dumps(of))
            elif event["method"] == "Network.requestWillBeSent":
                url = of["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:")):
                    found.append(url)
        return found


def _high(descriptor: int) -> int:
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return high


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, which ends with the block."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.close()
