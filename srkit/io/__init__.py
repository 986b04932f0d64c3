"""Images in and out: the only place where files become arrays and arrays become files.

`read_image`, `probe` and `write_image` are in `srkit.io.read` and `srkit.io.write`; importing this
package loads no codec.
"""

from srkit.io._vips import set_codec_threads

__all__ = ["set_codec_threads"]
