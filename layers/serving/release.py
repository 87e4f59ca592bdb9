"""The release that is serving. An image holds the code without an installed package, so it is written here as well."""

RELEASE = "0.1.0"
