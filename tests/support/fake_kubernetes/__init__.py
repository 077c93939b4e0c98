"""A Kubernetes API server in this process, as faithful as an operator can tell."""

from tests.support.fake_kubernetes.access import Allowed as Allowed
from tests.support.fake_kubernetes.faults import Fault as Fault
from tests.support.fake_kubernetes.server import ApiServer as ApiServer
