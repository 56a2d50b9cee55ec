"""The pages of a report in a browser, opened from the disk: slider, keys, filter, marks. Skipped without chromium."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import give_radii
from fakes.runs import write_run_with_history
from fakes.workspace import lensfold

from lensfold.data.cache import Cache, row_hash
from lensfold.report.ranked import Ranking, write_ranked_page

selenium = pytest.importorskip("selenium")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

BINARY, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (BINARY and DRIVER), reason="chromium and chromedriver are needed"),
]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip
PACK = ("--pack", "fake")


@pytest.fixture(scope="module")
def report(fake_workspace, tmp_path_factory) -> Path:
    """The report folder of two lens runs, of one shard less, and a run of radii."""
    workspace = tmp_path_factory.mktemp("browser") / "w"
    shutil.copytree(fake_workspace, workspace)
    give_radii(workspace / "data" / "fake" / "image_catalog2.0train.csv")
    for seed, name in enumerate(("first", "second <i>")):
        write_run_with_history(workspace, name, seed=seed, one_view=name == "first")
    write_run_with_history(workspace, "radii", "einstein-radius", seed=5, scatter=0.2)
    lensfold(workspace, "score", "--experiment", "first", *PACK)
    lensfold(workspace, "report", *PACK, "--gallery", "8")
    return workspace / "runs" / "fake" / "report"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a network, with a profile and a download folder of its own."""
    os.environ["SE_OFFLINE"] = "true"
    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = BINARY
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture
def first(browser, report):
    """The page of the run "first", without marks."""
    browser.get((report / "first.html").as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    return browser


def press(driver, *keys):
    for key in keys:
        driver.switch_to.active_element.send_keys(key)


def text(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector).text


def shown(driver):
    return [card for card in driver.find_elements(By.CSS_SELECTOR, ".card") if card.is_displayed()]


def count(driver, name):
    return int(text(driver, f"#cut-{name}").replace(",", ""))


def large_id(driver):
    return text(driver, "#large-caption b")


def test_no_page_complains_and_every_picture_loads(browser, report):
    for path in sorted(report.glob("*.html")):
        browser.get(path.as_uri())
        browser.execute_script("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
        sizes = "return [...document.images].map((image) => image.complete && image.naturalWidth)"
        WebDriverWait(browser, 20).until(lambda driver, script=sizes: all(driver.execute_script(script)))
        assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), path


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_page_is_wider_than_the_screen(browser, report, width):
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        for path in report.glob("*.html"):
            browser.get(path.as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_slider_counts_are_those_of_the_logits(first, report):
    run = report.parent / "first"
    logits = pd.concat([pd.read_csv(run / f"fold{i}" / "oof.csv", index_col="ID")["logit"] for i in range(3)])
    lenses = count(first, "tp") + count(first, "fn")
    assert lenses + count(first, "fp") + count(first, "tn") == len(logits) == 60
    place = int(first.execute_script("return document.getElementById('cut').value"))
    first.find_element(By.ID, "cut").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert int(first.execute_script("return document.getElementById('cut').value")) == place + 2
    threshold = float(text(first, "#cut-logit").replace("−", "-"))
    called = count(first, "tp") + count(first, "fp")
    assert called == np.sum(logits > threshold - 5e-4)
    assert float(text(first, "#cut-precision")) == pytest.approx(count(first, "tp") / called, abs=1e-4)
    assert float(text(first, "#cut-recall")) == pytest.approx(count(first, "tp") / lenses, abs=1e-4)
    expected = 2 * count(first, "tp") / (called + lenses)
    assert float(text(first, "#cut-f1")) == pytest.approx(expected, abs=1e-4)


def test_presets_of_the_slider(first):
    def choose(name):
        button = next(b for b in first.find_elements(By.CSS_SELECTOR, "#presets button") if b.text == name)
        first.execute_script("arguments[0].click()", button)

    f1_best = float(text(first, "#cut-f1"))
    choose("no false positive")
    assert count(first, "fp") == 0 and count(first, "tp") > 0
    choose("p = 0.5")
    assert float(text(first, "#cut-p")) >= 0.5
    choose("best F1")
    assert float(text(first, "#cut-f1")) == f1_best


def test_keys_step_through_the_large_view(first):
    ids = [card.get_attribute("data-id") for card in shown(first)]
    press(first, Keys.ARROW_RIGHT)
    assert first.find_element(By.ID, "large").is_displayed()
    start = ids.index(large_id(first))
    press(first, Keys.ARROW_RIGHT)
    assert large_id(first) == ids[start + 1] and f"{start + 2} of {len(ids)}" in text(first, "#place")
    press(first, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert large_id(first) == ids[start - 1]
    press(first, Keys.ESCAPE)
    assert not first.find_element(By.ID, "large").is_displayed()


def test_s_shows_the_other_stretch(first):
    press(first, Keys.ARROW_RIGHT)
    place = "return getComputedStyle(document.querySelector('#large-frame img')).objectPosition"
    assert first.execute_script(place) == "50% 0%"
    press(first, "s")
    assert first.execute_script(place) == "50% 100%"
    press(first, "s")
    assert first.execute_script(place) == "50% 0%"


def test_filter_by_list_size_and_label(first):
    everything = len(shown(first))
    press(first, "f")
    assert first.switch_to.active_element.get_attribute("name") == "list"
    for name, value, attribute in (("list", "missed", "data-list"), ("size", ">300", "data-size")):
        Select(first.find_element(By.NAME, name)).select_by_value(value)
        cards = shown(first)
        assert 0 < len(cards) < everything
        assert {card.get_attribute(attribute) for card in cards} == {value}
    assert f"{len(cards)} of {everything} shown" in text(first, "#shown")
    Select(first.find_element(By.NAME, "label")).select_by_visible_text("non-lens")
    assert shown(first) == [] and not first.find_element(By.ID, "list-missed").is_displayed()


def exported(driver, name: str) -> pd.DataFrame:
    """The rows of a file that was just exported, which is deleted."""
    target, limit = driver.downloads / name, time.monotonic() + 20
    while not target.is_file() and time.monotonic() < limit:
        time.sleep(0.1)
    rows = pd.read_csv(target, keep_default_na=False)
    target.unlink()
    return rows


def test_marks_survive_a_reload_and_are_exported(first, report):
    first.find_element(By.CSS_SELECTOR, "#list-missed .card").click()
    object_id = large_id(first)
    press(first, "n")
    first.find_element(By.ID, "note").send_keys('an arc, "faint"', Keys.ENTER)
    press(first, "a")
    second_id = large_id(first)
    assert second_id != object_id  # a mark moves on
    first.find_element(By.CSS_SELECTOR, "[data-mark='not a lens']").click()
    first.refresh()
    marked = first.find_elements(By.CSS_SELECTOR, ".card.marked")
    assert [card.get_attribute("data-id") for card in marked] == [object_id, second_id]
    first.find_element(By.CSS_SELECTOR, "#list-missed .card").click()
    assert first.find_element(By.ID, "note").get_property("value") == 'an arc, "faint"'
    pressed = first.find_elements(By.CSS_SELECTOR, "#large [aria-pressed=true]")
    assert [button.text for button in pressed] == ["A"]
    press(first, Keys.ESCAPE, "e")
    ids = [int(object_id), int(second_id)]
    with Cache(report.parents[2] / "data" / "fake" / "cache" / "train") as cache:
        pixels = [row_hash(row) for row in cache.read(ids)]
    assert exported(first, "marks-first.csv").to_dict("list") == {
        "ID": ids,
        "list": ["missed"] * 2,
        "mark": ["A", "not a lens"],
        "note": ['an arc, "faint"', ""],
        "pixels": pixels,
    }


def test_marks_of_one_page_are_not_on_another(first, report):
    press(first, Keys.ARROW_RIGHT, "l")
    first.get((report / "second%20%3Ci%3E.html").as_uri().replace("%25", "%"))
    assert text(first, "h1") == "second <i>" and not first.find_elements(By.CSS_SELECTOR, ".card.marked")


def test_0_takes_a_mark_away_and_typing_a_note_is_no_command(first):
    press(first, Keys.ARROW_RIGHT, "u", Keys.ARROW_LEFT, "0")
    assert not first.find_elements(By.CSS_SELECTOR, ".card.marked")
    press(first, "n")
    first.find_element(By.ID, "note").send_keys("same as all")
    assert "faint" not in (first.find_element(By.ID, "gallery").get_attribute("class") or "")
    assert not first.find_elements(By.CSS_SELECTOR, ".card.marked")


def test_marks_of_a_ranked_pack_are_exported_with_names_and_positions(browser, report, tmp_path):
    table = pd.DataFrame(
        {"rank": pd.array([1, 2, None], "Int64"), "score": [0.9, 0.5, 0.0], "name": ['-1, "a"', "NA", "c"],
         "ra": [1.25, 2.5, 3.0], "dec": [-4.5, 5.0, 6.0], "flags": ["", "no J, H", "not scored: x"],
         "ID": [200001, 200002, 3], "file": "f.fits", "label": np.nan, "before": pd.array([None] * 3, "Int64")}
    )  # fmt: skip
    ranking = Ranking(
        "p", table, tmp_path / "ranked.csv", "run r", ("careful",), "purity_on_p: …", 0, tmp_path / "skipped.csv", False
    )
    browser.get(write_ranked_page(ranking, report.parents[2] / "data" / "fake" / "cache" / "test").as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    press(browser, Keys.ARROW_RIGHT)
    assert text(browser, "#large-caption b") == '1. -1, "a"'
    press(browser, "l", "n")
    browser.find_element(By.ID, "note").send_keys("an arc", Keys.ENTER)
    press(browser, Keys.ESCAPE, "f")
    Select(browser.find_element(By.NAME, "flagged")).select_by_value("yes")
    assert [card.get_attribute("data-name") for card in shown(browser)] == ["NA", "c"]
    press(browser, Keys.TAB, Keys.TAB, "e")
    rows = exported(browser, "marks-ranked-p.csv")
    assert rows["mark"].tolist() == ["lens", ""] and rows["pixels"].str.fullmatch("[0-9a-f]{16}").all()
    rows = rows.drop(columns=["list", "mark", "pixels"]).to_dict("list")
    columns = ("rank", "score", "name", "ra", "dec", "flags")
    assert rows == {"ID": [200001, 200002], "note": ["", "an arc"], **table[list(columns)].head(2).to_dict("list")}


def test_only_those_that_are_marked_or_are_not_can_be_shown(first):
    everything = len(shown(first))
    press(first, Keys.ARROW_RIGHT, "b", "x", Keys.ESCAPE)
    for choice, count_shown in (("marked", 2), ("not marked yet", everything - 2)):
        Select(first.find_element(By.NAME, "marked")).select_by_visible_text(choice)
        assert len(shown(first)) == count_shown
