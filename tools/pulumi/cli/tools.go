//go:build tools

// Package tools names the command to build, so that go.mod and go.sum pin all that goes into it.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
