"""The shared functions put together and compiled."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm

from rekur.run.cpu.builder import Module
from rekur.run.cpu.external import SIGNATURES, symbol
from rekur.run.cpu.layout import pad, transpose
from rekur.run.cpu.moves import arrive, depart
from rekur.run.cpu.outer import column_sum, gradient, gradient_tile, scatter
from rekur.run.cpu.product import pack, pack_transposed, product, product_tile
from rekur.run.cpu.ranks import rank
from rekur.run.cpu.target import Library, Target, host
from rekur.run.cpu.tile import Tile


def shared_module(target: Target) -> Module:
    """The text of all of them."""
    m = Module(target.lanes)
    tile = Tile.of(target)
    for rows in range(1, tile.rows + 1):
        product_tile(m, rows, tile.vectors)
        gradient_tile(m, rows, tile.vectors)
    for make in (product, gradient, pack, pack_transposed, column_sum, scatter):
        make(m, tile)
    for one in (pad, transpose, arrive, depart, rank):
        one(m)
    return m


@cache
def shared(target: Target) -> Library:
    """Compiled once; modules of cells find the functions by name."""
    library = Library(str(shared_module(target)), target)
    for name in SIGNATURES:
        llvm.add_symbol(symbol(name, target.lanes), library.address(symbol(name, target.lanes)))
    return library


@cache
def native(name: str) -> Callable[..., None]:
    """A shared function for this processor, to call from Python; pointers are addresses."""
    target = host()
    kinds = [ctypes.c_void_p if kind == "ptr" else ctypes.c_int64 for kind, _ in SIGNATURES[name]]
    return shared(target).function(symbol(name, target.lanes), kinds)
