"""`python -m eagleray` is the command `eagleray`."""

from eagleray.cli.app import main

raise SystemExit(main())
