"""What blurs, shrinks and soils images: blur kernels and their application, its adjoint, defocus from depth."""
