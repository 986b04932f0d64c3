"""Metadata of files, with one module per container format to read and write it.

`contents` defines the metadata of a file; the modules' `edit` functions insert metadata into files encoded by libvips.
"""
