"""The equations of the paper, one function each.

Symbols: x image, G(z) or x_hat reconstruction, f features of the discriminator, z latent vector.
"""

from keras import ops


def discriminator_loss(real_logits, fake_logits):
    """Cross entropy of D: real images are 1, generated ones 0.

    Args:
        real_logits: `(n, 1)`, D before the sigmoid on real images.
        fake_logits: `(n, 1)`, D before the sigmoid on generated images.

    Returns:
        Scalar, mean over the images, summed over the two kinds.

    Reference:
        Paper, section 2, the objective V(D, G), maximised by D. softplus(-a) = -log sigmoid(a).
    """
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


def generator_loss(fake_logits):
    """Cross entropy of G: it wants D to take its images for real.

    Args:
        fake_logits: `(n, 1)`, D before the sigmoid on generated images.

    Returns:
        Scalar, mean over the images.

    Reference:
        Paper, section 2, the objective V(D, G). As in every DCGAN, G maximises log D(G(z)) instead
        of minimising log(1 - D(G(z))), which has the same fixed point and no vanishing gradient.
    """
    return ops.mean(ops.softplus(-fake_logits))


def residual_loss(images, reconstructions):
    """L_R of AnoGAN: how different an image and its reconstruction look.

    Args:
        images: `(n, height, width, channels)`, -1..1.
        reconstructions: same shape, -1..1.

    Returns:
        `(n,)`, sum of |x - G(z)| over pixels and channels.

    Reference:
        Paper, section 3, residual loss.
    """
    return ops.sum(ops.abs(images - reconstructions), axis=(1, 2, 3))


def discrimination_loss(image_features, reconstruction_features):
    """L_D of AnoGAN: how different an image and its reconstruction are to the discriminator.

    Args:
        image_features: `(n, height, width, depth)`, f(x).
        reconstruction_features: same shape, f(G(z)).

    Returns:
        `(n,)`, sum of |f(x) - f(G(z))| over all features.

    Reference:
        Paper, section 3, discrimination loss.
    """
    return ops.sum(ops.abs(image_features - reconstruction_features), axis=(1, 2, 3))


def anogan_score(residual, discrimination, weight: float):
    """A(x) of AnoGAN, and L(z), the objective of its search: the weighted sum of the two.

    Args:
        residual: `(n,)`, R(x).
        discrimination: `(n,)`, D(x).
        weight: lambda, 0..1, of the discrimination loss.

    Returns:
        `(n,)`.

    Reference:
        Paper, section 3, A(x) = (1 - lambda) R(x) + lambda D(x).
    """
    return (1.0 - weight) * residual + weight * discrimination


def fanogan_score(images, reconstructions, image_features, reconstruction_features, kappa: float):
    """A(x) of f-AnoGAN, whose mean over a batch is the loss of its encoder.

    Args:
        images: `(n, height, width, channels)`, -1..1.
        reconstructions: same shape, G(E(x)), -1..1.
        image_features: `(n, height, width, depth)`, f(x).
        reconstruction_features: same shape, f(G(E(x))).
        kappa: weight of the features.

    Returns:
        `(n,)`, mean square over pixels and channels + kappa mean square over features.

    Reference:
        Schlegl et al. 2019, the loss of izi_f; not in the paper.
    """
    in_pixels = ops.mean(ops.square(images - reconstructions), axis=(1, 2, 3))
    in_features = ops.mean(ops.square(image_features - reconstruction_features), axis=(1, 2, 3))
    return in_pixels + kappa * in_features


def adversarial_loss(image_features, reconstruction_features):
    """L_adv of GANomaly: feature matching instead of fooling the discriminator.

    Args:
        image_features: `(n, height, width, depth)`, f(x).
        reconstruction_features: same shape, f(G(x)).

    Returns:
        Scalar, mean square over all features and images.

    Reference:
        Paper, section 4, adversarial loss. The paper writes the distance of f(x) to the mean of
        f(G(x)) over the batch; this is the distance pair by pair, as in the authors' code and in
        the published notebook.
    """
    return ops.mean(ops.square(image_features - reconstruction_features))


def contextual_loss(images, reconstructions):
    """L_con of GANomaly: the reconstruction is to look like the image.

    Args:
        images: `(n, height, width, channels)`, -1..1.
        reconstructions: same shape, -1..1.

    Returns:
        Scalar, mean of |x - x_hat| over all pixels and images.

    Reference:
        Paper, section 4, contextual loss: the L1 norm, divided by the number of pixels as in the
        authors' code, to which the weight of 50 belongs.
    """
    return ops.mean(ops.abs(images - reconstructions))


def encoder_loss(latents, reconstructed_latents):
    """L_enc of GANomaly: image and reconstruction are to have the same latent vector.

    Args:
        latents: `(n, latent_dim)`, z = G_E(x).
        reconstructed_latents: same shape, z_hat = E(G(x)).

    Returns:
        Scalar, mean square over all latent values and images.

    Reference:
        Paper, section 4, encoder loss. The paper writes the L2 norm; this is the mean square, as in
        the authors' code and in the published notebook.
    """
    return ops.mean(ops.square(latents - reconstructed_latents))


def latent_l1_score(latents, reconstructed_latents):
    """A(x) of GANomaly as the paper writes it.

    Args:
        latents: `(n, latent_dim)`, G_E(x).
        reconstructed_latents: same shape, E(G(x)).

    Returns:
        `(n,)`, sum of |z - z_hat|.

    Reference:
        Paper, section 4, A(x) = ||G_E(x) - E(G(x))||_1.
    """
    return ops.sum(ops.abs(latents - reconstructed_latents), axis=1)


def latent_l2_score(latents, reconstructed_latents):
    """A(x) of GANomaly as its authors' code computes it.

    Args:
        latents: `(n, latent_dim)`, G_E(x).
        reconstructed_latents: same shape, E(G(x)).

    Returns:
        `(n,)`, mean of (z - z_hat)^2.

    Reference:
        Authors' code, `test()`; differs from the paper's L1.
    """
    return ops.mean(ops.square(latents - reconstructed_latents), axis=1)
