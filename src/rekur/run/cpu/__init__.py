"""The compiled backend: from a scheduled step graph to native code, through LLVM."""
