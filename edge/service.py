"""A daemon with all its parts: from a configuration to running, and to another configuration."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from edge import __version__
from edge.alerts.sink import Record, local_now
from edge.audio.block import SourceEvent
from edge.audio.clock import now_s
from edge.clips import consent_line
from edge.config import AlertsSettings, Config, windows_sentence
from edge.daemon import Daemon
from edge.ear import Clocks, Ear
from edge.errors import ConfigError, EdgeError
from edge.judges import Bench, Models
from edge.listening import Listening, listen
from edge.log import LOGGER, start_logging
from edge.outputs import Context, Outputs
from edge.report import event_record
from edge.watchdog import Notifier, Progress, Watchdog, watchdog_interval_s

if TYPE_CHECKING:
    from edge.metrics import Health

CLOSE_S = 1.0


class StageClock:
    """Times the stages of a window for the metrics."""

    def __init__(self) -> None:
        self.tell: Callable[[str, float], None] | None = None
        self._last_s = 0.0

    def __call__(self, stage: str) -> None:
        """A stage has been passed (see Detector)."""
        now = time.perf_counter()
        if self.tell is not None and stage != "start":
            self.tell(stage, now - self._last_s)
        self._last_s = now


class Service:
    """A daemon with all its parts, which can be put together anew while it runs.

    Args:
        config: read already.
        load_config: reads it again, at each reload.
        listening: its sources, being read already.
        told: what they have to say.
        output_format: of standard output.
        environment: the process's.
    """

    def __init__(
        self,
        config: Config,
        load_config: Callable[[], Config],
        listening: Listening,
        told: queue.SimpleQueue[Record | SourceEvent],
        output_format: str,
        environment: Mapping[str, str],
    ) -> None:
        self._config = config
        self._load_config = load_config
        self._environment = environment
        self.interrupted = False
        self._reload_wanted = False
        self._model_reported = False
        self._clocks = Clocks(local_now, now_s)
        self._stages = StageClock()
        self._notifier = Notifier(environment)
        interval_s = watchdog_interval_s(environment, os.getpid())
        self._watchdog = None if interval_s is None else Watchdog(interval_s)
        self._daemon = Daemon(listening.audio, told, self._clocks, self._turn, self._judging_failed)
        self._context = Context(
            output_format, environment, self._daemon.tell, on_broken_pipe=self._daemon.stop
        )
        self._sources = listening.sources
        self._models: Models
        self._bench: Bench
        self._outputs: Outputs

    def run(self) -> None:
        """From start to end.

        Raises:
            EdgeError: the start failed, or a source did.
        """
        start_logging(self._config.logging.level, sys.stderr, self._environment)
        self._models = Models(self._config, self._report_model)
        try:
            self._bench = self._models.take(self._config)
            self._outputs = Outputs(self._config, self._context)
        except BaseException:
            self._models.stop()  # settings that are wrong are no crash of the model
            self._daemon.audio.close()
            raise
        try:
            self._begin()
            self._daemon.run()
        finally:
            self._end()
        if self._daemon.failures and not self.interrupted:
            raise self._daemon.failures[0]

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end it in good order, SIGHUP reloads the configuration."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.interrupted = self.interrupted or number == signal.SIGINT
            self._daemon.stop()

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload_wanted = True

        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # Parts --------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Everything is there: join it, say what it is, and tell systemd."""
        self._daemon.ears = {name: self._new_ear(name) for name in self._sources}
        self._join_outputs()
        self._tell_start()
        self._notifier.ready(self._bench.judge.model)

    def _new_ear(self, name: str, earlier_windows: int = 0) -> Ear:
        return Ear(
            name,
            self._bench.judge,
            self._clocks,
            new_id=lambda: uuid.uuid4().hex,
            on_stage=self._stages,
            on_outcome=lambda outcome: self._models.note(outcome),  # of whoever follows models then
            rival=self._bench.rival,
            earlier_windows=earlier_windows,
        )

    def _join_outputs(self) -> None:
        outputs = self._outputs
        self._daemon.sink, self._daemon.recorder = outputs, outputs.recorder
        self._stages.tell = outputs.metrics.stage if outputs.metrics else None
        self._note_model()
        try:
            outputs.serve_metrics(self._config.metrics, self._is_well)
        except ConfigError as error:
            self._tell("metrics", "metrics-off", str(error))

    def _note_model(self) -> None:
        """Show the model in use to whoever watches from outside."""
        model = self._bench.judge.model
        status = self._models.status(self._config)
        if self._outputs.metrics:
            self._outputs.metrics.model(model, status)
        if self._outputs.mqtt:
            self._outputs.mqtt.set_status({**status, "model": model})

    def _end(self) -> None:
        self._notifier.stopping()
        self._models.stop()
        self._outputs.close(CLOSE_S)

    # Between two blocks -------------------------------------------------------------------------

    def _turn(self) -> None:
        if self._reload_wanted:
            self._reload_wanted = False
            self._reload()
        if self._models.changed():
            self._change_model()
        if self._models.news() or self._model_reported:
            self._model_reported = False
            self._note_model()
        if self._watchdog and self._watchdog.due(self._progress(), self._clocks.steady_s()):
            self._notifier.feed()

    def _progress(self) -> dict[str, Progress]:
        found = {}
        for name, source in self._sources.items():
            if not self._daemon.audio.ended(name):
                ear = self._daemon.ears[name]
                lost = getattr(source, "state", "running") != "running"
                attempts = getattr(source, "attempts", 0)
                found[name] = Progress(ear.frames, ear.windows, attempts, lost)
        return found

    def _judging_failed(self, error: Exception) -> bool:
        if not self._models.failed(f"scoring failed: {error}"):
            return False
        self._change_model()
        return True

    def _change_model(self) -> None:
        self._bench = self._models.take(self._config)
        self._change_judge(f"The model is now {self._bench.judge.model}.")
        self._note_model()
        self._tell("model", "model-changed", f"The model is now {self._bench.judge.model}.")

    def _change_judge(self, why: str) -> None:
        for ear in self._daemon.ears.values():
            for record in ear.change(self._bench.judge, self._bench.rival, why):
                self._daemon.sink.emit(record)

    # Another configuration ----------------------------------------------------------------------

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            config = self._load_config()
            models, bench = self._models_for(config)
        except EdgeError as error:
            self._tell("config", "reload-failed", f"The old settings stay in force: {error}")
        else:
            before, self._config = self._config, config
            if models is not self._models:
                self._models.stop()
            self._models = models
            self._adopt(before, bench)
        self._notifier.ready(self._bench.judge.model)

    def _models_for(self, config: Config) -> tuple[Models, Bench]:
        """What judges under another configuration; a model on trial stays on trial."""
        before = self._config
        if (config.model, config.updates) == (before.model, before.updates):
            return self._models, self._models.again(config)
        models = Models(config, self._report_model)
        return models, models.take(config)

    def _adopt(self, before: Config, bench: Bench) -> None:
        """Replace the parts whose settings have changed, and no others."""
        changed = not bench.same_as(self._bench)
        self._bench = bench if changed else self._bench
        config = self._config
        start_logging(config.logging.level, sys.stderr, self._environment)
        sections = ("alerts", "metrics", "clips", "sources")
        renamed = config.device_id != before.device_id
        if renamed or any(getattr(config, name) != getattr(before, name) for name in sections):
            self._replace_outputs(before)
        if config.sources != before.sources:
            self._replace_sources()
        elif changed:
            self._change_judge("The settings have changed.")
        self._note_model()
        judge = self._bench.judge
        sentences = f"{windows_sentence(judge.settings)} {judge.settings.rule.sentence()}"
        self._tell("config", "reloaded", f"The new settings are in force. {sentences}")

    def _replace_outputs(self, before: Config) -> None:
        """The old ones go first, since two cannot share a file, a port or an MQTT client id."""
        self._outputs.close(CLOSE_S)
        only_stdout = AlertsSettings(stdout=before.alerts.stdout)
        for alerts, name in ((None, "old"), (before.alerts, "simplest"), (only_stdout, "")):
            if alerts is not None:
                self._config = replace(
                    self._config, alerts=alerts, metrics=before.metrics, clips=before.clips
                )
            try:
                self._outputs = Outputs(self._config, self._context)
                break
            except EdgeError as error:
                # The old ones, too, may have lost a credential meanwhile.
                self._tell("config", "reload-failed", f"The {name} outputs are in force: {error}")
        self._join_outputs()

    def _replace_sources(self) -> None:
        self._daemon.audio.close()
        counts = {name: ear.windows for name, ear in self._daemon.ears.items()}
        self._change_judge("The settings have changed.")
        listening = listen(self._config.sources, self._daemon.tell)
        self._sources, self._daemon.audio = listening.sources, listening.audio
        self._daemon.ears = {
            name: self._new_ear(name, counts.get(name, 0)) for name in self._sources
        }

    # What is told -------------------------------------------------------------------------------

    def _tell(self, part: str, kind: str, message: str) -> None:
        self._daemon.tell(event_record(part, kind, message, self._clocks.now()))

    def _report_model(self, sentence: str) -> None:
        self._model_reported = True
        self._tell("model", "model", sentence)

    def _tell_start(self) -> None:
        """What is about to happen, so that nobody has to guess which rule is in force."""
        sources = [f"{source.name} ({source.kind})" for source in self._config.sources]
        judge = self._bench.judge
        windows, rule = windows_sentence(judge.settings), judge.settings.rule.sentence()
        facts = {"version": __version__, "model": judge.model, "sources": sources}
        message = f"Model {judge.model}; sources: {', '.join(sources)}. {windows} {rule}"
        record = event_record(
            "earwitness",
            "started",
            message,
            self._clocks.now(),
            **facts,
            windows=windows,
            rule=rule,
        )
        self._outputs.emit(record)
        consent = consent_line(self._config.clips)
        if consent:
            LOGGER.warning(consent)

    def _is_well(self) -> Health:
        from edge.metrics import Health

        lost = [n for n, s in self._sources.items() if getattr(s, "state", "running") != "running"]
        facts = {"model": self._bench.judge.model, "mute": self._models.mute, "lost_sources": lost}
        return Health(not lost and not self._models.mute, facts)
