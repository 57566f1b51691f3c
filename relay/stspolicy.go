package relay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mode is what a policy wants of senders (RFC 8461 §5).
type Mode uint8

const (
	ModeNone    Mode = iota // as if there were no policy
	ModeTesting             // failures are reported, and stop nothing
	ModeEnforce             // no delivery to hosts that fail
)

// String is the mode's own word.
func (m Mode) String() string {
	return [...]string{"none", "testing", "enforce", "unknown"}[min(m, ModeEnforce+1)]
}

// Policy is an MTA-STS policy (RFC 8461 §3.2).
type Policy struct {
	Mode   Mode
	MX     []string // patterns, lower case
	MaxAge time.Duration
	Lines  []string // as published, for TLS reports
}

const (
	maxMaxAge   = 31557600 * time.Second // RFC 8461 §3.2: about a year
	maxPatterns = 1000
)

// ParsePolicy reads a policy. Fields nobody knows are passed over; of one that
// is there twice the first counts, but for mx (RFC 8461 §3.2).
func ParsePolicy(text string) (*Policy, error) {
	p := &Policy{}
	seen := map[string]string{}
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("a line without a colon: %.60q", line)
		}
		key, value = strings.TrimRight(key, " \t"), strings.Trim(value, " \t")
		if len(p.Lines) < maxPatterns {
			p.Lines = append(p.Lines, key+": "+value)
		}
		if key == "mx" {
			if err := p.addMX(value); err != nil {
				return nil, err
			}
		} else if _, again := seen[key]; !again {
			seen[key] = value
		}
	}
	return p, p.fill(seen)
}

func (p *Policy) addMX(pattern string) error {
	pattern = strings.ToLower(strings.TrimSuffix(pattern, "."))
	name := strings.TrimPrefix(pattern, "*.")
	if name == "" || strings.ContainsAny(name, "*@/ \t") || len(name) > 255 {
		return fmt.Errorf("mx pattern %.60q", pattern)
	}
	if len(p.MX) == maxPatterns {
		return errors.New("too many mx patterns")
	}
	p.MX = append(p.MX, pattern)
	return nil
}

func (p *Policy) fill(fields map[string]string) error {
	if v := fields["version"]; v != "STSv1" {
		return fmt.Errorf("version %.20q", v)
	}
	switch fields["mode"] {
	case "enforce":
		p.Mode = ModeEnforce
	case "testing":
		p.Mode = ModeTesting
	case "none":
		p.Mode = ModeNone
	default:
		return fmt.Errorf("mode %.20q", fields["mode"])
	}
	age := fields["max_age"]
	seconds, err := strconv.ParseUint(age, 10, 64)
	if err != nil || len(age) > 10 {
		return fmt.Errorf("max_age %.20q", age)
	}
	p.MaxAge = min(maxMaxAge, time.Duration(seconds)*time.Second)
	if p.Mode != ModeNone && len(p.MX) == 0 {
		return errors.New("no mx")
	}
	return nil
}

// Matches says whether the policy names the host: exactly, or by a pattern
// whose * stands for the whole first label and for one label alone (RFC 8461
// §4.1).
func (p *Policy) Matches(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, pattern := range p.MX {
		if suffix, wild := strings.CutPrefix(pattern, "*"); wild {
			if label, ok := strings.CutSuffix(host, suffix); ok && label != "" && !strings.Contains(label, ".") {
				return true
			}
		} else if pattern == host {
			return true
		}
	}
	return false
}

// parseSTSRecord reads the id out of the TXT records at _mta-sts (RFC 8461
// §3.1). ok is false where the domain has none, or more than one.
func parseSTSRecord(texts []string) (id string, ok bool) {
	record, ok := oneRecord(texts, "v=STSv1")
	if !ok {
		return "", false
	}
	for field := range strings.SplitSeq(record, ";") {
		key, value, _ := strings.Cut(strings.Trim(field, " \t"), "=")
		if key == "id" && id == "" {
			id = value
		}
	}
	return id, 0 < len(id) && len(id) <= 32 && strings.IndexFunc(id, notAlnum) < 0
}

// oneRecord is the one text that starts with the version and a semicolon.
func oneRecord(texts []string, version string) (rest string, ok bool) {
	n := 0
	for _, t := range texts {
		after, is := strings.CutPrefix(t, version)
		if after = strings.TrimLeft(after, " \t"); is && strings.HasPrefix(after, ";") {
			rest = after[1:]
			n++
		}
	}
	return rest, n == 1
}

func notAlnum(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
}
