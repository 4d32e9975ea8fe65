"""Draw satellite tiles of a rain forest region, clear or clouded.

The ground comes first (forest, then clearings, fields, rivers and roads), then the air in front of
it: every tile has some, a hazy one much, a cloudy one so much that no ground is left. Like in
satellite archives, clear tiles differ widely in brightness and a closed cloud cover is simpler
than any ground. The air has a random stream of its own, so the same seed with kind 'normal' is
the same place on a clear day.
"""

from collections.abc import Sequence

import numpy as np

from ganlib.data._drawing import (
    between,
    check,
    field_noise,
    inside,
    mix,
    pixel_grid,
    stream,
    to_uint8,
)

CLOUD_KINDS = ("normal", "cloudy", "partly_cloudy", "haze")

# Red, green, blue of the canopy as the satellite sees it, and how often each is seen.
FORESTS = np.array(
    [
        (32, 50, 38),  # forest green
        (26, 42, 36),  # dark green
        (36, 56, 58),  # dark teal
        (44, 47, 48),  # dark grey
        (52, 74, 48),  # green
        (64, 84, 80),  # blue grey
        (84, 92, 62),  # olive
        (62, 50, 26),  # brown
    ],
    np.float64,
)
FOREST_SHARES = np.cumsum((0.22, 0.18, 0.16, 0.12, 0.14, 0.07, 0.07))  # brown has the rest
SOILS = np.array([(166, 142, 120), (146, 124, 102), (176, 160, 136), (120, 96, 74)], np.float64)
MEADOWS = np.array([(92, 106, 70), (110, 112, 82), (84, 100, 58)], np.float64)
AIR_BLUE = np.array((124, 138, 147), np.float64)
AIR_GREY = np.array((150, 152, 146), np.float64)
AIR_TAN = np.array((162, 142, 122), np.float64)


def cloud_images(
    kinds: Sequence[str], seed: int, image_size: int = 128, start: int = 0
) -> np.ndarray:
    """Draw one satellite tile per kind.

    Args:
        kinds: for each picture 'normal', 'cloudy', 'partly_cloudy' or 'haze'.
        seed: non-negative integer. Picture i is a function of `(seed, start + i, kinds[i])` alone.
        image_size: side of the square pictures, at least 16.
        start: number of the first picture, so that a long series can be drawn in pieces.

    Returns:
        uint8 `(len(kinds), image_size, image_size, 3)`, red, green, blue, 0..255.

    Raises:
        GanlibError: for an unknown kind, a negative seed or start, or a size below 16.
    """
    check(kinds, CLOUD_KINDS, seed, image_size, start)
    images = np.empty((len(kinds), image_size, image_size, 3), np.uint8)
    for i, kind in enumerate(kinds):
        rng = stream(seed, start + i, "cloud ground")
        ground = _clear_air(rng, _ground(rng, image_size))
        if kind != "normal":
            ground = _SKIES[kind](stream(seed, start + i, f"cloud {kind}"), ground)
        grain = (rng.random((3, image_size, image_size)).sum(axis=0) - 1.5) * 1.4
        images[i] = to_uint8((ground + grain).transpose(1, 2, 0))
    return images


def _pick(rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """One of the colours, a little off, as `(3, 1, 1)`."""
    colour = colours[int(len(colours) * rng.random())]
    return (colour * between(rng, 0.88, 1.12) + between(rng, -5, 5, 3))[:, None, None]


def _ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """Red, green, blue `(3, size, size)` of one place without any air in front of it."""
    canopy = _relief(rng, size, finest=between(rng, 36, 84), strength=between(rng, 0.45, 1.2))
    shade = FORESTS[np.searchsorted(FOREST_SHARES, rng.random())]
    shade = (shade * between(rng, 0.75, 1.2) + between(rng, -3, 3, 3))[:, None, None]
    plain = field_noise(rng, size, (2, 5, 11), 0.5)
    ground = shade * (1 + 0.24 * canopy + 0.06 * plain)
    scene = rng.random()
    if scene < 0.40:
        return ground
    if scene < 0.60:
        ground = _clearings(rng, ground, plain)
    elif scene < 0.70:
        ground = _fields(rng, ground)
    elif scene < 0.76:
        return _bare_land(rng, ground, plain)
    if rng.random() < 0.32:
        ground = _river(rng, ground)
    if rng.random() < 0.45:
        ground = _road(rng, ground)
    return ground


def _relief(rng: np.random.Generator, size: int, finest: float, strength: float) -> np.ndarray:
    """Tree crowns lit from one side: the slope of a noise towards the light."""
    cells = int(finest)
    noise = field_noise(rng, size + 1, (cells // 4, cells // 2, cells), 1.0)
    slope = noise[1:, 1:] - noise[:-1, :-1]
    # A step of one pixel is a longer way in a small picture: the slope is made size independent.
    return strength * (slope * (0.5 * size / cells) + 0.45 * noise[1:, 1:])


def _clearings(rng: np.random.Generator, ground: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Draw cleared land with frayed edges: meadow, and bare soil where it was cleared most."""
    size = ground.shape[-1]
    edge = plain + 0.45 * field_noise(rng, size, (9, 19, 38), 0.6)
    texture = field_noise(rng, size, (6, 14, 30), 0.7)
    level = between(rng, -0.2, 0.6)
    meadow = _pick(rng, MEADOWS) * (1 + 0.10 * texture)
    soil = _pick(rng, SOILS) * (0.9 + 0.10 * texture)
    ground = mix(
        ground, meadow, between(rng, 0.5, 0.95) * inside(level - edge, between(rng, 0.15, 0.7))
    )
    return mix(
        ground, soil, between(rng, 0.4, 0.85) * inside(level + between(rng, 0.2, 0.6) - edge, 0.35)
    )


def _fields(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """One to three fields with straight sides, tan or green, some ploughed."""
    size = ground.shape[-1]
    column, row = pixel_grid(size)
    texture = field_noise(rng, size, (7, 25), 0.7)
    lie = between(rng, 0, np.pi)
    u, v = column * np.cos(lie) + row * np.sin(lie), row * np.cos(lie) - column * np.sin(lie)
    for _ in range(1 + int(3 * rng.random())):
        at, half = between(rng, 0.1, 0.9, 2), between(rng, 0.12, 0.42, 2)
        middle_u = at[0] * np.cos(lie) + at[1] * np.sin(lie)
        middle_v = at[1] * np.cos(lie) - at[0] * np.sin(lie)
        distance = np.maximum(np.abs(u - middle_u) - half[0], np.abs(v - middle_v) - half[1])
        distance = distance + 0.004 * texture
        colour = _pick(rng, SOILS if rng.random() < 0.65 else MEADOWS)
        ground = mix(ground, colour * (1 + 0.05 * texture), inside(distance, 1.5 / size))
    return ground


def _bare_land(rng: np.random.Generator, ground: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Soil all over, with the rest of the forest in a corner."""
    texture = field_noise(rng, ground.shape[-1], (5, 12, 28, 60), 0.7)
    soil = _pick(rng, SOILS) * (1 + 0.05 * plain + 0.05 * texture)
    return mix(soil, ground, inside(between(rng, 0.5, 1.1) - plain - 0.2 * texture, 0.08))


def _wander(rng: np.random.Generator, size: int, bends: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance from a winding line through the tile, and the position along it."""
    column, row = pixel_grid(size)
    lie = between(rng, 0, 2 * np.pi)
    x, y = column - between(rng, 0.2, 0.8), row - between(rng, 0.2, 0.8)
    u, v = x * np.cos(lie) + y * np.sin(lie), y * np.cos(lie) - x * np.sin(lie)
    steep = np.ones_like(u)
    for waves in (0.8, 1.7, 3.1):
        phase = between(rng, 0, 2 * np.pi)
        height = bends * between(rng, 0.04, 0.16) / waves
        v = v + height * np.sin(2 * np.pi * waves * u + phase)
        steep = steep + (2 * np.pi * waves * height * np.cos(2 * np.pi * waves * u + phase)) ** 2
    # Divided by the slope's length, or the line would be thin where it is steep.
    return v / np.sqrt(steep), u


def _river(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Winding river, sandy and bright or clear and dark, with a bright bank in places."""
    size = ground.shape[-1]
    distance, along = _wander(rng, size, bends=between(rng, 0.6, 1.6))
    distance = distance + 0.008 * field_noise(rng, size, (8, 20), 0.7)
    half = between(rng, 0.012, 0.075) * (1 + 0.3 * np.sin(7 * along + between(rng, 0, 6)))
    water = _pick(rng, SOILS) * 0.95 if rng.random() < 0.5 else ground.min() * 0.5 + 14.0
    sand = np.clip(np.sin(9 * along + between(rng, 0, 6)) - 0.3, 0, 1)
    bank = sand * inside(np.abs(distance) - half - 0.02, 2 / size)
    ground = mix(ground, _pick(rng, SOILS[2:3]), bank)
    return mix(ground, water, inside(np.abs(distance) - half, 2 / size))


def _road(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Thin sandy road, nearly straight."""
    size = ground.shape[-1]
    distance, along = _wander(rng, size, bends=between(rng, 0.1, 0.6))
    worn = 0.75 + 0.25 * np.sin(11 * along + between(rng, 0, 6))
    road = inside(np.abs(distance) - between(rng, 0.006, 0.014), 2 / size)
    return mix(ground, _pick(rng, SOILS), between(rng, 0.5, 0.9) * worn * road)


def _clear_air(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Air of a clear day: nearly none as a rule, a blue veil over one tile in five."""
    veil = 0.10 * rng.random() if rng.random() < 0.8 else between(rng, 0.2, 0.55)
    blue = AIR_BLUE * between(rng, 0.75, 1.1) + between(rng, -6, 6, 3)
    return mix(ground, blue[:, None, None], veil)


def _air_colour(rng: np.random.Generator) -> np.ndarray:
    """Colour of thick air: between grey, blue and tan, `(3, 1, 1)`."""
    toward = AIR_BLUE if rng.random() < 0.5 else AIR_TAN
    colour = mix(AIR_GREY, toward, between(rng, 0, 0.85)) + between(rng, -4, 4, 3)
    return colour[:, None, None]


def _haze(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Veil of low contrast through which the ground is still visible."""
    size = ground.shape[-1]
    thick = between(rng, 0.5, 0.82) + 0.05 * field_noise(rng, size, (2, 4), 0.5)
    return mix(ground, _air_colour(rng) * between(rng, 0.68, 1.08), np.clip(thick, 0, 1))


def _cloudy(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Draw a closed cover, nearly uniform, with soft structure; rarely ground shines through."""
    size = ground.shape[-1]
    soft = field_noise(rng, size, (2, 4, 9), 0.45)
    level = _air_colour(rng) * between(rng, 0.82, 1.35)
    # One cover in three is broken: brighter billows over a thinner layer.
    broken = rng.random() < 1 / 3
    billow = soft + 0.5 * field_noise(rng, size, (8, 17, 35), 0.7) if broken else soft
    cover = level * (
        1 + (between(rng, 0.04, 0.16) if broken else between(rng, 0.006, 0.03)) * billow
    )
    thick = np.clip(0.92 + 0.25 * billow, 0.4, 1) if broken else between(rng, 0.93, 1.0)
    return mix(ground, cover, thick)


def _partly_cloudy(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Cumulus clouds with frayed edges, some thin, and their shadows on the ground beside them."""
    size = ground.shape[-1]
    margin = size // 5
    # The sky is larger than the tile: clouds outside it throw shadows into it.
    sky = field_noise(rng, size + margin, (3, 6, 12, 24, 48), 0.62)
    # The level that leaves the wanted share of the sky covered.
    level = np.quantile(sky, 1 - 0.4 * rng.random() ** 1.6 - 0.015)
    body = np.clip((sky - level) / between(rng, 0.25, 0.9), 0, 1)
    down, right = (int(shift) for shift in between(rng, 0.25, 1, 2) * margin)
    shadow = body[margin - down :, margin - right :][:size, :size]
    body = body[margin:, margin:]
    ground = ground * (1 - between(rng, 0.2, 0.5) * np.clip(2 * shadow, 0, 1))
    white = between(rng, 160, 230) + np.array((2.0, 0.0, -4.0))[:, None, None]
    light = 1 + 0.10 * field_noise(rng, size, (6, 14, 30), 0.6)
    opacity = 1 - 0.75 * rng.random() ** 2
    return mix(ground, white * (0.78 + 0.22 * body) * light, opacity * np.clip(1.5 * body, 0, 1))


_SKIES = {"haze": _haze, "cloudy": _cloudy, "partly_cloudy": _partly_cloudy}
