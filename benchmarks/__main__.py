"""`make bench`: compare our code with the published loops, in one run on this machine.

Each pair runs in turns. Median, fastest and slowest times go to `results.csv` and README.md, the
objective and AUROC after each step of the search to `steps.csv`, and both to figures.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from benchmarks import ceiling, draw, memory, published
from ganlib import data, evaluation
from ganlib import settings as profiles
from ganlib.data.batches import Batches
from ganlib.files import write_csv
from ganlib.models import DCGAN, AnoGAN, FAnoGAN, GANomaly
from ganlib.models.base import feed
from ganlib.models.environment import device, environment

HERE = Path(__file__).parent
STEPS = 200  # of the published search
HALF_STEPS = 50  # from the encoder in bfloat16: a quarter, fixed before any measurement
TRIED = 4  # training images that choose the learning rates and the steps from the encoder's z
RATES = (0.1, 0.3)  # learning rates to try
BATCH_SIZES = {"64x64, networks of quick": 64, "128x128, published networks": 32}


def main() -> None:
    """Measure everything and write tables and figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", default="auto", help="auto, kaggle, generated or a folder")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each pair")
    parser.add_argument("--train", type=int, default=100, help="steps of the 128x128 networks")
    given = parser.parse_args()
    started = time.perf_counter()
    keras.utils.set_random_seed(0)
    casting = data.open_dataset("casting", given.data, HERE.parent / "data")
    rows = []
    dcgan, fanogan, images = quick_networks(casting)
    train = data.paper_split(casting).train
    rows += searches("64x64, networks of quick", dcgan, fanogan, images, train, given.repeats)
    steps = course_of_the_search(casting, dcgan, fanogan)
    dcgan, fanogan, images = published_networks(casting, given.train)
    rows += searches("128x128, published networks", dcgan, fanogan, images, train, given.repeats)
    rows += ganomaly(casting, given.repeats)
    rows += epochs(casting, given.repeats)
    for row in memory.measure(data=given.data):
        value = row["value"]
        rows.append({"what": row["name"], "ours": value, "unit": row["unit"], "note": row["note"]})
    table = pd.DataFrame(rows)
    table = table.assign(images=casting.caption, **environment())
    write_csv(HERE / "results.csv", table)
    write_csv(HERE / "steps.csv", steps)
    caption = f"{casting.caption} · {device()}"
    draw.save(draw.ratios(table, caption), HERE / "speed")
    draw.save(draw.steps(steps, caption), HERE / "steps")
    draw.fill(HERE / "README.md", table, time.perf_counter() - started)


def turns(variants: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run the variants in turns; each returns its time in seconds."""
    times = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            times[name].append(run())
    return times


def timed(function: Callable, *arguments) -> float:
    """Return how long a call takes, in seconds."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def pair(what: str, unit: str, times: dict[str, list[float]], bound=None, note="") -> dict:
    """Return a row of two variants, "published" and "ours", with times in seconds per `unit`."""
    row = {"what": what, "unit": unit, "note": note, "bound": bound}
    for name, values in times.items():
        row |= {
            name: np.median(values),
            f"{name}_fastest": min(values),
            f"{name}_slowest": max(values),
        }
    row["ratio"] = row["published"] / row["ours"]
    print(f"{what}: {row['published']:.4g} / {row['ours']:.4g} {unit} = {row['ratio']:.1f}")
    return row


def quick_networks(casting: data.Dataset) -> tuple[DCGAN, FAnoGAN, np.ndarray]:
    """Train DCGAN as in the profile `quick`, and the encoder for as many steps."""
    settings = profiles.settings("quick", "casting")
    images = data.load_images(casting, settings.image_size, settings.channels)
    dcgan = DCGAN(settings.image_size, settings.channels, settings.latent_dim, settings.filters)
    dcgan.compile(keras.optimizers.Adam(settings.dcgan_learning_rate, settings.beta_1))
    return _trained(casting, dcgan, images, settings.filters, settings.dcgan_steps)


def published_networks(casting: data.Dataset, steps: int) -> tuple[DCGAN, FAnoGAN, np.ndarray]:
    """Train the published 128x128 networks for a few steps: timing does not need good ones."""
    images = data.load_images(casting, 128, 1)
    dcgan = DCGAN(128, 1, filters=64)
    dcgan.generator, dcgan.discriminator = published.generator(), published.discriminator()
    dcgan.compile(keras.optimizers.Adam(5e-4, 0.5))
    return _trained(casting, dcgan, images, 32, steps)


def _trained(casting, dcgan, images, filters, steps):
    train = data.paper_split(casting).train
    fanogan = None
    for model, rate in ((dcgan, None), (fanogan, 1e-3)):
        if model is None:
            model = fanogan = FAnoGAN(dcgan, filters)
            model.compile(keras.optimizers.Adam(rate))
        batches = feed(Batches(images, np.resize(train, 32 * steps), 32))
        seconds = timed(lambda m=model, b=batches: m.fit(b, shuffle=False, verbose=0))
        print(f"{type(model).__name__}: {steps} steps in {seconds:.0f} s")
    return dcgan, fanogan, images


def searches(
    case: str,
    dcgan: DCGAN,
    fanogan: FAnoGAN,
    images: np.ndarray,
    train: np.ndarray,
    repeats: int,
) -> list[dict]:
    """Compare searches on unseen images: the published loop, from the prior, from the encoder."""
    batch_size = BATCH_SIZES[case]
    others = np.setdiff1d(np.arange(len(images)), train)
    chosen = images[np.random.default_rng(0).permutation(others)[:batch_size]]
    common = {"batch_size": batch_size}
    loop = published.Search(_copy(dcgan.generator), _copy(dcgan.discriminator))
    loop(chosen[:1], 2)
    rate, warm_rate, enough = _choose(loop, dcgan, fanogan, images[train[:TRIED]])
    from_prior = {"steps": STEPS, "learning_rate": rate, **common}
    from_encoder = {"encoder": fanogan, "learning_rate": warm_rate, **common}
    half = {"dtype": "mixed_bfloat16"}
    cold = AnoGAN(dcgan, **from_prior)
    warm = AnoGAN(dcgan, steps=enough, **from_encoder)
    cold_half = AnoGAN(dcgan, **from_prior, **half)
    warm_half = AnoGAN(dcgan, steps=HALF_STEPS, **from_encoder, **half)
    at_once = AnoGAN(dcgan, steps=0, encoder=fanogan, **common)
    found = {"at once": at_once.search(chosen)[0]}
    searched = []

    def one():
        z, seconds = loop(chosen[len(searched)][None], STEPS)
        searched.append(z[0])
        return seconds

    def search(name, model):
        started = time.perf_counter()
        found[name] = model.search(chosen)[0]
        return (time.perf_counter() - started) / batch_size

    times = turns(  # the first turn compiles; the median ignores it
        {
            "published": one,
            "cold": lambda: search("cold", cold),
            "warm": lambda: search("warm", warm),
            "cold half": lambda: search("cold half", cold_half),
            "warm half": lambda: search("warm half", warm_half),
            "at once": lambda: timed(fanogan.detect, chosen) / batch_size,
        },
        repeats,
    )
    same = chosen[:repeats]
    reached = cold.score_latents(same, np.stack(searched)).scores.mean()
    rows = []
    bounds = {"cold": {"64": 35, "128": 8}, "warm": {"64": 200, "128": 60}}
    named = {
        "cold": (f"{STEPS} steps from the prior, rate {rate}", bounds["cold"]),
        "warm": (f"{enough} steps from the encoder, rate {warm_rate}", bounds["warm"]),
        "cold half": (f"{STEPS} steps from the prior, rate {rate}, bfloat16", {}),
        "warm half": (
            f"{HALF_STEPS} steps from the encoder, rate {warm_rate}, bfloat16",
            bounds["warm"],
        ),
        "at once": ("encoder alone (f-AnoGAN)", {}),
    }
    for name, (label, asked) in named.items():
        ours = cold.score_latents(same, found[name][:repeats]).scores.mean()
        note = f"objective {ours:.4g}, published loop {reached:.4g} on the same {repeats} images"
        pairs = {"published": times["published"], "ours": times[name]}
        bound = asked.get(case.split("x")[0])
        row = pair(f"AnoGAN {case}: {label}", "s per image", pairs, bound, note)
        rows.append({**row, "objective": ours, "published_objective": reached})
    return rows


def _choose(loop, dcgan, fanogan, images: np.ndarray) -> tuple[float, float, int]:
    """Choose learning rates, and the steps from the encoder, on training images only.

    From the prior, choose the rate with the lowest final objective. From the encoder, choose the
    one that reaches the loop's objective first, with twice its steps: it has seen these images.
    """
    common = {"steps": STEPS, "batch_size": len(images)}
    models = {rate: AnoGAN(dcgan, learning_rate=rate, **common) for rate in RATES}
    ends = {rate: model.detect(images).scores.mean() for rate, model in models.items()}
    reached = np.stack([loop(image[None], STEPS)[0][0] for image in images])
    reached = models[RATES[0]].score_latents(images, reached).scores.mean()
    needed = {}
    for rate in RATES:
        warm = AnoGAN(dcgan, learning_rate=rate, encoder=fanogan, **common)
        course = warm.search(images, record_every=1)[1].mean(axis=1)
        needed[rate] = int(np.argmax(course <= reached)) if course.min() <= reached else STEPS
    print(f"{len(images)} training images: loop {reached:.4g}, prior {ends}, encoder {needed}")
    warm_rate = min(needed, key=needed.get)
    return min(ends, key=ends.get), warm_rate, min(STEPS, 2 * needed[warm_rate])


def _copy(network: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


def course_of_the_search(casting: data.Dataset, dcgan: DCGAN, fanogan: FAnoGAN) -> pd.DataFrame:
    """Compute objective and AUROC after every step, on all test images, from both starts."""
    settings = profiles.settings("quick", "casting")
    images = data.load_images(casting, settings.image_size, settings.channels)
    split = data.paper_split(casting)
    table = data.to_score(casting, split)
    table = table[table["role"] == "test"].reset_index(drop=True)
    tested = images[table["row"]]
    courses = {}
    for start, encoder in (("prior", None), ("encoder", fanogan)):
        model = AnoGAN(dcgan, encoder=encoder, steps=STEPS, batch_size=64)
        latents, objectives = model.search(tested, record_every=1)
        last = model.score_latents(tested, latents).scores
        courses[start] = np.vstack([objectives, last])
    labels = data.add_truth(casting, split, table)["label"].to_numpy()
    return pd.DataFrame(
        {
            "start": start,
            "steps": step,
            "objective_normal": scores[labels == 0].mean(),
            "objective_anomaly": scores[labels == 1].mean(),
            "auroc": evaluation.evaluate(labels, scores)["auroc"],
        }
        for start, course in courses.items()
        for step, scores in enumerate(course)
    )


def ganomaly(casting: data.Dataset, repeats: int) -> list[dict]:
    """Compare a training step (batch 32) and scoring at 128x128x1 with the published loop."""
    images = np.asarray(data.load_images(casting, 128, 1)[:64])
    scaled = images.astype("float32") / 127.5 - 1
    loop, model = published.GANomaly(), GANomaly(128, 1)
    model.compile(keras.optimizers.Adam(1e-3))
    count = ceiling.ganomaly_step(model, 32)
    runs = {
        "published": lambda: timed(loop.step, scaled[:32]),
        "ours": lambda: timed(model.train_on_batch, images[:32]),
    }
    scoring = {
        "published": lambda: timed(loop.score, scaled) / len(images),
        "ours": lambda: timed(model.detect, images) / len(images),
    }
    for run in (*runs.values(), *scoring.values()):
        run()  # compiles
    rates = []
    runs["ceiling"] = lambda: rates.append(ceiling.rates()) or 0.0
    times = turns(runs, repeats + 2)
    del times["ceiling"]
    what = "GANomaly 128x128x1, batch 32: training step"
    step = pair(what, "s", times, 1.5, f"{count / 1e9:.0f} GFLOP")
    fastest = max(rate["convolution"] for rate in rates)
    product = max(rate["matrix product"] for rate in rates)
    share = {
        "what": "GANomaly's step: share of the convolution rate",
        "ours": count / step["ours"] / fastest,
        "unit": "1",
        "bound": 0.65,
        "note": f"{count / step['ours'] / 1e9:.0f} of {fastest / 1e9:.0f} GFLOP/s; matrix product "
        f"{product / 1e9:.0f} GFLOP/s",
    }
    print(share)
    scored = turns(scoring, repeats)
    alone = {
        "published": lambda: timed(loop.score, scaled[:1]),
        "ours": lambda: timed(model.detect, images) / len(images),
    }
    alone["published"]()
    alone = turns(alone, repeats)
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = GANomaly(128, 1)
    keras.config.set_dtype_policy("float32")
    half.set_weights(model.get_weights())
    scores, exact = half.detect(images).scores, model.detect(images).scores
    halved = {
        "published": scoring["published"],
        "ours": lambda: timed(half.detect, images) / len(images),
    }
    difference = np.abs(scores / exact - 1).max()
    return [
        step,
        share,
        pair("GANomaly 128x128x1: scoring", "s per image", scored, 3.0),
        pair("GANomaly 128x128x1: scoring, loop of single images", "s per image", alone),
        pair(
            "GANomaly 128x128x1: scoring, mixed_bfloat16",
            "s per image",
            turns(halved, repeats),
            bound=3.0,
            note=f"scores differ by at most {difference:.1%} from float32",
        ),
    ]


def epochs(casting: data.Dataset, repeats: int) -> list[dict]:
    """Time an epoch of `quick` on plain arrays, as Keras handles them, and through `feed`."""
    settings = profiles.settings("quick", "casting")
    images = data.load_images(casting, settings.image_size, settings.channels)
    train = data.paper_split(casting).train
    array, batches = images[train], feed(Batches(images, train, settings.batch_size))
    rows = []
    for kind, rate in ((DCGAN, settings.dcgan_learning_rate), (GANomaly, 2e-4)):
        model = kind(settings.image_size, 1, settings.latent_dim, settings.filters)
        model.compile(keras.optimizers.Adam(rate, settings.beta_1))
        options = {"shuffle": False, "verbose": 0}
        runs = {
            "published": lambda m=model, o=options: timed(lambda: m.fit(array, **o)),
            "ours": lambda m=model, o=options: timed(lambda: m.fit(batches, **o)),
        }
        for run in runs.values():
            run()
        what = f"{kind.__name__}, an epoch of quick: Keras's arrays against feed()"
        rows.append(pair(what, "s", turns(runs, repeats)))
    return rows


if __name__ == "__main__":
    main()
