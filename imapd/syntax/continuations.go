package syntax

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"letterlock/internal/mail"
)

// joined is params with those put together that were cut into sections (RFC
// 2231 §3), which §6 asks of an IMAP server: many clients know name and name*
// alone. What is encoded stays so, as name*; sections behind a gap stay as they
// are.
func joined(params []mail.Param) []mail.Param {
	if !slices.ContainsFunc(params, isSection) {
		return params
	}
	sections := sectionsOf(params)
	whole := make(map[int]mail.Param) // by where the first section stands
	gone := make(map[int]bool)
	for len(sections) > 0 {
		run := firstRun(sections)
		if run == 0 {
			sections = sections[1:]
			continue
		}
		whole[sections[0].at] = join(params, sections[:run])
		for _, s := range sections[1:run] {
			gone[s.at] = true
		}
		sections = sections[run:]
	}
	var list []mail.Param
	for i, p := range params {
		if w, ok := whole[i]; ok {
			p = w
		}
		if !gone[i] {
			list = append(list, p)
		}
	}
	return list
}

// section is a parameter named base*number, or base*number* where its value is
// encoded.
type section struct {
	base    string
	fold    string // base in lower case
	number  int
	encoded bool
	at      int // in the list
}

func isSection(p mail.Param) bool {
	_, ok := sectionNamed(p.Name)
	return ok
}

func sectionNamed(name string) (s section, ok bool) {
	base, number, ok := strings.Cut(name, "*")
	if !ok || base == "" {
		return s, false
	}
	number, encoded := strings.CutSuffix(number, "*")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != number { // §3: no leading zeroes
		return s, false
	}
	return section{base: base, fold: strings.ToLower(base), number: int(n), encoded: encoded}, true
}

// sectionsOf is the sections of all parameters, those of one in order; of
// duplicates the first counts.
func sectionsOf(params []mail.Param) (list []section) {
	for i, p := range params {
		if s, ok := sectionNamed(p.Name); ok {
			s.at = i
			list = append(list, s)
		}
	}
	order := func(a, b section) int {
		return cmp.Or(strings.Compare(a.fold, b.fold), cmp.Compare(a.number, b.number))
	}
	slices.SortStableFunc(list, order)
	return slices.CompactFunc(list, func(a, b section) bool { return order(a, b) == 0 })
}

// firstRun is how many sections from the first on make one parameter: numbered
// from 0 on, without a gap.
func firstRun(sections []section) (n int) {
	for n < len(sections) && sections[n].number == n && sections[n].fold == sections[0].fold {
		n++
	}
	return n
}

// join makes one parameter of its sections (RFC 2231 §4.1).
func join(params []mail.Param, run []section) mail.Param {
	encoded := slices.ContainsFunc(run, func(s section) bool { return s.encoded })
	name := run[0].base
	var value []byte
	if encoded {
		name += "*"
		if !run[0].encoded {
			value = append(value, "''"...) // neither charset nor language
		}
	}
	for _, s := range run {
		if encoded && !s.encoded {
			value = appendPercentEncoded(value, params[s.at].Value)
		} else {
			value = append(value, params[s.at].Value...)
		}
	}
	return mail.Param{Name: name, Value: string(value)}
}

// appendPercentEncoded writes all but attribute-char (RFC 2231 §7) as %XX.
func appendPercentEncoded(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`*'%()<>@,;:\"/[]?=`, c) >= 0 {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
