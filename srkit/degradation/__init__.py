"""Degradation of images: blur kernels, their application and its adjoint, defocus from depth, noise, compression."""
