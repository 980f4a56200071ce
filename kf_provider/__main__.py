"""
`python -m kf_provider`: the command line.
"""

import sys

try:
    from .cli import main
except ModuleNotFoundError as exc:
    if exc.name != "click":
        raise
    sys.exit("kf: the command line needs click: pip install 'kf-provider[sandbox]'")

main()
