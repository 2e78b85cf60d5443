"""The passes of a step as LLVM code: a function that works on some rows at one time, for any sizes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from rekur.errors import BackendError
from rekur.graph import Node, make, walk
from rekur.graph.rewrite import Rate, rates
from rekur.run.cpu.builder import Module
from rekur.run.cpu.external import call_external
from rekur.run.cpu.lower import Loop, Pass, Place, Product, Reduction, in_memory
from rekur.run.cpu.math import COMBINE, POINTWISE
from rekur.run.cpu.record import Record
from rekur.run.cpu.rows import Rows


class Block(Rows):
    """Emits one function over rows.

    :param places: where leaves are.
    :param wanted: where results are to go; one may go to several places.
    :param columns: outputs in a panel of a packed weight.
    """

    def __init__(
        self,
        module: Module,
        record: Record,
        name: str,
        passes: Sequence[Pass],
        places: Mapping[Node, Place],
        wanted: Mapping[Node, Sequence[Place]],
        columns: int,
    ) -> None:
        super().__init__(module, record, name, places, columns)
        stored = in_memory(passes, wanted)
        made = dict.fromkeys(n for one in passes for n in _results(one))
        in_line = {one.result for one in passes if isinstance(one, Product)}
        direct = {n: wanted[n][0] for n in made if n in wanted}
        self.places |= {n: p for n, p in direct.items() if p.rows != "site" or n not in in_line}
        for i, node in enumerate(n for n in made if n in stored and n not in self.places):
            self.places[node] = Place(record.local(f"{name}.{i}", node.axes), "local", node.axes)
        nodes = [*wanted, *(n for one in passes for n in _nodes(one))]
        self.number = {n for n, rate in rates(walk(nodes)).items() if rate == Rate.NUMBER}
        self.load_sizes([*self.places.values(), *(p for ps in wanted.values() for p in ps)], nodes)
        self.wait()
        carried = self._pass_by(wanted, made)
        for one in passes:
            if isinstance(one, Product):
                self._product(one)
            elif isinstance(one, Reduction):
                self._reduction(one.result)
            else:
                self._loop(one, stored)
        for node, targets in wanted.items():
            for target in targets:
                if node in self.number or (node in made and target != self.places[node]):
                    self._copy(node, target)
        for source, target in carried:
            self._move(source, target)

    def _pass_by(self, wanted: Mapping[Node, Sequence[Place]], made: Collection[Node]) -> list[tuple[Place, Place]]:
        """Copy what is handed on as it was read, before anything is written where it lies.

        What goes to an array over the batch waits at a place of this thread's until the step is done.
        """
        carried = []
        for i, (node, targets) in enumerate(wanted.items()):
            if node in made or node in self.number:
                continue
            for target in targets:
                if target.rows in ("batch", "site"):
                    kept = Place(self.record.local(f"{self.name} kept {i}", node.axes), "local", node.axes)
                    self._copy(node, kept)
                    carried.append((kept, target))
                else:
                    self._copy(node, target)
        return carried

    # ---- products

    def _product(self, one: Product) -> None:
        initial = None if one.initial is None else self._in_line(self.place(one.initial))
        for n in one.products:
            self._one_product(n, self.place(one.result), initial)
            initial = self.place(one.result)

    def _one_product(self, n: Node, target: Place, initial: Place | None) -> None:
        """target = initial + weight · operand, for all rows at once where an operand is one vector a row."""
        f = self.f
        weight, operand = n.args
        out, inner = weight.axes
        if operand.axes[-1] != inner:
            raise BackendError(f"a product over {inner}, which is not the last axis of {operand!r}")
        w = f.field("%ctx", self.record.packed(weight), "ptr")
        source = self._in_line(self.place(operand))
        self.sync([source], [target])
        first, last = self.panels[out]
        (a, lda), (c, ldc) = self.base(source), self.base(target)
        i, ldi = self.base(initial) if initial is not None else (self._zeros(), "0")
        k = self.sizes[inner]
        if len(operand.axes) == 1:
            call_external(f, "product", a, lda, w, i, ldi, c, ldc, "%count", k, first, last)
            return
        rows, pad_a, pad_c = self.count(operand.axes[:-1]), self.pads[inner], self.pads[out]
        pad_i = "0" if initial is None else pad_c

        def row(r: str) -> None:
            at_a, at_i, at_c = (f.at(x, f.mul(r, ld)) for x, ld in ((a, lda), (i, ldi), (c, ldc)))
            call_external(f, "product", at_a, pad_a, w, at_i, pad_i, at_c, pad_c, rows, k, first, last)

        f.loop("0", "%count", "1", row)

    def _in_line(self, place: Place) -> Place:
        """The same values with one row after the other, as a product reads them."""
        if not place.table:
            return place
        count = len(self.record.locals)
        line = Place(self.record.local(f"{self.name} in line {count}", place.axes), "local", place.axes)
        self._move(place, line)
        return line

    def _zeros(self) -> str:
        return self.f.field("%ctx", self.record.array("zeros"), "ptr")

    # ---- loops

    def _loop(self, one: Loop, stored: Collection[Node]) -> None:
        inside = {i.result for i in one.items}
        read = [n for i in one.items for n in i.args if n not in inside and n not in self.number]

        def compute(value: Callable[[Node], str]) -> Mapping[Node, str]:
            got: dict[Node, str] = {}
            for item in one.items:
                args = [got[a] if a in got else self._number(a) if a in self.number else value(a) for a in item.args]
                got[item.result] = POINTWISE[item.op](self.f, *args)
            return got

        targets = {i.result: self.place(i.result) for i in one.items if i.result in stored}
        self._pointwise({n: self.place(n) for n in read}, targets, one.axes, compute)

    def _number(self, n: Node) -> str:
        """A value made of numbers and sizes alone."""
        f = self.f
        if n.op == "number":
            assert isinstance(n.attr, float)
            return f.constant(n.attr)
        args = [self._number(a) for a in n.args]
        if n.op == "sum":
            size = f.splat(f.let(f"uitofp i64 {self.sizes[str(n.attr)]} to float"))
            return f.let(f"fmul {f.V} {args[0]}, {size}")
        return args[0] if n.op == "max" else POINTWISE[n.op](f, *args)

    def _copy(self, node: Node, target: Place) -> None:
        """A value to a place of the same axes."""
        if node in self.number:
            self._pointwise({}, {node: target}, target.axes, lambda value: {node: self._number(node)})
        else:
            self._move(self.place(node), target)

    def _move(self, source: Place, target: Place) -> None:
        node = make("stop", 0.0)  # stands for the value that is moved
        self._pointwise({node: source}, {node: target}, target.axes, lambda value: {node: value(node)})

    def _pointwise(
        self,
        sources: Mapping[Node, Place],
        targets: Mapping[Node, Place],
        axes: tuple[str, ...],
        compute: Callable[[Callable[[Node], str]], Mapping[Node, str]],
    ) -> None:
        """A loop over all places of `axes`: load, compute, store. A scalar is one thread's."""
        along = axes[-1] if axes else None
        whole = [p for p in sources.values() if axes and (not p.axes or p.axes[-1] != along)]
        self.sync(whole, list(targets.values()))

        def row(at: dict[Place, str]) -> None:
            def vector(index: dict[str, str]) -> None:
                got: dict[Node, str] = {}

                def value(n: Node) -> str:
                    if n not in got:
                        place = sources[n]
                        got[n] = self.load(at[place], place.axes, along, index)
                    return got[n]

                results = compute(value)
                for n, place in targets.items():
                    self.f.store(results[n], self.at(at[place], place.axes, index))

            self.vectors(axes, vector)

        def rows() -> None:
            self.each_row([*sources.values(), *targets.values()], row)

        if axes:
            rows()
        else:
            self.f.when(self.f.let("icmp eq i64 %unit, 0"), rows)

    # ---- reductions

    def _reduction(self, n: Node) -> None:
        """A sum or a maximum, in the order of the axis."""
        f, over = self.f, str(n.attr)
        (operand,) = n.args
        source, target = self.place(operand), self.place(n)
        start = f.constant(0.0 if n.op == "sum" else float("-inf"))

        combine = COMBINE[n.op]
        self.sync([source], [])  # every thread makes the whole result
        if (target.array, target.shift) in self._read:
            self.wait()

        def last(at: dict[Place, str]) -> None:  # over the last axis: across the lanes at the end
            def one(index: dict[str, str]) -> None:
                def step(i: str, acc: list[str]) -> list[str]:
                    v = self.load(at[source], source.axes, over, {**index, over: i})
                    return [combine(f, acc[0], self.within(v, i, over, start))]

                (acc,) = f.fold("0", self.sizes[over], str(f.module.lanes), [(f.V, start)], step)
                total = self.across(n.op, acc)
                if n.axes:
                    f.do(f"store float {total}, ptr {self.at(at[target], n.axes, index)}")
                else:
                    f.store(f.splat(total), at[target])

            self.nest(n.axes, one)

        def other(at: dict[Place, str]) -> None:  # over another axis: vectors along the last
            def one(index: dict[str, str]) -> None:
                def step(i: str, acc: list[str]) -> list[str]:
                    v = self.load(at[source], source.axes, source.axes[-1], {**index, over: i})
                    return [combine(f, acc[0], v)]

                (acc,) = f.fold("0", self.sizes[over], "1", [(f.V, start)], step)
                f.store(acc, self.at(at[target], n.axes, index))

            self.vectors(n.axes, one, whole=True)

        self.each_row([source, target], last if source.axes[-1] == over else other)


def _results(one: Pass) -> list[Node]:
    return [i.result for i in one.items] if isinstance(one, Loop) else [one.result]


def _nodes(one: Pass) -> list[Node]:
    if isinstance(one, Loop):
        return [n for i in one.items for n in (i.result, *i.args)]
    return [one.result, *one.result.args]
