"""The toolkit's version; what a project names when it installs the package."""

VERSION = "0.1.0"
