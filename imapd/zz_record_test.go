package imapd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// scratch tool: IMAP_RECORD=file plays a file of C: lines and writes what comes back.
func TestRecord(t *testing.T) {
	file := os.Getenv("IMAP_RECORD")
	if file == "" {
		t.Skip()
	}
	script, _ := os.ReadFile(file)
	s := &stage{t: t, files: map[string]string{}, clients: map[string]*client{}}
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(script))
	inFile := false
	hear := func(name string) {
		c := s.client(name)
		for {
			c.conn.SetReadDeadline(time.Now().Add(70 * time.Millisecond))
			line, err := c.tryLine()
			if line == "" && err != nil {
				c.patience()
				return
			}
			if name != "" {
				out.WriteString(name + " ")
			}
			line = strings.TrimRight(fmt.Sprintf("%q", line), "")
			line = line[1 : len(line)-1]
			line = strings.ReplaceAll(line, `\"`, `"`)
			line = strings.ReplaceAll(line, `\\`, `\`)
			if m := uvForm.FindStringSubmatch(line); m != nil {
				if s.taken == nil {
					s.taken = map[string]string{"%uv%": m[1]}
				}
				if strings.Contains(string(script), "%uv%") && s.taken["%uv%"] == m[1] {
					line = strings.ReplaceAll(line, m[1], "%uv%")
				} else {
					line = strings.ReplaceAll(line, m[1], "...")
				}
			}
			out.WriteString("S: " + line + "\n")
			if err != nil {
				out.WriteString("!! " + err.Error() + "\n")
			}
		}
	}
	for lines.Scan() {
		line := lines.Text()
		if m := spoken.FindStringSubmatch(line); !inFile && m != nil && m[2][0] == 'S' {
			if m[3] == "?" {
				hear(m[1])
			}
			continue
		}
		out.WriteString(line + "\n")
		switch {
		case strings.HasPrefix(line, "@file "):
			s.file(strings.TrimPrefix(line, "@file "), lines2(lines, &out))
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@"):
			s.direct(strings.Fields(line))
		default:
			m := spoken.FindStringSubmatch(line)
			s.speak(line)
			if m[2] == "C:" {
				hear(m[1])
			}
		}
	}
	os.WriteFile(file+".out", out.Bytes(), 0o644)
}

var uvForm = regexp.MustCompile(`(?:UIDVALIDITY|APPENDUID|COPYUID) (\d+)`)

func lines2(l *bufio.Scanner, out *bytes.Buffer) *bufio.Scanner {
	var b bytes.Buffer
	for l.Scan() {
		out.WriteString(l.Text() + "\n")
		b.WriteString(l.Text() + "\n")
		if l.Text() == "@end" {
			break
		}
	}
	return bufio.NewScanner(&b)
}
