package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/sieve"
)

var sieveCheck = verb{
	name:  "sieve check",
	args:  "FILE [--json]",
	short: "tell what is wrong with a Sieve script (- is standard input)",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 {
				return errArguments
			}
			cfg, err := config.Load(*conf)
			if err != nil {
				return err
			}
			text, err := c.scriptText(c.args[0])
			if err != nil {
				return err
			}
			return checkScript(c, deliver.NewEngine(language(cfg)), c.args[0], text, *asJSON)
		}
	},
}

// scriptLimit is the longest script that can be kept: 1 MiB.
const scriptLimit = 1 << 20

// scriptText reads a script from a file, or from standard input.
func (c *call) scriptText(file string) ([]byte, error) {
	in := c.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, withHint(err, "name the file with the script, or - for standard input")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, scriptLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(text) > scriptLimit {
		return nil, withHint(fmt.Errorf("%s is longer than 1 MiB", file), "is it the script?")
	}
	return text, nil
}

// remark is one thing said about a script, for scripts that read JSON.
type remark struct {
	Line     int    `json:"line"`
	Col      int    `json:"col"`
	Severity string `json:"severity"` // "error" or "remark"
	Text     string `json:"text"`
}

func checkScript(c *call, e *sieve.Engine, file string, text []byte, asJSON bool) error {
	compiled, err := e.Compile(filepath.Base(file), text)
	mistakes, ok := errors.AsType[sieve.Errors](err)
	if err != nil && !ok {
		return err
	}
	said := remarks(mistakes)
	if compiled != nil {
		said = append(said, remarks(compiled.Remarks())...)
	}
	if asJSON {
		if err := printJSON(c.out, struct {
			OK      bool     `json:"ok"`
			Remarks []remark `json:"remarks"`
		}{len(mistakes) == 0, said}); err != nil {
			return err
		}
	} else {
		printRemarks(c.err, file, said)
	}
	if len(mistakes) > 0 {
		return errSaid
	}
	return nil
}

// remarks is never nil: it is a list in JSON.
func remarks(list []sieve.Diagnostic) []remark {
	said := make([]remark, 0, len(list))
	for _, d := range list {
		severity := "error"
		if d.Severity == sieve.Remark {
			severity = "remark"
		}
		said = append(said, remark{d.Line, d.Col, severity, d.Msg})
	}
	return said
}

// printRemarks writes lines that editors know how to jump to.
func printRemarks(w io.Writer, file string, said []remark) {
	for _, r := range said {
		fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", file, r.Line, r.Col, r.Severity, r.Text)
	}
}
