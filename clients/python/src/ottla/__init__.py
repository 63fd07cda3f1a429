"""Client for Ottla, a Kafka-like broker over plain HTTP.

``Client`` and ``AsyncClient`` have the same methods. Both take the URL of a server,
or of several nodes of one fleet, and move on when a node cannot be reached.
"""

from ._aio import AsyncClient, AsyncConsumer, AsyncProducer
from ._errors import OttlaError, TransportError
from ._models import Batch, Committed, Delivery, Gap, Position, Record
from ._sync import Client, Consumer, Producer

__all__ = [
    "AsyncClient",
    "AsyncConsumer",
    "AsyncProducer",
    "Batch",
    "Client",
    "Committed",
    "Consumer",
    "Delivery",
    "Gap",
    "OttlaError",
    "Position",
    "Producer",
    "Record",
    "TransportError",
]
