"""
A real browser for the tests of the page: Debian's Chromium, without a window. tools/browser.sh installs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

# As root in a closed network: no sandbox of its own, and no attempt to reach anything but the page.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-GB",
)

PATIENCE_SECONDS = 120.0


class Browser:
    """
    One window, and short words for what the tests do with it.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def visit(self, url: str) -> None:
        """
        Load the page anew, also where only the fragment differs.
        """
        self.driver.get("about:blank")
        self.driver.get(url)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """
        Take the size of a screen in CSS pixels; narrow ones are phones.
        """
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def __call__(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """
        Every element, maybe none.
        """
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """
        The text of one element, as it is in the document.
        """
        return str(self(selector).get_property("textContent"))

    def button(self, action: str) -> WebElement:
        """
        Approve, deny, stop or restart.
        """
        return self(f'#decide button[data-action="{action}"]')

    def row(self, instance_id: str) -> WebElement:
        """
        The link of an instance in the list.
        """
        return self(f'#instances a[href="#{instance_id}"]')

    def run(self, script: str, *arguments: object) -> Any:
        """
        What a script of the test returns.
        """
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script: str, *arguments: object) -> Any:
        """
        What a script of the test gives to its last argument.
        """
        return self.driver.execute_async_script(script, *arguments)

    def complaints(self) -> list[dict[str, Any]]:
        """
        What the browser's console has got since the last look: errors of scripts, and what the policy forbade.
        """
        return list(self.driver.get_log("browser"))  # type: ignore[no-untyped-call]  # selenium's own

    @property
    def focused(self) -> WebElement:
        """
        The element that has the focus.
        """
        return self.driver.switch_to.active_element

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """
        Wait until the page fulfils `condition`.
        """
        WebDriverWait(self.driver, PATIENCE_SECONDS, 0.05).until(lambda _: condition(), f"waited in vain for: {what}")

    def wait_for_text(self, selector: str, text: str) -> None:
        """
        Wait until an element says exactly this.
        """
        self.wait(lambda: self.text(selector) == text, f"{selector} says {text!r}")


@contextmanager
def open_browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """
    A browser with a new profile in the folder `profile`.
    """
    binary, driver_binary = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver_binary is None:
        pytest.skip("chromium and chromedriver are not installed: tools/browser.sh does that")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_binary))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
