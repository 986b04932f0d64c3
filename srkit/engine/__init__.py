"""Engine that runs any network on images of any size, given only its `ArchInfo`."""
