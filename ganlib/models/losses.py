"""The equations of the paper, one function each.

Symbols: x image, G(z) or x_hat reconstruction, both -1..1 `(n, height, width, channels)`; f
features of the discriminator `(n, height, width, depth)`; z latent vector `(n, latent_dim)`; logits
`(n, 1)`, D before the sigmoid. Losses are scalars, scores are `(n,)`.
"""

from keras import ops


def discriminator_loss(real_logits, fake_logits):
    """Cross entropy of D: mean over real images (1) plus mean over generated images (0).

    Reference: paper, section 2, V(D, G), maximized by D. softplus(-a) = -log sigmoid(a).
    """
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


def generator_loss(fake_logits):
    """Cross entropy of G: mean over generated images, labeled real (1).

    Reference: paper, section 2, V(D, G). As in every DCGAN, G maximizes log D(G(z)).
    """
    return ops.mean(ops.softplus(-fake_logits))


def residual_loss(images, reconstructions):
    """L_R of AnoGAN `(n,)`, sum of |x - G(z)|. Reference: paper, section 3, residual loss."""
    return ops.sum(ops.abs(images - reconstructions), axis=(1, 2, 3))


def discrimination_loss(features, reconstruction_features):
    """L_D of AnoGAN `(n,)`, sum of |f(x) - f(G(z))|. Reference: paper, section 3."""
    return ops.sum(ops.abs(features - reconstruction_features), axis=(1, 2, 3))


def anogan_score(residual, discrimination, weight: float):
    """A(x) of AnoGAN `(n,)`, also the objective L(z) of its search; `weight` is lambda, 0..1.

    Reference: paper, section 3, A(x) = (1 - lambda) R(x) + lambda D(x).
    """
    return (1.0 - weight) * residual + weight * discrimination


def fanogan_score(images, reconstructions, features, reconstruction_features, kappa: float):
    """A(x) of f-AnoGAN `(n,)`: mean square over pixels + kappa mean square over features.

    Reference: Schlegl et al. 2019, the loss of izi_f; not in the paper.
    """
    in_pixels = ops.mean(ops.square(images - reconstructions), axis=(1, 2, 3))
    in_features = ops.mean(ops.square(features - reconstruction_features), axis=(1, 2, 3))
    return in_pixels + kappa * in_features


def adversarial_loss(features, reconstruction_features):
    """L_adv of GANomaly, feature matching: mean square of f(x) - f(G(x)), pair by pair.

    Reference: authors' code; in the paper, section 4, f(x) is compared with the mean of f(G(x)).
    """
    return ops.mean(ops.square(features - reconstruction_features))


def contextual_loss(images, reconstructions):
    """L_con of GANomaly: mean of |x - x_hat| over all pixels and images.

    Reference: authors' code, with a weight of 50; the paper, section 4, uses the sum (L1 norm).
    """
    return ops.mean(ops.abs(images - reconstructions))


def encoder_loss(latents, reconstruction_latents):
    """L_enc of GANomaly: mean square of z - z_hat over all latent values and images.

    Reference: authors' code; the paper, section 4, uses the L2 norm.
    """
    return ops.mean(ops.square(latents - reconstruction_latents))


def latent_l1_score(latents, reconstruction_latents):
    """A(x) of GANomaly `(n,)`, sum of |z - z_hat|. Reference: paper, section 4, A(x)."""
    return ops.sum(ops.abs(latents - reconstruction_latents), axis=1)


def latent_l2_score(latents, reconstruction_latents):
    """A(x) of GANomaly `(n,)`, mean of (z - z_hat)^2. Reference: authors' code, `test()`."""
    return ops.mean(ops.square(latents - reconstruction_latents), axis=1)


def structure_loss(images, reconstructions):
    """Compute 1 - SSIM of images -1..1, mean over all images and 8x8 windows with stride 4.

    Reference: Wang et al. 2004, equation 13, with C1 = 0.02^2 and C2 = 0.06^2.
    """
    a, b = images, reconstructions
    x, y, xx, yy, xy = (ops.average_pool(each, 8, 4) for each in (a, b, a * a, b * b, a * b))
    luminance = (2 * x * y + 0.02**2) / (x * x + y * y + 0.02**2)
    contrast = (2 * (xy - x * y) + 0.06**2) / (xx + yy - x * x - y * y + 0.06**2)
    return 1.0 - ops.mean(luminance * contrast)


def segmentation_loss(labels, logits):
    """Cross entropy of labels 0..1, which may be soft, mean over all pixels and images."""
    return ops.mean(ops.softplus(logits) - labels * logits)
