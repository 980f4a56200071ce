"""
Drive Keyfactor's own Python SDK: run by test_other_clients.py with the Python of the SDK's own environment.

Reads {"url": ..., "username": ..., "password": ..., "calls": [[name, argument, ...], ...]} from stdin and prints one
list: for each call its HTTP status, and what the SDK made of the body, or the exception that it raised.
"""

# mypy: ignore-errors
# It runs where the SDK is installed, which is not where the types are checked.

import base64
import json
import sys
import traceback

from keyfactor_v_1_client.api.workflow_instance import (
    workflow_instance_get,
    workflow_instance_query,
    workflow_instance_signal,
)
from keyfactor_v_1_client.client import AuthenticatedClient
from keyfactor_v_1_client.models import KeyfactorApiModelsWorkflowsSignalRequest
from keyfactor_v_1_client.types import Unset


class AnyData:
    """
    Signal data as the documents have it; the SDK's own class takes objects of objects only.
    """

    def __init__(self, data):
        self.data = data

    def to_dict(self):
        return self.data


def get(client, instance_id):
    return workflow_instance_get.sync_detailed(instance_id, client=client)


def query(client, text):
    return workflow_instance_query.sync_detailed(client=client, pq_query_string=text)


def signal(client, instance_id, key, data):
    body = KeyfactorApiModelsWorkflowsSignalRequest(signal_key=key, data=AnyData(data))
    return workflow_instance_signal.sync_detailed(instance_id, client=client, json_body=body)


def shown(instance):
    """
    What the SDK has understood of an instance.
    """
    fields = {
        "id": instance.id,
        "status": instance.status,
        "title": instance.title,
        "step": instance.current_step_unique_name,
        "definition": instance.definition,
        "start_date": instance.start_date,
    }
    return {name: None if isinstance(value, Unset) else plain(value) for name, value in fields.items()}


def plain(value):
    if hasattr(value, "value"):
        return value.value
    if hasattr(value, "display_name"):
        return plain(value.display_name)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return None if isinstance(value, Unset) else value


def perform(client, name, *arguments):
    try:
        response = {"get": get, "query": query, "signal": signal}[name](client, *arguments)
    except Exception as error:
        # Where it broke: the last line of the SDK's own.
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if "keyfactor_v_1_client" in frame.filename
        ]
        return {"error": f"{type(error).__name__}: {error}", "at": frames[-1].line if frames else None}
    parsed = response.parsed
    if isinstance(parsed, list):
        parsed = [shown(row) for row in parsed]
    elif parsed is not None:
        parsed = shown(parsed)
    return {"http_status": int(response.status_code), "parsed": parsed}


def main():
    task = json.load(sys.stdin)
    credentials = base64.b64encode(f"{task['username']}:{task['password']}".encode()).decode()
    client = AuthenticatedClient(base_url=task["url"], token=credentials, prefix="Basic", timeout=10)
    json.dump([perform(client, *call) for call in task["calls"]], sys.stdout)


main()
