"""Runs any network on images of any size; blind to what the network is."""
