"""The processor at hand, and turning LLVM's assembly into functions that can be called."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm

_lock = threading.Lock()  # LLVM's global tables are not safe for several threads


@dataclass(frozen=True)
class Target:
    """What code is made for."""

    cpu: str
    features: str
    lanes: int
    """Floats in a vector"""
    registers: int
    """Vector registers"""


AVX2 = Target("haswell", "+avx2,+fma", 8, 16)


@cache
def host() -> Target:
    """The processor this runs on, with its widest vectors."""
    with _lock:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        name = llvm.get_host_cpu_name()
    if features.get("avx512f"):
        return Target(name, features.flatten(), 16, 32)
    if features.get("avx2") and features.get("fma"):
        return Target(name, features.flatten(), 8, 16)
    return Target(name, features.flatten(), 4, 32 if "aarch64" in llvm.get_default_triple() else 16)


@cache
def library(text: str, target: Target) -> Library:
    """The functions of a text, compiled once: kernels that differ in one part have the other in common."""
    return Library(text, target)


class Library:
    """Compiled functions; they live as long as it does."""

    def __init__(self, text: str, target: Target) -> None:
        host()
        with _lock:
            module = llvm.parse_assembly(text)
            module.triple = llvm.get_process_triple()
            module.verify()
            machine = llvm.Target.from_triple(module.triple).create_target_machine(
                cpu=target.cpu, features=target.features, opt=1
            )
            builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options())
            passes = llvm.create_new_function_pass_manager()  # few: the text is near to what they would make of it
            passes.add_simplify_cfg_pass()
            passes.add_instruction_combine_pass()
            passes.add_loop_rotate_pass()
            passes.add_simplify_cfg_pass()
            for function in module.functions:
                if not function.is_declaration:
                    passes.run(function, builder)
            self._engine = llvm.create_mcjit_compiler(module, machine)
            self._engine.finalize_object()
            self.machine = machine
            self.module = module

    def address(self, name: str) -> int:
        """Where a function begins."""
        return int(self._engine.get_function_address(name))

    def function(self, name: str, args: Sequence[type]) -> Callable[..., None]:
        """A function to call from Python; the interpreter lock is let go while it runs."""
        return ctypes.CFUNCTYPE(None, *args)(self.address(name))
