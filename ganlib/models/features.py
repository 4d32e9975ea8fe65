"""Features of networks pretrained on ImageNet, and the base class of their detectors."""

import hashlib
import os
import sys
import warnings
from collections.abc import Callable

import keras
from keras import layers, ops

from ganlib.errors import GanlibError
from ganlib.files import shown
from ganlib.models.base import AnomalyModel
from ganlib.models.detection import HALF_RANGE

STRIDES = (8, 16)  # of the two feature maps, in pixels


def backbone(name: str, image_size: int, weights: str | None = None) -> list[keras.Model]:
    """Build a `keras.applications` network twice: cut at its maps at strides 8 and 16, and whole.

    A map is the output of the last residual `Add` at that stride or, without one, the last layer.
    """
    build = getattr(keras.applications, name, None) if name[:1].isupper() else None
    if build is None or image_size < 64 or image_size % 32:
        possible = "MobileNetV2, ResNet50, ... of keras.applications; a multiple of 32, at least 64"
        raise GanlibError(f"backbone is {name!r}, image_size {image_size}: choose {possible}.")
    whole = build(input_shape=(image_size, image_size, 3), include_top=False, weights=weights)
    maps = []
    for side in (image_size // stride for stride in STRIDES):
        there = [layer for layer in whole.layers if layer.output.shape[1:3] == (side, side)]
        if not there:
            raise GanlibError(f"{name} has no map of {side}x{side}: choose another backbone.")
        maps.append(([each for each in there if isinstance(each, layers.Add)] or there)[-1].output)
    return [keras.Model(whole.input, maps, name="backbone"), whole]


def load_imagenet(network: keras.Model, name: str, file: str | os.PathLike | None = None) -> str:
    """Load ImageNet weights into a `backbone`; return their digest, 12 hex digits.

    `file`, by default the environment variable GANLIB_WEIGHTS, is a Keras weights file of the
    network without its classifier or up to the last map. Without one, Keras downloads the weights.
    """
    file = file or os.environ.get("GANLIB_WEIGHTS")
    try:
        with warnings.catch_warnings(action="ignore"):  # weights of 224 pixels fit other sizes, too
            cut, whole = backbone(name, network.input_shape[1], None if file else "imagenet")
            if file:
                try:
                    whole.load_weights(file)
                except ValueError:  # the file lacks some layers
                    keras.Model(cut.input, cut.outputs[-1]).load_weights(file)
    except Exception as error:  # downloads, Keras and h5py raise any type
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        problem = f"cannot be read from {shown(file)}" if file else "cannot be downloaded"
        advice = "Set GANLIB_WEIGHTS to a Keras weights file, or choose a method that needs none."
        found = f"The ImageNet weights of {name} {problem} ({reason})"
        raise GanlibError(f"{found}. {advice}") from error
    network.set_weights(values := cut.get_weights())
    return hashlib.sha256(b"".join(each.tobytes() for each in values)).hexdigest()[:12]


class FeatureModel(AnomalyModel):
    """A detector based on features of a `backbone`. Subclasses fit in one pass with `adapt`."""

    family, scored_by, default_image_size, batch = "features", "own", 256, 8
    window = 1  # side of the average pooling applied to each map

    def __init__(self, image_size, channels, backbone="MobileNetV2", weights_digest=None, **kwargs):
        super().__init__(image_size, channels, **kwargs)
        self.about |= {"backbone": backbone, "weights_digest": weights_digest}
        self.extractor = self._extractor(backbone)
        _, self.places, _, self.depth = self.extractor.output_shape
        self.mean, self.deviation = (self.memory(n, self.depth) for n in ("mean", "deviation"))

    def _extractor(self, name: str) -> keras.Model:
        """Build the network from images -1..1 to both maps, concatenated, not standardized."""
        network = backbone(name, self.image_size)[0]
        network.trainable = False
        images = keras.Input((self.image_size, self.image_size, self.channels))
        pixels = ops.repeat(images, 3 // self.channels, axis=-1) * HALF_RANGE + HALF_RANGE
        module = sys.modules[getattr(keras.applications, name).__module__]
        maps = network(module.preprocess_input(pixels), training=False)
        fine, coarse = (ops.average_pool(each, self.window, 1, padding="same") for each in maps)
        coarse = ops.image.resize(coarse, fine.shape[1:3])
        return keras.Model(images, ops.cast(ops.concatenate([fine, coarse], axis=-1), "float32"))

    def memory(self, name: str, *shape: int, dtype: str = "float32"):
        """Add a variable that `adapt` fills."""
        return self.add_weight(shape, "ones", dtype, trainable=False, name=name)

    @classmethod
    def train(cls, fit: Callable, weights=None, latent_dim=None, filters=None, **options):
        """Build a model, load the file `weights`, see `load_imagenet`, and fit the model."""
        model = cls(**options)
        network, name = model.extractor.get_layer("backbone"), model.about["backbone"]
        model.about["weights_digest"] = load_imagenet(network, name, weights)
        fit(model)
        return model
