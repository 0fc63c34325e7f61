"""What this operator remembers of its talks with nodes. It lives in memory only: a restart asks again."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime

from firn_model import names
from firn_model.messages import HeadAddress, RefusalReason

from firn_operator.decide.cluster_observed import NONE_FAILED, Failures, HeadAnswer, Talk
from firn_operator.decide.observed import Node
from firn_operator.errors import RefusedError, SilentError

PERMANENT = frozenset({RefusalReason.WRONG_EPOCH, RefusalReason.WRONG_POD, RefusalReason.BAD_SIGNATURE})
"""Refusals of a bind that trying again does not change."""


@dataclass
class Talks:
    """One cluster's: what each node said, the head's address with its token, and what it makes of its members."""

    by_node: dict[str, Talk] = field(default_factory=dict)
    address: HeadAddress | None = None
    telling: frozenset[str] | None = None
    answer: HeadAnswer | None = None
    failed_heads: Failures = NONE_FAILED
    failed_joins: Failures = NONE_FAILED
    failed_bursts: Failures = NONE_FAILED

    def said(self, uid: str) -> Talk:
        """Return what came of talking to a node."""
        return self.by_node.get(uid) or Talk(uid)

    def note(self, talk: Talk) -> None:
        """Remember what came of talking to a node."""
        self.by_node[talk.uid] = talk

    def bind_failed(self, uid: str, error: RefusedError | SilentError, began_at: datetime, now: datetime) -> None:
        """Remember a bind that failed, and whether trying again can help."""
        said = self.said(uid)
        if isinstance(error, RefusedError) and error.reason in PERMANENT:
            said = replace(said, bind_refused=str(error))
        since = said.bind_failing_since or began_at
        self.note(replace(said, binding=False, bind_failing_since=since, bind_tried_at=now))

    def tell(self, told: frozenset[str]) -> None:
        """Remember which members the head is told; what it said before may no longer hold.

        A node that is let go and taken back is bound anew, which is quick, so that it has time to show up again.
        """
        for uid in (self.telling or frozenset()) - told:
            self.by_node.pop(uid, None)
        self.telling = told
        if self.answer is not None:
            self.answer = replace(self.answer, outdated=True)

    def given_up(self, node: Node, now: datetime) -> None:
        """Count a node that could not be bound or did not join."""
        if node.role == names.ROLE_HEAD:
            self.failed_heads = Failures(self.failed_heads.count + 1, now)
        elif node.role == names.ROLE_BURST:
            self.failed_bursts = Failures(self.failed_bursts.count + 1, now)
        else:
            self.failed_joins = Failures(self.failed_joins.count + 1, now)

    def head_lost(self) -> None:
        """Forget the head and all that it said."""
        self.by_node, self.address, self.telling, self.answer = {}, None, None, None


class Memory:
    """The talks of all clusters, by epoch."""

    def __init__(self) -> None:
        self._by_epoch: defaultdict[str, Talks] = defaultdict(Talks)

    def of(self, epoch: str) -> Talks:
        """Return a cluster's talks."""
        return self._by_epoch[epoch]

    def forget(self, epoch: str) -> None:
        """Forget a cluster that is gone."""
        self._by_epoch.pop(epoch, None)
