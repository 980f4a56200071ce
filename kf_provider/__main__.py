"""
`python -m kf_provider`, and the script `kf`: the command line.
"""

import sys


def main() -> None:
    """
    Run the command line, or say what it needs.
    """
    try:
        from .cli import run
    except ModuleNotFoundError as exc:
        if exc.name != "click":
            raise
        sys.exit("kf: the command line needs click: pip install 'kf-provider[cli]'")
    run()


if __name__ == "__main__":
    main()
