"""Reports: what the file says, and what a browser makes of it."""

import base64
import hashlib
import http.server
import io
import json
import re
import threading
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import console_errors, set_colours, set_width
from PIL import Image

from ganlib.detector.report import Entry, Summary, strip, write_report

NORMAL_SCORES = np.linspace(0.1, 1.0, 40)
SUMMARY = Summary(
    title="Housings",
    detector="housing.keras",
    when="2026-01-02 03:04",
    scored="parts/ (7 images)",
    threshold=0.9,
    false_alarm_rate=0.05,
    normal_scores=NORMAL_SCORES,
    notes=["How many anomalies are found cannot be known."],
    card={"image_size": 64, "versions": {"keras": "3.15.1"}},
)
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


def written(folder, entries, **summary):
    return Page(write_report(folder / "report.html", SUMMARY._replace(**summary), entries))


def judged(anomalies, normals):
    return [
        Entry(f"{kind}{i}.png", score, 0.5, score >= 0.9)
        for kind, n, score in (("bad", anomalies, 1.2), ("good", normals, 0.5))
        for i in range(n)
    ]


# ------------------------------------------------------------------------------------ the file


def test_whatever_is_in_a_name_it_comes_back_as_it_was(tmp_path):
    page = written(tmp_path, [Entry(name, 0.5, 0.5, False) for name in HOSTILE])
    assert [entry["file"] for entry in page.entries] == HOSTILE
    assert len(page.named("script")) == len(HOSTILE) + 1
    assert not page.named("img")


def test_whatever_is_in_the_summary_it_is_text(tmp_path):
    words = "<b>&amp;</b> <!--entries--> \udcff"
    page = written(
        tmp_path,
        [Entry("a.png", error=words)],
        title=words,
        detector=words,
        when=words,
        scored=words,
        notes=[words],
        card={words: words, "nested": {"a": [words]}},
    )
    assert not page.named("b")
    read = "<b>&amp;</b> <!--entries--> \ufffd"
    assert page.texts["title"][0] == read
    assert page.texts["dd"][:3] == [read] * 3
    assert read in page.texts["li"]
    assert page.texts["th"][0] == page.texts["td"][0] == read
    assert page.entries[0]["error"] == words


def test_entries_keep_their_numbers_whatever_type_they_have(tmp_path):
    page = written(
        tmp_path,
        [
            Entry("a.png", np.float32(1.25), np.float64(0.975), np.bool_(True), "", picture()),
            Entry("b.png", 0.1, 0.0, False, "", b"\xff\xd8jpeg"),
            Entry("c.png", 7, 1),
            Entry("d.png", error="it is cut off"),
            Entry("e.png", float("nan"), 1.0, True),
        ],
    )
    assert [list(entry.values()) for entry in page.entries] == [
        ["a.png", 1.25, 0.975, "anomaly", ""],
        ["b.png", 0.1, 0.0, "normal", ""],
        ["c.png", 7.0, 1.0, "none", ""],
        ["d.png", None, None, "unreadable", "it is cut off"],
        ["e.png", None, None, "unreadable", "its score is nan"],
    ]
    webp, jpeg, *none = page.pictures
    assert base64.b64decode(webp.removeprefix("data:image/webp;base64,")) == picture()
    assert base64.b64decode(jpeg.removeprefix("data:image/jpeg;base64,")) == b"\xff\xd8jpeg"
    assert none == [None] * 3
    assert "2 images could not be scored." in page.texts["p"][1]


@pytest.mark.parametrize(
    ("anomalies", "normals", "rate", "called", "expected"),
    [
        (12, 338, 0.05, "12 of 350 images are called anomalies", "about 18 (5 %)"),
        (1, 199, 0.01, "1 of 200 images is called an anomaly", "about 2 (1 %)"),
        (0, 1, 0.005, "None of 1 image is called an anomaly", "less than one (0.5 %)"),
        (1200, 0, None, "1,200 of 1,200 images are called anomalies.", None),
        (0, 0, 0.05, "No image was scored.", None),
    ],
)
def test_headline_says_how_many_and_how_many_there_would_be(
    tmp_path, anomalies, normals, rate, called, expected
):
    # What could not be scored counts as neither.
    entries = [*judged(anomalies, normals), Entry("x.png", error="cut off")]
    page = written(tmp_path, entries, false_alarm_rate=rate)
    headline = f"{called}; {expected} would be if all were good." if expected else called
    assert page.texts["h1"] == [headline.replace(" %", "\N{NO-BREAK SPACE}%")]
    counts = [anomalies + normals + 1, anomalies, normals, 1]
    said = [text.split()[-1] for text in page.texts["span"] if text[-1].isdigit()]
    assert said == [f"{count:,}" for count in counts]


def test_without_a_threshold_nothing_is_promised(tmp_path):
    entries = [Entry("a.png", 0.5), Entry("b.png", 0.7)]
    page = written(
        tmp_path, entries, threshold=None, false_alarm_rate=None, normal_scores=np.array([])
    )
    assert page.texts["h1"] == ["2 images scored; the detector has no threshold to judge by."]
    assert not any("At or above" in text for text in page.texts["li"])
    assert "Threshold" not in page.texts["dt"]
    assert all(line["class"] != "threshold" for line in page.named("line"))


def test_nothing_but_its_own_script_and_style_may_work(tmp_path):
    page = written(tmp_path, judged(2, 2))
    (policy,) = [meta["content"] for meta in page.named("meta") if "http-equiv" in meta]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "data:"
    for tag in ("script", "style"):
        (text,) = page.texts[tag]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert rules == {"base-uri": "'none'", "form-action": "'none'"}


def test_the_file_refers_to_nothing_outside(tmp_path):
    page = written(tmp_path, [Entry("a.png", 0.5, 0.5, False, "", picture())])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"url\(|@import|innerHTML|insertAdjacentHTML|document\.write", text)
    references = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "action", "srcset", "data-picture")
        if name in attributes
    ]
    assert references
    assert all(reference.startswith("data:") for reference in references)
    assert "<!--" not in text  # every place of the template was filled


def test_entries_are_written_as_they_come(tmp_path):
    def entries():
        for i in range(2000):
            yield Entry(f"{i}.png", 0.5, 0.5, False, "", bytes(8000))

    tracemalloc.start()
    write_report(tmp_path / "report.html", SUMMARY, entries())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "report.html").stat().st_size > 2000 * 8000
    assert peak < 2e6


def test_a_report_that_fails_leaves_the_one_before(tmp_path):
    path = tmp_path / "deep" / "report.html"
    assert write_report(path, SUMMARY, judged(1, 1)) == path
    before = path.read_bytes()

    def entries():
        yield from judged(3, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(path, SUMMARY, entries())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# ----------------------------------------------------------------------------------- the chart


def bars(page):
    """Every bar: its look, left and right end, height, and what it says it counts."""
    titles = [title for title in page.texts["title"] if " to " in title]
    assert len(titles) == len(page.named("rect"))
    for rect, title in zip(page.named("rect"), titles, strict=True):
        left, width = (float(rect[name].rstrip("%")) for name in ("x", "width"))
        count = re.search(r": ([\d,]+) of", title)[1].replace(",", "")
        yield rect["class"], left, left + width, float(rect["height"]), int(count)


def threshold_at(page):
    (at,) = {line["x1"] for line in page.named("line") if line["class"] == "threshold"}
    return float(at.rstrip("%"))


@pytest.mark.parametrize("highest", [1.5, 700.0])
def test_chart_counts_every_score_on_its_side_of_the_threshold(tmp_path, highest):
    threshold = float(np.float32(0.9))
    scores = [0.2, 0.2, 0.5, np.nextafter(threshold, 0), threshold, 1.0, highest]
    page = written(
        tmp_path,
        [Entry(f"{i}.png", score, 0.5, score >= threshold) for i, score in enumerate(scores)],
        threshold=threshold,
    )
    line = threshold_at(page)
    counts = {"good": 0, "normal": 0, "anomaly": 0}
    for look, left, right, _, count in bars(page):
        counts[look] += count
        assert left >= 0
        assert right <= 100
        assert look == "good" or (left > line) == (look == "anomaly")
    assert counts == {"good": len(NORMAL_SCORES), "normal": 4, "anomaly": 3}
    assert any("logarithmic" in text for text in page.texts["text"]) == (highest > 100)


def test_chart_draws_shares_not_numbers(tmp_path):
    scores = np.repeat([0.1, 0.5], [3, 1])
    entries = [Entry(str(i), score, 0.5, False) for i, score in enumerate(np.tile(scores, 10))]
    page = written(tmp_path, entries, normal_scores=scores)
    heights = {}
    for look, left, _, height, _ in bars(page):
        heights.setdefault(look, {})[left] = height
    assert heights["good"] == heights["normal"]
    low, high = sorted(heights["good"].values())
    assert high == pytest.approx(3 * low, rel=0.01)


def test_one_image_of_thousands_is_seen(tmp_path):
    entries = [*judged(0, 5000), Entry("bad.png", 1.5, 1.0, True)]
    (height,) = [bar[3] for bar in bars(written(tmp_path, entries)) if bar[0] == "anomaly"]
    assert height == 2


@pytest.mark.parametrize(
    ("normal_scores", "scores", "threshold"),
    [
        ([], [0.5], None),
        ([], [], None),
        ([], [], 0.5),
        ([0.0] * 3, [0.0], 0.0),
        ([0.5] * 20, [], 0.5),
        ([1e-9, 1e9], [1], 1e-9),
    ],
)
def test_chart_of_odd_scores(tmp_path, normal_scores, scores, threshold):
    entries = [Entry(f"{i}.png", score) for i, score in enumerate(scores)]
    page = written(tmp_path, entries, normal_scores=np.array(normal_scores), threshold=threshold)
    assert sum(bar[-1] for bar in bars(page)) == len(normal_scores) + len(scores)
    places = [float(text["x"].rstrip("%")) for text in page.named("text") if "x" in text]
    assert all(0 <= place <= 100 for place in places)


def test_ticks_are_where_they_say(tmp_path):
    page = written(tmp_path, [Entry("a.png", 1.1, 1.0, True)])
    words = [text for text in page.texts["text"] if re.fullmatch(r"[\d.]+", text)]
    places = [
        float(text["x"].rstrip("%"))
        for text in page.named("text")
        if text.get("text-anchor") == "middle"
    ]
    assert len(words) == len(places) >= 3
    slope, offset = np.polyfit([float(word) for word in words], places, 1)
    assert np.polyval([slope, offset], SUMMARY.threshold) == pytest.approx(
        threshold_at(page), abs=0.1
    )


# ----------------------------------------------------------------------------------- the strip


def test_strip_shows_three_parts_side_by_side():
    image = np.full((20, 10, 1), 50, np.uint8)
    reconstruction = np.full((64, 64, 1), 200, np.uint8)
    heat = np.zeros((10, 20, 3), np.uint8)
    heat[..., 0] = 255
    drawn = Image.open(io.BytesIO(strip(image, reconstruction, heat, size=32)))
    assert drawn.format == "WEBP"
    assert drawn.size == (3 * 32 + 8, 32)
    pixels = np.asarray(drawn.convert("RGBA")).astype(int)
    assert np.abs(pixels[16, 16] - [50, 50, 50, 255]).max() < 6
    assert np.abs(pixels[16, 36 + 16] - [200, 200, 200, 255]).max() < 6
    assert np.abs(pixels[16, 72 + 16] - [255, 0, 0, 255]).max() < 30
    seen = pixels[..., 3] > 128
    assert seen[:, :32].sum() == 16 * 32  # as high as it may be, half as wide
    assert seen[:, :8].sum() == seen[:, 24:36].sum() == 0
    assert seen[:, 36:68].all()
    assert seen[:8].sum() == seen[-8:].sum() == 8 * (16 + 32)


# ---------------------------------------------------------------------------------- the browser


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """120 images: every third is an anomaly, the higher the later, and two cannot be read."""
    entries = [
        Entry(f"part{i}.png", 0.1 + i / 200 + (i % 3 == 0), 0.975, i % 3 == 0, "", picture(i))
        for i in range(118)
    ]
    entries += [Entry("lost1.png", error="it is cut off"), Entry("lost2.png", error="no image")]
    return write_report(tmp_path_factory.mktemp("report") / "big.html", SUMMARY, entries)


@pytest.fixture
def shown(browser, big):
    set_width(browser, 1280)
    return opened(browser, big)


def opened(browser, path):
    browser.get(path.as_uri())
    assert console_errors(browser) == []
    return browser


def choose(browser, kind=None, order=None, words=None):
    """Do what a hand would do."""
    if kind is not None:
        browser.find_element("css selector", f"[name=kind][value='{kind}']").click()
    if order is not None:
        # The driver's click on an option sends no input event, which a hand's does.
        select = browser.find_element("id", "order")
        options = select.find_elements("tag name", "option")
        place = [option.get_property("value") for option in options].index(order)
        select.send_keys("\ue011", "\ue015" * place)  # Home, arrow down
    if words is not None:
        typed(browser, "words", words)


def typed(browser, name, text):
    browser.find_element("id", name).send_keys("\ue009a\ue009\ue017", text)  # Ctrl+a, Delete


def files(browser):
    return texts(browser, "#gallery .file")


def texts(browser, selector):
    return browser.execute_script(
        "return Array.from(document.querySelectorAll(arguments[0]), (e) => e.textContent)", selector
    )


def numbers(browser):
    return [int(re.sub(r"\D", "", file)) for file in files(browser)]


def test_only_one_page_of_images_is_there_and_none_is_broken(shown):
    assert len(files(shown)) == 48
    assert texts(shown, "#shown") == ["1 to 48 of 120 images"]
    assert len(shown.find_elements("tag name", "img")) == 48
    widths = shown.execute_script(
        """
        const width = (image) => image.decode().then(() => image.naturalWidth);
        return Promise.all(Array.from(document.images, width));
        """
    )
    assert set(widths) == {32}
    assert texts(shown, "main h1") == [
        "40 of 118 images are called anomalies; about 6 (5\N{NO-BREAK SPACE}%) would be if all "
        "were good."
    ]
    alts = shown.execute_script("return Array.from(document.images, (image) => image.alt)")
    assert alts[0] == "part117.png: image, reconstruction and heat map"


def test_a_card_says_verdict_score_and_where_it_stands(shown):
    choose(shown, words="part117.png")
    assert texts(shown, "#gallery li *:not(div)") == [
        "",
        "image",
        "rebuilt",
        "heat map",
        "part117.png",
        "▲ anomaly",
        "score 1.685",
        "above 97 % of 40 held-out good images",
    ]
    choose(shown, words="lost1")
    assert texts(shown, "#gallery li > *") == [
        "no picture",
        "lost1.png",
        "✕ unreadable",
        "it is cut off",
    ]


@pytest.mark.parametrize(
    ("above", "said"),
    [
        (1, "all"),
        (0.9999, "99 % of"),
        (0.29, "29 % of"),
        (0.001, "less than 1 % of"),
        (0, "none of"),
    ],
)
def test_only_all_are_all(browser, tmp_path, above, said):
    path = write_report(tmp_path / "one.html", SUMMARY, [Entry("a.png", 0.5, above, False)])
    assert texts(opened(browser, path), ".stands") == [f"above {said} 40 held-out good images"]


def test_sorting(shown):
    by_score = sorted(range(118), key=lambda i: i + 1000 * (i % 3 == 0))
    assert numbers(shown) == by_score[:-49:-1]
    choose(shown, order="score up")
    assert numbers(shown) == by_score[:48]
    choose(shown, order="name up")
    assert files(shown)[:4] == ["lost1.png", "lost2.png", "part0.png", "part1.png"]
    assert files(shown)[-1] == "part45.png"
    choose(shown, order="name down")
    assert numbers(shown) == list(range(117, 69, -1))
    choose(shown, order="verdict up")
    assert texts(shown, ".verdict") == ["▲ anomaly"] * 40 + ["● normal"] * 8
    assert numbers(shown) == by_score[:-49:-1]
    choose(shown, order="verdict down")
    assert texts(shown, ".verdict") == ["✕ unreadable"] * 2 + ["● normal"] * 46


def test_what_has_no_score_is_last_both_ways(shown):
    for order in ("score up", "score down"):
        choose(shown, order=order)
        shown.find_element("id", "next").click()
        shown.find_element("id", "next").click()
        assert {"lost1.png", "lost2.png"} == set(files(shown)[-2:])


def test_filtering(shown):
    for kind, count in (("anomaly", 40), ("normal", 78), ("unreadable", 2), ("", 120)):
        choose(shown, kind)
        assert texts(shown, "#shown")[0].endswith(f" of {count} images")
        assert len(files(shown)) == min(count, 48)
    choose(shown, "anomaly", words="PART1")
    assert sorted(numbers(shown)) == [12, 15, 18, *range(102, 118, 3)]
    choose(shown, words="*")
    assert files(shown) == []
    assert texts(shown, "#shown") == ["No such image."]
    choose(shown, "", words="")
    assert texts(shown, "#shown") == ["1 to 48 of 120 images"]


def test_paging_shows_every_image_once(shown):
    next_button, page = shown.find_element("id", "next"), shown.find_element("id", "page")
    seen = files(shown)
    while next_button.is_enabled():
        next_button.click()
        seen += files(shown)
    assert len(set(seen)) == len(seen) == 120
    assert texts(shown, "#shown") == ["97 to 120 of 120 images"]
    shown.find_element("id", "previous").click()
    assert texts(shown, "#shown") == ["49 to 96 of 120 images"]
    choose(shown, "anomaly")  # fewer than were turned over
    assert texts(shown, "#shown") == ["1 to 40 of 40 images"]
    assert not shown.find_element("id", "previous").is_enabled()
    choose(shown, "")
    for text, landed in (("3", "3"), ("99", "3"), ("-1", "1"), ("", "1")):
        typed(shown, "page", text + "\n")
        assert page.get_property("value") == landed


def test_keyboard_alone(shown):
    from selenium.webdriver import ActionChains, Keys

    def press(*keys):
        ActionChains(shown).send_keys(*keys).perform()

    press(Keys.TAB, Keys.ENTER)
    assert shown.find_element("tag name", "details").get_property("open")
    press(Keys.TAB, Keys.ARROW_RIGHT)
    assert texts(shown, "#shown") == ["1 to 40 of 40 images"]
    press(Keys.TAB, Keys.ARROW_DOWN)
    assert numbers(shown) == list(range(0, 118, 3))
    press(Keys.TAB, "part9")
    assert numbers(shown) == [9, 90, 93, 96, 99]
    press(Keys.ENTER)  # sends no form: nothing is loaded anew
    assert numbers(shown) == [9, 90, 93, 96, 99]
    assert console_errors(shown) == []


def test_hostile_names_are_shown_and_do_nothing(browser, tmp_path):
    entries = [
        Entry(name, 1.0 - i / 100, 0.5, False, name if i % 2 else "", picture())
        for i, name in enumerate(HOSTILE)
    ]
    hostile = SUMMARY._replace(title=HOSTILE[0], notes=HOSTILE, card=dict.fromkeys(HOSTILE, "x"))
    opened(browser, write_report(tmp_path / "부품 #7%.html", hostile, entries))
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


def test_the_policy_keeps_the_network_out(shown):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        refused = shown.execute_async_script(
            """
            const [url, done] = arguments, refused = [];
            document.addEventListener("securitypolicyviolation", (event) => {
              refused.push(event.effectiveDirective);
              if (refused.length === 4) done(refused.sort());
            });
            document.body.append(Object.assign(new Image(), { src: url + "/image" }));
            const script = document.createElement("script");
            document.body.append(Object.assign(script, { src: url + "/script" }));
            fetch(url + "/fetch").catch(() => {});
            const inline = document.createElement("div");
            inline.setAttribute("onclick", "window.hacked = 1");
            document.body.append(inline);
            inline.click();
            """,
            f"http://127.0.0.1:{server.server_port}",
        )
    finally:
        server.shutdown()
        server.server_close()
        console_errors(shown)  # the refusals
    assert refused == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    assert asked == []
    assert shown.execute_script("return window.hacked") is None


def luminance(colour):
    colour = np.array([int(part) / 255 for part in re.findall(r"\d+", colour)[:3]])
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read_by_day_and_night(shown, scheme):
    set_colours(shown, scheme)
    choose(shown, order="verdict down")
    colours = shown.execute_script(
        """
        const ground = (element) => {
          const colour = getComputedStyle(element).backgroundColor;
          return colour === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : colour;
        };
        const speaks = (element) =>
          Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim()) &&
          element.checkVisibility() && !element.disabled && !element.closest("svg title");
        const ink = (element) =>
          getComputedStyle(element)[element.closest("svg") ? "fill" : "color"];
        return Array.from(document.querySelectorAll("main *")).filter(speaks)
          .map((element) => [element.textContent, ink(element), ground(element)]);
        """
    )
    set_colours(shown, "light")
    page = luminance(colours[0][2])
    assert page < 0.05 if scheme == "dark" else page > 0.8
    assert len(colours) > 100
    for words, ink, ground in colours:
        dark, light = sorted([luminance(ink), luminance(ground)])
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (words, ink, ground)


def test_a_telephone_need_not_scroll_sideways(browser, tmp_path):
    entries = [Entry("folder/" * 30 + "x" * 100, 0.5, 0.5, False, "e" * 200, picture())]
    long = SUMMARY._replace(scored="y" * 300, card={"digest": "z" * 300})
    path = write_report(tmp_path / "long.html", long, entries)
    set_width(browser, 360)
    opened(browser, path)
    browser.find_element("tag name", "summary").click()
    wide = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
    set_width(browser, 1280)
    assert wide <= 0


def test_paper_shows_the_page_without_its_buttons(shown):
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        seen = [
            shown.find_element("css selector", selector).is_displayed()
            for selector in ("h1", "svg", ".card", "#shown", "form", "#next")
        ]
    finally:
        shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert seen == [True, True, True, True, False, False]
