"""Application of networks to whole images: upscaling, kernel estimation, degradation."""
