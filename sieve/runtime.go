package sieve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Message is what a script reads: the message as it would be filed, header
// first. A [*bytes.Reader] is one, so is an [*io.SectionReader].
type Message interface {
	io.ReaderAt
	Size() int64 // octets
}

// Envelope is how the message came (RFC 5228 §5.4, RFC 6009).
type Envelope struct {
	From     string // without angle brackets; empty is the null reverse-path
	To       string // the recipient this run is for
	Notify   []string
	ORcpt    string // "rfc822;ann@example.org", xtext decoded; empty: none
	Ret, ID  string // RET and ENVID, decoded; empty: none
	RemoteIP string // environment "remote-ip"
	Remote   string // environment "remote-host"
}

// Host answers what only a mailbox store can know. A nil Host knows of nothing.
// Its errors end the run as a [*HostError].
type Host interface {
	// Mailbox says whether mail can be delivered into a mailbox: the one that
	// t.Name or t.ID names, if it has the special use t.Use where one is given;
	// with neither name nor ID, any of the user's with that use.
	Mailbox(ctx context.Context, t Target) (bool, error)
	// Metadata reads an annotation of a mailbox, or with mailbox "" of the
	// server, as the script's owner may (RFC 5490 §3.3).
	Metadata(ctx context.Context, mailbox, entry string) (value string, found bool, err error)
	// Seen says whether an ID was tracked before and has not expired.
	Seen(ctx context.Context, t Track) (bool, error)
}

// Location says whose script include means (RFC 6609 §3.2).
type Location uint8

const (
	Personal Location = iota
	Global
)

func (l Location) String() string { return [...]string{":personal", ":global"}[l] }

// Loader finds scripts for include. A script that does not exist is
// [fs.ErrNotExist]; one that does not compile is its [Errors]. All else ends the
// run as a [*HostError].
type Loader func(ctx context.Context, l Location, name string) (*Script, error)

// Input is what one run knows beside script and message.
type Input struct {
	Envelope Envelope
	// Owner is the address of the script's owner, Own all that are known to be
	// the owner's, each as addr-spec.
	Owner string
	Own   []string
	Host  Host
	// Load finds included scripts; nil: there are none.
	Load Loader
	// Now is the time of the run; zero: the present (RFC 5260 §5: one moment for
	// the whole script).
	Now time.Time
	// Environment answers for items that this package does not know, such as
	// vnd.… ones (RFC 5183 §4.2); the name comes in lower case. found false:
	// there is no such item.
	Environment func(item string) (value string, found bool)
	// Spam and Virus are the verdicts for spamtest and virustest (RFC 5235).
	Spam, Virus Verdict
	// Notify names notification methods beside mailto that the caller can carry
	// out, as URI schemes: "tel".
	Notify []string
}

// Runtime is one run: one message passing through one script or several. It is
// used by one goroutine.
type Runtime struct {
	ctx    context.Context
	engine *Engine
	msg    reading
	input  *Input
	now    time.Time

	frame   *frame
	at      Pos // of the command or test that runs
	label   string
	actions []Action
	earlier int // how many of them other scripts planned that ran before this one
	tracks  []Track
	seen    map[Track]bool // answers of duplicate within this run
	keep    bool           // the implicit keep is in effect
	kept    *Keep          // what it does, where a script before this one asked for it; nil: what it does by itself
	flags   []string       // the internal variable of imap4flags
	globals map[string]string
	loaded  map[included]bool // scripts that ran already
	incs    int

	head   entity // of the message
	parts  *part  // its structure, once somebody asked
	edited bool   // by editheader
	added  int
	latest *Rewrite // head as it is now; nil: to be made

	subject subject   // room for :matches
	values  []string  // room for the parts of the envelope
	address []Address // and for the address in one

	steps, memory int
	nextCheck     int
	errs          []error // of scripts that broke
}

// frame is one script at work.
type frame struct {
	script  *Script
	up      *frame // the script that included it
	from    included
	vars    []string
	enabled set
	part    *part   // the part that foreverypart is at, or nil
	root    *part   // what the script takes for the message, or nil: the message
	match   matched // what ${0}, ${1}, … are
}

// NewRuntime prepares a run of msg through scripts of one engine.
func NewRuntime(ctx context.Context, e *Engine, msg Message, in *Input) *Runtime {
	if in == nil {
		in = &Input{}
	}
	rt := &Runtime{ctx: ctx, engine: e, msg: reading{msg}, input: in, now: in.Now, keep: true, nextCheck: checkEvery}
	if rt.now.IsZero() {
		rt.now = time.Now()
	}
	return rt
}

// Run runs one script over a message.
func (s *Script) Run(ctx context.Context, msg Message, in *Input) *Result {
	rt := NewRuntime(ctx, s.engine, msg, in)
	rt.Run(s)
	return rt.Result()
}

// Run runs a script; what earlier ones of this runtime decided stands, but for a
// keep: whether they asked for it or not, it is in effect until this one says
// otherwise. Where it breaks, what it had decided itself is undone, the message is to be kept, and
// the [*Error] is returned. A panic in an extension is such an error, too: no
// script may take delivery down. Where a [*HostError] is in it, the script would
// have decided something else: what came out is not to be carried out.
func (rt *Runtime) Run(s *Script) (err error) {
	rt.reopen()
	before := rt.snapshot()
	defer func() {
		if p := recover(); p != nil {
			err = rt.broke(fmt.Errorf("the engine broke: %v", p))
		}
		if err != nil {
			rt.restore(before)
			rt.errs = append(rt.errs, err)
		}
		rt.frame = nil
	}()
	rt.earlier = len(rt.actions)
	rt.frame = newFrame(s, nil, included{name: s.name})
	if _, err := rt.RunBlock(s.code); err != nil {
		return rt.broke(err)
	}
	return nil
}

// reopen makes a keep that an earlier script asked for the one that is in effect.
func (rt *Runtime) reopen() {
	for i, a := range rt.actions {
		if k, ok := a.(*Keep); ok {
			rt.kept, rt.keep = k, true
			rt.actions = slices.Delete(slices.Clone(rt.actions), i, i+1)
			return
		}
	}
}

// broke says where an error happened, unless it says so itself.
func (rt *Runtime) broke(err error) error {
	var at *Error
	if errors.As(err, &at) {
		return err
	}
	return &Error{rt.position(), err}
}

func newFrame(s *Script, up *frame, from included) *frame {
	f := &frame{script: s, up: up, from: from, enabled: s.enabled}
	if s.vars > 0 {
		f.vars = make([]string, s.vars)
	}
	if up != nil {
		f.root = up.root
		if up.part != nil {
			f.root = up.part
		}
	}
	return f
}

// snapshot is what a script that breaks must leave as it found it.
type snapshot struct {
	actions []Action
	tracks  int
	head    entity
	edited  bool
}

func (rt *Runtime) snapshot() snapshot {
	return snapshot{slices.Clone(rt.actions), len(rt.tracks), rt.head.clone(), rt.edited}
}

// restore undoes. The message is kept with its original header (RFC 5293 §7)
// and without flags.
func (rt *Runtime) restore(s snapshot) {
	rt.actions, rt.tracks, rt.flags = s.actions, rt.tracks[:s.tracks], nil
	rt.head, rt.edited, rt.latest = s.head, s.edited, nil
	rt.keep = true
}

// Result is what all scripts of this runtime decided.
func (rt *Runtime) Result() *Result {
	res := &Result{Actions: rt.actions, Tracks: rt.tracks, Kept: rt.keep, Steps: rt.steps, Memory: rt.memory}
	if len(rt.errs) == 1 {
		res.Err = rt.errs[0]
	} else {
		res.Err = errors.Join(rt.errs...)
	}
	if !rt.keep {
		return res
	}
	k := &Keep{Flags: rt.flags, Implicit: true}
	res.Actions = slices.Clone(rt.actions) // another script may follow: nothing is settled
	switch filed := slices.ContainsFunc(rt.actions, intoInbox); {
	case filed && (res.Err != nil || rt.kept != nil): // as an earlier script wanted it
		return res
	case filed:
		merge(res.Actions, Target{Name: inbox}, rt.flags, true)
		return res
	case rt.kept != nil:
		k = rt.kept
	case res.Err == nil:
		k.Rewrite = rt.rewrite()
	}
	res.Actions = append(res.Actions, k)
	return res
}

func intoInbox(a Action) bool {
	switch a := a.(type) {
	case *Keep:
		return true
	case *FileInto:
		return a.Target.same(Target{Name: inbox})
	}
	return false
}

// RunBlock runs commands in order until one leads elsewhere.
func (rt *Runtime) RunBlock(b Block) (Flow, error) {
	for i := range b {
		rt.at = b[i].pos
		if err := rt.Spend(1); err != nil {
			return Stop, err
		}
		if flow, err := b[i].run(rt); err != nil || flow != Next {
			return flow, err
		}
	}
	return Next, nil
}

// Leave ends the nearest block that its command runs under this label; return
// it as the flow of a command.
func (rt *Runtime) Leave(label string) Flow {
	rt.label = label
	return Leave
}

// Left says whether a block was left by [Runtime.Leave] with this label.
func (rt *Runtime) Left(label string) bool { return rt.label == label }

// position is where the run is.
func (rt *Runtime) position() Position {
	if rt.frame == nil {
		return Position{}
	}
	return rt.frame.script.Position(rt.at)
}

const (
	checkEvery  = 4096 // steps between two looks at the context
	octetsAStep = 64   // that a scan takes in about 100 ns
)

// Spend counts work, in steps of about 100 ns. Anything that takes time in
// proportion to script or message must be counted.
func (rt *Runtime) Spend(steps int) error {
	rt.steps += steps
	if rt.steps < rt.nextCheck {
		return nil
	}
	return rt.look()
}

func (rt *Runtime) look() error {
	rt.nextCheck = rt.steps + checkEvery
	if limit := rt.engine.config.Limits.Steps; rt.steps > limit {
		return limited(limit, "steps for one message")
	}
	if err := rt.ctx.Err(); err != nil {
		return fmt.Errorf("the run was stopped: %w", context.Cause(rt.ctx))
	}
	return nil
}

// Scan counts the reading of so many octets.
func (rt *Runtime) Scan(octets int) error { return rt.Spend(1 + octets/octetsAStep) }

// Take counts memory.
func (rt *Runtime) Take(octets int) error {
	rt.memory += octets
	if limit := rt.engine.config.Limits.Memory; rt.memory > limit {
		return limited(limit, "octets of memory for one message")
	}
	return nil
}

// Context is the run's.
func (rt *Runtime) Context() context.Context { return rt.ctx }

// Config is the engine's.
func (rt *Runtime) Config() *Config { return &rt.engine.config }

// Now is the moment of the run.
func (rt *Runtime) Now() time.Time { return rt.now }

// Message is the message that tests read; SetMessage puts another in its place,
// from the next test on.
func (rt *Runtime) Message() Message { return rt.msg.Message }

// SetMessage replaces the message; header changes of editheader are lost.
func (rt *Runtime) SetMessage(msg Message) {
	rt.msg, rt.head, rt.parts, rt.edited, rt.latest = reading{msg}, entity{}, nil, false, nil
	for f := rt.frame; f != nil; f = f.up {
		f.part, f.root = nil, nil
	}
}

// Input is what the run was given. It is shared; SetInput replaces it.
func (rt *Runtime) Input() *Input { return rt.input }

// SetInput replaces what the run was given, from the next test on.
func (rt *Runtime) SetInput(in *Input) { rt.input = in }

// Envelope is the envelope that tests read.
func (rt *Runtime) Envelope() *Envelope { return &rt.input.Envelope }

// SetEnvelope replaces the envelope.
func (rt *Runtime) SetEnvelope(env Envelope) {
	in := *rt.input
	in.Envelope = env
	rt.input = &in
}

// Flags are the flags that a keep or fileinto without :flags gets.
func (rt *Runtime) Flags() []string { return rt.flags }

// SetFlags replaces them.
func (rt *Runtime) SetFlags(flags []string) { rt.flags = rt.cleanFlags(flags) }

// Actions are those planned so far. The slice must not be changed; SetActions
// replaces it.
func (rt *Runtime) Actions() []Action { return rt.actions }

// SetActions replaces the plan, without looking for conflicts.
func (rt *Runtime) SetActions(list []Action) { rt.actions = list }

// CancelKeep says that the implicit keep is not needed any more.
func (rt *Runtime) CancelKeep() { rt.keep = false }

// Host is who answers questions, never nil.
func (rt *Runtime) Host() Host {
	if rt.input.Host == nil {
		return nobody{}
	}
	return rt.input.Host
}

// reading is the message, whose errors are not the script's.
type reading struct{ Message }

func (r reading) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Message.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		return n, err
	}
	return n, unanswered(err)
}

// nobody is the host where there is none.
type nobody struct{}

func (nobody) Mailbox(context.Context, Target) (bool, error) { return false, nil }
func (nobody) Metadata(context.Context, string, string) (string, bool, error) {
	return "", false, nil
}
func (nobody) Seen(context.Context, Track) (bool, error) { return false, nil }
