//go:build tools

// Package tools names the command to build, so that go.mod and go.sum pin all that goes into it.
//
// v3.78.0 is the last version of the module sdk/v3 that holds the Python language host. Newer hosts are a module of
// their own that cannot be had by version from Go's module downloads.
package tools

import _ "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
