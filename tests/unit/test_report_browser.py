"""The report as a reader uses it: in Chromium, wide, narrow, light, dark, by mouse and by keys."""

import pytest
from browser import LOOKS, axe_source, chromium, walk
from neuralNMF.io.pages import write_page
from neuralNMF.report.contents import contents_of
from neuralNMF.report.page import page_of
from reports import NASTY, small_source
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

pytestmark = [pytest.mark.slow, pytest.mark.browser]

# Where axe-core looks too, which takes as long as all else.
AUDITED = [(1400, "light"), (400, "dark")]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a small run, with names that try to be markup."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(page_of(contents_of(small_source())), path)
    return path


@pytest.fixture(scope="module")
def chrome():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(chrome, page):
    """The page at its widest, and no message of the console when the test ends."""
    chrome.open(page)
    yield chrome
    assert chrome.messages() == []


@pytest.fixture(scope="module")
def axe():
    return axe_source()


@pytest.mark.parametrize(("width", "theme"), LOOKS, ids=lambda value: str(value))
def test_every_tab(chrome, page, axe, width, theme):
    script = axe if (width, theme) in AUDITED else ""
    assert walk(chrome, page, width=width, theme=theme, axe=script) == []
    assert chrome.run("return window.injected") is None


def test_it_is_seen_at_once(chrome, page):
    """Of several times, since other work on the machine adds to each."""

    def first_paint() -> float:
        chrome.open(page)
        paints = "return performance.getEntriesByType('paint').map((paint) => paint.startTime)"
        return chrome.wait(lambda: chrome.run(paints), "the first paint")[0]

    assert any(first_paint() < 3000 for _ in range(10))


def test_down_the_hierarchy(opened):
    opened.drawn("overview")
    opened.click("[data-program='2.P1'] > .node")
    assert opened.text("#detail h3").startswith("P1 ")
    opened.click("[data-program='1.P2'] > .node")
    opened.wait(lambda: "90 % is part of P1" in opened.text("#detail"), "the fine program")
    label = opened.find("#detail canvas")
    opened.wait(lambda: "B cells (" in label.get_attribute("aria-label"), "the map in words")
    opened.click("[data-program='1.P1'] [data-leaf='CD3D'] > .node")
    opened.wait(lambda: "CD3D was found in" in opened.text("#detail"), "the gene")
    opened.wait(lambda: "layer 1: P1 CD3D" in opened.text("#detail"), "its programs")
    opened.click("#detail .action")
    opened.drawn("cells")
    assert opened.find("#colour").get_attribute("value") == "gene:CD3D"
    opened.wait(lambda: "highest on average in T cells" in opened.text("#map-text"), "the answer")
    assert opened.blank("cells") == []


def test_the_tree_by_keys(opened):
    tree = opened.find("#tree [tabindex='0']")
    tree.send_keys(Keys.ARROW_DOWN)
    focused = lambda: opened.run("return document.activeElement.dataset")  # noqa: E731
    assert focused()["program"].startswith("1.")
    press = lambda *keys: ActionChains(opened.driver).send_keys(*keys).perform()  # noqa: E731
    press(Keys.ARROW_LEFT)  # closes it
    assert focused()["program"].startswith("1.")
    assert opened.run("return document.activeElement.ariaExpanded") == "false"
    press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ENTER)
    leaf = focused()["leaf"]
    assert opened.text("#detail h3") == leaf
    press(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ENTER)
    assert focused()["program"].startswith("2.")
    assert "Layer 2" in opened.text("#detail .where")
    press(Keys.END)
    assert "leaf" in focused()


def test_tabs_by_keys(opened):
    tab = opened.find("#tab-overview")
    tab.send_keys(Keys.ARROW_RIGHT)
    assert opened.run("return document.activeElement.id") == "tab-programs"
    assert opened.find("#programs").is_displayed() and not opened.find("#overview").is_displayed()
    opened.find("#tab-programs").send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert opened.find("#files").is_displayed()


def test_search(opened):
    opened.tab("programs")
    search = opened.find("#query")
    search.send_keys("cd3d")
    opened.wait(lambda: "as a marker" in opened.text("#answer"), "the answer")
    answer = opened.text("#answer")
    assert "layer 2: P1" in answer and "(marker 1)" in answer
    shown = len(opened.shown("article"))
    assert f"{shown} of 6 programs are shown." in answer and shown < 6
    opened.click("#answer [data-go='1.P1']")
    assert opened.run("return document.activeElement.id") == "card-1.P1"
    for query, words in (
        ("malat1", "MALAT1 is not among the genes that were used: excluded."),
        ("not found again", "1 of 6 programs are shown."),
        ("no such thing", "0 of 6 programs are shown."),
        (NASTY, "as a marker"),
    ):
        search.clear()
        search.send_keys(query)
        opened.wait(lambda words=words: words in opened.text("#answer"), words)


def test_colours_legend_and_hover(opened):
    opened.tab("cells")
    assert len(opened.shown("#legend button")) == 4
    before = opened.run("return document.getElementById('map').toDataURL()")
    opened.click("#legend button")
    assert opened.find("#legend button").get_attribute("aria-pressed") == "true"
    assert opened.run("return document.getElementById('map').toDataURL()") != before
    groups = opened.driver.find_elements("css selector", "#colour optgroup")
    assert [group.get_attribute("label") for group in groups] == [
        "Groups of cells", "Main program", "Share of a program of layer 2",
        "Share of a program of layer 1", "Genes", "Numbers",
    ]  # fmt: skip
    for value in ("main:1", "program:2.P1", "number:0", "gene:CD3D", "group:0"):
        choice = Select(opened.find("#colour"))
        choice.select_by_value(value)
        name = choice.first_selected_option.text
        opened.wait(
            lambda name=name: name.split(" ")[-1] in opened.text("#map-text"), f"colours by {name}"
        )
        assert opened.blank("cells") == []
    box = opened.find("#map")
    opened.click("#nearer")
    opened.click("#whole")
    places = [(x, y) for x in range(-480, 480, 60) for y in range(-300, 300, 60)]
    for x, y in places:
        ActionChains(opened.driver, duration=0).move_to_element_with_offset(box, x, y).perform()
        if opened.find("#tip").is_displayed():
            break
    tip = opened.text("#tip")
    assert tip.startswith("CELL") and "celltype: " in tip and "layer 2: mostly P" in tip


def test_charts_follow_the_window(chrome, page):
    chrome.open(page)
    chrome.tab("quality")
    size = "const { width, height } = document.querySelector('.plot .main-svg')\
.getBoundingClientRect(); return [width, height]"
    width, height = chrome.run(size)
    chrome.resize(700)
    chrome.wait(lambda: chrome.run(size)[0] not in (width, 0), "another width", 20)
    chrome.wait(lambda: chrome.outside("quality") == [], "charts in their places", 10)
    assert chrome.run(size)[1] == height
    assert chrome.run("return document.documentElement.scrollWidth") <= 700


def test_another_theme_while_it_is_open(chrome, page):
    chrome.open(page)
    chrome.tab("quality")
    colour = "return getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    light = chrome.run(colour)
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chrome.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    chrome.wait(lambda: chrome.run(colour) != light, "other colours")
    assert chrome.messages() == []


def test_a_browser_that_cannot_unpack_says_so(chrome, page):
    chrome.open(page)
    source = "delete window.DecompressionStream"
    done = chrome.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": source}
    )
    try:
        chrome.open(page)
        chrome.wait(lambda: chrome.find("#trouble").is_displayed(), "the sentence")
        assert "The text and the tables are complete" in chrome.text("#trouble")
        chrome.click("#tab-methods")
        assert chrome.find("blockquote").is_displayed()
    finally:
        chrome.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", done)
