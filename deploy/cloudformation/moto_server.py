#!/usr/bin/env python3
"""moto's server for the walk (TestTheDeployPage...), with what the templates need beyond what moto knows.

Usage: moto_server.py PORT
"""
import sys

import moto_more  # noqa: F401 changes moto
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

# One request at a time: AWS isolates them from each other, moto's threads do not.
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
