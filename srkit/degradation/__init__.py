"""What blurs, shrinks and soils pictures: blur kernels and their application, its adjoint, defocus from depth."""
