#!/usr/bin/env python3
"""Checks what the templates' patterns take and refuse, where a wrong value would be worse than a failed deployment.

CloudFormation's patterns have look-ahead, which Go's regular expressions do not.
"""
import os
import re
import sys

import cfnlint.decode.cfn_yaml

HERE = os.path.dirname(os.path.abspath(__file__))
A, B, DEBUG = "0a" * 48, "B1" * 48, "0" * 96
MEASUREMENTS = {
    "": True,  # none yet
    A: True,
    f"{A},{B}": True,
    DEBUG: False,  # an enclave in debug mode, whose memory its host may read
    f"{A},{DEBUG}": False,
    f"{DEBUG},{A}": False,
    A[:-1]: False,
    A + "0": False,
    f"{A},": False,
    f"{A}, {B}": False,
    "*": False,
}
DIGEST = {"a" * 64: True, "a" * 63: False, "A" * 64: False, "": False, "a" * 64 + "\n; reboot": False}
TABLE = {"": False, "vaults-2": True, "a/b": False, "*": False}
CASES = {
    ("key", "ImagePCR0s"): MEASUREMENTS,
    ("key", "ImagePCR1s"): MEASUREMENTS,
    ("key", "ParentRoleArn"): {"": True, "arn:aws:iam::111122223333:role/redoubt/p": True, "*": False,
                               "arn:aws:iam::111122223333:root": False},
    ("key", "RevokedVaults"): {"": True, "v_1": True, "v_1,v_2": True, "*": False, "v_*": False, "v_1,": False},
    ("key", "DomainCreators"): {"": True, "arn:aws:iam::111122223333:role/redoubt/api": True, "*": False,
                                "arn:aws:iam::111122223333:role/a,arn:aws:iam::111122223333:user/b": True,
                                "arn:aws:iam::111122223333:role/*": False, "arn:aws:iam::111122223333:root": False},
    # A star alone would close every domain.
    ("key", "ClosedDomains"): {"": True, "acme": True, "acme,acme.*": True, "*": False, "acme,*": False, "Acme": False},
    ("key", "ClosedDomains2"): {"": True, "acme,acme.*": True, "*": False, "acme,*": False},
    ("key", "RotatedDomains"): {"": True, "*": True, "acme,acme.*": True, "acme,": False},
    ("key", "ClosedGenerations"): {"": True, "1": True, "1,2": True, "01": False, "0": False, "*": False, "1,": False},
    ("api", "DomainPattern"): {"": True, "*": True, "acme.*": True, "acme,other": False, "A": False},
    ("restored", "TableName"): TABLE,
    ("restored", "KeyTableName"): TABLE,
    ("restored", "DomainTableName"): TABLE,
    ("vault", "ParentSha256"): DIGEST,
    ("vault", "ImageSha256"): DIGEST,
    ("vault", "UnitSha256"): DIGEST,
    ("vault", "AllocatorSha256"): DIGEST,
    # It goes into a shell script of root's.
    ("vault", "Release"): {"v1.2.3": True, "a/b_c": True, "x;reboot": False, "$(id)": False, "a b": False, "": False},
    ("vault", "TlsBundleArn"): {"arn:aws:secretsmanager:eu-central-1:111122223333:secret:tls-AbCdEf": True,
                                "arn:aws:secretsmanager:x:1:secret:a;reboot": False},
    ("vault", "ArtifactBucket"): {"redoubt-releases": True, "a;reboot": False, "$(id)": False, "": False},
    # Who may reach what tells of the service, and empties its caches: no whole world, and nothing by mistake.
    ("vault", "MonitoringCidr"): {"": True, "10.9.0.7/32": True, "10.9.0.0/16": True, "0.0.0.0/0": False, "10.0.0.0/8": False,
                                  "10.9.0.7": False, "::/0": False},
    ("api", "ParentUrl"): {"https://vault.internal": True, "http://vault.internal": False, "https://a/b": False},
}


def main():
    bad = 0
    for (template, parameter), cases in CASES.items():
        path = os.path.join(HERE, template + ".yaml")
        declared = cfnlint.decode.cfn_yaml.load(path)["Parameters"][parameter]
        for value, want in cases.items():
            if (re.fullmatch(declared["AllowedPattern"], value) is not None) != want:
                bad += 1
                print(f"{template}.yaml: {parameter}: {value!r} is {'refused' if want else 'taken'}")
    print(f"{sum(map(len, CASES.values()))} values tried on patterns, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
