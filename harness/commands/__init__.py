"""The commands of `muxbench`, a file each: arguments to calls, faults to one line and an exit status."""
