package sieve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// vacationExt is RFC 5230.
var vacationExt = Extension{
	Name: "vacation",
	Commands: []Spec{{
		Name: "vacation", Args: reasonArg, Compile: compileVacation,
		Tags: []Tag{
			{Name: "days", Arg: NumberArg, Class: "period"},
			{Name: "subject", Arg: StringArg},
			{Name: "from", Arg: StringArg, Check: constTag(mailboxList)},
			{Name: "addresses", Arg: StringList},
			{Name: "mime"},
			{Name: "handle", Arg: StringArg},
		},
	}},
}

// vacationSecondsExt is RFC 6131.
var vacationSecondsExt = Extension{
	Name:    "vacation-seconds",
	Implies: []string{"vacation"},
	Tags:    []TagFor{{"vacation", Tag{Name: "seconds", Arg: NumberArg, Class: "period"}}},
}

// maxSubject is how many characters of a subject are sent.
const maxSubject = 256

func compileVacation(c *Call) (Op, error) {
	text := func(tag string) String {
		if t := c.Tag(tag); t != nil {
			return t.String
		}
		return String{}
	}
	reason, subject, from := c.String(0), text("subject"), text("from")
	var addresses []String
	if t := c.Tag("addresses"); t != nil {
		addresses = t.Strings
	}
	if s, ok := reason.Const(); ok && c.Has("mime") {
		if err := mimeEntity(s); err != nil {
			return nil, c.Fail(reason.pos, "%v", err)
		}
	}
	how := Vacation{MIME: c.Has("mime"), Period: vacationPeriod(c), Handle: vacationHandle(c, subject, from, reason)}
	apply := c.Apply()
	return func(rt *Runtime) (Flow, error) {
		v := how
		texts, err := evalAll(rt, []String{reason, subject, from})
		if err != nil {
			return Stop, err
		}
		v.Reason, v.Subject, v.From = texts[0], firstRunes(oneLine(texts[1]), maxSubject), texts[2]
		if v.From != "" {
			if err := mailboxList(v.From); err != nil {
				return Stop, err
			}
		}
		if v.MIME {
			if err := mimeEntity(v.Reason); err != nil {
				return Stop, err
			}
		}
		mine, err := evalAll(rt, addresses)
		if err != nil {
			return Stop, err
		}
		v.To = rt.input.Envelope.From
		if err := rt.respond(&v, mine); err != nil {
			return Stop, err
		}
		if apply != nil {
			if err := apply(rt, &v); err != nil {
				return Stop, err
			}
		}
		return Next, rt.Add(&v)
	}, nil
}

// oneLine makes spaces of line ends and other control characters: what goes into
// a header field must not start another.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// vacationPeriod is :days or :seconds, within the limits (RFC 5230 §4.1,
// RFC 6131 §2).
func vacationPeriod(c *Call) time.Duration {
	limits := &c.Config().Limits
	if t := c.Tag("seconds"); t != nil {
		return max(limits.SecondsMin, seconds(t.Number, limits.VacationMax))
	}
	period := limits.VacationDefault
	if t := c.Tag("days"); t != nil {
		const day = 24 * 60 * 60
		period = seconds(min(t.Number, 1<<32)*day, limits.VacationMax)
	}
	return max(limits.VacationMin, period)
}

// vacationHandle identifies a reply: by :handle, or by the arguments as written,
// variables not filled in (RFC 5230 §4.2).
func vacationHandle(c *Call, subject, from, reason String) string {
	if t := c.Tag("handle"); t != nil {
		return "handle " + t.String.Raw()
	}
	h := sha256.New()
	for _, s := range []String{subject, from, reason} {
		fmt.Fprintf(h, "%d:%s", len(s.Raw()), s.Raw())
	}
	h.Write([]byte(strconv.FormatBool(c.Has("mime"))))
	return hex.EncodeToString(h.Sum(nil))
}

// mailboxList checks the syntax of :from.
func mailboxList(s string) error {
	_, plain, ok := blanked(s)
	for start := 0; ok && start <= len(s); {
		end := len(s)
		if i := strings.IndexByte(plain[start:], ','); i >= 0 {
			end = start + i
		}
		_, ok = ParseAddress(s[start:end])
		start = end + 1
	}
	if !ok {
		return fmt.Errorf("%s is not an address", quote(s))
	}
	return nil
}

// mimeEntity checks that the header of a MIME entity is ASCII (RFC 5230 §5).
func mimeEntity(s string) error {
	header, _, _ := strings.Cut("\r\n"+s, "\r\n\r\n")
	if !ascii(header) {
		return fmt.Errorf("the header of a reply with `:mime` must be ASCII; encode it (RFC 2047)")
	}
	return nil
}
