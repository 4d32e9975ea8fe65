"""Measure how well a graphics card is used by AnoGAN's search, GANomaly's step and its scoring.

Sizes are those of the profile for castings. Images are noise and networks untrained: times do not
depend on either. Every value is the median of several turns, without the call that compiles.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from benchmarks import ceiling
from ganlib import training
from ganlib.data.batches import Batches
from ganlib.files import write_csv
from ganlib.models import DCGAN, AnoGAN, GANomaly
from ganlib.models.environment import device, environment
from ganlib.settings import Settings, settings

CPU = Path(__file__).with_name("results.csv")  # of the published loops, at 128x128
STEPS, TURNS = 100, 5
# Batches of the profile that are searched at once, and the dtype.
SEARCHES = ((1, "float32"), (8, "float32"), (8, "mixed_bfloat16"))
SIDE = 8192  # of the matrices that measure the card's peak rate


def measure(profile: str, path: Path) -> None:
    """Write a table: `value`, `unit`, what it is `compared` with, `ratio`, the target `asked`."""
    chosen = settings(profile, "casting")
    names = ("image_size", "channels", "latent_dim", "filters")
    sizes = {name: getattr(chosen, name) for name in names}
    rows = search(chosen, sizes) + ganomaly(chosen, sizes)
    about = ", ".join(f"{name} {value}" for name, value in sizes.items())
    write_csv(path, pd.DataFrame(rows).assign(networks=about, **environment()))


def search(chosen: Settings, sizes: dict) -> list[dict]:
    """Measure the search for z with all steps of the profile."""
    dcgan, rows = DCGAN(**sizes), []
    for batches, dtype in SEARCHES:
        n = batches * chosen.search_batch_size
        anogan = AnoGAN(dcgan, **{**chosen.search, "batch_size": n}, dtype=dtype)
        seconds = median(partial(anogan.search, noise(n, sizes)))
        what = f"AnoGAN's search, {chosen.search_steps} steps, {n} images at once, {dtype}"
        cpu = published("AnoGAN 128x128, published networks: 200 steps from the prior", sizes)
        rows.append(row(what, n / seconds, "images/s", "published loop, CPU", 1 / cpu, 1000))
    return rows


def ganomaly(chosen: Settings, sizes: dict) -> list[dict]:
    """Compare training steps through `training.fit` and by hand, in turns; measure scoring."""
    model, n = GANomaly(**sizes), chosen.batch_size
    model.compile(keras.optimizers.Adam(chosen.learning_rate, chosen.beta_1, epsilon=1e-8))
    steps, images = min(STEPS, chosen.steps), noise(n, sizes)
    times, began = {"fit": [], "by hand": []}, []
    by_hand = bare_step(model, images) if keras.backend.backend() == "jax" else None

    def begin(epoch, logs):
        began.append(time.perf_counter())

    def end(epoch, logs):
        times["fit"].append((time.perf_counter() - began[-1]) / steps)
        if by_hand:
            times["by hand"].append(by_hand(steps))

    turns = keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)
    batches = Batches(np.resize(images, (steps * n, *images.shape[1:])), np.arange(steps * n), n)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, batches, TURNS + 1, Path(folder, "c.npz"), [turns], verbose=0)
    step, bare = (np.median(values[1:]) if values else np.nan for values in times.values())
    gflop, rates = ceiling.ganomaly_step(model, n) / 1e9, products()
    rows = [row(f"GANomaly's step, {n} images", 1 / step, "1/s", "jitted by hand", 1 / bare, 0.9)]
    for dtype, rate in rates.items():
        what = f"GANomaly's step: {gflop:.1f} GFLOP"
        rows.append(row(what, gflop / step, "GFLOP/s", f"matrix product, {dtype}", rate))
    many = noise(16 * n, sizes)
    score = len(many) / median(partial(model.detect, many))
    cpu = published("GANomaly 128x128x1: scoring", sizes)
    return [*rows, row("GANomaly's scores", score, "images/s", "published loop, CPU", 1 / cpu)]


def bare_step(model: keras.Model, images: np.ndarray) -> Callable[[int], float]:
    """Return a function that runs n jitted JAX steps and returns the seconds per step."""
    import jax

    optimizer, kept = model.optimizer, [v.value for v in model.metrics_variables]
    optimizer.build(model.trainable_variables)

    def loss_of(weights, others, x):
        outputs, others = model.stateless_call(weights, others, x, training=True)
        state = (weights, others, kept)
        loss, (_, others, _) = model.stateless_compute_loss(*state, x=x, y_pred=outputs)
        return loss, others

    @partial(jax.jit, donate_argnums=0)
    def step(state, x):
        weights, others, moments = state
        slopes, others = jax.grad(loss_of, has_aux=True)(weights, others, x)
        weights, moments = optimizer.stateless_apply(moments, slopes, weights)
        return weights, others, moments

    variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    state = [[jax.numpy.array(v.value) for v in each] for each in variables]  # copies
    x = jax.device_put(images)

    def run(n: int) -> float:
        nonlocal state
        began = time.perf_counter()
        for _ in range(n):
            state = step(state, x)
        jax.block_until_ready(state)
        return (time.perf_counter() - began) / n

    return run


def products() -> dict[str, float]:
    """Multiply large matrices; return GFLOP/s by dtype."""
    side, rates = SIDE // 16 if device().startswith("CPU") else SIDE, {}
    for dtype in ("float32", "bfloat16"):
        matrix = ops.cast(keras.random.normal((side, side)) / side**0.5, dtype)

        def multiply(matrix=matrix):
            product = matrix
            for _ in range(10):
                product = ops.matmul(product, matrix)
            ops.convert_to_numpy(product[:1, :1])  # waits for the result

        rates[dtype] = 10 * 2 * side**3 / median(multiply) / 1e9
    return rates


def noise(n: int, sizes: dict) -> np.ndarray:
    """Return random images, uint8."""
    shape = (n, sizes["image_size"], sizes["image_size"], sizes["channels"])
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


def median(function: Callable) -> float:
    """Call a function once, then `TURNS` times; return the median of these times in seconds."""
    times = [time.perf_counter()]
    for _ in range(TURNS + 1):
        function()
        times.append(time.perf_counter())
    return float(np.median(np.diff(times)[1:]))


def published(what: str, sizes: dict) -> float:
    """Look up the seconds per image of a published loop on a CPU; NaN for other sizes."""
    if (sizes["image_size"], sizes["channels"], sizes["filters"]) != (128, 1, 64):
        return np.nan
    results = pd.read_csv(CPU).set_index("what")["published"]
    return results[results.index.str.startswith(what)].iloc[0]


def row(what, value, unit, compared, other, asked=np.nan) -> dict:
    """Return a row of the table."""
    about = {"what": what, "value": value, "unit": unit, "compared": compared, "other": other}
    return {**about, "ratio": value / other, "asked": asked}
