"""Which of several watchers tells that ClickHouse is away: they cannot settle it in ClickHouse, so they ask each other.

Whoever finds the outage due for a page *claims* it, and only then asks the others. So of two that claim it, at least one sees
the other's claim. The one whose name comes first goes on; the other one *yields*. The first one waits until the other has
decided, for that may have asked before there was a claim to be seen, and *told*. Who does not answer is not waited for: a page
that comes twice is better than none.

A watcher that is blind beside one that evaluates pages nobody: every SLO is looked after.
"""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.25
_YIELD_SECONDS: Final = 10.0
"""So long one who claims the outage is left to tell it, or waited for until it has decided."""
_SAY_SECONDS: Final = 60.0
_TRUST_SECONDS: Final = 300.0
"""So long the page of one who does not answer any more is taken to be open."""


class Stage(StrEnum):
    """How far a watcher is with the page of an outage."""

    NONE = "none"
    CLAIMED = "claimed"
    YIELDED = "yielded"
    TOLD = "told"


class Decision(StrEnum):
    """What to do about the page of an outage that is due."""

    TELL = "tell"
    LEFT = "left"
    """Another watcher has told."""
    WAIT = "wait"
    """It need not be told, or not by us; ask again."""


@dataclass(frozen=True)
class Standing:
    """What a watcher tells the others.

    Attributes:
        instance: its name.
        stage: how far it is.
        evaluated_seconds_ago: since its last evaluation that went well; None if there was none.
        deployment: the name of the deployment that it watches; may be empty.
    """

    instance: str
    stage: Stage = Stage.NONE
    evaluated_seconds_ago: float | None = None
    deployment: str = ""


Ask = Callable[[], Standing | None]
"""Ask another watcher; None if it does not answer in time. May be answered by ourselves."""


class Peers:
    """The other watchers. Any thread may read :attr:`stage`; the rest is for one at a time."""

    def __init__(
        self,
        instance: str,
        ask: Sequence[Ask] = (),
        *,
        told: bool = False,
        deployment: str = "",
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Know how to ``ask`` each of them.

        Args:
            instance: our own name; no other watcher has it.
            ask: one for each of the others.
            told: we had told of an outage that went on when we were stopped.
            deployment: the name of ours. A watcher of another name would tell under another key, and end nothing of ours: it is
                taken for one that does not answer.
            monotonic: a clock in seconds.
            sleep: waits for so many seconds.
        """
        self.stage = Stage.TOLD if told else Stage.NONE
        self._instance = instance
        self._deployment = deployment
        self._ask = tuple(partial(self._of_ours, each) for each in ask)
        self._monotonic = monotonic
        self._sleep = sleep
        self._heard: float | None = None  # when one who had told last answered
        self._yielded: float | None = None  # since when others may tell
        self._said: float | None = None  # when we last logged that there is no page
        self._warned: float | None = None  # when we last logged that one has another name

    def decide(self, blind_seconds: float) -> Decision:
        """Who tells of an outage that is due; asks the others, for some seconds at most.

        Args:
            blind_seconds: whoever evaluated in the last so many seconds is not blind.
        """
        steps = self.steps(blind_seconds)
        try:
            wanted = next(steps)
            while True:
                if wanted is None:
                    self._sleep(_PAUSE_SECONDS)
                    wanted = next(steps)
                else:
                    wanted = steps.send(self._ask[wanted]())
        except StopIteration as end:
            decision: Decision = end.value
            return decision

    def behind(self, evaluated_seconds_ago: float) -> bool:
        """Whether another watcher has evaluated since we did, or may have: it does not answer. Asks them.

        Args:
            evaluated_seconds_ago: since our own last evaluation that went well.
        """
        answers = [ask() for ask in self._ask]
        others = [s for s in answers if s is not None and s.instance != self._instance]
        later = (ago for s in others if (ago := s.evaluated_seconds_ago) is not None)
        return None in answers or any(ago < evaluated_seconds_ago for ago in later)

    def over(self, *, ours: bool | None) -> bool:
        """The outage is over for us; whether we have to tell that.

        Args:
            ours: whether the page was ours, which we end; None if there was none. Another watcher's is ended by that one, if it
                is there.
        """
        self.stage, self._heard, self._yielded = Stage.NONE, None, None
        if ours is not False:
            return bool(ours)
        answers = [answer for ask in self._ask if (answer := ask()) is not None]
        return all(answer.instance == self._instance for answer in answers)

    def steps(self, blind_seconds: float) -> Generator[int | None, Standing | None, Decision]:
        """The way to a decision, step by step: yields the number of whom to ask, is sent the answer; None is a pause."""
        if self.stage is Stage.YIELDED:
            # Another claim would keep the one waiting to whom we have yielded.
            decision = self._judge(*(yield from self._answers()), blind_seconds)
            if decision in (Decision.LEFT, Decision.WAIT):
                return decision
        self.stage = Stage.CLAIMED  # before anybody is asked
        until, decision = self._monotonic() + _YIELD_SECONDS, None
        while decision is None and self._monotonic() < until:
            decision = self._judge(*(yield from self._answers()), blind_seconds)
            if decision is None:
                yield None
        decision = decision or Decision.TELL
        self.stage = Stage.TOLD if decision is Decision.TELL else Stage.YIELDED
        return decision

    def _of_ours(self, ask: Ask) -> Standing | None:
        answer = ask()
        if answer is None or answer.deployment == self._deployment:
            return answer
        now = self._monotonic()
        if self._warned is None or now - self._warned >= _SAY_SECONDS:
            self._warned = now
            _log.error(
                "the watcher %s is of deployment %r and this one of %r: not the same, so each of them pages by itself that "
                "ClickHouse is away; give both the same --deployment, or take it out of --peer",
                answer.instance, answer.deployment, self._deployment,
            )  # fmt: skip
        return None

    def _answers(self) -> Generator[int, Standing | None, tuple[list[Standing], bool]]:
        """What the others say, and whether one does not answer."""
        others, silent = list[Standing](), False
        for number in range(len(self._ask)):
            answer = yield number
            silent |= answer is None
            if answer is not None and answer.instance != self._instance:
                others.append(answer)
        return others, silent

    def _judge(self, others: Sequence[Standing], silent: bool, blind_seconds: float) -> Decision | None:
        """What follows from the answers; None if one has to decide before us."""
        now = self._monotonic()
        if any(s.stage is Stage.TOLD for s in others):
            self._heard = now
            return Decision.LEFT
        seeing = [s for s in others if (ago := s.evaluated_seconds_ago) is not None and ago <= blind_seconds]
        if seeing:
            self._heard = self._yielded = None
            if self._said is None or now - self._said >= _SAY_SECONDS:
                self._said = now
                _log.error("ClickHouse does not answer here; no page, for the watcher %s evaluates", seeing[0].instance)
            return Decision.WAIT
        if silent and self._heard is not None and now - self._heard < _TRUST_SECONDS:
            return Decision.LEFT
        claimed = [s.instance for s in others if s.stage is Stage.CLAIMED]
        if any(name < self._instance for name in claimed):
            self._yielded = now if self._yielded is None else self._yielded
            return Decision.WAIT if now - self._yielded < _YIELD_SECONDS else Decision.TELL
        return None if claimed else Decision.TELL
