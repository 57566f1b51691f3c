package mime_test

import (
	"testing"
	"time"

	"letterlock/internal/mime"
)

func TestDatesAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"RFC 5322", "Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21 09:55:06 -0600"},
		{"no weekday", "21 Nov 1997 09:55:06 -0600", "1997-11-21 09:55:06 -0600"},
		{"no seconds", "Tue, 1 Jul 2003 10:52 +0200", "2003-07-01 10:52:00 +0200"},
		{"zone in a comment", "Tue, 2 Jan 2024 10:00:00 +0100 (CET)", "2024-01-02 10:00:00 +0100"},
		{"comments all over (RFC 5322 A.5)", "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)", "1969-02-13 23:32:00 -0330"},
		{"obsolete year and zone (RFC 5322 A.6.2)", "21 Nov 97 09:55:06 GMT", "1997-11-21 09:55:06 +0000"},
		{"white space and comments in it (RFC 5322 A.6.3)", "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21 09:55:06 -0600"},
		{"named zone with a comment", "1 Jan 24 10:00 EST (comment)", "2024-01-01 10:00:00 -0500"},
		{"year of two digits", "1 Jan 49 00:00 UT", "2049-01-01 00:00:00 +0000"},
		{"year of the last century", "1 Jan 50 00:00 UT", "1950-01-01 00:00:00 +0000"},
		{"year of three digits", "1 Jan 103 00:00 UT", "2003-01-01 00:00:00 +0000"},
		{"military zone", "1 Jan 2024 10:00 A", "2024-01-01 10:00:00 +0000"},
		{"unknown zone", "1 Jan 2024 10:00 XYZ", "2024-01-01 10:00:00 +0000"},
		{"no zone", "1 Jan 2024 10:00", "2024-01-01 10:00:00 +0000"},
		{"zone with a colon", "1 Jan 2024 10:00:00 +05:30", "2024-01-01 10:00:00 +0530"},
		{"JavaScript", "Mon Jan 01 2024 10:00:00 GMT+0200 (Central European Summer Time)", "2024-01-01 10:00:00 +0200"},
		{"absurd zone", "1 Jan 2024 10:00:00 +9999", "2024-01-01 10:00:00 +0000"},
		{"lower case", "mon, 1 jan 2024 10:00:00 gmt", "2024-01-01 10:00:00 +0000"},
		{"names in full", "Monday, 1 January 2024 10:00:00 +0000", "2024-01-01 10:00:00 +0000"},
		{"no space after the weekday", "Mon,1 Jan 2024 10:00:00 +0000", "2024-01-01 10:00:00 +0000"},
		{"asctime", "Mon Jan  1 10:00:00 2024", "2024-01-01 10:00:00 +0000"},
		{"asctime with a zone", "Mon Jan  1 10:00:00 PST 2024", "2024-01-01 10:00:00 -0800"},
		{"dashes", "01-Jan-2024 10:00:00 +0100", "2024-01-01 10:00:00 +0100"},
		{"ISO 8601", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05 +0000"},
		{"ISO 8601 with a zone", "2024-01-02T03:04:05.678+02:00", "2024-01-02 03:04:05 +0200"},
		{"a day alone", "2 Jan 2024", "2024-01-02 00:00:00 +0000"},
		{"leap second", "31 Dec 2016 23:59:60 +0000", "2017-01-01 00:00:00 +0000"},
		{"leap day", "29 Feb 2024 10:00:00 +0000", "2024-02-29 10:00:00 +0000"},
		{"no such day", "31 Feb 2024 10:00:00 +0000", ""},
		{"no such hour", "1 Jan 2024 25:00:00 +0000", ""},
		{"no such minute", "1 Jan 2024 10:61:00 +0000", ""},
		{"no such month", "1 Foo 2024 10:00:00 +0000", ""},
		{"no month between dashes", "10:00 5--2024", ""},
		{"nothing", "", ""},
		{"words", "yesterday at noon", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mime.ParseDate(c.in)
			text := got.Format("2006-01-02 15:04:05 -0700")
			if got.IsZero() {
				text = ""
			}
			if text != c.want {
				t.Errorf("%q: got %q, want %q", c.in, text, c.want)
			}
		})
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("Fri, 21 Nov 1997 09:55:06 -0600 (x)")
	f.Add("2024-01-02T03:04:05+02:00")
	f.Add("Mon Jan  1 10:00:00 PST 24")
	f.Fuzz(func(t *testing.T, s string) {
		d := mime.ParseDate(s)
		if d.IsZero() {
			return
		}
		if _, offset := d.Zone(); d.Year() < 0 || d.Year() > 10000 || offset <= -86400 || offset >= 86400 {
			t.Errorf("%q is %v", s, d)
		}
		again := mime.ParseDate(d.Format(time.RFC1123Z))
		if d.Year() > 999 && d.Year() < 10000 && !again.Equal(d) {
			t.Errorf("%q is %v, which reads as %v", s, d, again)
		}
	})
}
