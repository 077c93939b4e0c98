"""What comes before anything is trained: a look at what can be found wrong in a moment, then Ray beside the imports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eagleray.spec.finetune import FineTuneSpec
    from eagleray.store.objects import Objects


@contextmanager
def started(spec: FineTuneSpec, storage: str, say: Callable[[str], None]) -> Iterator[Objects]:
    """Start an embedded Ray, if it is to be one, and yield the storage; on leaving, Ray ends.

    Raises:
        UserError, StorageError: see `preflight.check`.
    """
    say("loading torch, transformers and Ray")
    from eagleray.train import garbage, ray_environment

    ray_environment.prepare()
    garbage.collect_rarely()
    from eagleray.monitoring import address
    from eagleray.store.objects import open_storage
    from eagleray.train import cluster, preflight

    preflight.check_alone(spec)
    objects = open_storage(storage)
    preflight.check(spec, objects)
    address.check(spec.monitoring)
    with cluster.embedded(importing=("pandas", "eagleray.train.session")):
        yield objects
