"""The models: DCGAN, AnoGAN on top of it, and GANomaly."""
