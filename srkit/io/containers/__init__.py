"""What files hold besides pixels: a module for each container, which finds it and puts it back.

`contents` says what is in a file; the modules' `edit` functions put metadata into what libvips has encoded.
"""
