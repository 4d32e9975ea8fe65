"""Define the questions about factors, and judge each claim of the paper by the results.

The rule was fixed before the results: each claim is a difference that is above 0 if it holds.
It is "supported" if the 95 % interval of the difference is above 0, "not supported" if it is below,
"undecided" if it contains 0 or there are fewer than `SEEDS` seeds. A difference of AUROCs has its
interval from a paired bootstrap over test images and trainings, others from Student's t over seeds.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics

from ganlib import evaluation

SEEDS = 3
Tables = Mapping[int, pd.DataFrame]  # seed to the scores of the test images


class Question(NamedTuple):
    """Which level of a factor (a setting or an argument of the method's model) is best."""

    name: str
    asks: str
    factor: str
    levels: tuple
    why: str  # what the paper states, if anything
    method: str = "GANomaly"
    only: str = ""  # the only data set to ask it about


_WEIGHT = "section 6: other loss weights were tried, but not extensively"
QUESTIONS = {
    question.name: question
    for question in (
        Question("size", "How large should the images be?", "image_size", (32, 64, 128, 256),
                 "section 5.1: 64 is better than 256 on clouds; 128 was used on castings"),
        Question("channels", "Grey or RGB castings?", "channels", (1, 3),
                 "section 5.1: with 3 channels the loss on anomalies is smaller", only="casting"),
        Question("contextual", "How much should the rebuilt image count?", "contextual_weight",
                 (1.0, 10.0, 50.0, 100.0), "section 4: 50 times the other weights is best"),
        Question("encoder", "How much should the second encoder count?", "encoder_weight",
                 (0.0, 1.0, 10.0), _WEIGHT),
        Question("adversarial", "How much should the discriminator count?", "adversarial_weight",
                 (0.0, 1.0, 10.0), _WEIGHT),
        Question("latent", "How long should z be?", "latent_dim", (16, 100, 256), "not stated"),
        Question("decoder", "How should the decoder double its maps?", "upsampling",
                 ("transposed", "resize", "residual"), "section 6: the generator's structure"),
        Question("lambda", "How much should D's features count in the search?",
                 "discrimination_weight", (0.0, 0.1, 0.5), "section 3: a weight lambda", "AnoGAN"),
        Question("search", "How long should AnoGAN search?", "search_steps", (25, 100, 200),
                 "not stated; the published notebooks use 200 and 500", "AnoGAN"),
    )
}  # fmt: skip


class Effect(NamedTuple):
    """A difference with its 95 % interval, NaN with too few seeds."""

    difference: float = np.nan
    difference_low: float = np.nan
    difference_high: float = np.nan
    n_seeds: int = 0

    def verdict(self, above: str, below: str, neither: str) -> str:
        """Return the verdict by the rule."""
        if self.n_seeds < SEEDS:
            return f"{neither}: {self.n_seeds} of {SEEDS} seeds"
        return above if self.difference_low > 0 else below if self.difference_high < 0 else neither


def gain(a: Tables, b: Tables) -> Effect:
    """Compare the AUROCs on images scored by both."""
    pairs = [_shared(a[seed], b[seed]) for seed in a if seed in b]
    if not pairs:
        return Effect()
    result = evaluation.over_seeds(*map(list, zip(*pairs, strict=True)), draw_runs=True)
    return Effect(result["value"], result["low"], result["high"], len(pairs))


def mean(values) -> Effect:
    """Average a number over the seeds."""
    n, value = len(values), float(np.mean(values)) if len(values) else np.nan
    if n < 2:
        return Effect(value, n_seeds=n)
    reach = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)
    return Effect(value, value - reach, value + reach, n)


def _shared(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    both = np.intersect1d(a["row"], b["row"])
    return tuple(each.set_index("row").loc[both].reset_index() for each in (a, b))


def summarize(rows: pd.DataFrame, scores: Mapping) -> pd.DataFrame:
    """Average the seeds of each level and compare it with the usual one.

    The arguments are from `ganlib.experiments.read`. `low` and `high` are the 95 % interval of
    `auroc`. `verdict` applies the rule to the `difference`: "higher", "lower" or "unclear".
    """
    points, names = [], ["question", "factor", "dataset", "protocol"]
    for place, part in rows.groupby(names, sort=False):
        levels = part.groupby("level", sort=False)
        tables = {
            level: {row.seed: scores[row.file] for row in same.itertuples()}
            for level, same in levels
        }
        usual = part["usual"].iloc[0]
        for level, found in tables.items():
            auroc = evaluation.over_seeds(list(found.values()), draw_runs=True)
            about = dict(zip(names, place, strict=True)) | {"level": level, "usual": usual}
            point = about | {"auroc": auroc["value"], "low": auroc["low"], "high": auroc["high"]}
            point["verdict"] = None
            if level != usual:
                effect = gain(found, tables.get(usual, {}))
                point |= effect._asdict()
                point["verdict"] = effect.verdict("higher", "lower", "unclear")
            points.append(point | {"n_seeds": len(found)})
    return pd.DataFrame(points)


class Split:
    """The results on one data set by one protocol."""

    def __init__(self, rows: pd.DataFrame, scores: Mapping, dataset: str, protocol: str):
        self.of, self.dataset = (rows, scores, protocol), dataset
        self.rows = rows[(rows["dataset"] == dataset) & (rows["protocol"] == protocol)]

    def tables(self, method: str, question: str = "", level=None) -> Tables:
        """Return the scores at one level of a question, or with all levels as usual."""
        rows = self.rows[self.rows["method"] == method].drop_duplicates(
            ["question", "level", "seed"]
        )
        asked = rows[(rows["question"] == question) & (rows["level"] == level)]
        chosen = asked if question else rows[rows["level"] == rows["usual"]]
        return {
            row.seed: self.of[1][row.file] for row in chosen.drop_duplicates("seed").itertuples()
        }

    def best(self, question: str, level, *others) -> Effect:
        """Compare a level with the best of the others."""
        own = self.tables("GANomaly", question, level)
        effects = [gain(own, self.tables("GANomaly", question, each)) for each in others]
        return min(effects, key=lambda effect: (effect.n_seeds, effect.difference))

    def methods(self) -> Effect:
        """Compare GANomaly with AnoGAN."""
        return gain(self.tables("GANomaly"), self.tables("AnoGAN"))

    def against(self, dataset: str) -> Effect:
        """Compare GANomaly's AUROC on another data set with that on this one."""
        other = Split(*self.of[:2], dataset, self.of[2]).tables("GANomaly")
        own = self.tables("GANomaly")
        return mean([_auroc(other[seed]) - _auroc(own[seed]) for seed in other if seed in own])

    def each(self, method: str, number: Callable) -> Effect:
        """Average over the seeds a number computed from a method's scores."""
        return mean([number(table) for table in self.tables(method).values()])

    def pairs(self, a: Tables, b: Tables, number: Callable) -> Effect:
        """Average over the shared seeds the number of b's scores minus that of a's."""
        pairs = [_shared(a[seed], b[seed]) for seed in a if seed in b]
        return mean([number(second) - number(first) for first, second in pairs])


def better(at: Split) -> Effect:
    """Choose the best level on all seeds but one, and compare it with the usual level on that one.

    Choosing it on the seed used for the comparison would find some gain by chance alone.
    """
    rows = at.rows[(at.rows["method"] == "GANomaly") & (at.rows["question"] != "latent")]
    usual = rows[rows["level"] == rows["usual"]].drop_duplicates("seed").set_index("seed")["auroc"]
    names = rows["question"] + " " + rows["level"].astype(str)  # numbers and words cannot be sorted
    levels = rows.assign(level=names).pivot_table("auroc", "seed", "level").dropna(axis=1)
    seeds = levels.index if len(levels) > 1 else []
    return mean([levels.loc[s, levels.drop(s).mean().idxmax()] - usual[s] for s in seeds])


def sharper_is_better(at: Split) -> Effect:
    """Correlate, over the levels at one size, the AUROC with minus the normal images' residual."""
    found = []
    for _, rows in at.rows[(at.rows["method"] == "GANomaly")].groupby("seed"):
        rows = rows[(rows["question"] != "size")].drop_duplicates("file")
        residuals = [at.of[1][file].query("label == 0")["residual"].mean() for file in rows["file"]]
        if len(rows) > 2:
            found.append(-stats.spearmanr(residuals, rows["auroc"])[0])
    return mean(found)


def steadier(at: Split) -> Effect:
    """Return log (sd of AUROC over seeds with RGB / with grey), with an interval by F."""
    aurocs = (
        at.rows[at.rows["question"] == "channels"].pivot_table("auroc", "seed", "level").dropna()
    )
    if (n := len(aurocs)) < 2 or aurocs.shape[1] < 2:
        return Effect(n_seeds=n)
    ratio, reach = (
        np.log(aurocs[3].std() / aurocs[1].std()),
        np.log(stats.f.ppf(0.975, n - 1, n - 1)) / 2,
    )
    return Effect(ratio, ratio - reach, ratio + reach, n)


def _auroc(table: pd.DataFrame) -> float:
    return metrics.roc_auc_score(table["label"], table["score"])


def _residual(label: int) -> Callable:
    return lambda table: table.loc[table["label"] == label, "residual"].mean()


def _follows_brightness(table: pd.DataFrame) -> float:
    return table[["brightness", "score"]].corr("spearman").iloc[0, 1]


def _haze(table: pd.DataFrame) -> float:
    """Return the AUROC on the other clouds minus that on haze."""
    haze, normal = table["kind"] == "haze", table["label"] == 0
    if not haze.any():
        return np.nan
    return _auroc(table[~haze]) - _auroc(table[haze | normal])


def _accuracy(table: pd.DataFrame) -> float:
    """Return the best accuracy with anomalies and normal images weighted equally."""
    false_rate, true_rate, _ = metrics.roc_curve(table["label"], table["score"])
    return float((1 + true_rate - false_rate).max() / 2)


def _normals_and_anomalies(table: pd.DataFrame) -> list[pd.Series]:
    return [table.loc[table["label"] == label, "score"] for label in (0, 1)]


def _spread(table: pd.DataFrame) -> float:
    normals, anomalies = _normals_and_anomalies(table)
    return float(np.log(anomalies.std() / normals.std()))


def _below(table: pd.DataFrame) -> float:
    normals, anomalies = _normals_and_anomalies(table)
    return float((anomalies < normals.median()).mean())


def _contrast(table: pd.DataFrame) -> float:
    normals, anomalies = _normals_and_anomalies(table)
    return float(anomalies.mean() / normals.mean())


class Claim(NamedTuple):
    """A claim of the paper, the data sets it is tested on, and the comparison that tests it."""

    section: str
    claim: str
    datasets: str  # separated by spaces; "": not tested
    compared: str  # or why it is not tested
    effect: Callable[[Split], Effect] | None = None


def _each(method: str, number: Callable, least: float = 0.0) -> Callable[[Split], Effect]:
    return lambda at: at.each(method, lambda table: number(table) - least)


_BOTH, _GAN = "casting cloud", "GANomaly"
CLAIMS = [
    Claim("4", "results were best with the contextual loss at 50 times the other weights", _BOTH,
          "AUROC at 50 - at the best of 1, 10, 100",
          lambda at: at.best("contextual", 50.0, 1.0, 10.0, 100.0)),
    Claim("5.1", "clouds are the anomalies: they hide the ground", "",
          "a choice, not a finding"),
    Claim("5.1", "clouds: sizes from 256 to 64 were tried, and 64 was rather better", "cloud",
          "AUROC at 64 - at 256 pixels", lambda at: at.best("size", 64, 256)),
    Claim("5.1", "castings mostly look alike, so fine defects have to be found", "",
          "00_download counts near-copies: 3,137 good castings show 18 parts"),
    Claim("5.1", "castings: 256 could not be trained for lack of memory, so 128 was used", "",
          "about the authors' machine; the figure of sizes shows 64, 128 and 256"),
    Claim("5.1", "castings: with 3 channels the loss on anomalies tends to be smaller", "casting",
          "mean score of anomalies / of normal images: with 1 channel - with 3",
          lambda at: at.pairs(at.tables(_GAN, "channels", 3), at.tables(_GAN, "channels", 1),
                              _contrast)),
    Claim("5.1", "castings: learning from 1 channel is more stable", "casting",
          "log (sd of AUROC over seeds with 3 channels / with 1)", steadier),
    Claim("5.2", "clouds: GANomaly gathers normal images at small values, but for some anomalies",
          "cloud", "AUROC of GANomaly - of AnoGAN", Split.methods),
    Claim("5.2", "clouds: no shapes are found; the reconstructions are of a single grey", "cloud",
          "0.5 - (sd within reconstruction / within image), of GANomaly",
          _each(_GAN, lambda table: 0.5 - table["contrast"].mean())),
    Claim("5.2", "clouds: the more cloud, the whiter and the larger the loss; color decides",
          "cloud", "rank correlation of brightness and score, all test images",
          _each(_GAN, _follows_brightness)),
    Claim("5.2", "clouds: normal images with rivers or bright roads are mistaken for clouds",
          "cloud", "rank correlation of brightness and score, normal images",
          _each(_GAN, lambda table: _follows_brightness(table[table["label"] == 0]))),
    Claim("5.2", "clouds: grey rain clouds and thin haze are mistaken for normal", "cloud",
          "AUROC on the other clouds - on haze", _each(_GAN, _haze)),
    Claim("5.2", "castings: GANomaly is far better than AnoGAN", "casting",
          "AUROC of GANomaly - of AnoGAN", Split.methods),
    Claim("5.2", "castings: AnoGAN's losses on anomalies are widely spread", "casting",
          "log (sd of anomalies' scores / of normal images')", _each("AnoGAN", _spread)),
    Claim("5.2", "castings: AnoGAN gives many anomalies a lower loss than normal images", "casting",
          "share of anomalies below the median normal image - 0.1",
          _each("AnoGAN", _below, least=0.1)),
    Claim("5.2", "castings: with a good threshold GANomaly is more than 80 % accurate", "casting",
          "best accuracy, chosen on the test images, both labels weighted equally - 0.8",
          _each(_GAN, _accuracy, least=0.8)),
    Claim("5.2", "castings: GANomaly's reconstructions are much closer to real images", "casting",
          "residual of normal images in grey levels, AnoGAN's - GANomaly's",
          lambda at: at.pairs(at.tables(_GAN), at.tables("AnoGAN"), _residual(0))),
    Claim("5.2", "castings: they are hard to tell from real ones by eye", "",
          "needs human judges: see figure 6"),
    Claim("5.2", "castings: residuals of anomalies keep outlines and rough places", "casting",
          "residual in grey levels, of anomalies - of normal images",
          _each(_GAN, lambda table: _residual(1)(table) - _residual(0)(table))),
    Claim("6", "GANomaly was mostly a little better than AnoGAN", _BOTH,
          "AUROC of GANomaly - of AnoGAN", Split.methods),
    Claim("6", "these models do well where a class has one form, as in MNIST and CIFAR", "",
          "other data sets"),
    Claim("6", "results vary a lot with the data: on clouds, without a form, they are not good",
          "cloud", "AUROC of GANomaly on castings - on clouds", lambda at: at.against("casting")),
    Claim("6", "castings: defects are found because GANomaly makes images close to real ones",
          "casting", "- rank correlation, over all levels, of normal images' residual and AUROC",
          sharper_is_better),
    Claim("6", "with more experiments a better model of the same structure can be found", _BOTH,
          "AUROC at the level that is best on the other seeds - at the usual level", better),
    Claim("6", "recent models that suit these data should be compared", "",
          "a proposal: see 06_recent_models"),
]  # fmt: skip


def judge(rows: pd.DataFrame, scores: Mapping) -> pd.DataFrame:
    """Judge every claim on each data set and protocol it is tested on."""
    judged, protocols = [], list(rows["protocol"].unique())
    for section, claim, datasets, compared, effect in CLAIMS:
        about = {"section": section, "claim": claim, "compared": compared}
        if effect is None:
            judged.append(about | {"verdict": "not tested"})
        for dataset in datasets.split():
            for protocol in protocols:
                found = effect(Split(rows, scores, dataset, protocol))
                verdict = found.verdict("supported", "not supported", "undecided")
                place = {"dataset": dataset, "protocol": protocol, "verdict": verdict}
                judged.append(about | place | found._asdict())
    return pd.DataFrame(judged)
