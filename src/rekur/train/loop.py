"""The training loop: a task and a configuration in, a run folder out."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from rekur.errors import CheckpointError, TrainingError
from rekur.train import checkpoint, generators, optimizer
from rekur.train.checkpoint import Checkpoint
from rekur.train.config import FitConfig
from rekur.train.display import Display
from rekur.train.environment import differences, environment
from rekur.train.folder import RunFolder
from rekur.train.interrupt import Interrupt
from rekur.train.progress import Progress
from rekur.train.scores import logged
from rekur.train.task import Task

LOG_EVERY = 20  # steps between `train` events

Reason = Literal["finished", "early stop", "interrupted"]


@dataclass(frozen=True)
class Result:
    """How a run ended. Losses are those of the validation data; `test` is null without such data."""

    reason: Reason
    step: int
    best_loss: float | None
    best_step: int | None
    seconds: float
    test: dict[str, float | None] | None

    @property
    def exit_code(self) -> int:
        """What a command should return: 130 after Ctrl-C, as shells have it, else 0."""
        return 130 if self.reason == "interrupted" else 0


def fit(
    task: Task, config: FitConfig, folder: RunFolder, display: Display, resume: Checkpoint | None = None
) -> Result:
    """Train `task.model`, keeping everything in `folder`; afterwards it has the weights of the best validation.

    With `resume`, a checkpoint of this folder, the run goes on from there to exactly the losses that it would
    have had, on the same machine with the same threads. Dropout draws from torch's default generator, which is
    seeded for the run and left afterwards as it was found. Ctrl-C ends the run after the step, with a checkpoint.

    A loss or gradient that is not finite, a folder that cannot be written, or one in which another process is
    training, is a TrainingError; a checkpoint that does not fit the task is a CheckpointError.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    defaults = generators.defaults(next(task.model.parameters()).device)
    with folder.lock(), generators.borrowed(defaults, config.seed), Interrupt() as interrupt, display:
        run = _Run(task, config, folder, display, defaults)
        run.start(resume)
        return run.train(interrupt)


class _Run:
    """One run in one process."""

    def __init__(
        self,
        task: Task,
        config: FitConfig,
        folder: RunFolder,
        display: Display,
        defaults: dict[str, torch.Generator],
    ) -> None:
        self.task, self.config, self.folder, self.display = task, config, folder, display
        self.generators = defaults
        self.model = task.model
        self.optimizer = optimizer.adamw(task.model, config)
        self.chunks = task.chunks()
        self.total = config.total(self.chunks)
        self.progress = Progress()
        self.carry: Mapping[str, Tensor] | None = None
        self.began: int | None = None  # the epoch that the task was told of
        self.saved: int | None = None  # the step of the last checkpoint
        self.environment = {**environment(), "backend": task.about().get("backend")}

    def start(self, resume: Checkpoint | None) -> None:
        self.clock = time.perf_counter()
        if resume is not None:
            self._restore(resume)
        elif (self.folder.checkpoints / "latest").exists():
            raise TrainingError(f"{self.folder.path} holds a run already; {self.folder.safe()}")
        else:
            self.folder.truncate_after(-1)  # a run that ended before its first checkpoint leaves a few
        self._log(
            "start",
            **{**self.task.about(), **self.environment},
            task=self.task.name,
            config=asdict(self.config),
            parameters=sum(p.numel() for p in self.model.parameters()),
            unit=self.task.unit,
            measure=self.task.measure,
            chunks=self.chunks,
            total=self.total,
            resume=None if resume is None else resume.step,
        )
        self.model.train()
        if resume is None:
            self._demonstrate()
            self._save(best=False)
        else:
            for difference in differences(resume.meta.get("environment") or {}, self.environment):
                self.display.note(difference)

    def train(self, interrupt: Interrupt) -> Result:
        now, every = self.progress, self.config.eval_every or self.chunks
        while not (reason := self._reason(interrupt)):
            self._step()
            if now.step % every == 0 or now.step == self.total:
                best = self._evaluate()
                self._demonstrate()
                self._save(best)
            elif self.config.checkpoint_every and now.step % self.config.checkpoint_every == 0:
                self._save(best=False)
        if self.saved != now.step:
            self._save(best=False)
        test = None if reason == "interrupted" else self._test()
        result = Result(reason, now.step, now.best_loss, now.best_step, self._seconds(), test)
        self._log("end", **{key: value for key, value in asdict(result).items() if key != "step"})
        return result

    def _reason(self, interrupt: Interrupt) -> Reason | None:
        if self.progress.step >= self.total:
            return "finished"
        if self.config.patience and self.progress.stale >= self.config.patience:
            return "early stop"
        return "interrupted" if interrupt.asked else None

    def _step(self) -> None:
        now, started = self.progress, time.perf_counter()
        epoch, index = divmod(now.step, self.chunks)
        if epoch != self.began:
            self.task.begin(epoch)
            self.began = epoch
        if index == 0:
            self.carry = None
        lr = self.config.rate(now.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = lr

        out = self.task.loss(index, self.carry)
        loss = out.loss.item()
        if not math.isfinite(loss):
            raise self._diverged(f"the loss became {loss} (learning rate {lr:.3g})")
        self.optimizer.zero_grad()
        out.loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        length = norm.item()
        if not math.isfinite(length):
            raise self._diverged(f"the gradient's norm became {length} (learning rate {lr:.3g})")
        if 0 < self.config.clip < length:  # else torch would multiply all of it by 1
            torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), self.config.clip, norm)
        self.optimizer.step()

        self.carry = None if out.carry is None else {key: value.detach() for key, value in out.carry.items()}
        now.grad_norm = length
        now.record(loss, out.items, time.perf_counter() - started)
        self.display.step(now.step, loss)
        if now.step % LOG_EVERY == 0 or now.step == self.total:
            loss, rate = now.close_window()
            self._log(
                "train",
                epoch=self._epoch(),
                **self._scores({"loss": loss}),
                lr=lr,
                grad_norm=now.grad_norm,
                items_per_second=rate,
                seconds=self._seconds(),
            )

    def _evaluate(self) -> bool:
        self.display.doing("validating")
        with self._looking():
            scores = self.task.evaluate("validation")
        if not scores:
            raise TrainingError(f"task {self.task.name} has no validation data; give some of the data to it")
        if not math.isfinite(scores["loss"]):
            raise self._diverged(f"the validation loss became {scores['loss']}")
        best = self.progress.judge(scores["loss"])
        self._log("eval", epoch=self._epoch(), split="validation", **self._scores(scores), best=best)
        return best

    def _demonstrate(self) -> None:
        self.display.doing("sampling")
        step = self.progress.step
        with self._looking():
            samples = self.task.demonstrate(step)
        for sample in samples:
            self._log("sample", epoch=self._epoch(), title=sample.title, text=sample.text)
        if samples:
            self.folder.keep_sample(step, "\n".join(f"== {s.title} ==\n{s.text}\n" for s in samples))

    def _test(self) -> dict[str, float | None] | None:
        if self.progress.best_step in self.folder.checkpoint_steps():
            self.model.load_state_dict(checkpoint.load(self.folder.checkpoint("best")).weights)
        self.display.doing("testing")
        with self._looking():
            scores, tracks, tables = self.task.evaluate("test"), self.task.tracks(), self.task.tables()
        for shown in tracks:
            self._log("tracks", **asdict(shown))
        for table in tables:
            self._log("table", **asdict(table))
        return self._scores(scores) if scores else None

    def _scores(self, scores: Mapping[str, float]) -> dict[str, float | None]:
        return logged(scores, self.task.measure)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        self.model.eval()
        with torch.no_grad():
            yield
        self.model.train()

    def _save(self, best: bool) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            raise self._diverged("a weight is no longer a finite number")
        self.progress.seconds = self._seconds()
        self.folder.sync_events()
        path = checkpoint.save(
            self.folder,
            Checkpoint(
                step=self.progress.step,
                weights=self.model.state_dict(),
                optimizer=optimizer.tensors(self.model, self.optimizer),
                carry=dict(self.carry or {}),
                generators={name: generator.get_state() for name, generator in self.generators.items()},
                cells=self.task.cells(),
                meta={
                    "task": self.task.name,
                    "model": self.task.describe(),
                    "config": asdict(self.config),
                    "chunks": self.chunks,
                    "progress": self.progress.to_json(),
                    "environment": self.environment,
                },
            ),
            best=best,
        )
        self.saved = self.progress.step
        self._log("checkpoint", path=str(path.relative_to(self.folder.path)), best=best)

    def _restore(self, saved: Checkpoint) -> None:
        meta = saved.meta
        if meta.get("task") != self.task.name:
            raise CheckpointError(f"the checkpoint is of task {meta.get('task')!r}, not of {self.task.name!r}")
        if meta.get("chunks") != self.chunks:
            raise CheckpointError(
                f"the run had {meta.get('chunks')} batches an epoch and now there are {self.chunks}: it needs the "
                "same data, batch size and chunk length to go on"
            )
        self.progress = Progress.from_json(meta.get("progress"))
        device = next(self.model.parameters()).device
        try:
            self.model.load_state_dict(saved.weights)
            for name, generator in self.generators.items():
                generator.set_state(saved.generators[name])
        except (RuntimeError, TypeError, KeyError) as error:
            raise CheckpointError(f"the checkpoint does not fit the model: {error}") from error
        optimizer.restore(self.model, self.optimizer, saved.optimizer)
        self.carry = {name: value.to(device) for name, value in saved.carry.items()} or None
        self.saved = saved.step
        self.clock -= self.progress.seconds
        checkpoint.rewind(self.folder, saved.step, self.progress.best_step)
        self.folder.truncate_after(saved.step)

    def _diverged(self, what: str) -> TrainingError:
        now = self.progress
        norm = "unknown" if now.grad_norm is None else f"{now.grad_norm:.3g}"
        message = (
            f"training stopped at step {now.step + 1} of {self.total}: {what}, the gradient's norm before was "
            f"{norm}; a lower learning rate or a smaller clip may help; {self.folder.safe()}"
        )
        self._log("end", reason="failed", message=message, seconds=self._seconds(), best_loss=now.best_loss)
        return TrainingError(message)

    def _log(self, kind: str, **fields: Any) -> None:
        self.display.event(self.folder.log(kind, self.progress.step, **fields))

    def _seconds(self) -> float:
        return time.perf_counter() - self.clock

    def _epoch(self) -> int:  # counted from 1; the step that ends an epoch belongs to it
        return math.ceil(self.progress.step / self.chunks)
