"""What the templates need of moto beyond what it knows. To import it changes moto, in this process.

Each change is what AWS documents of the resource, and nothing of how the templates are made: a function (Fn::Cidr), an
attribute, a property that moto leaves out, the update of a key's policy in place, and change sets that make outputs and
exports as stacks made at once do.
"""
import ipaddress
import json
import os
import re

for _name in [n for n in os.environ if n.startswith("AWS_")]:
    del os.environ[_name]
os.environ.update(AWS_ACCESS_KEY_ID="moto", AWS_SECRET_ACCESS_KEY="moto", AWS_DEFAULT_REGION="eu-central-1")

from moto.autoscaling.models import FakeAutoScalingGroup  # noqa: E402 after the environment
from moto.cloudformation import parsing  # noqa: E402
from moto.cloudformation.models import ChangeSet, cloudformation_backends  # noqa: E402
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup, elbv2_backends  # noqa: E402
from moto.kms.models import Key, kms_backends  # noqa: E402


def _clean(value, resources, clean=parsing.clean_json):
    """With Fn::Cidr. An AWS::NoValue in a list is no element of it; moto leaves None."""
    if isinstance(value, dict) and "Fn::Cidr" in value:
        block, count, bits = _clean(value["Fn::Cidr"], resources)
        subnets = ipaddress.ip_network(block).subnets(new_prefix=32 - int(bits))
        return [str(n) for n, _ in zip(subnets, range(int(count)))]
    out = clean(value, resources)
    return [v for v in out if v is not None] if isinstance(out, list) else out


def _references(template, known=parsing.get_references_from_template):
    """With those of Fn::Sub: a resource whose text names a parameter changes with it."""
    if isinstance(template, str):
        return re.findall(r"\${(\w+)}", template)
    return known(template)


def _balancer(cls, name, cloudformation_json, account_id, region_name, **_):
    """A load balancer of the type that was asked for, which says what protocols it knows."""
    p = cloudformation_json["Properties"]
    return elbv2_backends[account_id][region_name].create_load_balancer(
        name, p.get("SecurityGroups"), p.get("Subnets"), scheme=p.get("Scheme", "internet-facing"),
        loadbalancer_type=p.get("Type", "application"))


def _balancers(self, name, known=FakeLoadBalancer.get_cfn_attribute):
    return self.arn.split("loadbalancer/")[-1] if name == "LoadBalancerFullName" else known(self, name)


def _key(cls, _name, cloudformation_json, account_id, region_name, **_):
    """A key of the specification that was asked for, whose policy is text, as KMS gives it."""
    p = cloudformation_json["Properties"]
    key = kms_backends[account_id][region_name].create_key(
        json.dumps(p["KeyPolicy"]), p.get("KeyUsage", "ENCRYPT_DECRYPT"), p.get("KeySpec", "SYMMETRIC_DEFAULT"),
        p.get("Description"), p.get("Tags", []))
    key.key_rotation_status = p.get("EnableKeyRotation", False)
    return key


def _changed_key(cls, original_resource, cloudformation_json, **_):
    """KeyPolicy, Description, EnableKeyRotation: no interruption. KeySpec: replacement, which ours never ask for."""
    p = cloudformation_json["Properties"]
    if p.get("KeySpec", "SYMMETRIC_DEFAULT") != original_resource.key_spec:
        raise ValueError("another KeySpec is another key")
    original_resource.policy = json.dumps(p["KeyPolicy"])
    original_resource.description = p.get("Description")
    original_resource.key_rotation_status = p.get("EnableKeyRotation", False)
    return original_resource


def _changed_group(cls, original_resource, cloudformation_json, account_id, region_name, **_):
    """The group stays, as all that ours change is changed in place; moto makes another."""
    p = cloudformation_json["Properties"]
    original_resource.update(
        [], None, int(p["MaxSize"]), int(p["MinSize"]), None, None, ",".join(p["VPCZoneIdentifier"]),
        p["HealthCheckGracePeriod"], p["HealthCheckType"], mixed_instances_policy=p["MixedInstancesPolicy"])
    return original_resource


def _applied(self):
    """A change set makes or changes the stack as CreateStack and UpdateStack do."""
    stack = self.stack
    exports = cloudformation_backends[stack.account_id][stack.region_name].exports
    if self.change_set_type == "UPDATE":
        # moto gives lists for the lists that are to be kept, and takes text.
        given = {k: ",".join(v) if isinstance(v, list) else v for k, v in self.parameters.items()}
        stack.update(self.template, self.role_arn, given)
    else:
        stack.template, stack.parameters, stack.cross_stack_resources = self.template, self.parameters, exports
        stack._parse_template()
        stack.resource_map = stack._create_resource_map()
        stack.output_map = stack._create_output_map()
        stack.create_resources()
    exports.update({e.name: e for e in stack.exports})


def _updated(logical, template, resources, update=parsing.parse_and_update_resource, **where):
    """A resource that moto knows no update of stays; moto forgets it. One whose condition was false is made."""
    if resources._parsed_resources.get(logical) is None:
        return parsing.parse_and_create_resource(logical, template, resources, **where)
    made = update(logical, template, resources, **where)
    return resources._parsed_resources.get(logical) if made is None else made


parsing.clean_json = _clean
parsing.get_references_from_template = _references
parsing.parse_and_update_resource = _updated
ChangeSet.apply = _applied
FakeAutoScalingGroup.update_from_cloudformation_json = classmethod(_changed_group)
FakeTargetGroup.get_cfn_attribute = lambda self, _: self.arn.split(":")[-1]
FakeLoadBalancer.create_from_cloudformation_json = classmethod(_balancer)
FakeLoadBalancer.get_cfn_attribute = _balancers
Key.create_from_cloudformation_json = classmethod(_key)
Key.update_from_cloudformation_json = classmethod(_changed_key)
