"""Keeps the run short, not the server safe: polls that wait and clusters as large as allowed cost minutes."""

import schemathesis

SMALL = {"timeout_ms": 50, "partitions": 4, "num_brokers": 3}
LARGEST = {"timeout_ms": 30000, "partitions": 1024, "num_brokers": 9}


def shrink(part):
    """Makes allowed values small and leaves those alone that are to be refused."""
    if not isinstance(part, dict):
        return
    for name, small in SMALL.items():
        value = part.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and small < value <= LARGEST[name]:
            part[name] = small


def complete(part):
    """Leaves out what makes a topic that answers 503 until a backup is restored into it."""
    if isinstance(part, dict):
        for name in ("restoring", "start_offsets"):
            part.pop(name, None)


@schemathesis.hook
def before_call(context, case, kwargs):
    shrink(case.query)
    shrink(case.body)
    if case.operation.path == "/topic" and case.meta.generation.mode.is_positive:
        complete(case.body)
