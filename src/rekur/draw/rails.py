"""State lines: the way of a state through a step that only weighs it and adds to it."""

from __future__ import annotations

from rekur.draw.parts import LINEAR, Parts
from rekur.graph import Graph


def rails(graph: Graph, found: Parts) -> list[list[str]]:
    """For each state that the step only weighs and adds, the parts on its way, the longest such way; none shared."""
    by_name, out = found.by_name, []
    used: set[str] = set()
    for state in reversed(graph.of("state")):
        way: dict[str, list[str]] = {state.name: [state.name]}
        for p in found.parts:
            if p.value.op not in LINEAR or p.kind == "gate" or p.name in used:
                continue
            longest = max((way[r.source] for r in p.reads if r.source in way), key=len, default=[])
            if longest:
                way[p.name] = [*longest, p.name]
        rail = way.get(found.outputs.get(state.name, ""), [])
        if len(rail) > 1 and state.name in by_name:
            out.append(rail)
            used |= set(rail)
    return out


def left(all_rails: list[list[str]], found: Parts) -> list[list[str]]:
    """What an abbreviation leaves of the rails; the first that it cuts runs through the rest."""
    out, cut = [], False
    for rail in all_rails:
        kept = [name if name in found.by_name else "rest" for name in rail]
        kept = [name for name in dict.fromkeys(kept) if name != "rest" or not cut]
        cut = cut or "rest" in kept
        out.append(kept)
    return out


def depth(found: Parts) -> int:
    """How many rows there may be between gates and state lines."""
    found_at: dict[str, int] = {}
    for p in found.parts:
        below = max((found_at[r.source] for r in p.reads if r.source in found_at), default=0)
        found_at[p.name] = 0 if p.kind == "gate" or not p.reads else below + 1
    return max(2, min(4, max(found_at.values(), default=0)))
