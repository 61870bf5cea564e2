"""The page in a real browser: headless Chromium, driven by Selenium. Where there is none, these tests are skipped.

On Debian: ``apt-get install chromium chromium-driver``.
"""

import shutil

import numpy as np
import pytest
from test_inspect import XS, W, recurrent, textbook

import chainrule as cr
from chainrule import nn
from chainrule.layers import Dense
from chainrule.layers.base import Layer
from chainrule.models import Sequential

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no chromium with chromedriver is installed")


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1300,850",
                   "host-resolver-rules=MAP * ~NOTFOUND", "force-prefers-reduced-motion"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """A graph opened in the browser."""

    def __init__(self, driver, path):
        self.driver = driver
        driver.get(path.as_uri())
        assert driver.execute_script("return document.documentElement.dataset.ready") == "yes"

    def run(self, script):
        return self.driver.execute_script(script)

    def click(self, key):
        self.run(f"document.getElementById('{key}').click()")

    def press(self, key):
        self.run(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))")

    @property
    def story(self):
        return self.run("return document.getElementById('story').textContent")

    @property
    def items(self):
        return self.run("return [...document.querySelectorAll('.item')].map(g => g.getAttribute('aria-label'))")

    def choose(self, name):
        """Focus an item, as Tab does; what the details say of it then."""
        self.run("[...document.querySelectorAll('.item')].find(g => g.getAttribute('aria-label')"
                 f".startsWith('{name},')).focus()")
        return self.run("return document.getElementById('details').textContent")

    def numbers(self, kind):
        return self.run("return [...document.querySelectorAll('#stage .line')]"
                        f".filter(g => !g.querySelector('.{kind}').classList.contains('waiting'))"
                        f".map(g => g.querySelector('.{kind}').textContent)")


@pytest.fixture
def opened(browser, tmp_path):
    def open_(graph, *values, **options):
        return Page(browser, graph.save(tmp_path / "graph.html", *values, **options))
    yield open_
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_the_textbook_graph_step_by_step(opened):
    page = opened(textbook().graph)
    gradients = {name: page.run(
        "const row = [...document.querySelectorAll('#table tbody tr')].find(r => r.firstChild.textContent === "
        f"'{name}'); return row.lastChild.textContent") for name in "xyz"}
    assert gradients == {"x": "−3", "y": "−3", "z": "4"}
    page.click("begin")
    assert page.story == "Before the first step." and page.numbers("value") == []
    told = []
    for _ in range(10):
        page.press("ArrowRight")
        told.append(page.story)
    assert told[3] == "Forward pass: p = x + y = 1 + 3 = 4" and told[4].endswith("f = p · z = 4 · (−3) = −12")
    assert told[5].endswith("the derivative of the result by itself is 1")
    assert told[6] == ("Backward pass: local derivative ∂f/∂p = z = −3 × incoming gradient ∂f/∂f = 1 "
                       "= outgoing gradient −3")
    assert [line.rsplit(" ", 1)[1] for line in told[6:]] == ["−3", "4", "−3", "−3"]
    assert sorted(page.numbers("grad")) == ["1", "4", "−3", "−3", "−3"]
    page.press("ArrowLeft")
    assert sorted(page.numbers("grad")) == ["1", "4", "−3", "−3"] and len(page.numbers("value")) == 5
    page.press("Home")
    page.click("end")
    assert page.numbers("value") == ["1", "3", "4", "−3", "−12"]


def test_details_search_zoom_and_languages(opened):
    page = opened(cr.trace(lambda w, x: np.sum(np.tanh(x @ w)), W, XS), W, XS)
    found = page.choose("w")
    assert "float64[2, 2]" in found and "gradient" in found and "mean" in found and "std" in found
    assert page.run("return document.querySelectorAll('#details .bars').length") == 2
    assert "x @ w" in page.choose("@")
    before = page.run("return document.getElementById('scene').getAttribute('transform')")
    page.press("+")
    assert page.run("return document.getElementById('scene').getAttribute('transform')") != before
    page.run("const s = document.getElementById('search'); s.value = 'tanh'; s.dispatchEvent(new Event('input'))")
    assert page.run("return document.querySelectorAll('.hit').length") == 2  # tanh, and the sum of it
    page.click("language")
    assert page.run("return document.documentElement.lang") == "es"
    page.click("end")
    assert page.story.startswith("Paso hacia atrás") and "gradiente saliente" in page.story or "entrante" in page.story
    assert any("valor" in label for label in page.items)
    page.click("theme")
    paper = page.run("return getComputedStyle(document.body).backgroundColor")
    page.click("theme")
    assert page.run("return getComputedStyle(document.body).backgroundColor") != paper
    unnamed = page.run("return [...document.querySelectorAll('button, input, .item')].filter(e => "
                       "!(e.getAttribute('aria-label') || e.textContent).trim()).length")
    assert unnamed == 0


def test_loops_fold_to_a_step_and_unfold_in_time(opened):
    page = opened(cr.trace(recurrent, W, XS), W, XS)
    assert sum("tanh" in label for label in page.items) == 1
    first = page.choose("h₍₁₎")
    page.run("const r = document.querySelector('[data-turn]'); r.value = 3; "
             "r.dispatchEvent(new Event('change', {bubbles: true}))")
    assert "h₍₃₎" in page.run("return document.getElementById('details').textContent") != first
    page.run("document.querySelector('[data-roll]').click()")
    assert sum("tanh" in label for label in page.items) == 3


class Residual(Layer):
    """Two convolutions around which the input goes."""

    def build(self, input_shape):
        channels = input_shape[-1]
        self.first = self.add_weight((3, 3, channels, channels))
        self.second = self.add_weight((3, 3, channels, channels))

    def call(self, x, training=False):
        y = np.maximum(nn.conv(x, self.first, padding="same"), 0)
        return np.maximum(x + nn.conv(y, self.second, padding="same"), 0)


class Pool(Layer):
    def call(self, x, training=False):
        return np.mean(x, axis=(1, 2))


def test_a_resnet_of_fifty_convolutions(opened):
    cr.set_seed(0)
    model = Sequential([*[Residual(input_shape=(4, 4, 2)) for _ in range(25)], Pool(), Dense(3, activation="softmax")])
    model.compile(loss="mse")
    rng = np.random.default_rng(0)
    page = opened(model.graph(rng.normal(size=(2, 4, 4, 2)).astype("f"), np.eye(3, dtype="f")[:2]))
    assert len(page.items) == 2 + 25 + 2 + 1 and sum("residual" in label for label in page.items) == 25
    page.run("document.querySelector('.item.group').focus()")
    page.press("Enter")
    assert len(page.items) > 35
    assert any("residual/first" in label for label in page.items)
    page.press("End")
    page.press("Home")
    page.press("ArrowRight")
    assert page.story.startswith("Forward pass")
    scale = page.run("return document.getElementById('scene').getAttribute('transform')").split("scale(")[1]
    assert float(scale.rstrip(")")) >= 0.7  # readable, though it is longer than the window
