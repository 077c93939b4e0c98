"""A Kubernetes API server in this process, as faithful as an operator can tell."""

from tests.support.api_server.access import Allowed as Allowed
from tests.support.api_server.faults import Fault as Fault
from tests.support.api_server.server import ApiServer as ApiServer
