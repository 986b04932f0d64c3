"""Networks applied to whole images: upscaling, kernel estimation, degradation."""
