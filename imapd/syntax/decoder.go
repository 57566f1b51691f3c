package syntax

import (
	"encoding/base64"
	"errors"
	"strings"

	"letterlock/internal/wire"
)

// Source is what a Decoder reads from; a *wire.Reader is one.
type Source interface {
	// Line reads one line of at most limit octets, its CRLF counted, and
	// returns it without the CRLF, valid until the next call.
	// [wire.ErrLineTooLong], [wire.ErrEndlessLine] and [wire.ErrBareLF] are told
	// apart from all other errors, which end the connection.
	Line(limit int) ([]byte, error)
	// Read reads raw octets, as [io.Reader] does.
	Read(p []byte) (int, error)
}

// Decoder reads commands off one connection, for one goroutine. Whoever
// discards what the connection has buffered (STARTTLS) makes a new one.
type Decoder struct {
	src    Source
	ask    func() error
	mode   Mode
	limits Limits

	tag    string // of the command being read, "*" before it is known
	byUID  bool   // the command said UID
	line   []byte // the line being read; a literal announced at its end is not yet read
	pos    int    // how far it is read
	lines  int    // octets of the command's lines so far
	held   int    // octets of its literals so far
	depth  int    // of nested search keys
	keys   int    // search keys so far
	items  int    // items to fetch so far
	saving bool   // the command is a SEARCH that saves its result
	fuzzy  bool   // one of its keys is FUZZY
	bad    *BadError
	broken error   // the connection's error
	open   *Append // handed out and not finished
}

// NewDecoder reads from src with the limits of [Stranger]. ask is called where
// a client waits for leave to send a literal: it writes a continuation request
// ("+ OK" CRLF) and flushes. Its error is taken for the connection's.
func NewDecoder(src Source, ask func() error) *Decoder {
	return &Decoder{src: src, ask: ask, limits: Stranger(), tag: untagged}
}

const untagged = "*"

// SetMode is called when the session enables something.
func (d *Decoder) SetMode(m Mode) { d.mode = m }

// SetLimits is called when the client has logged in.
func (d *Decoder) SetLimits(l Limits) { d.limits = l }

// Next reads one command. A *BadError answers a command that is wrong: when it
// comes, all of the command has been read (or will never be sent), and Next can
// be called again unless its Close is set. Other errors are the connection's:
// io.EOF where the client left between commands. An [Append] that the caller did
// not finish is refused first.
func (d *Decoder) Next() (*Command, error) {
	if d.open != nil {
		if err := d.open.Refuse(); err != nil {
			return nil, err
		}
	}
	d.tag, d.byUID, d.saving, d.fuzzy, d.bad = untagged, false, false, false, nil
	d.lines, d.held, d.depth, d.keys, d.items = 0, 0, 0, 0, 0
	d.nextLine()
	cmd := d.command()
	if err := d.settle(); err != nil {
		return nil, err
	}
	d.open = appending(cmd.Args)
	return cmd, nil
}

// nextLine reads the next line of the command. A line longer than the command
// may be is still read, up to twice that, since a literal may be announced at
// its end.
func (d *Decoder) nextLine() {
	d.line, d.pos = nil, 0
	if d.broken != nil {
		return
	}
	line, err := d.src.Line(2 * d.limits.Command)
	switch {
	case errors.Is(err, wire.ErrLineTooLong), errors.Is(err, wire.ErrEndlessLine):
		d.failClose("line too long")
	case errors.Is(err, wire.ErrBareLF):
		d.failClose("lines end in CRLF")
	case err != nil && d.lines > 0: // inside a command
		d.broken = cut(err)
	case err != nil:
		d.broken = err
	}
	d.line = line
	d.lines += len(line) + 2
}

// command reads tag, name and arguments (RFC 9051 §9, command).
func (d *Decoder) command() *Command {
	cmd := &Command{Tag: d.readTag()}
	if d.lines > d.limits.Command {
		d.fail("command too long")
	}
	d.sp()
	cmd.Name = d.keyword()
	if cmd.Name == "UID" {
		d.byUID = true
		d.sp()
		cmd.Name = d.keyword()
	}
	parse := commands[cmd.Name]
	switch {
	case !d.ok():
		return cmd
	case parse == nil:
		d.fail("unknown command")
		return cmd
	case d.byUID && !takesUID[cmd.Name]:
		d.fail("no such command after UID")
		return cmd
	case d.byUID:
		cmd.Name = "UID " + cmd.Name
	}
	cmd.Args = parse(d)
	if appending(cmd.Args) == nil {
		d.end()
	}
	return cmd
}

const maxTag = 128

// readTag reads the tag; from then on it is in every answer.
func (d *Decoder) readTag() string {
	tag := d.run(isTagChar)
	switch {
	case !d.ok():
	case tag == "" && len(d.line) == 0:
		d.fail("empty line")
	case tag == "" || len(tag) > maxTag || d.more() && d.peek() != ' ':
		d.fail("a command starts with a tag")
	default:
		d.tag = tag
		if !d.more() {
			d.fail("no command after the tag")
		}
	}
	return tag
}

// settle ends a command: what is left of a bad one is swallowed, and its
// error returned.
func (d *Decoder) settle() error {
	if d.bad != nil && !d.bad.Close {
		d.swallowRest()
	}
	if d.broken != nil {
		return d.broken
	}
	if d.bad != nil {
		return d.bad
	}
	return nil
}

// SASL reads a client's response line of at most limit octets and decodes it
// (RFC 9051 §6.2.2). "*" and what is not base64 are a *BadError with the tag of
// the last command.
func (d *Decoder) SASL(limit int) ([]byte, error) {
	d.bad = nil
	line, err := d.src.Line(limit)
	switch {
	case errors.Is(err, wire.ErrLineTooLong):
		d.fail("response too long")
	case errors.Is(err, wire.ErrEndlessLine), errors.Is(err, wire.ErrBareLF):
		d.failClose("lines end in CRLF")
	case err != nil:
		d.broken = err
		return nil, err
	case string(line) == "*":
		d.fail("authentication cancelled")
	}
	if !d.ok() {
		return nil, d.bad
	}
	response, err := decodeBase64(string(line))
	if err != nil {
		d.fail("response is not base64")
		return nil, d.bad
	}
	return response, nil
}

// decodeBase64 takes base64 as RFC 4648 §4 has it and nothing in between:
// the library skips line ends.
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// Done reads the line that ends IDLE (RFC 9051 §6.3.13). Anything but DONE is a
// *BadError with the tag of IDLE.
func (d *Decoder) Done() error {
	d.bad, d.lines = nil, 0
	d.nextLine()
	if !strings.EqualFold(string(d.line), "DONE") {
		d.fail("IDLE ends with DONE")
	}
	return d.settle()
}
