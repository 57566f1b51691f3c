package syntax

import "time"

const dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"

// dateTime reads the date of APPEND, "17-Jul-1996 02:44:25 -0700" (RFC 9051
// §9, date-time; a day of one digit has a space in front). The zone is kept.
func (d *Decoder) dateTime() time.Time {
	text := d.quoted()
	t, err := time.Parse(dateTimeLayout, text)
	if err != nil || len(text) != len(dateTimeLayout) {
		d.fail("not a date and time")
		return time.Time{}
	}
	return t
}

// date reads the day of a search key, 1-Feb-1994 or "1-Feb-1994", and gives
// its midnight in UTC.
func (d *Decoder) date() time.Time {
	text := ""
	if d.peek() == '"' {
		text = d.quoted()
	} else {
		text = d.run(isAtomChar)
	}
	day, err := time.Parse("2-Jan-2006", text)
	if err != nil {
		d.fail("not a date")
	}
	return day
}

// AppendDateTime writes "17-Jul-1996 02:44:25 -0700", with its quotes and in
// the zone of t.
func AppendDateTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.AppendFormat(dst, dateTimeLayout)
	return append(dst, '"')
}
