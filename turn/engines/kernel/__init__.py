"""The engine whose calls ride in the kernel: a program of ours at the entrance of the interfaces."""
