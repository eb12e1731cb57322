"""The kernel of Coda: plugins, stacks and full-duplex conversations with Moshi."""
