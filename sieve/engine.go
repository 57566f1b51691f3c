package sieve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says which language an engine speaks. The zero value is the whole
// standard one with the default limits.
type Config struct {
	Extensions []*Extension   // nil: Standard()
	Limits     Limits         // zero fields: the defaults
	Zone       *time.Location // the server's zone for date tests (RFC 5260 §4.1); nil: UTC
	Delimiter  string         // the characters that part :user from :detail (RFC 5233); "": "+"
	Hostname   string         // environment "host"
	Domain     string         // environment "domain"
	Product    string         // environment "name"; "": Letterlock
	Version    string         // environment "version"

	// Protected names header fields that editheader leaves alone, beside
	// Received, Auto-Submitted, Return-Path, Delivered-To, TLS-Required and
	// Require-TLS-ESMTP, which it always does.
	Protected []string
	// NoReply are addresses that vacation never answers, beside those of
	// programs and lists that everybody knows (RFC 5230 §4.6).
	NoReply []string
	// FixedFlags names flags that scripts cannot set, beside \Recent and
	// $RequireTLS, which they never can.
	FixedFlags []string
}

// Engine is a language: the base of RFC 5228 and extensions. It is safe for
// concurrent use.
type Engine struct {
	config    Config
	exts      map[string]*extension
	order     []*extension // by index
	specs     map[string]*spec
	parts     map[string]envelopePart
	compare   map[string]comparator
	spaces    map[string]namespace
	protected map[string]bool
}

// extension is an Extension at home in an engine: index is its bit in a set.
type extension struct {
	*Extension
	index   int
	implied set
}

// set is a set of extensions.
type set [4]uint64

func (s *set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s *set) union(o set) {
	for i := range s {
		s[i] |= o[i]
	}
}

const maxExtensions = len(set{}) * 64

// spec is a Spec with all the tags it can get, and whose it is.
type spec struct {
	*Spec
	ext  *extension
	tags map[string][]boundTag
	test bool
}

type boundTag struct {
	*Tag
	ext *extension
}

type envelopePart struct {
	*EnvelopePart
	ext *extension
}

type comparator struct {
	*Comparator
	ext *extension
}

type namespace struct {
	*Namespace
	ext *extension
}

// New makes an engine. It fails where extensions contradict each other: that is
// a mistake in the program, not in a script.
func New(config Config) (*Engine, error) {
	if config.Extensions == nil {
		config.Extensions = Standard()
	}
	config.defaults()
	e := &Engine{
		config:    config,
		exts:      map[string]*extension{},
		specs:     map[string]*spec{},
		parts:     map[string]envelopePart{},
		compare:   map[string]comparator{},
		spaces:    map[string]namespace{},
		protected: map[string]bool{},
	}
	all := append([]*Extension{&base}, config.Extensions...)
	if len(all) > maxExtensions {
		return nil, fmt.Errorf("sieve: %d extensions are more than %d", len(all), maxExtensions)
	}
	var errs []error
	for _, x := range all {
		errs = append(errs, e.define(x))
	}
	for _, x := range e.order {
		errs = append(errs, e.link(x))
	}
	for _, name := range slices.Concat(alwaysProtected, config.Protected) {
		e.protected[foldASCII(name)] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e, nil
}

func (c *Config) defaults() {
	c.Limits = c.Limits.orDefault()
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Delimiter == "" {
		c.Delimiter = "+"
	}
	if c.Product == "" {
		c.Product = "Letterlock"
	}
}

var standard = sync.OnceValues(func() (*Engine, error) { return New(Config{}) })

// Compile compiles a script in the standard language with the default limits.
func Compile(name string, src []byte) (*Script, error) {
	e, err := standard()
	if err != nil {
		return nil, err
	}
	return e.Compile(name, src)
}

// Config is what the engine was made with, defaults filled in.
func (e *Engine) Config() Config { return e.config }

// Capabilities are the names that require knows, sorted: what ManageSieve
// announces as SIEVE (RFC 5804 §1.7).
func (e *Engine) Capabilities() []string {
	var names []string
	for name := range e.exts {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (e *Engine) define(x *Extension) error {
	if _, twice := e.exts[x.Name]; twice {
		return fmt.Errorf("sieve: extension %q is defined twice", x.Name)
	}
	ext := &extension{Extension: x, index: len(e.order)}
	ext.implied.add(ext.index)
	e.exts[x.Name] = ext
	e.order = append(e.order, ext)
	var errs []error
	for i := range x.Commands {
		errs = append(errs, e.defineSpec(&x.Commands[i], ext, false))
	}
	for i := range x.Tests {
		errs = append(errs, e.defineSpec(&x.Tests[i], ext, true))
	}
	for i := range x.Envelope {
		e.parts[x.Envelope[i].Name] = envelopePart{&x.Envelope[i], ext}
	}
	if x.Comparator != nil {
		e.compare[x.Comparator.Name] = comparator{x.Comparator, ext}
	}
	if x.Namespace != nil {
		e.spaces[x.Namespace.Name] = namespace{x.Namespace, ext}
	}
	return errors.Join(errs...)
}

func (e *Engine) defineSpec(s *Spec, ext *extension, test bool) error {
	if old, twice := e.specs[s.Name]; twice {
		return fmt.Errorf("sieve: %q of %q is already defined by %q", s.Name, ext.Name, old.ext.Name)
	}
	if test != (s.Test != nil) || test == (s.Compile != nil) {
		return fmt.Errorf("sieve: %q of %q needs Compile if it is a command, Test if it is a test", s.Name, ext.Name)
	}
	bound := &spec{Spec: s, ext: ext, test: test, tags: map[string][]boundTag{}}
	for i := range s.Tags {
		bound.tags[s.Tags[i].Name] = append(bound.tags[s.Tags[i].Name], boundTag{&s.Tags[i], ext})
	}
	e.specs[s.Name] = bound
	return nil
}

// link resolves what an extension says about others.
func (e *Engine) link(x *extension) error {
	for _, name := range x.Implies {
		other, ok := e.exts[name]
		if !ok {
			return fmt.Errorf("sieve: extension %q implies %q, which is missing", x.Name, name)
		}
		x.implied.add(other.index)
	}
	for i := range x.Tags {
		e.spread(&x.Tags[i], x)
	}
	return nil
}

// spread gives a tag to every spec it is for. A spec that is not part of this
// engine gets none.
func (e *Engine) spread(t *TagFor, x *extension) {
	if s, ok := e.specs[t.On]; ok {
		s.tags[t.Name] = append(s.tags[t.Name], boundTag{&t.Tag, x})
		return
	}
	for _, g := range groupNames {
		if g.name != t.On {
			continue
		}
		for _, s := range e.specs {
			if s.Groups&g.group != 0 {
				s.tags[t.Name] = append(s.tags[t.Name], boundTag{&t.Tag, x})
			}
		}
	}
}

// suggest finds the command or test that was probably meant.
func (e *Engine) suggest(name string, test bool) string {
	var names []string
	for n, s := range e.specs {
		if s.test == test {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return nearest(name, names)
}

// Limits bound what a script may do. Zero fields mean the default.
type Limits struct {
	Script      int // octets of a script; 1 MiB
	Steps       int // about 100 ns of CPU each; 10 million
	Memory      int // octets taken during one run; 32 MiB
	Actions     int // of one run; 32
	Redirects   int // of one script and what it includes; 4
	Notifies    int // of one script and what it includes; 4
	Variables   int // names in one script; 128 (RFC 5229 §6: at least 128)
	Value       int // octets of a variable, cut at a character; 8 KiB (§6: at least 4000 characters)
	IncludeNest int // scripts inside each other; 10 (RFC 6609 §3.1: at least 3)
	Includes    int // includes of one run; 64
	PartNest    int // foreverypart inside foreverypart; 4 (RFC 5703 §3: at least 2)
	HeaderValue int // octets of a value that addheader adds; 2048 (RFC 5293 §4: at least 998)
	HeadersNew  int // fields that addheader adds; 32

	VacationMin, VacationMax, VacationDefault time.Duration // 1 to 60 days, 7 without :days (RFC 5230 §4.1)
	SecondsMin                                time.Duration // the least that :seconds means; 0 (RFC 6131 §2)
	DuplicateMax, DuplicateDefault            time.Duration // 7 days, 12 hours (RFC 7352 §3.3)
}

func (l Limits) orDefault() Limits {
	const day = 24 * time.Hour
	setInt := func(p *int, value int) {
		if *p == 0 {
			*p = value
		}
	}
	setTime := func(p *time.Duration, value time.Duration) {
		if *p == 0 {
			*p = value
		}
	}
	setInt(&l.Script, 1<<20)
	setInt(&l.Steps, 10_000_000)
	setInt(&l.Memory, 32<<20)
	setInt(&l.Actions, 32)
	setInt(&l.Redirects, 4)
	setInt(&l.Notifies, 4)
	setInt(&l.Variables, 128)
	setInt(&l.Value, 8<<10)
	setInt(&l.IncludeNest, 10)
	setInt(&l.Includes, 64)
	setInt(&l.PartNest, 4)
	setInt(&l.HeaderValue, 2048)
	setInt(&l.HeadersNew, 32)
	setTime(&l.VacationMin, day)
	setTime(&l.VacationMax, 60*day)
	setTime(&l.VacationDefault, 7*day)
	setTime(&l.DuplicateMax, 7*day)
	setTime(&l.DuplicateDefault, 12*time.Hour)
	return l
}

// obsolete names extensions of drafts that scripts still ask for, and what took
// their place.
var obsolete = map[string]string{
	"notify":          "enotify",
	"imapflags":       "imap4flags",
	"refuse":          "ereject",
	"comparator-i;en": "comparator-i;unicode-casemap",
}

// wrongRequire says what is wrong with a name in require.
func (e *Engine) wrongRequire(name string) string {
	if s, ok := e.specs[foldASCII(name)]; ok {
		if s.ext.Name == "" {
			return fmt.Sprintf("%s is part of core Sieve and needs no require", quote(name))
		}
		return fmt.Sprintf("there is no extension %s; %s comes with %s", quote(name), quote(s.Name), quote(s.ext.Name))
	}
	if successor, ok := obsolete[name]; ok {
		return fmt.Sprintf("%s was never finished; use its successor %s", quote(name), quote(successor))
	}
	if meant := nearest(strings.ToLower(name), e.Capabilities()); meant != "" {
		return fmt.Sprintf("there is no extension %s; did you mean %s?", quote(name), quote(meant))
	}
	return fmt.Sprintf("there is no extension %s here", quote(name))
}
