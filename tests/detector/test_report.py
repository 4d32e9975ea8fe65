"""Reports: what the file says, and what a browser makes of it."""

import base64
import hashlib
import json
import re
import tracemalloc
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from browser import console_errors, set_width

from ganlib import figures
from ganlib.detector.report import Entry, _chart, findings, strip, write_report

NORMAL_SCORES = np.linspace(0.1, 1.0, 40)
CARD = {
    "images": "Housings",
    "false_alarm_rate": 0.05,
    "notes": ["How many anomalies are found cannot be known."],
    "versions": {"keras": "3.15.1"},
}
HOSTILE = [
    "</script><script>window.hacked = 1</script>.png",
    "<img src=x onerror='window.hacked = 1'>.png",
    "\"><svg/onload=window.hacked=1>'.png",
    "<!--<script>.png",
    "]]>${window.hacked = 1}`&lt;&amp;.png",
    "line\nbreak\r\ttab\x00nul.png",
    "부품 7.png",
    "\u202egnp.exe",
    "not \udcff utf8.png",
    "\u2028\u2029.png",
    "x" * 255,
    "",
]


def picture(level=128):
    part = np.full((8, 8, 1), level, np.uint8)
    return strip(part, part, part, size=8)


def write(path, entries, normal_scores=NORMAL_SCORES, threshold=0.9, name="a.keras", **card):
    detector = SimpleNamespace(
        normal_scores=np.array(normal_scores), threshold=threshold, card={**CARD, **card}
    )
    return write_report(path, entries, detector, name, name)


class Page(HTMLParser):
    """What a browser would find in a report: entries, tags and texts by tag."""

    def __init__(self, path):
        super().__init__()
        self.entries, self.pictures, self.tags, self.texts, self.open = [], [], [], {}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "input", "link", "meta"):  # they have no end
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, text):
        if not self.open:
            return
        tag, attributes = self.tags[-1]
        if tag == "script" == self.open[-1] and attributes.get("class") == "entry":
            self.entries.append(json.loads(text))
            self.pictures.append(attributes.get("data-picture"))
        else:
            self.texts.setdefault(self.open[-1], []).append(text)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def written(folder, entries, **options):
    return Page(write(folder / "report.html", entries, **options))


def judged(anomalies, normals):
    return [
        Entry(f"{kind}{i}.png", score, 0.5, score >= 0.9)
        for kind, n, score in (("bad", anomalies, 1.2), ("good", normals, 0.5))
        for i in range(n)
    ]


def test_whatever_is_in_a_name_or_the_card_is_text_and_comes_back_as_it_was(tmp_path):
    page = written(tmp_path, [Entry(name, 0.5, 0.5, False) for name in HOSTILE])
    assert [entry["file"] for entry in page.entries] == HOSTILE
    assert len(page.named("script")) == len(HOSTILE) + 1
    assert len(page.named("img")) == 1  # the chart
    words = "<b>&amp;</b> {{ 7 }} \udcff"
    page = written(tmp_path, [Entry("a.png", error=words)], name=words, images=words, notes=[words])
    assert not page.named("b")
    read = "<b>&amp;</b> {{ 7 }} \ufffd"
    assert page.texts["title"][0] == f"{read}: scored images"
    assert read in page.texts["span"] and read in page.texts["li"]
    assert page.entries[0]["error"] == words


@pytest.mark.parametrize(
    ("anomalies", "normals", "rate", "expected"),
    [
        (12, 338, 0.05, "12 of 350 images flagged; about 18 (5 %) false alarms are expected"),
        (0, 1, 0.005, "0 of 1 images flagged; less than one (0.5 %) false alarms"),
        (1200, 0, None, "1,200 of 1,200 images flagged."),
        (0, 0, 0.05, "0 of 0 images flagged."),
    ],
)
def test_headline_says_how_many_and_how_many_usual(tmp_path, anomalies, normals, rate, expected):
    # What could not be scored counts as neither.
    entries = [*judged(anomalies, normals), Entry("x.png", error="cut off")]
    page = written(tmp_path, entries, false_alarm_rate=rate)
    assert "".join(page.texts["h1"]).startswith(expected)
    counts = [anomalies + normals + 1, anomalies, normals, 1]
    numbers = [text.split()[-1] for text in page.texts["span"][3:]]
    assert numbers == [f"{count:,}" for count in counts]


def test_an_entry_is_its_numbers_and_what_a_test_did_not_find_is_said_first(tmp_path, monkeypatch):
    entries = [
        Entry("a.png", 1.25, 0.975, True, "", picture()),
        Entry("b.png", 700.0, 0.0, False),  # beyond the end of the chart
        Entry("c.png", error="it is cut off"),
    ]
    page = written(tmp_path, entries)
    names = ("file", "score", "above", "verdict", "error")
    assert [[entry[name] for name in names] for entry in page.entries] == [
        ["a.png", 1.25, 0.975, "anomaly", ""],
        ["b.png", 700.0, 0.0, "normal", ""],
        ["c.png", None, None, "unreadable", "it is cut off"],
    ]
    source, *none = page.pictures
    assert base64.b64decode(source.removeprefix("data:image/webp;base64,")) == picture()
    assert none == [None] * 2
    assert page.named("img")[0]["src"].startswith("data:image/png;base64,")
    assert "how many it finds is unknown" in page.texts["p"][0]
    assert "could not be scored: 1" in page.texts["p"][1]
    test = {"n_normal": 57, "n_anomaly": 29, "asked": 0.05}
    test |= {"detection_rate": 0.0, "false_alarm_rate": 0.0, "false_alarm_high": 0.063}
    words = written(tmp_path, judged(1, 1), test=test).texts["p"][0]
    assert words.startswith("0.0% of 29 test anomalies were found at a requested false-alarm rate")
    assert "Warning" in words and "Warning" not in "".join(
        findings({"test": {**test, "detection_rate": 0.1}})
    )
    captions, plain = [], figures.score_histogram
    monkeypatch.setattr(
        figures, "score_histogram", lambda *given: captions.append(given[-1]) or plain(*given)
    )
    for highest in (3.9, 4.1):
        _chart(NORMAL_SCORES, np.array([0.5, highest]), 0.9)
    assert captions == ["", "Scores above 4 are drawn at 4."]


def test_nothing_but_its_own_script_and_style_may_work(tmp_path):
    page = written(tmp_path, [Entry("a.png", 0.5, 0.5, False, "", picture())])
    (policy,) = [meta["content"] for meta in page.named("meta") if "http-equiv" in meta]
    digests = {
        tag: base64.b64encode(hashlib.sha256(page.texts[tag][0].encode()).digest()).decode()
        for tag in ("script", "style")
    }
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'sha256-{style}'; "
        "script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    ).format(**digests)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"://|url\(|@import|innerHTML|insertAdjacentHTML|document\.write", text)
    references = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "action", "srcset", "data-picture")
        if name in attributes
    ]
    assert references and all(reference.startswith("data:") for reference in references)


def test_entries_are_written_as_they_come(tmp_path):
    def entries():
        for i in range(2000):
            yield Entry(f"{i}.png", 0.5, 0.5, False, "", bytes(8000))

    written(tmp_path, judged(1, 1))  # what is loaded once
    tracemalloc.start()
    write(tmp_path / "report.html", entries())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "report.html").stat().st_size > 2000 * 8000
    assert peak < 9e6


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """120 images: every third is an anomaly, the higher the later, and two cannot be read."""
    entries = [
        Entry(f"part{i}.png", 0.1 + i / 200 + (i % 3 == 0), 0.975, i % 3 == 0, "", picture(i))
        for i in range(118)
    ]
    entries += [Entry("lost1.png", error="it is cut off"), Entry("lost2.png", error="no image")]
    return write(tmp_path_factory.mktemp("report") / "big.html", entries)


@pytest.fixture
def shown(browser, big):
    set_width(browser, 1280)
    return opened(browser, big)


def opened(browser, path):
    browser.get(path.as_uri())
    assert console_errors(browser) == []
    return browser


def choose(browser, kind=None, order=None, words=None):
    if kind is not None:
        browser.find_element("css selector", f"[name=kind][value='{kind}']").click()
    if order is not None:
        # The driver's click on an option sends no input event, which a hand's does.
        select = browser.find_element("id", "order")
        options = select.find_elements("tag name", "option")
        place = [option.get_property("value") for option in options].index(order)
        select.send_keys("\ue011", "\ue015" * place)  # Home, arrow down
    if words is not None:  # Ctrl+a, Delete
        browser.find_element("id", "words").send_keys("\ue009a\ue009\ue017", words)


def files(browser):
    return texts(browser, "#gallery .file")


def texts(browser, selector):
    return browser.execute_script(
        "return Array.from(document.querySelectorAll(arguments[0]), (e) => e.textContent)", selector
    )


def test_a_page_of_cards_is_there_and_no_picture_is_broken(shown):
    assert len(files(shown)) == 48
    widths = shown.execute_script(
        """
        const width = (image) => image.decode().then(() => image.naturalWidth);
        const cards = document.querySelectorAll("#gallery img");
        return Promise.all(Array.from(cards, width));
        """
    )
    assert widths == [32] * 48
    assert texts(shown, "main h1")[0].startswith("40 of 118 images flagged; about 6")
    choose(shown, words="part117.png")
    assert texts(shown, "#gallery li > :not(img):not(div)") == [
        "part117.png",
        "▲ anomaly",
        "score 1.685",
        "above 39 of 40 held-out good pictures",
    ]
    choose(shown, words="lost1")
    assert texts(shown, "#gallery li > *")[1:] == ["lost1.png", "✕ unreadable", "it is cut off"]


def test_sorting(shown):
    by_score = [f"part{i}.png" for i in sorted(range(118), key=lambda i: i + 1000 * (i % 3 == 0))]
    assert files(shown) == by_score[:-49:-1]
    choose(shown, order="score up")
    assert files(shown) == by_score[:48]
    choose(shown, order="name up")
    assert files(shown) == ["lost1.png", "lost2.png", *(f"part{i}.png" for i in range(46))]
    choose(shown, order="name down")
    assert files(shown) == [f"part{i}.png" for i in range(117, 69, -1)]


def test_filtering(shown):
    for kind, count in (("anomaly", 40), ("normal", 78), ("unreadable", 2), ("", 120)):
        choose(shown, kind)
        assert texts(shown, "#shown")[0].endswith(f" of {count} images")
        assert len(files(shown)) == min(count, 48)
    choose(shown, "anomaly", words="PART1")
    expected = {f"part{i}.png" for i in (12, 15, 18, *range(102, 118, 3))}
    assert set(files(shown)) == expected
    choose(shown, words="*")
    assert files(shown) == []
    assert texts(shown, "#shown") == ["No matching images."]
    choose(shown, "", words="")
    assert texts(shown, "#shown") == ["1 to 48 of 120 images"]


def test_paging_shows_every_image_once(shown):
    following, seen = shown.find_element("id", "next"), files(shown)
    while following.is_enabled():
        following.click()
        seen += files(shown)
    assert len(set(seen)) == len(seen) == 120
    assert texts(shown, "#shown") == ["97 to 120 of 120 images"]
    shown.find_element("id", "previous").click()
    assert texts(shown, "#shown") == ["49 to 96 of 120 images"]
    choose(shown, "anomaly")  # begins at the first page
    assert texts(shown, "#shown") == ["1 to 40 of 40 images"]
    assert not shown.find_element("id", "previous").is_enabled()


def test_hostile_names_are_shown_and_do_nothing(browser, tmp_path):
    entries = [
        Entry(name, 1.0 - i / 100, 0.5, False, name if i % 2 else "", picture())
        for i, name in enumerate(HOSTILE)
    ]
    card = {"images": HOSTILE[0], "notes": HOSTILE}
    opened(browser, write(tmp_path / "부품 #7%.html", entries, **card))
    choose(browser, order="name up")
    assert browser.execute_script("return window.hacked") is None
    assert len(browser.find_elements("css selector", "#gallery img")) == len(HOSTILE)
    assert not browser.find_elements("css selector", "li script, li svg, [onerror], [onload]")
    names = files(browser)
    assert HOSTILE[0] in names
    assert HOSTILE[1] in names
    # What cannot be seen, or turns the letters around, is written out.
    assert "\\u202egnp.exe" in names
    assert "line\\u000abreak\\u000d\\u0009tab\\u0000nul.png" in names
    assert "not \\udcff utf8.png" in names
    assert console_errors(browser) == []
