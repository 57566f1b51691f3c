package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

var versionVerb = verb{
	name:  "version",
	args:  "[--json]",
	short: "tell which Letterlock this is",
	setup: func(f *flag.FlagSet) action {
		asJSON := jsonFlag(f)
		return func(_ context.Context, c *call) error {
			if len(c.args) > 0 {
				return errArguments
			}
			b := thisBinary()
			if *asJSON {
				return printJSON(c.out, b)
			}
			_, err := fmt.Fprintf(c.out, "letterlock %s (%s, %s)\n", b.Version, b.Go, b.Platform)
			return err
		}
	},
}

// binary is what the binary knows of itself.
type binary struct {
	Version  string `json:"version"`            // the module's, or "devel"
	Revision string `json:"revision,omitempty"` // the commit; empty outside a checkout
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBinary() binary {
	b := binary{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
