"""Reading and writing of images; the only package that converts between files and arrays.

`read_image`, `probe` and `write_image` are in `srkit.io.read` and `srkit.io.write`; importing this
package loads no codec.
"""

from srkit.io._vips import set_codec_threads

__all__ = ["set_codec_threads"]
