#!/usr/bin/env python3
"""Deploys the templates to moto, an independent implementation of AWS's APIs, in both topologies, and reads back what came
of them.

Topology "lambda" is all templates; "own" is what an API on hosts of one's own uses: network, key, table and fleet. Stacks
are made in the order of deploy/README.md, with the parameters of two moments. It shows that the stacks fit together and
that every reference, import, condition and parameter resolves. moto runs nothing: no instance boots, no signal is waited
for, no key policy is evaluated. It makes no alarms of templates: those are left out by it.
"""
import io
import json
import os
import sys
import zipfile

import moto_more  # noqa: F401 first: it changes moto, and the environment
import boto3
from moto import mock_aws
from moto.events.models import EventPattern

HERE = os.path.dirname(os.path.abspath(__file__))
PCR, OTHER = "a0" * 48, "b0" * 48
DIGEST = "0" * 64


class Account:
    """One account, with what the deployment page asks for beforehand."""

    def __init__(self):
        self.cloud = boto3.client("cloudformation")
        self.topic = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
        self.secret = boto3.client("secretsmanager").create_secret(Name="tls", SecretString="{}")["ARN"]
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="releases", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as z:
            z.writestr("bootstrap", "")
        for key in ("api.zip", "canary.zip"):
            s3.put_object(Bucket="releases", Key=key, Body=archive.getvalue())
        self.layer = boto3.client("lambda").publish_layer_version(
            LayerName="access", Content={"ZipFile": archive.getvalue()})["LayerVersionArn"]
        self.image = boto3.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        self.given = {}

    def stack(self, name, **parameters):
        """`stack NAME P=V ...` of the page."""
        self.given[name] = {k: str(v) for k, v in parameters.items()}
        with open(os.path.join(HERE, name + ".yaml"), encoding="utf-8") as file:
            body = file.read()
        self.cloud.create_stack(
            StackName="redoubt-" + name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in self.given[name].items()])
        status = self.cloud.describe_stacks(StackName="redoubt-" + name)["Stacks"][0]
        assert status["StackStatus"] == "CREATE_COMPLETE", status
        return {o["OutputKey"]: o["OutputValue"] for o in status.get("Outputs", [])}

    def resource(self, name, logical):
        found = self.cloud.describe_stack_resource(StackName="redoubt-" + name, LogicalResourceId=logical)
        return found["StackResourceDetail"]["PhysicalResourceId"]


def policy(key):
    return json.loads(boto3.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])


# The parameters of two moments: once the first fleet is up, and while it is rolled and a vault is revoked.
MOMENTS = {
    "first": ({"ImagePCR0s": PCR, "ImagePCR1s": PCR}, {}),
    "rolled": ({"ImagePCR0s": f"{PCR},{OTHER}", "ImagePCR1s": f"{PCR},{OTHER}", "RevokedVaults": "v_1",
                "RevokedVaults2": "v_2"}, {"Release": "v2", "KeepInService": "3"}),
}


def fleet(account, own, moment):
    """The steps of the page up to the fleet."""
    of_key, of_vault = MOMENTS[moment]
    shells = {"SessionManager": "true"} if own else {}
    more = {"MonitoringCidr": "10.9.0.0/24", **shells} if own else {}
    account.stack("vpc", **shells)
    key = account.stack("key", AlarmTopicArn=account.topic, **of_key)
    assert key["DecryptIs"].startswith("limited"), key
    account.stack("table")
    account.stack("vault", **{
        "Image": account.image, "ArtifactBucket": "releases", "Release": "v1", "ParentSha256": DIGEST, "ImageSha256": DIGEST,
        "UnitSha256": DIGEST, "AllocatorSha256": DIGEST, "TlsBundleArn": account.secret, **more, **of_vault})
    statements = {s["Sid"]: s for s in policy(key["KeyArn"])["Statement"]}
    role = boto3.client("iam").get_role(RoleName=key["ParentRoleName"])["Role"]["Arn"]
    assert role in statements["DecryptByEnclaves"]["Principal"]["AWS"], statements
    assert ("NotOfMoreRevokedVaults" in statements) == ("RevokedVaults2" in of_key), statements
    profiles = boto3.client("iam").list_instance_profiles_for_role(RoleName=key["ParentRoleName"])["InstanceProfiles"]
    assert len(profiles) == 1, profiles
    group = boto3.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert group["MinSize"] == 2 and group["HealthCheckType"] == "ELB", group
    for logical, keys in (("Table", "pk sk"), ("KeyTable", "id"), ("DomainTable", "id gen")):
        table = boto3.client("dynamodb").describe_table(TableName=account.resource("table", logical))["Table"]
        assert table["DeletionProtectionEnabled"], table
        assert [k["AttributeName"] for k in table["KeySchema"]] == keys.split(), table
    tampering(account, key["KeyArn"])


def tampering(account, key):
    """The rule takes what CloudTrail says of KMS, for our keys alone."""
    rule = boto3.client("events").describe_rule(Name=account.resource("key", "Tampering"))
    pattern = EventPattern.load(rule["EventPattern"])

    def event(name, arn):
        return {
            "version": "0", "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "account": "1", "region": "r",
            "time": "2026-01-01T00:00:00Z", "id": "1", "resources": [],
            "detail": {"eventSource": "kms.amazonaws.com", "eventName": name,
                       # CloudTrail's is a list of this. EventBridge looks into lists of objects; moto does not.
                       "resources": {"accountId": "1", "type": "AWS::KMS::Key", "ARN": arn}},
        }
    for name in ("ScheduleKeyDeletion", "DisableKey", "PutKeyPolicy"):
        assert pattern.matches_event(event(name, key)), name
        assert not pattern.matches_event(event(name, key + "0")), name
    assert not pattern.matches_event(event("DescribeKey", key))


def functions(account):
    """API, canary and alarms."""
    account.stack("api", CodeBucket="releases", CodeKey="api.zip", ParentUrl="https://vault.internal",
                  AccessLayerArn=account.layer, ThrottleRate=2000, ThrottleBurst=4000)
    account.stack("canary", CodeBucket="releases", CodeKey="canary.zip")
    account.stack("observe", AlarmTopicArn=account.topic)
    settings = boto3.client("lambda").get_function_configuration(FunctionName=account.resource("api", "Function"))
    variables = settings["Environment"]["Variables"]
    assert variables["API_STORE"] == "dynamodb:" + account.resource("table", "Table"), variables
    for variable, logical in (("API_KEY_TABLE", "KeyTable"), ("API_DOMAIN_TABLE", "DomainTable")):
        assert variables[variable] == account.resource("table", logical), variables


def main():
    for moment in MOMENTS:
        for topology in ("lambda", "own"):
            with mock_aws():
                account = Account()
                fleet(account, topology == "own", moment)
                if topology == "lambda":
                    functions(account)
                print(f"moto: {topology}, {moment}: {len(account.given)} stacks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
