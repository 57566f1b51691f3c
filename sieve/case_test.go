package sieve_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/sieve"
)

// The cases in testdata/*.txt are read by people first. A file has cases, each
// "=== name", with sections:
//
//	--- script               the script
//	--- message              header, empty line, body; "--- message A" uses "=== message A"
//	--- envelope             from, to, notify, orcpt, ret, envid, ip: one "name: value" a line
//	--- input                owner, own, now, mailbox, seen, annotation, env, spam, virus, notify, zone
//	--- include personal foo a script that include finds
//	--- plan                 what must come out, one action a line
//	--- header               the header behind the script's changes
//	--- error                what must be reported: "line:col: text", or "run 3: text" while running
//
// A case without error must compile; a plan without actions is the implicit keep.
type sieveCase struct {
	file, name string
	line       int
	section    map[string]string
	args       map[string]string // what stood behind the name of a section
	include    map[string]string
}

func readCases(t testing.TB, file string) []*sieveCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []*sieveCase
	messages := map[string]string{}
	var c *sieveCase
	section, arg, body := "", "", strings.Builder{}
	flush := func() {
		switch {
		case section == "":
		case section == "message" && c == nil:
			messages[arg] = body.String()
		case section == "include":
			c.include[arg] = body.String()
		default:
			c.section[section], c.args[section] = body.String(), arg
		}
		body.Reset()
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "=== message "):
			flush()
			c, section, arg = nil, "message", strings.TrimPrefix(trimmed, "=== message ")
		case strings.HasPrefix(line, "=== "):
			flush()
			c = &sieveCase{file: filepath.Base(file), name: trimmed[4:], line: n, section: map[string]string{}, args: map[string]string{}, include: map[string]string{}}
			cases = append(cases, c)
			section = ""
		case strings.HasPrefix(line, "--- "):
			flush()
			section, arg, _ = strings.Cut(trimmed[4:], " ")
		default:
			body.WriteString(line)
		}
	}
	flush()
	for _, c := range cases {
		if name := c.args["message"]; name != "" {
			c.section["message"] = messages[name]
		}
		if c.section["message"] == "" {
			c.section["message"] = messages["default"]
		}
	}
	return cases
}

func wire(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// world is a mailbox store with nothing but answers in it.
type world struct {
	mailboxes   []sieve.Target
	seen        []string
	annotations map[string]string
}

func (w *world) Mailbox(_ context.Context, t sieve.Target) (bool, error) {
	return slices.ContainsFunc(w.mailboxes, func(m sieve.Target) bool {
		return (t.Name == "" || t.Name == m.Name) && (t.ID == "" || t.ID == m.ID) && (t.Use == "" || strings.EqualFold(t.Use, m.Use))
	}), nil
}

func (w *world) Metadata(_ context.Context, mailbox, entry string) (string, bool, error) {
	v, ok := w.annotations[mailbox+" "+entry]
	return v, ok, nil
}

func (w *world) Seen(_ context.Context, t sieve.Track) (bool, error) {
	return slices.Contains(w.seen, strings.TrimSpace(t.Handle+" "+t.ID)), nil
}

// pairs are the "name: value" lines of a section.
func (c *sieveCase) pairs(section string) (list [][2]string) {
	for line := range strings.Lines(c.section[section]) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			list = append(list, [2]string{name, strings.TrimSpace(value)})
		}
	}
	return list
}

func (c *sieveCase) input(t *testing.T, e *sieve.Engine) *sieve.Input {
	w := &world{annotations: map[string]string{}}
	env := map[string]string{}
	in := &sieve.Input{
		Owner: "roadrunner@acme.example.com",
		Host:  w,
		Now:   time.Date(2026, 11, 21, 20, 30, 0, 0, time.UTC),
		Envelope: sieve.Envelope{
			From: "coyote@desert.example.org", To: "roadrunner@acme.example.com",
		},
		Environment: func(item string) (string, bool) { v, ok := env[item]; return v, ok },
	}
	for _, p := range c.pairs("envelope") {
		setEnvelope(t, &in.Envelope, p[0], p[1])
	}
	for _, p := range c.pairs("input") {
		name, value := p[0], p[1]
		switch name {
		case "owner":
			in.Owner = value
		case "own":
			in.Own = append(in.Own, value)
		case "now":
			now, err := time.Parse(time.RFC3339, value)
			if err != nil {
				t.Fatal(err)
			}
			in.Now = now
		case "mailbox":
			m := sieve.Target{}
			for i, word := range strings.Fields(value) {
				switch {
				case strings.HasPrefix(word, `\`):
					m.Use = word
				case strings.HasPrefix(word, "id="):
					m.ID = word[3:]
				case i == 0:
					m.Name = word
				}
			}
			w.mailboxes = append(w.mailboxes, m)
		case "seen":
			w.seen = append(w.seen, value)
		case "annotation":
			f := strings.SplitN(value, " ", 3)
			w.annotations[strings.TrimPrefix(f[0], "server")+" "+f[1]] = f[2]
		case "env":
			item, v, _ := strings.Cut(value, " ")
			env[item] = v
		case "spam":
			in.Spam = verdict(t, value)
		case "virus":
			in.Virus = verdict(t, value)
		case "notify":
			in.Notify = append(in.Notify, value)
		default:
			t.Fatalf("%s: unknown input %q", c.file, name)
		}
	}
	in.Load = func(_ context.Context, where sieve.Location, name string) (*sieve.Script, error) {
		src, ok := c.include[strings.TrimPrefix(where.String(), ":")+" "+name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return e.Compile(name, []byte(src))
	}
	return in
}

func setEnvelope(t *testing.T, env *sieve.Envelope, name, value string) {
	switch name {
	case "from":
		env.From = value
	case "to":
		env.To = value
	case "notify":
		env.Notify = strings.Split(value, ",")
	case "orcpt":
		env.ORcpt = value
	case "ret":
		env.Ret = value
	case "envid":
		env.ID = value
	case "ip":
		env.RemoteIP = value
	default:
		t.Fatalf("unknown part of the envelope %q", name)
	}
}

func verdict(t *testing.T, s string) sieve.Verdict {
	number, text, _ := strings.Cut(s, " ")
	score, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatal(err)
	}
	return sieve.Verdict{Tested: true, Score: score, Text: text}
}

// plan writes actions as the cases do.
func plan(r *sieve.Result) string {
	var b strings.Builder
	for _, a := range r.Actions {
		b.WriteString(line(a))
		b.WriteByte('\n')
	}
	for _, t := range r.Tracks {
		fmt.Fprintf(&b, "track %s", t.ID)
		option(&b, "handle", t.Handle)
		fmt.Fprintf(&b, " for %v", t.Period)
		if t.Extend {
			b.WriteString(" extend")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func line(a sieve.Action) string {
	var b strings.Builder
	switch a := a.(type) {
	case *sieve.Keep:
		b.WriteString("keep")
		if a.Implicit {
			b.WriteString(" implicit")
		}
		option(&b, "flags", strings.Join(a.Flags, " "))
		marks(&b, a.Marks)
	case *sieve.FileInto:
		b.WriteString("fileinto ")
		target(&b, a.Target)
		if a.Copy {
			b.WriteString(" copy")
		}
		option(&b, "flags", strings.Join(a.Flags, " "))
		marks(&b, a.Marks)
	case *sieve.Redirect:
		b.WriteString("redirect " + a.To)
		if a.Copy {
			b.WriteString(" copy")
		}
		option(&b, "notify", a.Notify)
		option(&b, "ret", a.Return)
		marks(&b, a.Marks)
	case *sieve.Discard:
		b.WriteString("discard")
	case *sieve.Reject:
		if a.Protocol {
			b.WriteByte('e')
		}
		fmt.Fprintf(&b, "reject %q", a.Reason)
	case *sieve.Vacation:
		fmt.Fprintf(&b, "vacation to %s: %q every %v", a.To, a.Reason, a.Period)
		option(&b, "from", a.From)
		option(&b, "subject", a.Subject)
		if strings.HasPrefix(a.Handle, "handle ") {
			option(&b, "handle", a.Handle[7:])
		}
		if a.MIME {
			b.WriteString(" mime")
		}
		fcc(&b, a.Fcc)
		option(&b, "skip", a.Skip)
	case *sieve.Notify:
		fmt.Fprintf(&b, "notify %s", a.Method)
		option(&b, "message", a.Message)
		option(&b, "from", a.From)
		if a.Importance != 2 {
			fmt.Fprintf(&b, " importance=%d", a.Importance)
		}
		option(&b, "options", strings.Join(a.Options, " "))
		if m := a.Mailto; m != nil {
			option(&b, "to", strings.Join(m.Recipients(), " "))
			option(&b, "subject", m.Subject)
			option(&b, "body", m.Body)
			for _, h := range m.Header {
				fmt.Fprintf(&b, " %s=%q", h.Name, h.Value)
			}
		}
		fcc(&b, a.Fcc)
		option(&b, "skip", a.Skip)
	default:
		fmt.Fprintf(&b, "%T %+v", a, a)
	}
	return b.String()
}

func option(b *strings.Builder, name, value string) {
	if value != "" {
		fmt.Fprintf(b, " %s=%q", name, value)
	}
}

func marks(b *strings.Builder, m map[string]string) {
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}) {
		fmt.Fprintf(b, " %s=%s", k, m[k])
	}
}

func target(b *strings.Builder, t sieve.Target) {
	fmt.Fprintf(b, "%q", t.Name)
	option(b, "use", t.Use)
	option(b, "id", t.ID)
	if t.Create {
		b.WriteString(" create")
	}
}

func fcc(b *strings.Builder, f *sieve.Fcc) {
	if f != nil {
		b.WriteString(" fcc ")
		target(b, f.Target)
		option(b, "flags", strings.Join(f.Flags, " "))
	}
}

func TestCases(t *testing.T) {
	e := engine(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for _, c := range readCases(t, file) {
				t.Run(c.name, func(t *testing.T) { c.run(t, e) })
			}
		})
	}
}

func (c *sieveCase) run(t *testing.T, e *sieve.Engine) {
	src := c.section["script"]
	script, err := e.Compile("", []byte(src))
	wanted := strings.TrimSpace(c.section["error"])
	if wanted != "" && !strings.HasPrefix(wanted, "run ") {
		c.compare(t, diagnostics(err), wanted)
		return
	}
	if err != nil {
		t.Fatalf("%s:%d does not compile:\n%v\n%s", c.file, c.line, err, src)
	}
	res := script.Run(context.Background(), strings.NewReader(wire(c.section["message"])), c.input(t, e))
	got := ""
	if res.Err != nil {
		got = "run " + strings.TrimPrefix(res.Err.Error(), "line ")
	}
	if wanted != "" || got != "" {
		c.compare(t, got, wanted)
	}
	if want, ok := c.section["plan"]; ok || wanted == "" {
		if strings.TrimSpace(want) == "" {
			want = "keep implicit\n"
		}
		if got := plan(res); got != want {
			t.Errorf("%s:%d plan\ngot:\n%swant:\n%sscript:\n%s", c.file, c.line, got, want, src)
		}
	}
	if want, ok := c.section["header"]; ok {
		if got := header(res, wire(c.section["message"])); got != want {
			t.Errorf("%s:%d header\ngot:\n%swant:\n%s", c.file, c.line, got, want)
		}
	}
}

// compare wants every line of want to be the start of the same line of got.
func (c *sieveCase) compare(t *testing.T, got, want string) {
	g, w := strings.Split(strings.TrimSpace(got), "\n"), strings.Split(want, "\n")
	same := len(g) == len(w)
	for i := range w {
		same = same && strings.HasPrefix(g[i], strings.TrimSpace(w[i]))
	}
	if !same {
		t.Errorf("%s:%d errors\ngot:\n%s\nwant:\n%s\nscript:\n%s", c.file, c.line, got, want, c.section["script"])
	}
}

func diagnostics(err error) string {
	var list sieve.Errors
	if !errors.As(err, &list) {
		return fmt.Sprint(err)
	}
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%d:%d: %s\n", d.Line, d.Col, d.Msg)
	}
	return b.String()
}

// header is the message's as the last action sees it.
func header(r *sieve.Result, msg string) string {
	last := r.Actions[len(r.Actions)-1]
	var rw *sieve.Rewrite
	switch a := last.(type) {
	case *sieve.Keep:
		rw = a.Rewrite
	case *sieve.FileInto:
		rw = a.Rewrite
	case *sieve.Redirect:
		rw = a.Rewrite
	}
	text := msg[:strings.Index(msg, "\r\n\r\n")+2]
	if rw != nil {
		text = strings.TrimSuffix(string(rw.Header), "\r\n")
	}
	return strings.ReplaceAll(text, "\r\n", "\n")
}

func engine(t testing.TB) *sieve.Engine {
	t.Helper()
	e, err := sieve.New(sieve.Config{Hostname: "mail.example.org", Domain: "example.org", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
