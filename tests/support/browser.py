"""A headless Chromium for tests, driven through its pipe: no port, no driver, no other package.

It is Debian's `chromium`; where it is missing and this is Debian with rights to install, it is
installed.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path


def find_chromium():
    """The browser's path; installs it where that can be done."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise RuntimeError("the browser tests need Chromium: apt-get install chromium")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run([apt, "-qq", *command], check=True, env=quiet, stdout=subprocess.DEVNULL)
    return shutil.which("chromium")


class Page:
    """What a page did: `requests` (URLs), `messages` (console and errors), and what it answers."""

    def __init__(self, browser, session):
        self._browser, self._session = browser, session
        self.requests, self.messages, self._loaded = [], [], False

    def hear(self, method, said):
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.messages.append(json.dumps(said))
        elif method == "Log.entryAdded":
            self.messages.append(said["entry"]["text"])
        elif method == "Page.loadEventFired":
            self._loaded = True

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def go(self, url):
        self._loaded = False
        self.call("Page.navigate", url=url)
        self._browser.listen_until(lambda: self._loaded)

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def press(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text,
                      windowsVirtualKeyCode=code)  # fmt: skip

    def show(self, *, is_dark=False, width=1100, height=900, media=""):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def screenshot(self, path, *, is_whole=True):
        said = self.call("Page.captureScreenshot", captureBeyondViewport=is_whole)
        Path(path).write_bytes(base64.b64decode(said["data"]))

    def pdf(self):
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])


class Browser:
    """A Chromium of its own, with a profile of its own; closed with the block."""

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        its_in, self._to = os.pipe()
        self._from, its_out = os.pipe()
        command = [
            find_chromium(), "--headless=new", "--remote-debugging-pipe", "--no-first-run",
            "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
            "--no-sandbox", f"--user-data-dir={self._profile.name}", "about:blank",
        ]  # fmt: skip
        # Chromium reads from descriptor 3 and writes to 4.
        wiring = f'exec "$0" "$@" 3<&{its_in} 4>&{its_out}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", wiring, *command],
            pass_fds=(its_in, its_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_in)
        os.close(its_out)
        self._read, self._number, self._pages, self._answers = b"", 0, {}, {}
        return self

    def __exit__(self, *error):
        with contextlib.suppress(AssertionError):  # it may be gone before it has answered
            self.call("Browser.close")
        self._process.wait(30)
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def open(self, url):
        """A new page at `url`, once it has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.show()
        page.go(url)
        return page

    def call(self, method, session=None, **parameters):
        self._number += 1
        number = self._number
        asked = {"id": number, "method": method, "params": parameters}
        if session is not None:
            asked["sessionId"] = session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        self.listen_until(lambda: number in self._answers)
        said = self._answers.pop(number)
        assert "error" not in said, said["error"]
        return said["result"]

    def listen_until(self, is_enough, timeout_s=60):
        """Take in what the browser says until `is_enough`."""
        end = time.monotonic() + timeout_s
        while not is_enough():
            ready, _, _ = select.select([self._from], [], [], max(end - time.monotonic(), 0))
            assert ready, f"Chromium said nothing more within {timeout_s} s"
            more = os.read(self._from, 1 << 20)
            assert more, "Chromium ended"
            *messages, self._read = (self._read + more).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers[message["id"]] = message
                elif message.get("sessionId") in self._pages:
                    self._pages[message["sessionId"]].hear(message["method"], message["params"])
