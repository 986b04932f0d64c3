"""Runs any network on pictures of any size; blind to what the network is."""
