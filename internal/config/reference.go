package config

import _ "embed"

//go:embed reference.toml
var reference string

// Reference is a config file with every key, what it means, and its default.
func Reference() string { return reference }
