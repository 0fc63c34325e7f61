"""Kind ResourceMonitor: a credit quota and what happens on the way to it."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from firn_model.base import Credits, Resource, rules
from firn_model.clusters import MeterLedger
from firn_model.conditions import Conditions


class MonitorFrequency(StrEnum):
    """When the quota starts anew."""

    DAILY = "Daily"
    WEEKLY = "Weekly"
    MONTHLY = "Monthly"
    YEARLY = "Yearly"
    NEVER = "Never"


class MonitorAction(StrEnum):
    """What a trigger does."""

    NOTIFY = "notify"
    SUSPEND = "suspend"
    SUSPEND_IMMEDIATELY = "suspendImmediately"


class MonitorTrigger(Resource):
    """At this share of the quota, do this."""

    percent: int = Field(ge=1, le=1000, description="Share of the quota, in percent.")
    action: MonitorAction


class MonitorSpec(Resource):
    """What a person wants of a resource monitor. Bounds of the triggers as in Snowflake."""

    model_config = rules(
        (
            "self.triggers.filter(t, t.action == 'suspend').size() <= 1",
            "spec.triggers may hold one suspend at most",
        ),
        (
            "self.triggers.filter(t, t.action == 'suspendImmediately').size() <= 1",
            "spec.triggers may hold one suspendImmediately at most",
        ),
        (
            "self.triggers.filter(t, t.action == 'notify').size() <= 5",
            "spec.triggers may hold five notify at most",
        ),
    )

    credit_quota: int = Field(ge=1, le=1_000_000_000, description="Credits of one period.")
    frequency: MonitorFrequency = MonitorFrequency.MONTHLY
    start: datetime | None = Field(default=None, description="When the first period starts; by default at creation.")
    triggers: tuple[MonitorTrigger, ...] = Field(default=(), max_length=7, description="What happens on the way to it.")


class MonitorStatus(Resource):
    """What is true of a resource monitor."""

    credits_used: Credits | None = Field(default=None, description="Credits used in this period.")
    period_start: datetime | None = Field(default=None, description="When this period started.")
    period_end: datetime | None = Field(default=None, description="When the next one starts; unset: never.")
    limit: MonitorAction | None = Field(
        default=None, description="What it does to its warehouses now: suspend, suspendImmediately, or nothing."
    )
    reached: tuple[int, ...] = Field(default=(), description="Percents of the triggers that were reached and told.")
    metering: MeterLedger | None = Field(default=None, description="What former clusters used in this period.")
    observed_generation: int = Field(default=0, ge=0, description="metadata.generation that this was written for.")
    conditions: Conditions = ()
