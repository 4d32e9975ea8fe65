"""The equations of the paper, one function each.

Symbols: x image, G(z) or x_hat reconstruction, both -1..1 `(n, height, width, channels)`; f
features of the discriminator `(n, height, width, depth)`; z latent vector `(n, latent_dim)`; logits
`(n, 1)`, D before the sigmoid. Losses are scalars, scores are `(n,)`.
"""

from keras import ops


def discriminator_loss(real_logits, fake_logits):
    """Cross entropy of D, the mean over real images (1) plus the mean over generated ones (0).

    Reference:
        Paper, section 2, V(D, G), maximized by D. softplus(-a) = -log sigmoid(a).
    """
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


def generator_loss(fake_logits):
    """Cross entropy of G, which wants D to take its images for real, mean over the images.

    Reference:
        Paper, section 2, V(D, G). As in every DCGAN, G maximizes log D(G(z)) instead of minimizing
        log(1 - D(G(z))), which has the same fixed point and no vanishing gradient.
    """
    return ops.mean(ops.softplus(-fake_logits))


def residual_loss(images, reconstructions):
    """L_R of AnoGAN `(n,)`: sum of |x - G(z)| over pixels and channels.

    Reference:
        Paper, section 3, residual loss.
    """
    return ops.sum(ops.abs(images - reconstructions), axis=(1, 2, 3))


def discrimination_loss(features, reconstruction_features):
    """L_D of AnoGAN `(n,)`: sum of |f(x) - f(G(z))| over all features.

    Reference:
        Paper, section 3, discrimination loss.
    """
    return ops.sum(ops.abs(features - reconstruction_features), axis=(1, 2, 3))


def anogan_score(residual, discrimination, weight: float):
    """A(x) of AnoGAN `(n,)`, which is also L(z), the objective of its search.

    Args:
        residual: `(n,)`, R(x).
        discrimination: `(n,)`, D(x).
        weight: lambda, 0..1, of the discrimination loss.

    Reference:
        Paper, section 3, A(x) = (1 - lambda) R(x) + lambda D(x).
    """
    return (1.0 - weight) * residual + weight * discrimination


def fanogan_score(images, reconstructions, features, reconstruction_features, kappa: float):
    """A(x) of f-AnoGAN `(n,)`: mean square over pixels + kappa mean square over features.

    Reference:
        Schlegl et al. 2019, the loss of izi_f; not in the paper.
    """
    in_pixels = ops.mean(ops.square(images - reconstructions), axis=(1, 2, 3))
    in_features = ops.mean(ops.square(features - reconstruction_features), axis=(1, 2, 3))
    return in_pixels + kappa * in_features


def adversarial_loss(features, reconstruction_features):
    """L_adv of GANomaly, feature matching: mean square of f(x) - f(G(x)).

    Reference:
        Paper, section 4, adversarial loss. The paper writes the distance of f(x) to the mean of
        f(G(x)) over the batch; this is the distance pair by pair, as in the authors' code and in
        the published notebook.
    """
    return ops.mean(ops.square(features - reconstruction_features))


def contextual_loss(images, reconstructions):
    """L_con of GANomaly: mean of |x - x_hat| over all pixels and images.

    Reference:
        Paper, section 4, contextual loss: the L1 norm, divided by the number of pixels as in the
        authors' code, to which the weight of 50 belongs.
    """
    return ops.mean(ops.abs(images - reconstructions))


def encoder_loss(latents, reconstruction_latents):
    """L_enc of GANomaly: mean square of z - z_hat over all latent values and images.

    Reference:
        Paper, section 4, encoder loss. The paper writes the L2 norm; this is the mean square, as in
        the authors' code and in the published notebook.
    """
    return ops.mean(ops.square(latents - reconstruction_latents))


def latent_l1_score(latents, reconstruction_latents):
    """A(x) of GANomaly as the paper writes it `(n,)`: sum of |z - z_hat|.

    Reference:
        Paper, section 4, A(x) = ||G_E(x) - E(G(x))||_1.
    """
    return ops.sum(ops.abs(latents - reconstruction_latents), axis=1)


def latent_l2_score(latents, reconstruction_latents):
    """A(x) of GANomaly as its authors' code computes it `(n,)`: mean of (z - z_hat)^2.

    Reference:
        Authors' code, `test()`; differs from the paper's L1.
    """
    return ops.mean(ops.square(latents - reconstruction_latents), axis=1)
