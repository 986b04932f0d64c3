"""The Python interface: a room for each command over files, a module for each other one."""
