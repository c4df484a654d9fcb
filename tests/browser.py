"""Chromium without a window, for the tests that look at the report as a reader does."""

import base64
import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PACKAGES = "chromium chromium-driver"
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
TABS = ("overview", "programs", "cells", "quality", "methods", "files")
LOOKS = [(1400, "light"), (1400, "dark"), (400, "light"), (400, "dark")]
# Pictures of a tab that are not there yet.
UNDRAWN = "return [...document.querySelectorAll(`#${arguments[0]} :is(canvas, .plot)`)]\
.filter((picture) => !picture.dataset.drawn && picture.checkVisibility()).length"
# Pictures of a tab on which nothing is seen: a canvas all of one colour, a chart without marks.
BLANK = """
const marks = ".bars path, .lines path, .points path, .hm image, .sankey-node, .sankey-link";
const blank = (picture) => {
  if (picture.tagName !== "CANVAS") return !picture.querySelector(marks);
  const kept = new OffscreenCanvas(picture.width, picture.height);
  const copy = kept.getContext("2d", { willReadFrequently: true });
  copy.drawImage(picture, 0, 0);
  const { data } = copy.getImageData(0, 0, picture.width, picture.height);
  return new Set(new Uint32Array(data.buffer)).size < 2;
};
return [...document.querySelectorAll(`#${arguments[0]} :is(canvas, .plot)`)]
  .filter((picture) => picture.checkVisibility() && blank(picture))
  .map((picture) => picture.ariaLabel);
"""
# Charts that lie over what stands below or beside them.
OUTSIDE = """
const edges = (part) => part.getBoundingClientRect();
const out = (plot) => [...plot.querySelectorAll(".main-svg")].some((drawn) =>
  edges(drawn).bottom > edges(plot).bottom + 1 || edges(drawn).right > edges(plot).right + 1);
return [...document.querySelectorAll(`#${arguments[0]} .plot`)]
  .filter((plot) => plot.checkVisibility() && out(plot)).map((plot) => plot.ariaLabel);
"""
AXE = """
const options = { resultTypes: ["violations"], preload: false };
axe.run({ exclude: [["[hidden]"]] }, options).then(arguments[0]);
"""


class Browser:
    """A page in Chromium; `driver` is selenium's."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1400, theme: str = "light") -> None:
        """Open a page at a width and in a theme, with the console's messages forgotten."""
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.resize(width)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(page.as_uri())

    def find(self, selector: str):
        """The first element that a CSS selector finds."""
        return self.driver.find_element("css selector", selector)

    def shown(self, selector: str) -> list:
        """The elements of a selector that are seen."""
        found = self.driver.find_elements("css selector", selector)
        return [each for each in found if each.is_displayed()]

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, what: str, seconds: float = 120):
        """Wait until a function of nothing is true, and return what it gives."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
            time.sleep(0.03)
        return found

    def tab(self, name: str) -> None:
        """Open a tab and wait for its pictures."""
        self.click(f"#tab-{name}")
        self.drawn(name)

    def drawn(self, name: str) -> None:
        self.wait(lambda: self.run(UNDRAWN, name) == 0, f"the pictures of {name}")

    def blank(self, name: str) -> list[str]:
        """Names of the pictures of a tab on which nothing is seen."""
        return self.run(BLANK, name)

    def outside(self, name: str) -> list[str]:
        """Names of the charts of a tab that lie over what stands below or beside them."""
        return self.run(OUTSIDE, name)

    def resize(self, width: int) -> None:
        """Give the window another width."""
        metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def messages(self) -> list[str]:
        """What the console says."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def barriers(self, axe: str) -> list[str]:
        """Serious and critical findings of axe-core on what is shown."""
        if not self.run("return 'axe' in window"):
            self.run(axe)
        self.driver.set_script_timeout(120)
        found = self.driver.execute_async_script(AXE)
        return [
            f"{each['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def screenshot(self, path: Path) -> None:
        """The whole page as a picture."""
        size = self.run(
            "return [innerWidth, Math.min(document.documentElement.scrollHeight, 9000)]"
        )
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        path.write_bytes(base64.b64decode(shot["data"]))


def walk(
    browser: Browser,
    page: Path,
    *,
    width: int = 1400,
    theme: str = "light",
    axe: str = "",
    pictures: Path | None = None,
) -> list[str]:
    """Open every tab of a report, and say what is wrong with it.

    Parameters
    ----------
    browser, page, width, theme
        As `Browser.open` takes them.
    axe
        The script of axe-core, where its findings count too.
    pictures
        A folder for a screenshot of each tab.
    """
    browser.open(page, width=width, theme=theme)
    wrong = browser.messages()  # before axe, which the page would not load by itself
    for tab in TABS:
        browser.tab(tab)
        shown = [part.get_attribute("id") for part in browser.shown("section")]
        wrong += [f"{tab}: {shown} are shown"] if shown != [tab] else []
        wrong += [f"{tab}: nothing is seen on {name}" for name in browser.blank(tab)]
        wrong += [f"{tab}: {name} lies over other things" for name in browser.outside(tab)]
        wide = browser.run("return document.documentElement.scrollWidth")
        wrong += [f"{tab}: {wide} pixels wide, not {width}"] if wide > width else []
        wrong += [f"{tab}: {each}" for each in (browser.barriers(axe) if axe else [])]
        if pictures is not None:
            browser.screenshot(pictures / f"{tab}_{width}_{theme}.png")
    wrong += browser.messages()
    return wrong + (["the page is in trouble"] if browser.find("#trouble").is_displayed() else [])


def missing_programs() -> list[str]:
    """What is not installed of the browser."""
    return [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips the test where there is none, unless CI is set."""
    if missing := missing_programs():
        reason = (
            f"no browser here ({', '.join(missing)} missing); "
            f"as root on Debian: apt-get install {PACKAGES}"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def axe_source() -> str:
    """The script of axe-core, from the package that brings it."""
    package = Path(importlib.util.find_spec("selenium_axe_python").origin).parent
    return (package / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
