#!/usr/bin/env python3
"""Checks what a host that fails relies on against AWS's own service models (botocore)."""
import botocore.session

session = botocore.session.get_session()


def members(service: str, operation: str) -> dict:
    """What an operation takes."""
    return session.get_service_model(service).operation_model(operation).input_shape.members


# The reason of a failure can be nowhere in CloudFormation's events: a signal has no field for it.
signal = set(members("cloudformation", "SignalResource"))
assert signal == {"StackName", "LogicalResourceId", "UniqueId", "Status"}, signal

# The user data's ship: one call, at most 900 events, none of them empty.
events = members("logs", "PutLogEvents")["logEvents"]
assert events.metadata["max"] >= 900, events.metadata
assert set(events.member.required_members) == {"timestamp", "message"}, events.member.required_members
assert events.member.members["message"].metadata["min"] == 1

print("service models: ok")
