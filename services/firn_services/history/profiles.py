"""Profiles of statements as they are kept: none larger than a bound, and one for a statement of several queries."""

from firn_model.profile import Profile, StageProfile

MOST_BYTES = 256 << 10
MOST_STAGES = 64
"""So many stages are kept of a profile that is too large otherwise: the last ones, with the result's."""


def bounded(profile: Profile, most_bytes: int = MOST_BYTES) -> str:
    """Return a profile as JSON of at most so many bytes, or the least there is: without what matters least."""
    text = _text(profile)
    for reduced in (_without_details, _without_operators, _last_stages):
        if len(text) <= most_bytes:
            break
        profile = reduced(profile)
        text = _text(profile)
    return text


def in_turn(first: Profile, second: Profile) -> Profile:
    """Return the profile of two queries that ran one after the other."""
    stages = len(first.stages)
    return Profile(
        stages=(*first.stages, *(_later(stage, stages, first.execute_seconds) for stage in second.stages)),
        nodes=tuple(sorted({*first.nodes, *second.nodes})),
        lost_nodes=(*first.lost_nodes, *second.lost_nodes),
        whole_because=second.whole_because or first.whole_because,
        replanned_because=(*first.replanned_because, *second.replanned_because),
        plan_seconds=first.plan_seconds + second.plan_seconds,
        execute_seconds=first.execute_seconds + second.execute_seconds,
    )


def _later(stage: StageProfile, stages: int, seconds: float) -> StageProfile:
    reads = "read stage "
    return stage.model_copy(
        update={
            "number": stage.number + stages,
            "inputs": tuple(number + stages for number in stage.inputs),
            "started_seconds": stage.started_seconds + seconds,
            "ended_seconds": stage.ended_seconds + seconds,
            "plan": tuple(
                operator.model_copy(update={"name": f"{reads}{int(operator.name[len(reads) :]) + stages}"})
                if operator.name.startswith(reads)
                else operator
                for operator in stage.plan
            ),
        }
    )


def _text(profile: Profile) -> str:
    return profile.model_dump_json(exclude_defaults=True)


def _without_details(profile: Profile) -> Profile:
    stages = (
        stage.model_copy(update={"plan": tuple(each.model_copy(update={"detail": ""}) for each in stage.plan)})
        for stage in profile.stages
    )
    return profile.model_copy(update={"stages": tuple(stages)})


def _without_operators(profile: Profile) -> Profile:
    without = {"plan": (), "operators": (), "slowest": (), "nodes": ()}
    return profile.model_copy(update={"stages": tuple(s.model_copy(update=without) for s in profile.stages)})


def _last_stages(profile: Profile) -> Profile:
    return profile.model_copy(update={"stages": profile.stages[-MOST_STAGES:], "replanned_because": ()})
