package search

import (
	"io"
	"strings"
	"sync"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

var builders = sync.Pool{New: func() any { return new(FilterBuilder) }}

// AppendFilter appends the filter of the message in r, whose summary is sum,
// encoded, to dst: of all that SEARCH looks into, which is the passages of
// [mime.ScopeText] and the fields of the summary as they read there. What a
// message can be found by in a header longer than [mime.MaxHeaderText] is not
// looked at: its filter lets everything through. The error is r's.
func AppendFilter(dst []byte, sum *mail.Summary, r io.ReaderAt) ([]byte, error) {
	b := builders.Get().(*FilterBuilder)
	defer builders.Put(b)
	if sum.Root.Body-sum.Root.Header > mime.MaxHeaderText {
		b.Anything()
		return b.Append(dst)
	}
	for _, text := range SummaryTexts(sum) {
		_ = b.Text(strings.NewReader(text)) // which has no errors
	}
	_ = b.Passages(mime.Passages(sum, r, mime.ScopeText)) // Append has the error
	return b.Append(dst)
}

// SummaryTexts is the texts of the fields that a summary has, decoded: whoever
// looks into a message's summary instead of its header looks into these.
func SummaryTexts(sum *mail.Summary) []string {
	return []string{
		mime.DecodeHeader(sum.Subject), mime.DecodeHeader(sum.Date), mime.DecodeHeader(sum.MessageID), mime.DecodeHeader(sum.InReplyTo),
		mime.AddressText(sum.From), mime.AddressText(sum.Sender), mime.AddressText(sum.ReplyTo),
		mime.AddressText(sum.To), mime.AddressText(sum.Cc), mime.AddressText(sum.Bcc),
	}
}
