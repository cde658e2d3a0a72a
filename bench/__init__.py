"""Ours beside what one would pick instead, on the same machine, with the same client and corpus, in one run."""
